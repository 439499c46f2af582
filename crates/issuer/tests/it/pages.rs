//! What every page has in common: headers, escaping, languages, no script but ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::RequestId;
use serde_json::json;

use crate::given::{CALL, tidy_up};
use crate::harness::{Ask, Reply, Site};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";

/// One of each kind of page.
async fn every_page(site: &Site) -> Vec<(&'static str, Reply)> {
    let client = site.registered(LOOPBACK).await;
    let mut tx = site.store.begin().await.unwrap();
    let link = sekisho_issuer::setup::create_link(&mut tx, site.owner, site.clock.now(), &*site.entropy).await.unwrap();
    tx.commit().await.unwrap();
    let mut nobody = site.browser();
    let mut owner = site.signed_in("owner").await;
    let ask = Ask::new(site, &client, USED);
    let (_, client_page) = nobody.open(&ask).await;
    let (path, grant_page) = owner.open(&ask).await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:read").await;
    let (task, approval) = (site.task(grant, tidy_up()).await, site.asked(grant, &CALL).await);
    let free = site.grant("owner", "mcp:read").await;
    vec![
        ("approval", owner.get(&format!("/approvals/{approval}")).await),
        ("task", owner.get(&format!("/tasks/{task}")).await),
        ("agent", owner.get(&format!("/grants/{grant}")).await),
        ("agent without a task", owner.get(&format!("/grants/{free}")).await),
        ("nothing of one's own", site.signed_in("reader").await.get(&format!("/tasks/{task}")).await),
        ("client", client_page),
        ("grant", grant_page),
        ("login", nobody.get("/login").await),
        ("wrong password", {
            let page = nobody.get("/login").await;
            nobody.post("/login", &[("csrf", &page.csrf()), ("username", "x"), ("password", "y")]).await
        }),
        ("setup", nobody.get(&format!("/setup/{}", link.expose())).await),
        ("home", nobody.get("/").await),
        ("home, signed in", owner.get("/").await),
        ("unknown client", nobody.get("/oauth/authorize?client_id=x").await),
        ("refused request", nobody.get(&ask.set("scope", "bogus").url()).await),
        ("forged form", owner.post(&path, &[("decision", "approve")]).await),
        ("gone request", owner.get("/consent/x").await),
        ("dead link", owner.get("/setup/x").await),
    ]
}

/// PX-05, ATK-08, ATK-09, ATK-50: the headers that keep a page out of frames, caches and referrers, on every page. Where a
/// page has our one script, its text may run and no other (ATK-142).
#[tokio::test]
async fn every_page_is_sent_under_the_same_protection() {
    let site = Site::new().await;
    for (name, page) in every_page(&site).await {
        let policy = page.header("content-security-policy");
        let script = page.script().map(|script| {
            format!("script-src 'sha256-{}'; ", STANDARD.encode(Digest::of(script.as_bytes()).as_bytes()))
        });
        let before = ["client", "login", "home"].contains(&name);
        let out_of_session = ["wrong password", "setup", "unknown client", "refused request"].contains(&name);
        assert_eq!(script.is_some(), before || !out_of_session, "{name}");
        let begins = format!(
            "default-src 'none'; {}style-src 'self'; img-src 'self' data:; form-action 'self'",
            script.unwrap_or_default()
        );
        assert!(policy.starts_with(&begins), "{name}: {policy}");
        assert!(policy.ends_with("; frame-ancestors 'none'; base-uri 'none'"), "{name}: {policy}");
        let leads_out = policy.contains("http://127.0.0.1:51763");
        assert_eq!(leads_out, name == "client" || name == "grant", "{name}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{name}: {policy}");
        for (header, value) in [
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("content-type", "text/html; charset=utf-8"),
            ("content-language", "en"),
        ] {
            assert_eq!(page.header(header), value, "{name}: {header}");
        }
    }
}

/// No page runs a script but for the one that finds the door (ATK-142), loads anything from elsewhere, or carries a style of
/// its own; each names its request.
#[tokio::test]
async fn no_page_holds_anything_active() {
    let site = Site::new().await;
    for (name, page) in every_page(&site).await {
        let without = page.script().map_or_else(|| page.body.clone(), |script| page.body.replacen(script, "", 1));
        let lower = without.replacen("<script data-base=\"\" ", "<", 1).to_lowercase();
        for active in [
            "<script",
            "javascript:",
            " onclick",
            " onload",
            " onerror",
            "<iframe",
            "<object",
            "<embed",
            "<style",
            " style=",
            "http-equiv",
        ] {
            assert!(!lower.contains(active), "{name}: {active}");
        }
        let sources = lower.split(" src=\"").skip(1).count();
        assert_eq!(sources, 0, "{name}");
        assert!(page.body.contains("<code>rid_"), "{name}");
        assert!(page.body.contains("<html lang=\"en\">"), "{name}");
        assert_eq!(page.body.matches("<h1>").count(), 1, "{name}");
        assert_eq!(page.body.matches("<main").count(), 1, "{name}");
    }
}

