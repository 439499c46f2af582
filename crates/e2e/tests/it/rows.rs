//! Every row of the decision table, with the real binary, as clients of others see it: one client for each revision. A
//! snapshot keeps what each shows, because its model sees the same.

use std::collections::BTreeSet;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT, code_in};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Person, node};
use serde_json::{Value, json};

use crate::picture::steady;

const PASSWORD: &str = "correct horse battery staple";
/// Tools of the upstream, each in another row of the table.
const PERMITTED: &str = "test_simple_text";
const NOT_A_RIGHT: &str = "test_error_handling";
const NOT_NEEDED: &str = "test_image_content";
const NOT_GRANTED: &str = "test_audio_content";
const ASKED: &str = "test_multiple_content_types";

const RULES: &str = r#"
@id("ask-first")
@approval
@reason("it says a lot")
permit(principal, action == Action::"call", resource == Tool::"up/test_multiple_content_types");
"#;

async fn started(upstream: &node::Serving) -> Checkpoint {
    let toml = format!(
        r#"
[servers.up]
url = "{}"
users = {{ bob = "write" }}
agent_tasks = true

[servers.up.tools]
{PERMITTED} = "read"
{NOT_A_RIGHT} = "destructive"
{NOT_NEEDED} = "read"
{NOT_GRANTED} = "write"
{ASKED} = "read"

[servers.up.templates.look]
purpose = "look around"
tools = ["{PERMITTED}"]
"#,
        upstream.url
    );
    let setup = Checkpoint::configured(&toml).owner("alice", PASSWORD).user("bob", PASSWORD);
    let folder = setup.folder().join("policies");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("up.cedar"), RULES).unwrap();
    setup.start().await
}

fn resource(checkpoint: &Checkpoint) -> String {
    format!("{}/mcp/up", checkpoint.base_url())
}

async fn let_in(checkpoint: &Checkpoint, scope: &str) -> Granted {
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    client.be_granted(&resource(checkpoint), scope, "bob", PASSWORD).await
}

/// A client that others wrote, with a token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Rmcp,
    Sdk1,
    Sdk2,
}

impl Program {
    fn revision(self) -> &'static str {
        match self {
            Self::Rmcp => "2025-06-18",
            Self::Sdk1 => "2025-11-25",
            Self::Sdk2 => "2026-07-28",
        }
    }

    /// Makes these calls in this order. Returns what the client shows its caller of each.
    async fn calls(self, checkpoint: &Checkpoint, token: &str, calls: &[(&str, Value)]) -> Vec<Value> {
        match self {
            Self::Rmcp => rmcp_calls(checkpoint, token, calls).await,
            Self::Sdk1 => node_calls("client-sdk1", &[], checkpoint, token, calls).await,
            Self::Sdk2 => node_calls("client-sdk2", &["--era", "modern"], checkpoint, token, calls).await,
        }
    }
}

async fn node_calls(
    program: &str,
    options: &[&str],
    checkpoint: &Checkpoint,
    token: &str,
    calls: &[(&str, Value)],
) -> Vec<Value> {
    let mut words = vec![resource(checkpoint), "--token".to_owned(), token.to_owned()];
    words.extend(options.iter().map(|&option| option.to_owned()));
    for (tool, arguments) in calls {
        words.extend(["--call".to_owned(), format!("{tool}={arguments}")]);
    }
    let shown = node::run(program, &words).await.worked().result;
    assert_eq!(shown["connected"], true, "{shown:#}");
    shown["calls"].as_array().unwrap().clone()
}

async fn rmcp_calls(checkpoint: &Checkpoint, token: &str, calls: &[(&str, Value)]) -> Vec<Value> {
    let transport = StreamableHttpClientTransport::with_client(
        reqwest::Client::builder().no_proxy().build().unwrap(),
        StreamableHttpClientTransportConfig::with_uri(resource(checkpoint)).auth_header(token),
    );
    let config = ClientConfig::default().with_protocol_version(ProtocolVersion::V_2025_06_18);
    let client = config.serve_with_lifecycle(transport, ClientLifecycleMode::Initialize).await.unwrap();
    assert_eq!(client.peer().peer_info().unwrap().protocol_version, ProtocolVersion::V_2025_06_18);
    let mut shown = Vec::new();
    for (tool, arguments) in calls {
        let arguments = arguments.as_object().cloned().unwrap();
        let called = client.call_tool(CallToolRequestParams::new((*tool).to_owned()).with_arguments(arguments)).await;
        shown.push(match called {
            Ok(result) => json!({ "tool": tool, "result": result }),
            Err(error) => json!({ "tool": tool, "error": error.to_string() }),
        });
    }
    client.cancel().await.unwrap();
    shown
}

