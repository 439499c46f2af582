//! Pages for people: their content, who may press their buttons, and what is remembered of a decision.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_e2e::fakes::browser::{Browser, Landing, Page, attribute};
use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT, code_in};
use sekisho_e2e::fakes::wire::{Ask, Reply};
use sekisho_protocol::digest::Digest;
use serde_json::json;

use super::field::{Field, OTHER, OWNER, PASSWORD, UP, USER};

/// ATK-07, AS-36: any program may listen on loopback, so the person is asked every time, and warned.
#[tokio::test]
async fn a_program_on_loopback_is_always_asked_for_again() {
    let field = Field::start().await;
    let mut client = field.client().await;
    let mut browser = Browser::new(field.base_url());
    let first = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    assert!(matches!(browser.agree(&first, OWNER, PASSWORD).await, Landing::Away(_)));
    for port in ["9", "49152"] {
        client.redirect = format!("http://127.0.0.1:{port}/callback");
        let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
        let Landing::Page(page) = browser.open(&link).await else { panic!("consent was skipped for port {port}") };
        let text = page.reply.text();
        assert!(page.form().is_some_and(|form| form.buttons.iter().any(|(_, value)| value == "approve")), "{text}");
        assert!(text.contains("any program here could use this name"), "the warning: {text}");
        assert!(text.contains("127.0.0.1"), "the host is shown");
    }
    field.lets_in().await;
}

/// Returns every page that somebody can be sent to, signed in and not, with valid and invalid requests.
async fn pages(field: &Field) -> Vec<Reply> {
    let client = field.client().await;
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    let mut browser = Browser::new(field.base_url());
    let mut all = Vec::new();
    for target in ["/", "/login", "/setup/none", "/consent/none", "/oauth/authorize", "/oauth/authorize?client_id=x"] {
        all.push(browser.send(Ask::get(target)).await);
    }
    let Landing::Page(client_page) = browser.open(&link).await else { panic!("a page") };
    let grant_page = browser.to_grant_page(&link, OWNER, PASSWORD).await;
    let Landing::Page(home) = browser.open("/").await else { panic!("a page") };
    assert!(home.reply.text().contains(OWNER), "signed in");
    all.extend([client_page.reply, grant_page.reply, home.reply]);
    all
}

/// Returns our only script as it is on a page, and the page without it.
fn script(page: &str) -> (Option<String>, String) {
    let Some((before, rest)) = page.split_once("<script data-base=\"\" ") else { return (None, page.to_owned()) };
    let (element, after) = rest.split_once("</script>").expect("the script ends");
    let text = element.split_once('>').expect("the tag ends").1;
    (Some(text.to_owned()), format!("{before}{after}"))
}

/// ATK-08, ATK-09, PX-05: no page can be framed, reveals its URL, loads foreign content or runs a script, except the
/// one that finds the door (ATK-142): the policy allows exactly that script, on the pages that contain it.
#[tokio::test]
async fn every_page_keeps_to_itself() {
    let field = Field::start().await;
    for page in pages(&field).await {
        let header = |name: &str| page.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("x-frame-options"), "DENY", "{page:?}");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("cache-control").contains("no-store"), "{page:?}");
        let policy = header("content-security-policy");
        for needed in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(needed), "{policy}");
        }
        let (script, text) = script(&page.text());
        let allowed = script.map(|script| {
            let hash = STANDARD.encode(Digest::of(script.as_bytes()).as_bytes());
            format!("script-src 'sha256-{hash}'")
        });
        let said = policy.split("; ").find(|part| part.starts_with("script-src")).map(str::to_owned);
        assert_eq!(said, allowed, "{policy}\n{text}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(
            !text.contains("<script")
                && !text.contains("<iframe")
                && !text.contains(" onload=")
                && !text.contains("<meta http-equiv"),
            "{text}"
        );
        for tag in text.split('<').filter_map(|part| part.split('>').next()) {
            let loads = tag.starts_with("img") || tag.starts_with("link") || tag.starts_with("source");
            let from = attribute(tag, "src").or_else(|| attribute(tag, "href")).unwrap_or_default();
            assert!(!loads || from.starts_with('/') || from.starts_with("data:"), "a page loads {from}");
        }
    }
}

