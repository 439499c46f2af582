//! Tables of bounded size: a caller that fills one restricts only itself, and gets the right error.

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::{meta, modern, tool};
use sekisho_e2e::fakes::oauth::{Granted, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, Reply, ask_from};
use sekisho_e2e::harness::Checkpoint;
use serde_json::{Value, json};

use super::field::{Field, OWNER, PASSWORD, UP, USER};

/// Starts a field in which a person has to approve each call of `keep`.
async fn with_approval() -> Field {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let url = upstream.url();
    let toml = format!(
        "[servers.up]\nurl = \"{url}\"\neveryone = \"write\"\ntools = {{ look = \"read\", keep = \"write\" }}\n"
    );
    let setup = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD);
    let folder = setup.folder().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let rule = "@approval permit(principal, action == Action::\"call\", resource == Tool::\"up/keep\");\n";
    std::fs::write(folder.join("up.cedar"), rule).unwrap();
    let checkpoint = setup.start().await;
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    Field { checkpoint, upstream, address: std::net::SocketAddr::from(([127, 0, 0, 1], port)) }
}

async fn keep(field: &Field, granted: &Granted, arguments: Value) -> Reply {
    field.ask(&modern(UP, &granted.access, "tools/call", json!({ "name": "keep", "arguments": arguments }))).await
}

/// Returns the approval page that a refusal names.
fn approval(reply: &Reply) -> String {
    let refusal = reply.json()["result"]["_meta"]["io.sekisho/refusal"].clone();
    assert_eq!(refusal["remedy"]["kind"], "approve", "{}", reply.text());
    refusal["remedy"]["url"].as_str().unwrap().to_owned()
}

/// Answers on the page of an approval.
async fn answer(browser: &mut Browser, url: &str, said: &str) {
    let Landing::Page(page) = browser.open(url).await else { panic!("an approval leads away") };
    let form = page.form().unwrap_or_else(|| panic!("no form: {}", page.reply.text()));
    let Landing::Page(page) = browser.submit(&form.press(said)).await else { panic!("an answer leads away") };
    assert_eq!(page.reply.status, 200, "{}", page.reply.text());
}

/// ATK-131: an agent that fills its table of tasks is told so, and its person can still put it under a task.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_cannot_keep_a_task_away() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let details = json!([{ "type": "mcp_task", "purpose": "fill the table", "tools": [{ "name": "look" }] }]);
    let exchange = granted
        .client
        .refreshing("")
        .without("refresh_token")
        .set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        .add("subject_token", &granted.access)
        .add("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
        .add("authorization_details", &details.to_string());
    for number in 0..32 {
        let reply = granted.client.token(&exchange).await;
        assert_eq!(reply.status, 200, "{number}: {}", reply.text());
    }
    let full = granted.client.token(&exchange).await;
    assert_eq!((full.status, &full.json()["error"]), (429, &json!("temporarily_unavailable")), "{}", full.text());
    assert_eq!(field.ask(&tool(UP, &granted.access, "keep")).await.status, 200);
    let lists = field.checkpoint.ask(&["grant", "list", "--user", USER]).await;
    let grant = lists[0]["grants"][0]["id"].as_str().unwrap().to_owned();
    field.checkpoint.ask(&["task", "start", "--grant", &grant, "--purpose", "look only", "--tool", "look"]).await;
    assert_eq!(field.ask(&tool(UP, &granted.access, "keep")).await.status, 403, "the task holds");
    assert_eq!(field.ask(&tool(UP, &granted.access, "look")).await.status, 200);
    field.noted("token_refused").await;
}

/// ATK-132: the number of calls that wait for approval is bounded. The error for a further one says what is full and
/// who can help; it is not an error about rights or about the store. Other clients are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_questions_to_a_person_are_told_as_that() {
    let field = with_approval().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let mut first = String::new();
    for number in 0..32 {
        let url = approval(&keep(&field, &granted, json!({ "note": number })).await);
        first = if first.is_empty() { url } else { first };
    }
    let full = keep(&field, &granted, json!({ "note": 32 })).await;
    assert_eq!(full.status, 429, "{}", full.text());
    assert!(full.header("retry-after").is_some());
    let message = full.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("wait for their user") && message.contains(field.base_url()), "{message}");
    field.rejected("approvals_full").await;
    // Repeating a waiting call does not count again, and the client of another user has its own bound.
    approval(&keep(&field, &granted, json!({ "note": 7 })).await);
    approval(&keep(&field, &field.granted(OWNER, "mcp:write").await, json!({ "note": 0 })).await);
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 303);
    answer(&mut browser, &first, "decline").await;
    approval(&keep(&field, &granted, json!({ "note": 33 })).await);
    field.untouched();
}

