//! Widely used servers and bridges of others: behind `run`, called by clients that others wrote.

use std::net::SocketAddr;
use std::time::Duration;

use sekisho_e2e::harness::{Caller, Checkpoint, Person, node, raw, wait};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

use crate::clients::{EVERYTHING, OWNER, PASSWORD};
use crate::postgres::Database;

/// Starts a checkpoint in front of this program. Returns it with a token for these scopes.
async fn before(words: Vec<String>, scopes: &str) -> (Checkpoint, String) {
    let checkpoint =
        Checkpoint::program(words).argument("--name").argument("package").owner(OWNER, PASSWORD).start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), scopes).await;
    (checkpoint, tokens.access)
}

fn names(shown: &Value) -> Vec<&str> {
    shown["tools"].as_array().unwrap_or_else(|| panic!("{shown:#}")).iter().filter_map(Value::as_str).collect()
}

/// Returns the text that a client program of the 1.x or 2.x SDK shows of its single call.
async fn called(program: &str, checkpoint: &Checkpoint, options: &[&str]) -> (Value, String) {
    let mut arguments = vec![checkpoint.server()];
    arguments.extend(options);
    let shown = node::run(program, &arguments).await.worked();
    let result = shown.result;
    assert_eq!(result["connected"], true, "{result:#}\n{}", shown.stderr);
    let text = result["calls"][0]["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    (result, text)
}

/// Npm `@modelcontextprotocol/server-everything` 2025.4.8 speaks only 2024-11-05. Clients of newer revisions fall back
/// to it, as they do without a checkpoint.
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

/// The two most copied packages of that time, npm `server-github` 2025.4.8 and `server-postgres` 0.6.2.
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

/// A tool of npm `server-postgres` 0.6.2, called through `sekisho run` against a real PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_server_postgres_reads_a_table() {
    let database = Database::create();
    database.ask("CREATE TABLE fish (name text); INSERT INTO fish VALUES ('sanma')");
    let words = node::package_stdio("@modelcontextprotocol/server-postgres/dist/index.js", &[&database.url()]);
    let (checkpoint, token) = before(words, "tool:query").await;
    let select = r#"query={"sql":"SELECT name FROM fish"}"#;
    let (shown, text) = called("client-sdk1", &checkpoint, &["--token", &token, "--call", select]).await;
    assert!(text.contains("sanma"), "{shown:#}");
    // The server permits no writes, and is not called with arguments that it does not declare.
    let insert = r#"query={"sql":"INSERT INTO fish VALUES ('iwashi')"}"#;
    let (refused, _) = called("client-sdk1", &checkpoint, &["--token", &token, "--call", insert]).await;
    assert!(refused.to_string().contains("read-only transaction"), "{refused:#}");
    let (wrong, _) = called("client-sdk1", &checkpoint, &["--token", &token, "--call", r#"query={"sql":5}"#]).await;
    assert!(wrong.to_string().contains("it has to fit"), "{wrong:#}");
    assert_eq!(database.ask("SELECT count(*) FROM fish").trim(), "1");
}

/// PyPI `mcp` 2.3 and `fastmcp` 4.2 stay in the era of their first message. Each client gets a child of its own era.
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

/// Today's reference server shows some tools only to clients that support sampling, elicitation or roots: the catalogue
/// contains them, and a client with these capabilities calls them.
#[tokio::test(flavor = "multi_thread")]
async fn tools_for_clients_with_capabilities_are_in_the_catalogue() {
    let (checkpoint, _) = before(node::everything_stdio(), "tool:echo").await;
    let listed = checkpoint.ask(&["server", "tools", "list", "package"]).await;
    let shown = json!(listed).to_string();
    for tool in ["get-roots-list", "trigger-sampling-request", "trigger-elicitation-request", "echo"] {
        assert!(shown.contains(&format!("\"{tool}\"")), "{tool}: {shown}");
    }
}

/// npm `mcp-remote` 0.15.1 repeats the method of every message in a header, even that of `initialize` before any
/// version, and the names of tools as well. It connects in each of its modes except those that want the transport of
/// 2024-11-05 first.
#[tokio::test(flavor = "multi_thread")]
async fn mcp_remote_connects_in_each_of_its_modes() {
    let (checkpoint, token) = before(node::everything_stdio(), "tool:echo").await;
    for options in [
        &[][..],
        &["--option=--transport", "--option=http-only"],
        &["--option=--transport", "--option=http-first"],
        &["--option=--protocol", "--option=auto"],
    ] {
        let echo = r#"echo={"message":"hello"}"#;
        let arguments = [&[checkpoint.server(), "--token", &token, "--call", echo], options].concat();
        let shown = node::run("remote", &arguments).await.worked().result;
        assert_eq!(shown["calls"], json!(["Echo: hello"]), "{options:?}: {shown:#}");
    }
}

/// npm `mcp-remote` 0.15.1 signs in by itself, with a person in a real browser, and then calls.
#[tokio::test(flavor = "multi_thread")]
async fn mcp_remote_signs_in_by_itself() {
    let checkpoint = Checkpoint::program(node::everything_stdio()).argument("--name").argument("package");
    let checkpoint = checkpoint.owner(OWNER, PASSWORD).start().await;
    let signed_in = ["--user", OWNER, "--password", PASSWORD, "--class", "echo=read"];
    let arguments = [&[checkpoint.server()], &signed_in[..], &["--call", r#"echo={"message":"hello"}"#]].concat();
    let shown = node::run("remote", &arguments).await.worked().result;
    assert_eq!(shown["calls"], json!(["Echo: hello"]), "{shown:#}");
    let grants = checkpoint.ask(&["grant", "list"]).await;
    assert_eq!(grants[0]["grants"].as_array().map(Vec::len), Some(1), "{grants:?}");
}

/// HTTP+SSE, the transport of 2024-11-05, is not served. `mcp-remote --transport sse-first` gets a status at which it
/// falls back to Streamable HTTP; `sse-only`, which cannot fall back, ends. The response says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_transport_of_2024_are_told_to_post() {
    let (checkpoint, token) = before(node::everything_stdio(), "tool:echo").await;
    let run = async |transport: &str| {
        let option = format!("--option={transport}");
        let token = ["--token", &token, "--option=--transport", &option];
        let arguments = [&[checkpoint.server()], &token[..], &["--call", r#"echo={"message":"hello"}"#]].concat();
        node::run("remote", &arguments).await
    };
    let first = run("sse-first").await.worked().result;
    assert_eq!(first["calls"], json!(["Echo: hello"]), "{first:#}");
    let only = run("sse-only").await;
    assert!(!only.ok && only.result["said"].to_string().contains("405"), "{:#}", only.result);
    let asked = Caller::new().get(checkpoint.server()).bearer(&token).header("accept", "text/event-stream");
    let answer = asked.send().await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("not HTTP+SSE") && message.contains("with POST"), "{message}");
}

/// B25: if an upstream compresses although `identity` was asked for, the error names the encoding and what to do, at
/// each call, and at the start if it compresses from the start.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_compresses_is_told_so_by_name() {
    let upstream = node::serve::<&str>("packed", &[]).await;
    let checkpoint = Checkpoint::http(&upstream.url).argument("--name").argument("packed").owner(OWNER, PASSWORD);
    let checkpoint = checkpoint.start().await;
    let (_, tokens) = checkpoint
        .let_in(&mut Person::new(OWNER, PASSWORD), "tool:plain tool:gzip tool:br tool:deflate tool:stream")
        .await;
    let mut mcp = checkpoint.talk(Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    let plain = mcp.tool("plain", json!({})).await;
    assert_eq!(plain.message["result"]["content"][0]["text"], "answered plain", "{plain:?}");
    for (tool, encoding) in [("gzip", "gzip"), ("br", "br"), ("deflate", "deflate"), ("stream", "gzip")] {
        let refused = mcp.tool(tool, json!({})).await;
        let message = refused.message["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused.status, 502, "{refused:?}");
        assert!(message.contains(&format!("`Content-Encoding: {encoding}`")), "{message}");
        assert!(message.contains("switch compression off"), "{message}");
    }
    let upstream = node::serve("packed", &["--from-start"]).await;
    let failed = Checkpoint::http(&upstream.url).owner(OWNER, PASSWORD).fail().await;
    assert!(failed.stderr.contains("`Content-Encoding: gzip`"), "{}", failed.stderr);
    assert!(failed.stderr.contains("switch compression off"), "{}", failed.stderr);
}

/// PyPI `mcp` 2.3 in a session whose checkpoint is killed and started again: it calls and lists as before. A program
/// behind the checkpoint has ended with it, and so have the program's sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_goes_on_in_its_session_after_a_restart() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = Checkpoint::http(&upstream.url).argument("--name").argument("behind").owner(OWNER, PASSWORD);
    let checkpoint = checkpoint.start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), "tool:test_simple_text").await;
    let arguments = [checkpoint.server(), &tokens.access, "test_simple_text", "{}"];
    let mut client = node::start_python("restart.py", &arguments);
    client.stdout().contains("\"called\"").await;
    let before = checkpoint.server().to_owned();
    let checkpoint = checkpoint.crash().await;
    assert_eq!(checkpoint.server(), before);
    client.write("\n");
    let shown = node::outcome("restart.py", client).await.worked().result;
    assert_eq!(shown["texts"][0], shown["texts"][1], "{shown:#}");
    assert!(names(&shown).contains(&"test_simple_text"), "{shown:#}");
}

/// A tool that a server shows to one client and not to the checkpoint cannot be called. The list of tools tells the
/// owner about it, and when it was first seen.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_told_of_a_tool_that_only_a_client_is_shown() {
    let upstream = node::serve("partial", &["end-to-end"]).await;
    let checkpoint = Checkpoint::http(&upstream.url).argument("--name").argument("partial").owner(OWNER, PASSWORD);
    let checkpoint = checkpoint.start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), "tool:for_all").await;
    let list = ["server", "tools", "list", "partial"];
    assert_eq!(checkpoint.ask(&list).await[0].get("later"), None);
    let mut mcp = checkpoint.talk(Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    mcp.call("tools/list", json!({})).await;
    let told = async || checkpoint.ask(&list).await[0].get("later").cloned();
    let later = wait::until("the tool is told of", told).await;
    assert_eq!((&later[0]["name"], &later[0]["listed"]), (&json!("for_one_client"), &json!(false)), "{later:#}");
    let shown = checkpoint.command(&list).await.stdout;
    assert!(shown.contains("for_one_client: shown to a client and not to the checkpoint, first on "), "{shown}");
}

