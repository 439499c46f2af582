//! What strangers publish and write: documents that do not exist, and texts that must not control a page or a terminal.

use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::modern;
use sekisho_e2e::fakes::documents::Documents;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, ask_from};
use sekisho_e2e::harness::wait::within;
use serde_json::json;

use super::field::{Field, OWNER, PASSWORD, UP};

/// Starts a checkpoint that trusts a host of documents and may reach loopback for them. The folder contains the trusted
/// certificate.
async fn with_documents() -> (Field, Documents, tempfile::TempDir) {
    let documents = Documents::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &documents.certificate.cert).unwrap();
    let outbound =
        format!("[outbound]\nca_file = \"{}\"\nallow_private = [\"127.0.0.0/8\", \"::1/128\"]\n", ca.display());
    (Field::before(Speaks::Modern, &outbound).await, documents, folder)
}

/// ATK-140: if one caller names documents that do not exist, the documents of others can still be fetched.
#[tokio::test(flavor = "multi_thread")]
async fn bogus_documents_block_no_genuine_one() {
    let (field, documents, _folder) = with_documents().await;
    let genuine = documents.put_client("/genuine.json", "Genuine editor", REDIRECT);
    let attacker = std::net::IpAddr::from([127, 0, 0, 66]);
    for number in 0..60 {
        let bogus = Client::known(field.base_url(), &documents.url(&format!("/bogus{number}")), None, REDIRECT);
        let wish = bogus.wish(&field.resource(UP), "mcp:read");
        let authorize = Ask::get(&format!("/oauth/authorize?{}", wish.text()));
        let token = bogus.redemption("sks_ac_none").post("/oauth/token");
        for ask in [&authorize, &token] {
            let reply = ask_from(attacker, field.address, ask).await.unwrap();
            assert!(matches!(reply.status, 400 | 401 | 503), "{}: {}", reply.status, reply.text());
        }
    }
    assert!(documents.fetched().len() <= 30, "{} fetches", documents.fetched().len());
    let client = Client::known(field.base_url(), &genuine, None, REDIRECT);
    let granted = client.be_granted(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    field.is_healthy(&granted).await;
}

/// ATK-141: a client whose document cannot be fetched can continue with its grant, even after a restart of the
/// checkpoint; nobody new is approved with such a document.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_its_host_ends_no_client() {
    let (field, documents, _folder) = with_documents().await;
    let mut document = documents.document("/client.json", "Genuine editor", REDIRECT);
    document["grant_types"] = json!(["authorization_code", "refresh_token"]);
    documents.put("/client.json", sekisho_e2e::fakes::documents::Page::json(&document));
    let client = Client::known(field.base_url(), &documents.url("/client.json"), None, REDIRECT);
    let granted = client.be_granted(&field.resource(UP), "mcp:read offline_access", OWNER, PASSWORD).await;
    let Field { checkpoint, upstream, .. } = field;
    drop(documents);
    let checkpoint = checkpoint.restart().await;
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    let field = Field { checkpoint, upstream, address: std::net::SocketAddr::from(([127, 0, 0, 1], port)) };
    let client = Client::known(field.base_url(), &client.id, None, REDIRECT);
    let again = client.token(&client.refreshing(&granted.refresh)).await;
    assert_eq!(again.status, 200, "{}", again.text());
    field.is_healthy(&client.granted(&again)).await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    let reply = field.ask(&Ask::get(&format!("/oauth/authorize?{}", wish.text()))).await;
    assert_eq!((reply.status, reply.header("location")), (400, None), "{}", reply.text());
}

/// ATK-127: texts that a client writes into a task hide nothing on the page that grants it: neither in bounds nor in
/// names or URLs.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_hides_nothing_on_the_consent_page() {
    let field = Field::start().await;
    field.is_healthy(&field.granted(OWNER, "mcp:read").await).await;
    let client = field.client().await;
    let hidden = "a\u{202e}b\u{200b}c\u{2066}d\u{e0041}";
    let task = json!([{
        "type": "mcp_task", "purpose": "look around",
        "tools": [{ "name": "look", "arguments": { "properties": { "x": { "type": "string", "const": hidden } } } }],
        "resources": ["file:///a"], "prompts": ["a"],
    }]);
    let wish = client.wish(&field.resource(UP), "mcp:read").add("authorization_details", &task.to_string());
    let mut browser = Browser::new(field.base_url());
    let page = browser.to_grant_page(&client.link(&wish), OWNER, PASSWORD).await;
    let bad = |text: &str| {
        text.chars().find(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e0fff}'))
    };
    let text = page.reply.text();
    assert_eq!(bad(&text), None, "{text}");
    assert!(text.contains("a\\u202eb\\u200bc"), "what is hidden is written out: {text}");
    // The same on the page of the running task.
    let Landing::Away(url) = browser.submit(&page.form().unwrap().press("approve")).await else { panic!("no answer") };
    let code = sekisho_e2e::fakes::oauth::code_in(&url).unwrap();
    let granted = client.granted(&client.token(&client.redemption(&code)).await);
    let tasks = field.checkpoint.ask(&["task", "list"]).await;
    let id = tasks[0]["tasks"][0]["id"].as_str().unwrap().to_owned();
    for path in [
        format!("/tasks/{id}"),
        format!("/grants/{}", granted.claim("grant").as_str().unwrap_or_default()),
        "/".to_owned(),
    ] {
        let Landing::Page(page) = browser.open(&format!("{}{path}", field.base_url())).await else { panic!("no page") };
        assert_eq!(bad(&page.reply.text()), None, "{path}: {}", page.reply.text());
    }
}

/// ATK-125: a stranger's name for a tool neither controls the operator's terminal nor begins a new line or a formula,
/// whichever command shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_words_command_no_terminal() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let name = "=x\u{1b}[2J\u{1b}]0;owned\u{7}\nrid_00000000000000000000000000000000,permit\r\u{9b}31m\u{202e}";
    let ask = Ask::post(UP)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .bearer(&granted.access);
    let message = sekisho_e2e::fakes::call::message("tools/call", json!({ "name": name, "arguments": {} }));
    let encoded = {
        use base64::Engine as _;
        format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
    };
    let reply = field.ask(&ask.header("mcp-name", &encoded).json(&message)).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let request = reply.json()["error"]["data"]["request"].as_str().unwrap().to_owned();
    let honest =
        field.ask(&modern(UP, &granted.access, "tools/call", json!({ "name": "look", "arguments": {} }))).await;
    let honest = honest.header("x-request-id").unwrap().to_owned();
    within(Duration::from_secs(10), "both calls on record", async || {
        let rows = field.checkpoint.records().await;
        let known = |id: &str| {
            rows.iter().any(|row| row["record"]["request"] == id && row["record"]["event"]["kind"] == "decision")
        };
        (known(&request) && known(&honest)).then_some(())
    })
    .await;
    let commands: [&[&str]; 6] = [
        &["explain", &request],
        &["audit", "export", "--format", "csv"],
        &["audit", "export", "--format", "jsonl"],
        &["audit", "tail", "--once", "-n", "500"],
        &["trace", &request],
        &["advise"],
    ];
    for words in commands {
        let said = field.checkpoint.command(words).await;
        let text = format!("{}{}", said.stdout, said.stderr);
        let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202e}'));
        assert_eq!(bad, None, "{words:?} commands the terminal: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("rid_0000")), "{words:?} has a line of a stranger's: {text}");
        let formula = words.contains(&"csv") && (text.contains(",=x") || text.contains(",\"=x"));
        assert!(!formula, "{words:?} holds a formula: {text}");
    }
    field.is_healthy(&granted).await;
}