/// Calls until the task has taken effect; then the clients of others call.
async fn bound(checkpoint: &Checkpoint, granted: &Granted, tools: &[&str]) -> String {
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let mut words = vec!["task", "start", "--grant", &grant, "--purpose", "look around"];
    for tool in tools {
        words.extend(["--tool", tool]);
    }
    let id = checkpoint.ask(&words).await[0]["id"].as_str().unwrap().to_owned();
    within(Duration::from_secs(5), "the task is felt", async || {
        let shown = rmcp_calls(checkpoint, &granted.access, &[(NOT_NEEDED, json!({}))]).await;
        shown[0]["result"].is_null().then_some(())
    })
    .await;
    id
}

/// Returns the first link of this kind in what was shown.
fn link(shown: &Value, kind: &str) -> Option<String> {
    let text = shown.to_string();
    let at = text.find(kind)?;
    let start = text.get(..at)?.rfind("http://")?;
    let rest = text.get(start..)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ":/._-".contains(c))).unwrap_or(rest.len());
    rest.get(..end).map(|url| url.trim_end_matches('.').to_owned())
}

async fn every_row(program: Program) {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = started(&upstream).await;
    let granted = let_in(&checkpoint, "mcp:read").await;
    bound(&checkpoint, &granted, &[PERMITTED, NOT_A_RIGHT, NOT_GRANTED, ASKED]).await;
    let calls = [PERMITTED, NOT_A_RIGHT, NOT_NEEDED, NOT_GRANTED, ASKED].map(|tool| (tool, json!({})));
    let shown = program.calls(&checkpoint, &granted.access, &calls).await;
    let [permitted, rights, need, grant, asked] = &shown[..] else { panic!("{shown:#?}") };
    assert!(permitted["error"].is_null() && permitted["result"]["isError"] != true, "{permitted:#}");
    // However a client shows a refusal, its reason is there, and the page if there is one.
    for (refused, reason, page) in [
        (rights, "the user may not use it", Some("/access/")),
        (need, "is not part of the task “look around”", Some("/tasks/")),
        (asked, "it says a lot", Some("/approvals/")),
    ] {
        let text = refused.to_string();
        assert!(text.contains(reason), "{refused:#}");
        assert!(page.is_none_or(|page| text.contains(page)), "{refused:#}");
    }
    // A step-up is part of the protocol: libraries describe it in their own words, from the challenge.
    let step_up = grant.to_string().to_lowercase();
    assert!(step_up.contains("insufficient scope") || step_up.contains("was not granted"), "{grant:#}");
    let picture = json!({ "revision": program.revision(), "calls": shown });
    insta::assert_snapshot!(format!("rows_{}", program.revision()), steady(&picture, &checkpoint));

    // Approval, then success; other arguments need a new approval.
    let page = link(asked, "/approvals/").unwrap_or_else(|| panic!("{asked:#}"));
    assert_eq!(Person::new("bob", PASSWORD).say_yes(&page).await.status, 200);
    let calls = [(ASKED, json!({ "other": 1 })), (ASKED, json!({})), (ASKED, json!({}))];
    let shown = program.calls(&checkpoint, &granted.access, &calls).await;
    let is_asked = |shown: &Value| shown.to_string().contains("/approvals/");
    assert_eq!(shown.iter().map(is_asked).collect::<Vec<_>>(), [true, false, true], "{shown:#?}");

    // Step-up, then success.
    let more = let_in(&checkpoint, "mcp:read mcp:write").await;
    let shown = program.calls(&checkpoint, &more.access, &[(NOT_GRANTED, json!({}))]).await;
    assert!(shown[0]["error"].is_null() && shown[0]["result"]["isError"] != true, "{shown:#?}");

    // A loan for a limited time: only for what was requested, and only through this client.
    let owner_may = let_in(&checkpoint, "tool:test_error_handling mcp:read").await;
    let refused = program.calls(&checkpoint, &owner_may.access, &[(NOT_A_RIGHT, json!({}))]).await;
    let page = link(&refused[0], "/access/").unwrap();
    Person::new("bob", PASSWORD).filling("reason", "once").say_yes(&page).await;
    let open = checkpoint.ask(&["request", "list"]).await;
    let request = open[0]["requests"][0]["id"].as_str().unwrap().to_owned();
    checkpoint.ask(&["request", "grant", &request, "--for", "20s"]).await;
    let rights_spoke = |shown: &Value| shown.to_string().contains("the user may not use it");
    within(Duration::from_secs(10), "the loan is felt", async || {
        let shown = program.calls(&checkpoint, &owner_may.access, &[(NOT_A_RIGHT, json!({}))]).await;
        (!rights_spoke(&shown[0])).then_some(())
    })
    .await;
    within(Duration::from_secs(40), "the loan has ended", async || {
        let shown = program.calls(&checkpoint, &owner_may.access, &[(NOT_A_RIGHT, json!({}))]).await;
        rights_spoke(&shown[0]).then_some(())
    })
    .await;
}