/// ATK-133: an approval covers the call as it was shown, `_meta` and `task` included. Members of the exchange alone,
/// such as a progress token, may differ.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_covers_what_is_sent_beside_the_arguments() {
    let field = with_approval().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let call = async |more: Value| {
        let mut params = json!({ "name": "keep", "arguments": { "note": 1 }, "_meta": meta() });
        for (name, value) in more.as_object().unwrap() {
            if name == "_meta" {
                params["_meta"].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            } else {
                params[name] = value.clone();
            }
        }
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let ask = sekisho_e2e::fakes::call::headers(UP, &granted.access, "tools/call").header("mcp-name", "keep");
        field.ask(&ask.json(&message)).await
    };
    let plain = json!({ "_meta": { "example.com/to": "alice" } });
    let url = approval(&call(plain.clone()).await);
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 303);
    let Landing::Page(page) = browser.open(&url).await else { panic!("an approval leads away") };
    assert!(page.reply.text().contains("example.com/to"), "what is approved is shown: {}", page.reply.text());
    answer(&mut browser, &url, "approve").await;
    for other in [
        json!({}),
        json!({ "_meta": { "example.com/to": "mallory" } }),
        json!({ "_meta": { "example.com/to": "alice", "example.com/copy": "mallory" } }),
        json!({ "_meta": { "example.com/to": "alice" }, "task": { "ttl": 86_400_000 } }),
        json!({ "_meta": { "example.com/to": "alice" }, "unheard": "of" }),
    ] {
        let reply = call(other.clone()).await;
        assert_eq!(reply.json()["result"]["isError"], true, "{other}: {}", reply.text());
        approval(&reply);
    }
    field.untouched();
    let passed = call(json!({ "_meta": { "example.com/to": "alice", "progressToken": 7 } })).await;
    assert!(passed.json()["result"]["isError"] != true, "the approved call: {}", passed.text());
    assert_eq!(field.upstream.calls().len(), 1);
}

/// ATK-134: of large arguments, only a bounded beginning is stored, so that a grant cannot fill the disk or block the
/// only writer. `SEKISHO_TEST_ARGUMENTS` sets the size of each call's arguments in bytes (a body holds at most
/// 4,000,000); the default keeps the test short.
#[tokio::test(flavor = "multi_thread")]
async fn large_arguments_are_not_kept_with_an_approval() {
    let field = with_approval().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let size =
        std::env::var_os("SEKISHO_TEST_ARGUMENTS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(500_000);
    let on_disk = || {
        let files = std::fs::read_dir(field.checkpoint.data_dir()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let before = on_disk();
    let mut url = String::new();
    for number in 0..16 {
        url = approval(&keep(&field, &granted, json!({ "note": number, "text": "x".repeat(size) })).await);
    }
    let grown = on_disk().saturating_sub(before);
    assert!(grown < 3_000_000, "{grown} bytes were kept of 16 calls of {size} bytes");
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 303);
    let Landing::Page(page) = browser.open(&url).await else { panic!("an approval leads away") };
    let left_out = size + r#"{"note":15,"text":""}"#.len() - 4000;
    // The page formats the text, so it contains a few more blanks.
    let said: Vec<usize> =
        page.reply.text().split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    assert!(said.iter().any(|count| (left_out..left_out + 32).contains(count)), "{}", page.reply.text());
    answer(&mut browser, &url, "approve").await;
    let passed = keep(&field, &granted, json!({ "note": 15, "text": "x".repeat(size) })).await;
    assert!(passed.json()["result"]["isError"] != true, "{}", passed.text());
}

/// ATK-139: unused registrations do not prevent new ones: the oldest is removed. `SEKISHO_TEST_REGISTRATIONS=10000`
/// fills the table of the default size; otherwise a small one is configured.
#[tokio::test(flavor = "multi_thread")]
async fn unused_registrations_close_no_door() {
    let wanted =
        std::env::var_os("SEKISHO_TEST_REGISTRATIONS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(60);
    let configuration =
        if wanted == 10_000 { String::new() } else { format!("[clients]\nregistered_max = {wanted}\n") };
    let field = Field::before(Speaks::Modern, &configuration).await;
    let used = field.granted(USER, "mcp:read").await;
    let metadata =
        json!({ "client_name": "never used", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let register = Ask::post("/oauth/register").json(&metadata);
    for number in 0..wanted + 5 {
        // One address may register sixty a minute.
        let source = std::net::IpAddr::from([
            127,
            1,
            u8::try_from(number / 50 / 200).unwrap(),
            u8::try_from(number / 50 % 200).unwrap() + 1,
        ]);
        let reply = ask_from(source, field.address, &register).await.unwrap();
        assert_eq!(reply.status, 201, "{number}: {}", reply.text());
    }
    field.is_healthy(&used).await;
    field.lets_in().await;
}