/// ATK-250: Node's `fetch` continues to send its body while we refuse the request by its head. The refusal arrives
/// twenty times out of twenty, on pages as well as on calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_body_was_read_arrives() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    for (url, status) in [
        (checkpoint.server().to_owned(), "401"),
        (format!("{}/no/such/page", checkpoint.base_url()), "404"),
        (format!("{}/mcp//notes", checkpoint.base_url()), "400"),
    ] {
        let shown = node::run("early", &[url.as_str(), "20", "3900000"]).await.worked().result;
        assert_eq!(shown["seen"], json!({ status: 20 }), "{url}: {shown:#}");
    }
}

/// ATK-250: the rest of a body is not read if it is longer than anything we would accept, or does not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_wants_is_read_within_a_bound() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    let url = checkpoint.server();
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let port: u16 = host.rsplit(':').next().unwrap().parse().unwrap();
    for (length, sent) in [(100_000_000, 1000), (3_000_000, 1000), (3_000_000, 0)] {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer expired\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(sent)
        );
        let asking = raw(SocketAddr::from(([127, 0, 0, 1], port)), head.as_bytes());
        let answer = tokio::time::timeout(Duration::from_secs(10), asking).await.expect("it is answered");
        assert!(answer.starts_with("HTTP/1.1 401"), "{length} {sent}: {answer}");
    }
}

