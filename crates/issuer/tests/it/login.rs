//! Passwords, guesses, and the link that sets the first one.

use http::StatusCode;
use sekisho_issuer::setup::create_link;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::env::Clock as _;

use crate::harness::{Browser, PASSWORD, Reply, Site};

async fn attempt(browser: &mut Browser, name: &str, password: &str) -> Reply {
    let page = browser.get("/login").await;
    browser.post("/login", &[("csrf", &page.csrf()), ("username", name), ("password", password)]).await
}

/// The page without what differs from one request to the next.
fn plain(reply: &Reply) -> String {
    let mut plain = String::new();
    for part in reply.body.split_inclusive(['"', '<', '>']) {
        if !part.starts_with("sks_cf_") && !part.starts_with("rid_") {
            plain.push_str(part);
        }
    }
    plain
}

/// ATK-96: a wrong password, an unknown user, a disabled one and one without a password get the same answer.
#[tokio::test]
async fn a_failed_login_says_nothing_about_the_account() {
    let site = Site::new().await;
    let mut tx = site.store.begin().await.unwrap();
    let reader = tx.users().find_by_name("reader").await.unwrap().unwrap();
    tx.users().set_disabled(reader.id, true).await.unwrap();
    let id = sekisho_protocol::ids::UserId::generate(site.clock.now(), &*site.entropy);
    let fresh = sekisho_store::User { id, name: "fresh".to_owned(), password: None, disabled: false, ..reader };
    tx.users().insert(&fresh).await.unwrap();
    tx.commit().await.unwrap();
    let mut browser = site.browser();
    let known = attempt(&mut browser, "owner", "wrong password").await;
    assert_eq!(known.status, StatusCode::UNAUTHORIZED);
    for (name, password) in
        [("nobody", "wrong password"), ("reader", PASSWORD), ("fresh", ""), ("fresh", PASSWORD), ("", "")]
    {
        let reply = attempt(&mut browser, name, password).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{name}");
        let expected = plain(&known).replace("value=\"owner\"", &format!("value=\"{name}\""));
        let found = plain(&reply);
        if !name.is_empty() {
            assert_eq!(found, expected, "{name}");
        }
    }
    let failed = site.acts().await.iter().filter(|act| **act == ActKind::LoginFailed).count();
    assert_eq!(failed, 6);
    assert_eq!(attempt(&mut browser, "OWNER", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

/// ATK-96: guesses are slowed down, for every name alike; it is a wait and not a lock.
#[tokio::test]
async fn guesses_are_slowed_down_and_the_account_comes_back() {
    let site = Site::new().await;
    for name in ["owner", "nobody"] {
        let mut browser = site.browser();
        let mut throttled = 0;
        for _ in 0..10 {
            let status = attempt(&mut browser, name, "guess").await.status;
            throttled += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
        }
        assert_eq!(throttled, 4, "{name}");
    }
    let mut browser = site.browser();
    let right = attempt(&mut browser, "owner", PASSWORD).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(right.body.contains("Too many attempts"), "{}", right.body);
    site.clock.advance_seconds(2);
    assert_eq!(attempt(&mut browser, "owner", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

/// A session has an end, whatever the browser keeps.
#[tokio::test]
async fn a_session_ends_after_its_time() {
    let site = Site::new().await;
    let mut browser = site.signed_in("owner").await;
    site.clock.advance_seconds(12 * 3600 - 1);
    assert!(browser.get("/").await.body.contains("<strong>owner</strong>"));
    site.clock.advance_seconds(1);
    assert!(!browser.get("/").await.body.contains("<strong>owner</strong>"));
}

/// ATK-10: only a request of ours can be named as the place to go on.
#[tokio::test]
async fn a_login_leads_to_a_page_of_ours_only() {
    let site = Site::new().await;
    let mut browser = site.browser();
    for bad in ["https://evil.example", "//evil.example", "/\\evil.example", "req_1"] {
        let page = browser
            .get(&format!(
                "/login?request={}",
                url::form_urlencoded::byte_serialize(bad.as_bytes()).collect::<String>()
            ))
            .await;
        assert!(!page.body.contains("evil"), "{}", page.body);
        let fields = [
            ("csrf", page.csrf()),
            ("request", bad.to_owned()),
            ("username", "owner".to_owned()),
            ("password", PASSWORD.to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.post("/login", &fields).await.status, StatusCode::BAD_REQUEST);
    }
}

async fn link(site: &Site) -> String {
    let mut tx = site.store.begin().await.unwrap();
    let token = create_link(&mut tx, site.owner, site.clock.now(), &*site.entropy).await.unwrap();
    tx.commit().await.unwrap();
    format!("/setup/{}", token.expose())
}

/// ATK-100: the link works once, for half an hour, and signs its user in; whoever was signed in before is not any
/// more; no other text opens anything.
#[tokio::test]
async fn a_setup_link_sets_a_password_once() {
    let site = Site::new().await;
    let mut before = site.signed_in("owner").await;
    let path = link(&site).await;
    let mut browser = site.browser();
    let page = browser.get(&path).await;
    assert!(page.body.contains("<strong>owner</strong>"), "{}", page.body);
    assert_eq!(browser.get(&path).await.status, StatusCode::OK, "looking at a link does not use it");
    let chosen = "seven green bicycles";
    let short = browser.post(&path, &[("csrf", &page.csrf()), ("password", "short"), ("repeat", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let forged = browser.post(&path, &[("csrf", "x"), ("password", chosen), ("repeat", chosen)]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let set = browser.post(&path, &[("csrf", &page.csrf()), ("password", chosen), ("repeat", chosen)]).await;
    assert_eq!((set.status, set.location().as_str()), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.get("/").await.body.contains("<strong>owner</strong>"));
    assert!(!before.get("/").await.body.contains("<strong>owner</strong>"));
    let again = browser.post(&path, &[("csrf", &page.csrf()), ("password", chosen), ("repeat", chosen)]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(attempt(&mut site.browser(), "owner", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(attempt(&mut site.browser(), "owner", chosen).await.status, StatusCode::SEE_OTHER);
    assert!(site.acts().await.contains(&ActKind::PasswordSet));
    let late = link(&site).await;
    site.clock.advance_seconds(30 * 60);
    assert_eq!(browser.get(&late).await.status, StatusCode::NOT_FOUND);
    for bad in ["/setup/x", "/setup/sks_su_", "/setup/admin"] {
        assert_eq!(browser.get(bad).await.status, StatusCode::NOT_FOUND);
    }
}

/// ATK-96: a flood of logins leaves the token endpoint alive, for hashing has places of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_leaves_room_for_everything_else() {
    let site = Site::new().await;
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut browser = site.browser();
        flood.spawn(async move { attempt(&mut browser, "nobody", "guess").await.status });
    }
    let reply = site.post_form("/oauth/token", &[("grant_type", "authorization_code"), ("client_id", "nobody")]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(!flood.is_empty(), "the answer came while logins were still being worked on");
    for status in flood.join_all().await {
        assert!([401, 429].contains(&status.as_u16()), "{status}");
    }
}

/// A person changes their own password: the present one has to be right, the new one good; then everything that was begun
/// with the old one has ended, and only the new one signs in.
#[tokio::test]
async fn a_person_changes_their_own_password() {
    const NEW: &str = "seven green bottles on a wall";
    let site = Site::new().await;
    let grant = site.grant("reader", "mcp:read").await;
    let (mut browser, mut other) = (site.signed_in("reader").await, site.signed_in("reader").await);
    let page = browser.get("/password").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let csrf = page.csrf_of("name=\"present\"");
    let tries = [
        (PASSWORD, "short", "short", "use at least 10 characters"),
        (PASSWORD, NEW, "another good password", "differ"),
        ("wrong horse battery staple", NEW, NEW, "present password is wrong"),
    ];
    for (present, password, repeat, said) in tries {
        let fields = [("csrf", csrf.as_str()), ("present", present), ("password", password), ("repeat", repeat)];
        let reply = browser.post("/password", &fields).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{said}");
        assert!(reply.body.contains(said), "{said}: {}", reply.body);
        assert!(!reply.body.contains(NEW), "no page repeats a password");
    }
    assert!(!site.acts().await.contains(&ActKind::PasswordSet));
    let good = [("csrf", csrf.as_str()), ("present", PASSWORD), ("password", NEW), ("repeat", NEW)];
    assert_eq!(other.post("/password", &good).await.status, StatusCode::FORBIDDEN, "the form is of another session");
    let reply = browser.post("/password", &good).await;
    assert_eq!((reply.status, reply.location().as_str()), (StatusCode::SEE_OTHER, "/"), "{}", reply.body);
    assert!(browser.get("/").await.body.contains("<strong>reader</strong>"), "this browser is signed in anew");
    assert!(!other.get("/").await.body.contains("<strong>reader</strong>"), "every other browser is signed out");
    assert!(site.stored_grant(grant).await.revoked_at.is_some());
    for (password, status) in [(PASSWORD, StatusCode::UNAUTHORIZED), (NEW, StatusCode::SEE_OTHER)] {
        let mut fresh = site.browser();
        let csrf = fresh.get("/login").await.csrf();
        let fields = [("csrf", csrf.as_str()), ("username", "reader"), ("password", password)];
        assert_eq!(fresh.post("/login", &fields).await.status, status);
    }
}

/// ATK-96: whoever has somebody's open browser does not guess the present password faster than at the login.
#[tokio::test]
async fn the_present_password_cannot_be_guessed_quickly() {
    let site = Site::new().await;
    let mut browser = site.signed_in("reader").await;
    let csrf = browser.get("/password").await.csrf_of("name=\"present\"");
    let new = "seven green bottles on a wall";
    let mut refused = 0;
    for _ in 0..12 {
        let fields = [("csrf", csrf.as_str()), ("present", "a wrong password"), ("password", new), ("repeat", new)];
        let reply = browser.post("/password", &fields).await;
        refused += usize::from(reply.body.contains("Too many"));
    }
    assert!(refused >= 5, "{refused}");
    let fields = [("csrf", csrf.as_str()), ("present", PASSWORD), ("password", new), ("repeat", new)];
    assert_eq!(browser.post("/password", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
