//! Programs that leave processes behind, callers who use up a program's places, and the end of the checkpoint itself.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use sekisho_e2e::fakes::call::{initialize, legacy, legacy_tool, modern};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply, ask};
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::{until, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::field::{OWNER, PASSWORD, UP, USER};
use super::program::{called, script};

/// The longest time in which a checkpoint may end: open calls get three seconds, a program that does not stop gets
/// four.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// Returns shell code that leaves a process behind. The process has its own session, keeps standard error open, and
/// writes its number to a file in this folder.
fn daemon(folder: &Path) -> String {
    let folder = folder.display();
    // The process is orphaned twice, because its parent ends at once.
    format!("( setsid /bin/sh -c 'echo $$ > {folder}/$$.pid; exec sleep 600 >/dev/null </dev/null' & )")
}

/// Returns the processes that were left behind in a folder and still run.
fn left_behind(folder: &Path) -> Vec<u32> {
    let numbers = std::fs::read_dir(folder).unwrap().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".pid")?.parse::<u32>().ok()
    });
    let is_alive = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        state.is_some_and(|state| state != 'Z')
    };
    numbers.filter(is_alive).collect()
}

fn address(checkpoint: &Checkpoint) -> SocketAddr {
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn server(name: &str, program: &str, more: &str) -> String {
    format!("[servers.{name}]\ncommand = {program}\neveryone = \"write\"\ntools = {{ look = \"read\" }}\n{more}\n")
}

async fn started(toml: &str) -> Checkpoint {
    Checkpoint::configured(toml).owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await
}

async fn granted(checkpoint: &Checkpoint, path: &str, user: &str) -> Granted {
    let client = Client::register(checkpoint.base_url(), "Client", REDIRECT).await;
    client.be_granted(&format!("{}{path}", checkpoint.base_url()), "mcp:read", user, PASSWORD).await
}

/// Builds `initialize` with these capabilities.
fn declaring(token: &str, capabilities: &Value) -> Ask {
    let mut body = initialize("2025-11-25");
    body["params"]["capabilities"] = capabilities.clone();
    let ask = legacy(UP, token, None, &body);
    if token.is_empty() { ask.without("authorization") } else { ask }
}

async fn began(checkpoint: &Checkpoint, token: &str) -> String {
    let reply = ask(address(checkpoint), &declaring(token, &json!({}))).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("mcp-session-id").unwrap().to_owned()
}

async fn call(checkpoint: &Checkpoint, token: &str, session: &str) -> Reply {
    ask(address(checkpoint), &legacy(UP, token, Some((session, "2025-11-25")), &legacy_tool("look"))).await.unwrap()
}

/// ATK-150, ST-13: a process that a program left behind, with its own session and our standard error open, ends with
/// the program: when we are told to stop, when we are killed, and when the program ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_behind_ends_with_it() {
    for end in ["terminated", "killed", "by itself"] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = started(&server("up", &script(&called(), &daemon(folder.path())), "")).await;
        let user = granted(&checkpoint, UP, USER).await;
        let session = began(&checkpoint, &user.access).await;
        assert_eq!(call(&checkpoint, &user.access, &session).await.status, 200);
        // One process of the user's program, and one of the program that was started to list its tools.
        let all = until("what was left behind", async || {
            let left = left_behind(folder.path()).len();
            (left >= 2).then_some(left)
        })
        .await;
        let left = match end {
            "terminated" => {
                let stopping = tokio::time::timeout(ENDS_WITHIN, checkpoint.stop());
                stopping.await.expect("SIGTERM ends it in time");
                0
            }
            "killed" => {
                drop(checkpoint.kill().await);
                0
            }
            _ => {
                let mut ends = legacy_tool("look");
                ends["params"]["arguments"] = json!({ "end": true });
                let ends = legacy(UP, &user.access, Some((&session, "2025-11-25")), &ends);
                assert_eq!(ask(address(&checkpoint), &ends).await.unwrap().status, 502);
                all - 1
            }
        };
        within(ENDS_WITHIN, &format!("the end of what was left behind, {end}"), async || {
            (left_behind(folder.path()).len() == left).then_some(())
        })
        .await;
    }
}

/// ATK-151: a program that does not end does not delay a reload: servers that are reported to be in force can be
/// reached.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_be_in_force_is() {
    let folder = tempfile::tempdir().unwrap();
    let program = |more: &str| script(&called(), &format!("{}\n{more}", daemon(folder.path())));
    let checkpoint = started(&server("up", &program(""), "")).await;
    let user = granted(&checkpoint, UP, USER).await;
    let session = began(&checkpoint, &user.access).await;
    assert_eq!(call(&checkpoint, &user.access, &session).await.status, 200);
    for round in 1..=3 {
        // In each round, the first server gets another program, and one more server is added.
        let servers: String =
            (1..=round).map(|number| server(&format!("new{number}"), &script(&called(), ""), "")).collect();
        let toml = format!("{}{servers}", server("up", &program(&format!("# {round}")), ""));
        std::fs::write(checkpoint.configuration(), toml).unwrap();
        let said = "the changed configuration is in force";
        until("the reload", async || (checkpoint.stderr().now().matches(said).count() >= round).then_some(())).await;
        let path = format!("/mcp/new{round}");
        let user = granted(&checkpoint, &path, USER).await;
        let reply =
            ask(address(&checkpoint), &legacy(&path, &user.access, None, &initialize("2025-11-25"))).await.unwrap();
        assert_eq!(reply.status, 200, "round {round}: {}", reply.text());
    }
}