/// The server's URL with a slash at the end is the same resource, and its metadata name the one identifier.
#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_leads_to_the_same_resource() {
    let (checkpoint, token) = before(node::everything_stdio(), "tool:echo").await;
    let slashed = format!("{}/", checkpoint.server());
    let caller = Caller::new();
    let path = checkpoint.server().trim_start_matches(checkpoint.base_url()).to_owned();
    for end in ["", "/"] {
        let url = format!("{}/.well-known/oauth-protected-resource{path}{end}", checkpoint.base_url());
        assert_eq!(caller.get(&url).send().await.json()["resource"], checkpoint.server(), "{url}");
    }
    let challenge = caller.post(&slashed).json(&json!({})).send().await;
    assert_eq!(challenge.status, 401);
    let named = challenge.header("www-authenticate").unwrap().to_owned();
    assert!(named.contains(&format!("/.well-known/oauth-protected-resource{path}\"")), "{named}");
    let echo = r#"echo={"message":"hello"}"#;
    let shown = node::run("client-sdk1", &[slashed.as_str(), "--token", &token, "--call", echo]).await.worked().result;
    assert_eq!(shown["calls"][0]["result"]["content"][0]["text"], "Echo: hello", "{shown:#}");
    // A client that got the URL with the slash signs in there.
    let arguments = EVERYTHING.arguments(&slashed, &[]);
    let shown = node::run("client-sdk1", &arguments).await.worked().result;
    assert_eq!(shown["connected"], true, "{shown:#}");
}

