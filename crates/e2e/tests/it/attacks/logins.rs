//! Guessing passwords: it is slowed down, and locks nobody else out. The address of a request is that of the
//! connection, or the one that a configured proxy names.

use sekisho_e2e::fakes::browser::Browser;
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::Checkpoint;

use super::field::{Field, OWNER, PASSWORD, UP, USER};

/// The configuration for a proxy on this machine that names the caller.
const PROXIED: &str = "[tls]\nterminated_in_front = true\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";

/// ATK-135: wrong passwords from another address lock nobody out; at that address, the next attempt has to wait.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_from_elsewhere_lock_nobody_out() {
    let field = Field::start().await;
    let mut attacker = Browser::new(field.base_url()).at([127, 0, 0, 66]);
    for _ in 0..6 {
        assert_eq!(attacker.sign_in(OWNER, "a wrong password").await, 401);
    }
    assert_eq!(attacker.sign_in(OWNER, PASSWORD).await, 429, "there the account waits, whatever is typed");
    let mut owner = Browser::new(field.base_url()).at([127, 0, 0, 7]);
    assert_eq!(owner.sign_in(OWNER, PASSWORD).await, 303);
    field.noted("login_failed").await;
    field.lets_in().await;
}

/// ATK-136: made-up names from one address, such as that of a proxy that was not configured, lock nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_lock_nobody_out() {
    let field = Field::start().await;
    let mut attacker = Browser::new(field.base_url());
    for number in 0..12 {
        assert_eq!(attacker.sign_in(&format!("nobody{number}"), "a wrong password").await, 401, "{number}");
    }
    assert_eq!(Browser::new(field.base_url()).sign_in(OWNER, PASSWORD).await, 303);
    field.lets_in().await;
}

/// ATK-136: a browser in which an account has signed in before is not slowed down by the attempts of strangers,
/// wherever they come from; a new password makes all browsers unknown again.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_known_gets_through() {
    let field = Field::start().await;
    let mut known = Browser::new(field.base_url());
    assert_eq!(known.sign_in(USER, PASSWORD).await, 303);
    let _ = known.press_at_home("/logout").await;
    let mut stranger = Browser::new(field.base_url());
    for _ in 0..6 {
        assert_eq!(stranger.sign_in(USER, "a wrong password").await, 401);
    }
    assert_eq!(stranger.sign_in(USER, PASSWORD).await, 429);
    assert_eq!(known.sign_in(USER, PASSWORD).await, 303);
    // The browser's cookie names only who has signed in there; a thief of it gets only a few guesses.
    let _ = known.press_at_home("/logout").await;
    for _ in 0..6 {
        assert_eq!(known.sign_in(USER, "a wrong password").await, 401);
    }
    assert_eq!(known.sign_in(USER, PASSWORD).await, 429);
    field.lets_in().await;
}

/// ATK-136, ATK-137: behind a configured proxy, each caller has the address that the proxy names; nobody else can set
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_configured_proxy_says_who_calls() {
    let field = Field::before(Speaks::Modern, PROXIED).await;
    let from = |address: &str| Browser::new(field.base_url()).behind("x-forwarded-for", address);
    let mut attacker = from("203.0.113.66");
    for _ in 0..6 {
        assert_eq!(attacker.sign_in(OWNER, "a wrong password").await, 401);
    }
    // Entries to the left of the address that the proxy saw are made up.
    for list in ["203.0.113.66", "198.51.100.1, 203.0.113.66", "198.51.100.2, 203.0.113.66, 10.1.2.3"] {
        assert_eq!(from(list).sign_in(OWNER, PASSWORD).await, 429, "{list}");
    }
    assert_eq!(from("203.0.113.7").sign_in(OWNER, PASSWORD).await, 303);
    // This caller is not behind the proxy, so the header is ignored.
    let mut outside = Browser::new(field.base_url()).at([127, 0, 0, 66]);
    for number in 0..6 {
        let mut forged = outside.clone().behind("x-forwarded-for", &format!("198.51.100.{number}"));
        assert_eq!(forged.sign_in(USER, "a wrong password").await, 401);
    }
    assert_eq!(outside.sign_in(USER, PASSWORD).await, 429);
    field.lets_in().await;
}

/// ATK-137: a policy about addresses sees the caller's address, and neither the proxy's nor an invented one.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_sees_the_callers_address() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let toml = format!(
        "{PROXIED}[servers.up]\nurl = \"{}\"\neveryone = \"read\"\ntools = {{ look = \"read\" }}\n",
        upstream.url()
    );
    let setup = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD);
    let folder = setup.folder().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let rule = "forbid(principal, action, resource) when { context has source && \
        context.source.isInRange(ip(\"203.0.113.0/24\")) };\n";
    std::fs::write(folder.join("up.cedar"), rule).unwrap();
    let checkpoint = setup.start().await;
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    let field = Field { checkpoint, upstream, address: std::net::SocketAddr::from(([127, 0, 0, 1], port)) };
    let granted = field.granted(USER, "mcp:read").await;
    let look = || tool(UP, &granted.access, "look");
    for (headers, status) in [
        (&[][..], 200),
        (&[("x-forwarded-for", "203.0.113.9")], 403),
        (&[("x-forwarded-for", "::ffff:203.0.113.9")], 403),
        (&[("forwarded", "for=\"203.0.113.9:4711\"")], 403),
        (&[("x-forwarded-for", "198.51.100.1, 203.0.113.9")], 403),
        (&[("x-forwarded-for", "203.0.113.9, 198.51.100.1")], 200),
        (&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=198.51.100.1")], 200),
    ] {
        let ask = headers.iter().fold(look(), |ask, (name, value)| ask.header(name, value));
        assert_eq!(field.ask(&ask).await.status, status, "{headers:?}");
    }
}
