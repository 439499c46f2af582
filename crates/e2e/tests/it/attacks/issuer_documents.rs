//! Clients whose identifier is the URL of a metadata document: hostile documents, hosts and addresses.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::fakes::documents::{Documents, Manner, Page};
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Reply, ask_from};
use serde_json::json;
use tokio::time::Instant;

use super::field::{Field, OWNER, PASSWORD, UP};

/// A checkpoint that trusts a host of documents and may reach loopback for them.
async fn with_documents() -> (Field, Documents) {
    let documents = Documents::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap().keep();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, &documents.certificate.cert).unwrap();
    let outbound =
        format!("[outbound]\nca_file = \"{}\"\nallow_private = [\"127.0.0.0/8\", \"::1/128\"]\n", ca.display());
    let field = Field::before(Speaks::Modern, &outbound).await;
    std::fs::remove_dir_all(folder).unwrap();
    (field, documents)
}

/// Requests a code as this client. Each request comes from another address, because the fetches that one address causes
/// are bounded.
async fn authorize(field: &Field, id: &str) -> Reply {
    static CALLERS: AtomicU8 = AtomicU8::new(2);
    let caller = IpAddr::from([127, 0, 0, CALLERS.fetch_add(1, Ordering::Relaxed)]);
    let client = Client::known(field.base_url(), id, None, REDIRECT);
    let wish = client.wish(&field.resource(UP), "mcp:read");
    ask_from(caller, field.address, &Ask::get(&format!("/oauth/authorize?{}", wish.text()))).await.unwrap()
}

fn is_refused(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.header("location")), (400, None), "{what}: {}", reply.text());
}

/// AS-25, ATK-07, AS-22, AS-24: an honest document makes a client, which is shown with its host; for a redirect to
/// loopback, the person is asked every time.
#[tokio::test]
async fn an_honest_document_makes_a_client() {
    let (field, documents) = with_documents().await;
    let id = documents.put_client("/client.json", "Honest editor", REDIRECT);
    let client = Client::known(field.base_url(), &id, None, REDIRECT);
    let granted = client.be_granted(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    assert_eq!(granted.claim("client_id"), json!(id));
    field.is_healthy(&granted).await;
    let mut browser = Browser::new(field.base_url());
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    let page = browser.to_grant_page(&link, OWNER, PASSWORD).await;
    assert!(page.reply.text().contains(&id), "where the document is published is shown");
    let _ = browser.submit(&page.form().unwrap().press("approve")).await;
    assert!(matches!(browser.open(&link).await, Landing::Page(_)), "on loopback it could be anybody");
    assert_eq!(documents.fetched().len(), 1, "it was kept");
}

/// ATK-31, AS-27, AS-25, AS-29: a document counts only if it names exactly the URL from which it was fetched, without a
/// redirect.
#[tokio::test]
async fn a_document_cannot_lend_its_identity() {
    let (field, documents) = with_documents().await;
    let famous = documents.put_client("/famous.json", "Famous", REDIRECT);
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let path = format!("/r{}", &status[..3]);
        documents.put(&path, Page::redirect(status, &famous));
        is_refused(&authorize(&field, &documents.url(&path)).await, status);
    }
    documents.put(
        "/meta",
        Page::of("200 OK", "text/html", format!("<meta http-equiv=refresh content='0;url={famous}'>").as_bytes()),
    );
    let borrowed = documents.document("/famous.json", "Famous", REDIRECT);
    documents.put("/borrowed", Page::json(&borrowed));
    documents.put(
        "/case",
        Page::json(&json!({ "client_id": documents.url("/CASE"), "client_name": "x", "redirect_uris": [REDIRECT] })),
    );
    documents.put(
        "/slash",
        Page::json(&json!({ "client_id": documents.url("/slash/"), "client_name": "x", "redirect_uris": [REDIRECT] })),
    );
    documents.put(
        "/query",
        Page::json(&json!({ "client_id": documents.url("/query?"), "client_name": "x", "redirect_uris": [REDIRECT] })),
    );
    documents.put("/none", Page::json(&json!({ "client_name": "x", "redirect_uris": [REDIRECT] })));
    documents.put(
        "/twice",
        Page::of(
            "200 OK",
            "application/json",
            format!(
                r#"{{"client_id":"x","client_id":"{}","client_name":"x","redirect_uris":["{REDIRECT}"]}}"#,
                documents.url("/twice")
            )
            .as_bytes(),
        ),
    );
    for path in ["/meta", "/borrowed", "/case", "/slash", "/query", "/none", "/twice"] {
        is_refused(&authorize(&field, &documents.url(path)).await, path);
    }
    assert!(!documents.fetched().contains(&"/famous.json".to_owned()), "no redirect was followed");
    field.noted("authorization_refused").await;
    assert_eq!(authorize(&field, &famous).await.status, 303);
}