/// ATK-08: after a form, the browser is never redirected with the form's content.
#[tokio::test]
async fn a_form_is_never_replayed_to_the_client() {
    let field = Field::start().await;
    let client = field.client().await;
    let mut browser = Browser::new(field.base_url());
    let mut landing = browser.open(&client.link(&client.wish(&field.resource(UP), "mcp:read"))).await;
    let mut posted = 0;
    while let Landing::Page(page) = landing {
        let mut form = page.form().expect("every page here has a form");
        form = if form.asks_password {
            form.fill("username", OWNER).fill("password", PASSWORD)
        } else {
            let decision = form.buttons.iter().map(|(_, value)| value.clone()).find(|value| value != "deny").unwrap();
            form.press(&decision)
        };
        let reply = browser.post(&form).await;
        posted += 1;
        assert!(matches!(reply.status, 302 | 303), "{}: {}", page.url, reply.status);
        let to = reply.header("location").unwrap().to_owned();
        landing = if to.starts_with(REDIRECT) { Landing::Away(to) } else { browser.open(&to).await };
    }
    assert_eq!(posted, 3, "client page, login, grant page");
}

/// ATK-09, ATK-10: a GET never approves anything.
#[tokio::test]
async fn nothing_is_approved_by_a_get() {
    let field = Field::start().await;
    let client = field.client().await;
    let mut browser = Browser::new(field.base_url());
    let page =
        browser.to_grant_page(&client.link(&client.wish(&field.resource(UP), "mcp:read")), OWNER, PASSWORD).await;
    let form = page.form().unwrap().press("approve");
    let pairs: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let query = sekisho_e2e::fakes::wire::encode(&pairs);
    let reply = browser.send(Ask::get(&format!("{}?{query}", form.action))).await;
    assert!(reply.header("location").is_none_or(|to| code_in(to).is_none()), "{reply:?}");
    assert_eq!(browser.send(Ask::get(&format!("/logout?{query}"))).await.status, 405);
    assert_eq!(field.checkpoint.ask(&["grant", "list"]).await[0]["grants"], json!([]));
    let Landing::Away(to) = browser.submit(&form).await else { panic!("the honest answer still works") };
    assert!(code_in(&to).is_some());
}

async fn grant_page(field: &Field, browser: &mut Browser) -> (Client, Page) {
    let client = field.client().await;
    let page =
        browser.to_grant_page(&client.link(&client.wish(&field.resource(UP), "mcp:read")), OWNER, PASSWORD).await;
    (client, page)
}