/// A client that calls `127.0.0.1`, when our host name is `localhost`, is told where to go before it begins a login
/// that would not be valid.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_under_another_name_of_ours_is_told_the_right_one() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), "mcp:read").await;
    let other = checkpoint.server().replace("localhost", "127.0.0.1");
    let path = other.split_once("/mcp/").map(|(_, name)| format!("/mcp/{name}")).unwrap();
    let caller = Caller::new();
    let base = other.trim_end_matches(path.as_str());
    for answer in [
        caller.post(&other).json(&json!({})).send().await,
        caller.get(&format!("{base}/.well-known/oauth-protected-resource{path}")).send().await,
    ] {
        assert_eq!(answer.status, 421, "{}", answer.text());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(checkpoint.server()), "{message}");
    }
    let shown = node::run("client-sdk1", &EVERYTHING.arguments(&other, &[])).await.worked().result;
    assert_eq!(shown["connected"], false, "{shown:#}");
    assert!(shown["error"].to_string().contains(checkpoint.server()), "{shown:#}");
    // A caller with a token of ours is recognised under either name.
    let answer = caller.post(&other).bearer(&tokens.access).json(&json!({})).send().await;
    assert_ne!(answer.status, 421, "{}", answer.text());
}

/// If an upstream is down at our start, nothing ends: its server is reported as not ready, and becomes ready later.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_at_the_start_is_not_ready_and_becomes_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let toml = format!("[servers.late]\nurl = \"{url}\"\n");
    let running = Checkpoint::http(&url).argument("--name").argument("late").owner(OWNER, PASSWORD).start().await;
    let serving = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).start().await;
    let ready = async |checkpoint: &Checkpoint| {
        let answer = Caller::new().get(&format!("{}/readyz", checkpoint.base_url())).send().await;
        assert_eq!(answer.status, 200);
        answer.text()
    };
    for checkpoint in [&running, &serving] {
        let said = async || ready(checkpoint).await.contains("`late` is not ready").then_some(());
        wait::until("a server that is not ready", said).await;
        checkpoint.stderr().contains("not ready").await;
    }
    let upstream = node::serve("upstream", &["--port", &port.to_string()]).await;
    assert_eq!(upstream.url, url);
    for checkpoint in [&running, &serving] {
        wait::until("a server that is ready", async || (ready(checkpoint).await == "ready\n").then_some(())).await;
    }
}

/// The Inspector's command line, in each of its eras, at a program that stays in the era of its first message.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_uses_a_program_that_keeps_to_its_first_era() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paid.jsonl").display().to_string();
    let checkpoint = Checkpoint::program(node::python_stdio("pay.py", &["sdk", &file]));
    let checkpoint = checkpoint.argument("--name").argument("package").owner(OWNER, PASSWORD).start().await;
    for era in ["legacy", "modern"] {
        let url = checkpoint.server();
        let signed_in = [url, "--era", era, "--user", OWNER, "--password", PASSWORD, "--class", "pay=read"];
        let arguments = [&signed_in[..], &["--call", r#"pay={"amount":5}"#]].concat();
        let shown = node::run("inspector", &arguments).await.worked().result;
        assert_eq!((&shown["runs"][0]["exit"], &shown["runs"][1]["exit"]), (&json!(0), &json!(0)), "{shown:#}");
        assert!(shown["runs"][1]["shown"].to_string().contains("paid"), "{shown:#}");
    }
    let paid = std::fs::read_to_string(&file).unwrap();
    assert_eq!(paid.lines().count(), 2, "{paid}");
}