/// ATK-08: what follows a form is a 303, never a status that would send the form on.
#[tokio::test]
async fn a_form_is_followed_by_a_303() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let answer = owner.approve(&path, &page).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// A hundred names that try to break out of their place, hide, or pose as somebody.
fn hostile_names() -> Vec<String> {
    let payloads = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "'><b>bold</b>",
        "</strong></p><h1>Approved</h1>",
        "<a href=javascript:alert(1)>click</a>",
        "{{7*7}}",
        "${7*7}",
        "<!-- comment",
        "]]><x>",
        "&lt;b&gt;",
        "<iframe src=//evil.example>",
        "<style>*{display:none}</style>",
        "<form action=//evil.example><button>Allow</button></form>",
        "<meta http-equiv=refresh content=0>",
        "<base href=//evil.example>",
        "<link rel=stylesheet href=//evil.example>",
        "<textarea>",
        "<plaintext>",
        "<marquee>",
    ];
    let wrappings: [(&str, &str); 5] = [
        ("", ""),
        ("\u{202e}", ""),
        ("Google \u{200b}", "\u{2066}"),
        ("\u{1b}[31m", "\r\n"),
        ("\u{feff}\u{e0041}", " Inc."),
    ];
    payloads
        .iter()
        .flat_map(|payload| wrappings.iter().map(move |(before, after)| format!("{before}{payload}{after}")))
        .collect()
}

/// ATK-11, PX-03: none of a hundred hostile names becomes anything but text, and the host of the redirect is shown.
#[tokio::test]
async fn a_hostile_name_is_text_and_nothing_else() {
    let site =
        Site::with(|settings| sekisho_issuer::IssuerSettings { registrations_per_minute: 1000, ..settings }).await;
    let plain = {
        let client = site.registered("https://host-to-show.example/cb").await;
        site.browser().open(&Ask::new(&site, &client, "https://host-to-show.example/cb")).await.1
    };
    let names = hostile_names();
    assert_eq!(names.len(), 100);
    for name in names {
        let metadata = json!({ "client_name": name, "redirect_uris": ["https://host-to-show.example/cb"], "logo_uri": "https://evil.example/logo.png" });
        let client = site.register(&metadata).await.json()["client_id"].as_str().unwrap().to_owned();
        let (_, page) = site.browser().open(&Ask::new(&site, &client, "https://host-to-show.example/cb")).await;
        // As many elements as with an honest name: nothing was added.
        assert_eq!(page.body.matches('<').count(), plain.body.matches('<').count(), "{name:?}");
        assert_eq!(page.body.matches('"').count(), plain.body.matches('"').count(), "{name:?}");
        assert!(page.body.contains("<strong class=\"host\">host-to-show.example</strong>"), "{name:?}");
        assert!(page.body.contains("class=\"label\""), "{name:?}");
        assert!(!page.body.contains("logo.png"), "{name:?}");
        for hidden in ['\u{202e}', '\u{200b}', '\u{2066}', '\u{1b}', '\u{feff}', '\u{e0041}'] {
            assert!(!page.body.contains(hidden), "{name:?}");
        }
    }
}

/// Product §6: the pages speak the browser's language.
#[tokio::test]
async fn the_pages_speak_english_and_japanese() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut browser = site.signed_in("owner").await;
    browser.headers.insert("accept-language", "ja-JP,ja;q=0.9,en;q=0.8".parse().unwrap());
    let (_, page) = browser.open(&Ask::new(&site, &client, USED)).await;
    assert!(page.body.contains("<html lang=\"ja\">"));
    assert_eq!(page.header("content-language"), "ja");
    for words in ["このアプリケーションを通しますか？", "許可する", "拒否する", "未確認", "閲覧"]
    {
        assert!(page.body.contains(words), "{words}");
    }
}

/// The name that the listener gave a request stands on its page and in its record.
#[tokio::test]
async fn a_page_names_its_request() {
    let site = Site::new().await;
    let id = RequestId::generate(site.clock.now(), &*site.entropy);
    let mut request = http::Request::get("/oauth/authorize?client_id=nobody").body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(id);
    let reply = site.send(request).await;
    assert!(reply.body.contains(&id.to_string()));
    let mut tx = site.store.read().await.unwrap();
    let filter = sekisho_store::AuditFilter { request: Some(id), ..sekisho_store::AuditFilter::default() };
    assert_eq!(tx.audit().list(&filter).await.unwrap().len(), 1);
}

/// The one style sheet has the name that its text gives it, and is the only thing that may be kept.
#[tokio::test]
async fn the_style_sheet_is_where_the_pages_say() {
    let site = Site::new().await;
    let page = site.browser().get("/").await;
    let path = page
        .body
        .split("href=\"")
        .find(|part| part.starts_with("/assets/"))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let sheet = site.browser().get(&path).await;
    assert_eq!(sheet.header("content-type"), "text/css; charset=utf-8");
    assert!(sheet.header("cache-control").contains("immutable"));
    for needed in ["prefers-color-scheme: dark", "focus-visible", "max-width: 30rem"] {
        assert!(sheet.body.contains(needed), "{needed}");
    }
    assert!(!sheet.body.contains("url(") && !sheet.body.contains("@import"));
}