/// Product §4, RS-21: 2025-06-18, through the Rust SDK.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_reaches_a_client_of_june() {
    every_row(Program::Rmcp).await;
}

/// Product §4, RS-21: 2025-11-25, through the 1.x SDK.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_reaches_a_client_of_november() {
    every_row(Program::Sdk1).await;
}

/// Product §4, RS-21: 2026-07-28, through the 2.x SDK.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_reaches_a_client_of_the_newest_revision() {
    every_row(Program::Sdk2).await;
}

/// Product §4, Tasks without the client's help: a client without support for tasks works inside one, however it was
/// started.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_nothing_of_tasks_works_inside_one() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = started(&upstream).await;
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    let wish = client.wish(&resource(&checkpoint), "mcp:read");
    let granted_by = async |mut person: Person| {
        let redirected = person.answer(&client.link(&wish)).await;
        client.granted(&client.token(&client.redemption(&code_in(&redirected).unwrap())).await)
    };
    let person = || Person::new("bob", PASSWORD);
    let begin = json!({ "purpose": "look around", "tools": [{ "name": PERMITTED }] });
    let mut began = BTreeSet::new();
    for way in ["template", "person", "command", "exchange", "agent"] {
        let mut calls = vec![(PERMITTED, json!({})), (NOT_NEEDED, json!({}))];
        let token = match way {
            "template" => granted_by(person().filling("template", "look")).await.access,
            "person" => {
                let person = person().filling("purpose", "look around");
                granted_by(person.unticking("use", NOT_NEEDED)).await.access
            }
            "command" => {
                let granted = granted_by(person()).await;
                bound(&checkpoint, &granted, &[PERMITTED]).await;
                granted.access
            }
            "exchange" => {
                let granted = granted_by(person()).await;
                let mut details = begin.clone();
                details["type"] = json!("mcp_task");
                let exchange = client
                    .refreshing("")
                    .without("refresh_token")
                    .set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
                    .add("subject_token", &granted.access)
                    .add("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
                    .add("authorization_details", &json!([details]).to_string());
                let reply = client.token(&exchange).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                assert_eq!(reply.json()["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
                reply.json()["access_token"].as_str().unwrap().to_owned()
            }
            _ => {
                calls.insert(0, ("begin_task", begin.clone()));
                granted_by(person()).await.access
            }
        };
        let shown = Program::Sdk1.calls(&checkpoint, &token, &calls).await;
        let [.., inside, outside] = &shown[..] else { panic!("{shown:#?}") };
        assert!(inside["error"].is_null() && inside["result"]["isError"] != true, "{way}: {shown:#?}");
        assert!(outside.to_string().contains("is not part of the task “look around”"), "{way}: {outside:#}");
        let tasks = checkpoint.ask(&["task", "list"]).await;
        let origins =
            tasks[0]["tasks"].as_array().unwrap().iter().map(|task| task["origin"].as_str().unwrap().to_owned());
        began.extend(origins);
    }
    assert_eq!(began.into_iter().collect::<Vec<_>>(), ["agent", "command", "exchange", "person", "template"]);
}