/// ATK-32, AS-32, AS-33, AS-27, AS-29: a document has to be small, fast, plain JSON, and without a secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_document_is_given_up() {
    let (field, documents) = with_documents().await;
    let honest = |path: &str| documents.document(path, "x", REDIRECT);
    let with = |path: &str, member: &str, value: serde_json::Value| {
        let mut document = honest(path);
        document[member] = value;
        Page::json(&document)
    };
    documents.put("/large", with("/large", "padding", json!("x".repeat(6000))));
    documents.put("/secret", with("/secret", "client_secret", json!("s")));
    documents.put("/shared", with("/shared", "token_endpoint_auth_method", json!("client_secret_basic")));
    documents.put("/redirect", with("/redirect", "redirect_uris", json!(["javascript:alert(1)"])));
    documents.put("/many", with("/many", "redirect_uris", json!(vec![REDIRECT; 50])));
    documents.put(
        "/private",
        with("/private", "jwks", json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA" }] })),
    );
    documents.put("/deep", Page::of("200 OK", "application/json", "[".repeat(4000).as_bytes()));
    documents.put("/status", Page::of("500 Oops", "application/json", honest("/status").to_string().as_bytes()));
    documents.put("/html", Page::of("200 OK", "text/html", honest("/html").to_string().as_bytes()));
    documents.put("/zipped", Page::json(&honest("/zipped")).header("Content-Encoding", "gzip"));
    documents.put("/endless", Page::of("200 OK", "application/json", b"{").manner(Manner::Endless));
    documents
        .put("/slow", Page::of("200 OK", "application/json", b"{").manner(Manner::Drip(Duration::from_millis(200))));
    for path in [
        "/large",
        "/secret",
        "/shared",
        "/redirect",
        "/many",
        "/private",
        "/deep",
        "/status",
        "/html",
        "/zipped",
        "/endless",
        "/nothing",
        "/slow",
    ] {
        let begun = Instant::now();
        is_refused(&authorize(&field, &documents.url(path)).await, path);
        assert!(begun.elapsed() < Duration::from_secs(15), "{path} took {:?}", begun.elapsed());
    }
    field.noted("authorization_refused").await;
    // A failure is not cached: when the document is good, the client is too.
    documents.put("/large", Page::json(&honest("/large")));
    assert_eq!(authorize(&field, &documents.url("/large")).await.status, 303);
    field.lets_in().await;
}

/// ATK-01, AS-28: a redirect URI that the document does not list is refused.
#[tokio::test]
async fn a_redirect_that_the_document_does_not_list_is_refused() {
    let (field, documents) = with_documents().await;
    let id = documents.put_client("/client.json", "Editor", "https://other.example/cb");
    is_refused(&authorize(&field, &id).await, "a redirect that the document does not list");
    field.noted("authorization_refused").await;
    field.lets_in().await;
}

/// ATK-29: the fetches from one host are bounded, whoever causes them; exceeding the bound does not affect other hosts.
#[tokio::test]
async fn documents_of_one_host_are_fetched_so_often_and_no_more() {
    let (field, documents) = with_documents().await;
    for at in 0..100 {
        is_refused(&authorize(&field, &documents.url(&format!("/{at}"))).await, "nothing there");
    }
    let fetched = documents.fetched().len();
    // Sixty a minute, and those that become available while the test runs.
    assert!((1..=75).contains(&fetched), "{fetched} fetches");
    field.lets_in().await;
}

/// ATK-28, ATK-29, AS-31, PX-16, AS-26: no internal address is ever connected to, and the responses do not show which
/// address it was.
#[tokio::test(flavor = "multi_thread")]
async fn no_identifier_makes_us_call_the_inside() {
    let field = Field::start().await;
    let canary = Canary::start().await.unwrap();
    let port = canary.address.port();
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.0.2",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fc00::1]",
        "[fe80::1]",
        "[fd00::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "metadata.google.internal",
        "127.0.0.1.nip.io",
        "ip6-localhost",
        "①②⑦.0.0.1",
        "127。0。0。1",
    ];
    let mut texts = Vec::new();
    for host in hosts {
        for url in [
            format!("https://{host}:{port}/client.json"),
            format!("https://{host}:{closed}/client.json"),
            format!("http://{host}:{port}/client.json"),
        ] {
            let reply = authorize(&field, &url).await;
            is_refused(&reply, &url);
            let id = reply.header("x-request-id").unwrap_or_default().to_owned();
            texts.push(reply.text().replace(&id, "ID"));
        }
    }
    for spelling in [
        "https://u:p@localhost:PORT/x",
        "https://localhost:PORT",
        "https://localhost:PORT/#x",
        "https://localhost:PORT/a/../b",
        "https://localhost:PORT\\@x.example/",
        "https://localhost:PORT/%2e%2e/x",
        "HTTPS://localhost:PORT/x",
        "https:/localhost:PORT/x",
        "https://[::1%25lo]:PORT/x",
    ] {
        is_refused(&authorize(&field, &spelling.replace("PORT", &port.to_string())).await, spelling);
    }
    assert_eq!(canary.visits(), Vec::<String>::new(), "nobody called");
    let fetchable: std::collections::BTreeSet<&String> = texts.iter().collect();
    assert!(fetchable.len() <= 2, "open, closed and filtered ports look alike: {} different pages", fetchable.len());
    field.noted("authorization_refused").await;
    field.lets_in().await;
}

/// ATK-30: a name that resolves to a public and an internal address is never called; nor is a loopback address, with or
/// without TLS.
#[tokio::test]
async fn an_allowed_network_is_all_that_is_allowed() {
    let documents = Documents::start().await.unwrap();
    let canary = Canary::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &documents.certificate.cert).unwrap();
    // The operator permits a company's network; loopback is not in it.
    let field = Field::before(
        Speaks::Modern,
        &format!("[outbound]\nca_file = \"{}\"\nallow_private = [\"10.0.0.0/8\"]\n", ca.display()),
    )
    .await;
    let id = documents.put_client("/client.json", "x", REDIRECT);
    is_refused(&authorize(&field, &id).await, "loopback");
    is_refused(&authorize(&field, &format!("https://localhost:{}/client.json", canary.address.port())).await, "canary");
    assert_eq!((documents.fetched(), canary.visits()), (Vec::<String>::new(), Vec::<String>::new()));
    field.noted("authorization_refused").await;
    field.lets_in().await;
}