/// ATK-152: a user with very many handshakes uses a program's places only while nobody else wants one. A user with more
/// than a fair share gets that as the reason, and never that rights are missing.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_does_not_take_a_program_from_the_others() {
    let checkpoint = started(&server("up", &script(&called(), ""), "")).await;
    let (greedy, other) = (granted(&checkpoint, UP, OWNER).await, granted(&checkpoint, UP, USER).await);
    let mut held = Vec::new();
    let mut sessions = Vec::new();
    let refused = loop {
        let number = sessions.len();
        assert!(number < 24, "{number} programs of one user");
        let capabilities = json!({ "experimental": { number.to_string(): {} } });
        let reply = ask(address(&checkpoint), &declaring(&greedy.access, &capabilities)).await.unwrap();
        let Some(session) = reply.header("mcp-session-id").map(str::to_owned) else { break reply };
        // The session has a listener, so it is not idle.
        let listen = Ask::get(UP)
            .bearer(&greedy.access)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", &session)
            .header("mcp-protocol-version", "2025-11-25");
        let mut connection = Connection::open(address(&checkpoint)).await.unwrap();
        connection.send(&listen.bytes(&format!("localhost:{}", address(&checkpoint).port()))).await.unwrap();
        assert_eq!(connection.head().await.unwrap().status, 200);
        held.push(connection);
        sessions.push(session);
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{}", refused.text());
    // The first tool call in this process: the list of tools is available although all places are taken.
    let own = call(&checkpoint, &greedy.access, sessions.last().unwrap()).await;
    assert_eq!(own.status, 200, "{}", own.text());
    for _ in 0..2 {
        let session = began(&checkpoint, &other.access).await;
        let reply = call(&checkpoint, &other.access, &session).await;
        assert_eq!(reply.status, 200, "somebody else: {}", reply.text());
    }
    let again =
        ask(address(&checkpoint), &declaring(&greedy.access, &json!({ "experimental": { "again": {} } }))).await;
    assert_eq!(again.unwrap().status, 429, "what the other has is not taken back");
    let words: Vec<_> = checkpoint.records().await.into_iter().map(|row| row["record"]["event"].clone()).collect();
    let said = |event: &Value| event["why"] == "rights" || event["set"] == "rights";
    assert!(!words.iter().any(said), "{words:?}");
}

/// ATK-153: strangers' sessions do not fill a program: beyond their share, their own oldest ones are closed.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_fill_a_program() {
    let more = "access = \"public\"\nisolation = \"shared\"";
    let checkpoint = started(&server("up", &script(&called(), ""), more)).await;
    let user = granted(&checkpoint, UP, USER).await;
    let session = began(&checkpoint, &user.access).await;
    let near = address(&checkpoint);
    let far = SocketAddr::from((Ipv6Addr::LOCALHOST, near.port()));
    let neighbour = ask(far, &declaring("", &json!({}))).await.ok();
    let mut last = String::new();
    for number in 0..300 {
        let reply = ask(near, &declaring("", &json!({}))).await.unwrap();
        assert_eq!(reply.status, 200, "stranger {number}: {}", reply.text());
        reply.header("mcp-session-id").unwrap().clone_into(&mut last);
    }
    let stranger = legacy(UP, "", Some((&last, "2025-11-25")), &legacy_tool("look")).without("authorization");
    assert_eq!(ask(near, &stranger).await.unwrap().status, 200);
    assert_eq!(call(&checkpoint, &user.access, &session).await.status, 200);
    began(&checkpoint, &user.access).await;
    // A stranger from another network, if this machine has one.
    if let Some(neighbour) = neighbour.and_then(|reply| reply.header("mcp-session-id").map(str::to_owned)) {
        let stranger = legacy(UP, "", Some((&neighbour, "2025-11-25")), &legacy_tool("look")).without("authorization");
        assert_eq!(ask(far, &stranger).await.unwrap().status, 200);
    }
}

/// ATK-155: a call under way when we stop is answered with 503, and its outcome is recorded as `stopping`.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_open_when_we_stop_is_told_so() {
    // This server accepts calls and never answers them.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async |request: axum::extract::Request| {
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let result = match message["method"].as_str() {
            Some("server/discover") => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } })
            }
            Some("tools/list") => {
                json!({ "resultType": "complete", "tools": [{ "name": "look", "inputSchema": { "type": "object" } }] })
            }
            Some("tools/call") => std::future::pending().await,
            _ => return axum::Json(json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "no" } })),
        };
        axum::Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let toml = format!("[servers.up]\nurl = \"{url}\"\neveryone = \"read\"\ntools = {{ look = \"read\" }}\n");
    let checkpoint = started(&toml).await;
    let user = granted(&checkpoint, UP, USER).await;
    let request = modern(UP, &user.access, "tools/call", json!({ "name": "look", "arguments": {} }));
    let open = tokio::spawn({
        let to = address(&checkpoint);
        async move { ask(to, &request).await }
    });
    until("the decision", async || {
        let is_it = |row: &Value| row["record"]["event"]["method"] == "tools/call";
        checkpoint.records().await.iter().any(is_it).then_some(())
    })
    .await;
    let checkpoint = checkpoint.restart().await;
    let reply = open.await.unwrap().expect("the call is answered before we end");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    let records = checkpoint.records().await;
    let outcome = records.iter().map(|row| &row["record"]["event"]).find(|event| event["kind"] == "outcome");
    let outcome = outcome.expect("the outcome is on record");
    assert_eq!((&outcome["result"], &outcome["status"]), (&json!("stopping"), &json!(503)), "{outcome}");
}
