//! Servers and bridges that others published and most people run: behind `run`, called by clients that others wrote.

use sekisho_e2e::harness::{Checkpoint, Person, node};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

use crate::clients::{OWNER, PASSWORD};

/// A checkpoint before this program, and a token for these scopes.
async fn before(words: Vec<String>, scopes: &str) -> (Checkpoint, String) {
    let checkpoint =
        Checkpoint::program(words).argument("--name").argument("package").owner(OWNER, PASSWORD).start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), scopes).await;
    (checkpoint, tokens.access)
}

fn names(shown: &Value) -> Vec<&str> {
    shown["tools"].as_array().unwrap_or_else(|| panic!("{shown:#}")).iter().filter_map(Value::as_str).collect()
}

/// The text that a client program of the 1.x or 2.x SDK shows of its one call.
async fn called(program: &str, checkpoint: &Checkpoint, options: &[&str]) -> (Value, String) {
    let mut arguments = vec![checkpoint.server()];
    arguments.extend(options);
    let shown = node::run(program, &arguments).await.worked();
    let result = shown.result;
    assert_eq!(result["connected"], true, "{result:#}\n{}", shown.stderr);
    let text = result["calls"][0]["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    (result, text)
}

/// B02: npm `@modelcontextprotocol/server-everything` 2025.4.8 speaks 2024-11-05 alone. Clients of newer revisions go down to
/// it, as they do without us.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_2024_is_used_by_clients_of_today() {
    let words = node::package_stdio("everything-2024/dist/index.js", &[]);
    let (checkpoint, token) = before(words, "tool:echo").await;
    for revision in [Revision::V2025_06_18, Revision::V2025_11_25] {
        let mut mcp = checkpoint.talk(revision, Some(&token));
        let begun = mcp.begin().await;
        assert_eq!(begun.result()["protocolVersion"], "2024-11-05", "{begun:?}");
    }
    let echo = r#"echo={"message":"hello"}"#;
    let (shown, text) = called("client-sdk1", &checkpoint, &["--token", &token, "--call", echo]).await;
    assert_eq!((shown["protocol"].as_str(), text.as_str()), (Some("2024-11-05"), "Echo: hello"), "{shown:#}");
    for era in ["auto", "legacy"] {
        let options = ["--token", &token, "--era", era, "--call", echo];
        let (shown, text) = called("client-sdk2", &checkpoint, &options).await;
        assert_eq!((shown["protocol"].as_str(), text.as_str()), (Some("2024-11-05"), "Echo: hello"), "{shown:#}");
    }
    let arguments = [checkpoint.server(), &token, "auto", "echo", r#"{"message":"hello"}"#];
    let shown = node::run_python("call.py", &arguments).await.worked().result;
    assert_eq!((&shown["text"], &shown["protocol"]), (&json!("Echo: hello"), &json!("2024-11-05")), "{shown:#}");
}

/// B02: the two most copied packages of that time, npm `server-github` 2025.4.8 and `server-postgres` 0.6.2.
#[tokio::test(flavor = "multi_thread")]
async fn the_most_copied_servers_of_2024_start_and_list_their_tools() {
    for (entry, arguments, tool) in [
        ("@modelcontextprotocol/server-github/dist/index.js", &[][..], "create_issue"),
        ("@modelcontextprotocol/server-postgres/dist/index.js", &["postgresql://localhost/nothing"][..], "query"),
    ] {
        let (checkpoint, token) = before(node::package_stdio(entry, arguments), &format!("tool:{tool}")).await;
        let (shown, _) = called("client-sdk1", &checkpoint, &["--token", &token]).await;
        assert_eq!(shown["protocol"], "2024-11-05", "{shown:#}");
        assert!(names(&shown).contains(&tool), "{entry}: {shown:#}");
    }
}

/// B01: PyPI `mcp` 2.3 and `fastmcp` 4.2 keep to the era of the first message that they get. Each client has a child of its
/// own era.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_keeps_to_its_first_era_is_used_by_clients_of_both() {
    for kind in ["sdk", "fastmcp"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paid.jsonl").display().to_string();
        let (checkpoint, token) = before(node::python_stdio("pay.py", &[kind, &file]), "tool:pay").await;
        let pay = r#"pay={"amount":5}"#;
        let (shown, text) = called("client-sdk1", &checkpoint, &["--token", &token, "--call", pay]).await;
        assert_eq!((shown["protocol"].as_str(), text.as_str()), (Some("2025-11-25"), "paid"), "{kind}: {shown:#}");
        for (era, protocol) in [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("modern", "2026-07-28")] {
            let options = ["--token", &token, "--era", era, "--call", pay];
            let (shown, text) = called("client-sdk2", &checkpoint, &options).await;
            assert_eq!((shown["protocol"].as_str(), text.as_str()), (Some(protocol), "paid"), "{kind}: {shown:#}");
        }
        for (mode, protocol) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
            let arguments = [checkpoint.server(), &token, mode, "pay", r#"{"amount":5}"#];
            let shown = node::run_python("call.py", &arguments).await.worked().result;
            assert_eq!((&shown["text"], &shown["protocol"]), (&json!("paid"), &json!(protocol)), "{kind}: {shown:#}");
        }
        let paid = std::fs::read_to_string(&file).unwrap();
        assert_eq!(paid.lines().count(), 6, "{paid}");
    }
}

/// Today's reference server has tools that it shows only to clients that can sample, elicit or list roots: the catalogue
/// knows them, and a client that can do so calls them.
#[tokio::test(flavor = "multi_thread")]
async fn tools_for_clients_with_capabilities_are_in_the_catalogue() {
    let (checkpoint, _) = before(node::everything_stdio(), "tool:echo").await;
    let listed = checkpoint.ask(&["server", "tools", "list", "package"]).await;
    let shown = json!(listed).to_string();
    for tool in ["get-roots-list", "trigger-sampling-request", "trigger-elicitation-request", "echo"] {
        assert!(shown.contains(&format!("\"{tool}\"")), "{tool}: {shown}");
    }
}

/// npm `mcp-remote` 0.15.1 repeats the method of every message in a header, `initialize` before any version among them, and
/// the names of tools as well. It connects in each of its modes.
#[tokio::test(flavor = "multi_thread")]
async fn mcp_remote_connects_in_each_of_its_modes() {
    let (checkpoint, token) = before(node::everything_stdio(), "tool:echo").await;
    for options in [
        &[][..],
        &["--option=--transport", "--option=http-only"],
        &["--option=--transport", "--option=sse-first"],
        &["--option=--protocol", "--option=auto"],
    ] {
        let echo = r#"echo={"message":"hello"}"#;
        let arguments = [&[checkpoint.server(), "--token", &token, "--call", echo], options].concat();
        let shown = node::run("remote", &arguments).await.worked().result;
        assert_eq!(shown["calls"], json!(["Echo: hello"]), "{options:?}: {shown:#}");
    }
}
