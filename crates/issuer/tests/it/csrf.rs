//! Forms that come from somewhere else.

use http::StatusCode;

use crate::harness::{Ask, BASE, PASSWORD, Site};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";

/// ATK-10, PX-04, PX-06: the matrix of forms and stolen values: another request's, another browser's, another
/// session's, another form's, none. Nothing of it does anything.
#[tokio::test]
async fn a_form_works_only_where_its_page_was_shown() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let (_, other_request) = owner.open(&Ask::new(&site, &client, USED)).await;
    let mut other_session = site.signed_in("owner").await;
    let other_session_page = other_session.get(&path).await;
    let client_page = site.browser().get(&path).await;
    let login = owner.get("/login").await;
    let stolen = [
        String::new(),
        "nonsense".to_owned(),
        other_request.csrf(),
        other_session_page.csrf(),
        client_page.csrf(),
        login.csrf(),
        page.values("csrf").remove(0),
    ];
    assert_ne!(stolen[6], page.csrf(), "the page has two forms with values of their own");
    for csrf in &stolen {
        for decision in ["approve", "deny", "continue"] {
            let reply = owner.post(&path, &[("csrf", csrf), ("decision", decision), ("scope", "mcp:read")]).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{decision} with {csrf}");
        }
    }
    for csrf in [&stolen[0], &stolen[1], &page.csrf(), &other_session_page.csrf()] {
        let fields = [("csrf", csrf.as_str()), ("username", "owner"), ("password", PASSWORD)];
        assert_eq!(owner.post("/login", &fields).await.status, StatusCode::FORBIDDEN);
        assert_eq!(owner.post("/logout", &[("csrf", csrf)]).await.status, StatusCode::FORBIDDEN);
    }
    // The page's own value still works, once.
    assert!(owner.approve(&path, &page).await.redirected().contains_key("code"));
}

/// ATK-10: what the browser says of the source of a request is believed when it says `foreign`, token or not.
#[tokio::test]
async fn a_form_sent_by_a_foreign_page_is_refused_whatever_it_carries() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:9999")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", BASE)],
        &[("sec-fetch-site", "cross-site"), ("origin", BASE)],
    ];
    for headers in foreign {
        let mut browser = owner.clone();
        for (name, value) in headers {
            browser.headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        assert_eq!(browser.approve(&path, &page).await.status, StatusCode::FORBIDDEN, "{headers:?}");
        let login = owner.get("/login").await;
        let fields = [("csrf", login.csrf()), ("username", "owner".to_owned()), ("password", PASSWORD.to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.post("/login", &fields).await.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    // As a real browser sends it from a page without a referrer.
    owner.headers.insert("origin", "null".parse().unwrap());
    owner.headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
    assert!(owner.approve(&path, &page).await.redirected().contains_key("code"));
}

/// ATK-10: signing in gives the browser a new session name, and the old one is worth nothing (no fixation).
#[tokio::test]
async fn a_login_rotates_the_session() {
    let site = Site::new().await;
    let mut browser = site.signed_in("reader").await;
    let mut old = browser.clone();
    let page = browser.get("/login").await;
    let fields = [("csrf", page.csrf()), ("username", "owner".to_owned()), ("password", PASSWORD.to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/login", &fields).await;
    assert_ne!(browser.jar["sekisho_8420"], old.jar["sekisho_8420"]);
    assert_ne!(browser.door, old.door);
    assert!(browser.get("/").await.body.contains("<strong>owner</strong>"));
    let closed = old.get("/").await;
    assert_eq!((closed.status, closed.location().as_str()), (StatusCode::SEE_OTHER, "/"));
    assert!(!old.get("/").await.body.contains("<strong>reader</strong>"));
}

/// ATK-09: nothing is approved, denied, ended or signed out by a GET.
#[tokio::test]
async fn no_get_changes_anything() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let csrf = page.csrf();
    let reply = owner.get(&format!("{path}?decision=approve&scope=mcp%3Aread&csrf={csrf}")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.contains("value=\"approve\""));
    assert_eq!(owner.get("/logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(owner.get("/").await.body.contains("<strong>owner</strong>"));
    assert!(owner.approve(&path, &page).await.redirected().contains_key("code"));
}

/// Signing out ends the session itself, and leads back to the request for somebody else.
#[tokio::test]
async fn signing_out_ends_the_session() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let kept = owner.clone();
    let request = page.values("request").remove(0);
    let reply = owner.post("/logout", &[("csrf", &page.values("csrf")[0]), ("request", &request)]).await;
    assert_eq!(reply.location(), path);
    assert!(reply.header("set-cookie").ends_with("Max-Age=0"));
    assert!(owner.get(&path).await.body.contains("value=\"continue\""));
    // The cookie and the door, kept by somebody, are worth nothing.
    let mut kept = kept;
    let closed = kept.get(&path).await;
    assert_eq!((closed.status, closed.location()), (StatusCode::SEE_OTHER, path.clone()));
    assert!(kept.get(&path).await.body.contains("value=\"continue\""));
}
