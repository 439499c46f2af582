//! Clients that name themselves by the URL of a document, over the whole way.

use http::StatusCode;
use sekisho_protocol::ids::ClientId;
use serde_json::{Value, json};

use crate::harness::{Ask, Site};

const URL: &str = "https://client.example/oauth/client.json";
const USED: &str = "http://127.0.0.1:40000/callback";

fn document() -> Value {
    json!({
        "client_id": URL, "client_name": "Documented Client", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    })
}

/// AS-22, AS-23, AS-24, AS-28, AS-35, AS-36, PX-03: no registration, one fetch, and pages that show whose document it is.
#[tokio::test]
async fn a_client_is_let_in_by_its_document() {
    let site = Site::new().await;
    site.web.put(URL, 200, "application/json", &document());
    let ask = Ask::new(&site, URL, USED);
    let (_, page) = site.browser().open(&ask).await;
    for shown in ["Documented Client", "client.example", "127.0.0.1", "a program on this computer"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert!(!page.body.contains("class=\"label\""), "{}", page.body);
    let mut browser = site.signed_in("owner").await;
    let (path, page) = browser.open(&ask).await;
    let code = browser.approve(&path, &page).await.redirected()["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", URL),
        ("code", &code),
        ("redirect_uri", USED),
        ("code_verifier", ask.verifier.expose()),
    ];
    let token = site.post_form("/oauth/token", &fields).await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.body);
    assert!(token.json()["refresh_token"].is_string());
    assert_eq!(*site.web.asked.lock().unwrap(), [URL]);
    // The operator sees it and can shut it out.
    let id = ClientId::parse(URL).unwrap();
    let mut tx = site.store.begin().await.unwrap();
    assert!(tx.clients().find(&id).await.unwrap().is_some());
    tx.clients().set_disabled(&id, true).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(browser.get(&ask.url()).await.status, StatusCode::FORBIDDEN);
}

/// AS-28, AS-30, ATK-32: what the document says now counts: a redirect that was withdrawn is refused
/// as soon as the copy at hand is too old.
#[tokio::test]
async fn a_withdrawn_redirect_is_refused() {
    let site = Site::new().await;
    site.web.put(URL, 200, "application/json", &document());
    let mut without = document();
    without["redirect_uris"] = json!(["https://client.example/cb"]);
    site.web.put(URL, 200, "application/json", &without);
    let mut browser = site.signed_in("owner").await;
    let ask = Ask::new(&site, URL, USED);
    site.clock.advance_seconds(3500);
    let (path, page) = browser.open(&ask).await;
    assert!(page.body.contains("value=\"approve\""));
    site.clock.advance_seconds(599);
    assert!(browser.get(&path).await.body.contains("value=\"approve\""));
    site.clock.advance_seconds(3600);
    let refused = browser.get(&ask.url()).await;
    assert_eq!((refused.status, refused.location().as_str()), (StatusCode::BAD_REQUEST, ""));
}

/// ATK-29: whatever is wrong with the URL or behind it, the page is the same one.
#[tokio::test]
async fn a_stranger_learns_nothing_from_a_failed_fetch() {
    let site = Site::new().await;
    let html = "https://client.example/html";
    site.web.put(html, 200, "text/html", &json!("x"));
    let other = "https://client.example/other";
    site.web.put(other, 200, "application/json", &document());
    let gone = "https://client.example/gone";
    site.web.put(gone, 404, "application/json", &json!({}));
    let mut pages = Vec::new();
    for id in [html, other, gone, "https://nowhere.example/c", "https://127.0.0.1/c", "http://client.example/c"] {
        let reply = site.browser().get(&Ask::new(&site, id, USED).url()).await;
        assert_eq!((reply.status, reply.location().as_str()), (StatusCode::BAD_REQUEST, ""), "{id}");
        pages.push(reply.body.split("rid_").next().unwrap().to_owned());
    }
    pages.dedup();
    assert_eq!(pages.len(), 1);
}