/// ATK-10, PX-04: a form is accepted only from our own page, in the browser, session and request for which it was made.
#[tokio::test]
async fn a_form_counts_only_where_it_was_made() {
    let field = Field::start().await;
    let mut victim = Browser::new(field.base_url());
    let (_, page) = grant_page(&field, &mut victim).await;
    let form = page.form().unwrap().press("approve");
    let pairs: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // From a page of another site, with all values stolen.
    for (name, value) in [
        ("origin", "https://m.test"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let reply = victim.send(Ask::post(&form.action).header(name, value).form(&pairs)).await;
        assert_eq!((reply.status, reply.header("location")), (403, None), "{name}: {value}");
    }
    // Without the value, with that of another browser, and with that of another request.
    let (_, second) = grant_page(&field, &mut victim).await;
    for csrf in ["", "guess", second.form().unwrap().value("csrf")] {
        let reply = victim.post(&form.clone().fill("csrf", csrf)).await;
        assert_eq!((reply.status, reply.header("location")), (403, None), "{csrf}");
    }
    // In another browser, also with the same user, also without a session.
    let mut other = Browser::new(field.base_url());
    let (_, _) = grant_page(&field, &mut other).await;
    let mut nobody = Browser::new(field.base_url());
    for browser in [&mut other, &mut nobody] {
        let reply = browser.post(&form).await;
        assert!(reply.header("location").is_none_or(|to| code_in(to).is_none()), "{reply:?}");
        assert!(reply.status >= 303, "{}", reply.status);
    }
    assert_eq!(field.checkpoint.ask(&["grant", "list"]).await[0]["grants"], json!([]));
    let Landing::Away(to) = victim.submit(&form).await else { panic!("the honest answer still works") };
    assert!(code_in(&to).is_some());
}

/// ATK-10: another site's page cannot sign anybody in or out, and each sign-in creates a new session.
#[tokio::test]
async fn nobody_is_logged_in_by_a_foreign_page() {
    let field = Field::start().await;
    let mut attacker = Browser::new(field.base_url());
    let Landing::Page(login) = attacker.open("/login").await else { panic!("a page") };
    let form = login.form().unwrap().fill("username", USER).fill("password", PASSWORD);
    let pairs: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut victim = Browser::new(field.base_url());
    let _ = victim.open("/login").await;
    let reply = victim.send(Ask::post("/login").header("origin", "https://m.test").form(&pairs)).await;
    assert_eq!(reply.status, 403);
    let stolen = victim.post(&form).await;
    assert_eq!(stolen.status, 403, "a form of another browser");
    let before = victim.cookies().clone();
    let Landing::Page(own) = victim.open("/login").await else { panic!("a page") };
    let _ = victim.submit(&own.form().unwrap().fill("username", OWNER).fill("password", PASSWORD)).await;
    assert_ne!(victim.cookies(), before, "the session has a new name");
    let after = victim.cookies().clone();
    let out = victim.send(Ask::post("/logout").header("origin", "https://m.test").form(&[("csrf", "guess")])).await;
    assert_eq!((out.status, victim.cookies()), (403, after));
}

/// ATK-10, PX-06: cookies have their protective attributes, and a cookie that somebody added beside ours has no effect.
#[tokio::test]
async fn a_session_cookie_is_protected_and_alone() {
    let field = Field::start().await;
    let mut browser = Browser::new(field.base_url());
    let Landing::Page(login) = browser.open("/login").await else { panic!("a page") };
    let reply = browser.post(&login.form().unwrap().fill("username", OWNER).fill("password", PASSWORD)).await;
    let cookies: Vec<_> =
        reply.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.clone()).collect();
    assert!(!cookies.is_empty());
    for cookie in &cookies {
        assert!(
            cookie.contains("HttpOnly")
                && cookie.contains("SameSite=Lax")
                && cookie.contains("Path=/")
                && !cookie.contains("Domain"),
            "{cookie}"
        );
        assert!(cookie.starts_with(&format!("sekisho_{}", field.address.port())), "the port is in the name: {cookie}");
    }
    let door = format!("/~{}", browser.door().unwrap());
    let session: Vec<_> = cookies.iter().filter(|cookie| cookie.contains(&format!("Path={door};"))).collect();
    assert_eq!(session.len(), 1, "the session's cookie is set for its door: {cookies:?}");
    let (name, value) = session[0].split(';').next().unwrap().split_once('=').unwrap();
    let home = field.ask(&Ask::get(&door).header("cookie", &format!("{name}={value}"))).await;
    let tossed = field.ask(&Ask::get(&door).header("cookie", &format!("{name}={value}; {name}=tossed"))).await;
    assert!(home.text().contains(OWNER), "signed in");
    assert!(!tossed.text().contains(OWNER), "two of one name are none");
}

/// ATK-11, ATK-03, PX-03: whatever a client's name contains is shown as text, and makes no browser fetch anything.
#[tokio::test]
async fn a_client_cannot_dress_up_the_consent_page() {
    let field = Field::start().await;
    let canary = Canary::start().await.unwrap();
    let names = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><b>Google</b>",
        "'; DROP TABLE clients;--",
        "{{7*7}}",
        "Goo\u{202e}elg",
        "Goo\u{200b}gle",
        "\u{feff}Claude",
        "A\u{0301}\u{0302}\u{0303}\u{0304}\u{0305}\u{0306}\u{0307}",
        "name\r\nSet-Cookie: a=b",
        "tab\tname",
        "nul\0name",
        "\u{1b}[31mred",
        "<a href=\"javascript:alert(1)\">x</a>",
        "&lt;b&gt;",
        "<!-- --><svg onload=alert(1)>",
        "\u{2066}isolate\u{2069}",
        "\u{e0001}tags",
        "a".repeat(5000).leak(),
        "<style>*{display:none}</style>",
    ];
    let mut browser = Browser::new(field.base_url());
    for name in names {
        let metadata = json!({
            "client_name": name, "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
            "logo_uri": canary.url("/logo.png"), "client_uri": canary.url("/"), "tos_uri": canary.url("/tos"), "policy_uri": canary.url("/policy"),
        });
        let reply = field.ask(&Ask::post("/oauth/register").json(&metadata)).await;
        assert_eq!(reply.status, 201, "{name:?}: {}", reply.text());
        let client = Client::known(field.base_url(), reply.json()["client_id"].as_str().unwrap(), None, REDIRECT);
        let page =
            browser.to_grant_page(&client.link(&client.wish(&field.resource(UP), "mcp:read")), OWNER, PASSWORD).await;
        let (_, text) = script(&page.reply.text());
        for active in ["<script", "<img", "<style", "<svg onload", "<b>", "=\"javascript:", "<a href=\"j"] {
            assert!(!text.contains(active), "{name:?} put {active} on the page");
        }
        assert!(!text.chars().any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{1b}' | '\0' | '\u{e0001}')), "{name:?}");
        assert!(!text.contains(&"a".repeat(200)), "a name has an end");
        assert!(text.contains("127.0.0.1"), "the host is shown");
        assert!(!text.contains(&canary.address.to_string()), "nothing of the client's is loaded or linked");
    }
    assert_eq!(canary.visits(), Vec::<String>::new());
}

/// ATK-13, RS-12: no request header changes the URLs that we name as our own.
#[tokio::test]
async fn no_header_changes_who_we_are() {
    let field = Field::start().await;
    let documents = [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/mcp/up",
        UP,
    ];
    let hostile = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-server", "evil.test"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "host=evil.test;proto=https"),
        ("x-original-host", "evil.test"),
        ("x-host", "evil.test"),
        ("x-real-ip", "10.0.0.1"),
        ("origin", "null"),
        ("x-forwarded-host", "evil.test\", error=\"x"),
        ("via", "evil"),
        ("x-rewrite-url", "/admin"),
        ("referer", "https://evil.test/"),
    ];
    for document in documents {
        let ask = || if document == UP { Ask::post(UP) } else { Ask::get(document) };
        let honest = field.ask(&ask()).await;
        for (name, value) in hostile {
            if name == "origin" && document == UP {
                continue;
            }
            let reply = field.ask(&ask().header(name, value)).await;
            assert_eq!(reply.status, honest.status, "{document} with {name}");
            assert_eq!(reply.header("www-authenticate"), honest.header("www-authenticate"), "{document} with {name}");
            assert!(!reply.text().contains("evil"), "{document} with {name}: {}", reply.text());
            if document != UP {
                assert_eq!(reply.body, honest.body, "{document} with {name}");
            }
        }
        for host in ["evil.test", "localhost.evil.test", "localhost", "", "localhost:1", "evil.test\", scope=\"x"] {
            let reply = field.ask(&ask().header("host", host)).await;
            assert!(matches!(reply.status, 400 | 421), "{document} as {host:?}: {}", reply.status);
            assert!(!reply.text().contains("evil"), "{}", reply.text());
        }
    }
    field.lets_in().await;
}

/// ATK-14: an approval is remembered exactly as it was given, and only for a client that proves its identity.
#[tokio::test]
async fn a_yes_is_remembered_for_nothing_else() {
    let field = Field::start().await;
    let redirect = "https://backend.example/cb";
    let client = field.confidential(redirect).await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    let mut browser = Browser::new(field.base_url());
    let _ = browser.open(&client.link(&wish)).await;
    assert!(matches!(browser.agree(&client.link(&wish), OWNER, PASSWORD).await, Landing::Away(_)));
    let Landing::Away(again) = browser.open(&client.link(&wish)).await else {
        panic!("the identical request is remembered")
    };
    assert!(code_in(&again).is_some());
    let second = field.confidential(redirect).await;
    let varied = [
        ("scope", client.link(&wish.clone().set("scope", "mcp:write"))),
        ("more scope", client.link(&wish.clone().set("scope", "mcp:read mcp:write"))),
        ("server", client.link(&client.wish(&field.resource(OTHER), "mcp:read"))),
        ("client", second.link(&second.wish(&field.resource(UP), "mcp:read"))),
        ("prompt", client.link(&wish.clone().set("prompt", "consent"))),
    ];
    for (what, link) in varied {
        let Landing::Page(page) = browser.open(&link).await else { panic!("another {what} was not asked for") };
        assert!(page.form().is_some(), "{what}");
    }
    // Another person is asked too, in the same browser or in another.
    let mut other = Browser::new(field.base_url());
    let page = other.to_grant_page(&client.link(&wish), USER, PASSWORD).await;
    assert!(page.reply.text().contains(USER));
}
