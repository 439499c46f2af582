//! A server that wants to keep its clients busy, or to have pages opened.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use sekisho_e2e::harness::binary;
use sekisho_e2e::harness::wait::{until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::hostile::{Came, Hostile, User, call, hello, with};

const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];

/// ATK-223: a server that breaks every stream at once and asks for no pause is called again with growing pauses, on its
/// standing stream and for an answer, even if something arrives each time. The log gets only a few lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_no_pause_gets_one() {
    let broken = |came: &Came| {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
        let streams = came.method == Method::GET || came.rpc() == "tools/call";
        (streams && !came.authorization.is_empty())
            .then(|| with(200, &EVENTS, format!("id: 1\nretry: 0\ndata: {note}\n\n")))
    };
    let server = Hostile::start(broken).await;
    let folder = tempfile::tempdir().unwrap();
    let mut bridge =
        User::new(folder.path(), false).client.start(&["connect", &server.url(), "--token-env", "SEKISHO_E2E_TOKEN"]);
    bridge.write(&hello());
    bridge.write(&call(1, "slow"));
    let again = || server.came().iter().filter(|came| came.method == Method::GET).count();
    until("it is asked again", async || (again() >= 4).then_some(())).await;
    // The test is about the absence of requests, so there has to be time for them.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (again, told) = (again(), bridge.stderr().now().matches("a stream broke").count());
    assert!(again <= 40, "{again} requests in some seconds");
    assert!(told <= 20, "{told} lines in the log");
}

/// ATK-224: connections to the login's listener that send nothing do not delay the answer.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_no_answer_waiting() {
    let server = Hostile::start(|_| None).await;
    let folder = tempfile::tempdir().unwrap();
    let user = User::new(folder.path(), false);
    let login = user.client.start(&["login", &server.url()]);
    let begin = until("the page", async || user.pages().pop()).await;
    let visitor = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let sent = visitor.get(begin).send().await.unwrap();
    let header = |name: &str| sent.headers()[name].to_str().unwrap().to_owned();
    let cookie = header("set-cookie").split(';').next().unwrap().to_owned();
    let page = url::Url::parse(&header("location")).unwrap();
    let value = |wanted: &str| page.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
    let back = url::Url::parse(&value("redirect_uri")).unwrap();
    let authority = format!("127.0.0.1:{}", back.port().unwrap());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(&authority).await.unwrap());
    }
    let mut browser = TcpStream::connect(&authority).await.unwrap();
    let target = format!("{}?code=c&state={}", back.path(), value("state"));
    let asked = format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\n\r\n");
    browser.write_all(asked.as_bytes()).await.unwrap();
    let mut told = String::new();
    let answered = tokio::time::timeout(Duration::from_secs(10), browser.read_to_string(&mut told)).await;
    assert!(answered.is_ok() && told.starts_with("HTTP/1.1 200"), "{answered:?} {told}");
    login.stdout().contains("Logged in to").await;
    drop(silent);
}

fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// ATK-225: if a client does not read, its bridge holds a bounded part of what the server sends, and the client gets
/// everything when it reads. `SEKISHO_TEST_ANSWER_MIB` raises the size of each of the 64 answers from 4 MiB, up to 15.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_are_held_in_bounds() {
    let size =
        std::env::var_os("SEKISHO_TEST_ANSWER_MIB").and_then(|text| text.to_str()?.parse::<usize>().ok()).unwrap_or(4);
    let text = "x".repeat(size << 20);
    let server = Hostile::start(move |came| {
        (came.rpc() == "tools/call").then(|| came.result(&json!({ "content": [{ "type": "text", "text": text }] })))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Command::new(binary())
        .args(["connect", &server.url(), "--token-env", "SEKISHO_E2E_TOKEN"])
        .env("SEKISHO_E2E_TOKEN", "good")
        .env("SEKISHO_DATA_DIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = bridge.id();
    let mut stdin = bridge.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(bridge.stdout.take().unwrap());
    for id in 0..64 {
        stdin.write_all(call(id, "large").as_bytes()).unwrap();
    }
    until("all are asked for", async || (server.came().len() >= 64).then_some(())).await;
    // Waits until nothing more is read: the peak stays the same for a second.
    let last = std::cell::Cell::new((0, 0));
    within(Duration::from_secs(60), "nothing more is taken in", async || {
        let (peak, (before, times)) = (peak_mib(pid), last.get());
        last.set((peak, if before == peak { times + 1 } else { 0 }));
        (last.get().1 >= 50).then_some(())
    })
    .await;
    let read = tokio::task::spawn_blocking(move || {
        let mut ids = BTreeSet::new();
        let mut line = Vec::new();
        while ids.len() < 64 {
            line.clear();
            assert!(stdout.read_until(b'\n', &mut line).unwrap() > 0, "it ended after {} answers", ids.len());
            let message: Value = serde_json::from_slice(&line).unwrap();
            assert!(message["result"]["content"][0]["text"].as_str().is_some_and(|text| text.len() == size << 20));
            ids.insert(message["id"].as_u64().unwrap());
        }
    });
    read.await.unwrap();
    let peak = peak_mib(pid);
    drop(stdin);
    bridge.kill().unwrap();
    bridge.wait().unwrap();
    // Four large messages in all states, and the program itself.
    let bound = 120 + 4 * 4 * u64::try_from(size).unwrap();
    assert!(peak <= bound, "{peak} MiB at the peak, of {bound}");
}

const PAGES: [&str; 12] = [
    "javascript:alert(1)",
    "JavaScript:alert(1)#",
    "data:text/html,x",
    "file:///etc/passwd",
    "vscode://x",
    "ms-msdt:x",
    "ftp://h.example/",
    "//h.example/",
    "",
    "https://user:word@h.example/",
    "https://h.example/\u{1b}[2J",
    "http://h.example/",
];

/// ATK-226: a link that is not a web page does not reach the client: not in a request, not in an error, not in a
/// result. The server gets an error, and the call continues.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_that_is_none_reaches_the_client() {
    const GOOD: &str = "https://h.example/#/connect";
    let server = Hostile::start(|came| {
        let tool = came.body["params"]["name"].as_str()?;
        let (kind, at) = tool.split_once('-')?;
        let url = at.parse::<usize>().map_or(GOOD, |at| PAGES[at]);
        let page = json!({ "mode": "url", "elicitationId": "e", "url": url, "message": "open it" });
        let id = &came.body["id"];
        Some(match kind {
            "question" => {
                let asked = json!({ "jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": page });
                let done = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } });
                with(200, &EVENTS, format!("data: {asked}\n\ndata: {done}\n\n"))
            }
            "error" => {
                let error = json!({ "code": -32042, "message": "first", "data": { "elicitations": [page] } });
                super::hostile::answer(200, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
            }
            "refusal" => {
                let error = json!({ "code": -32042, "message": "first", "data": { "elicitations": [page] } });
                super::hostile::answer(403, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
            }
            _ => {
                let asked = json!({ "one": { "method": "elicitation/create", "params": page } });
                came.result(&json!({ "resultType": "input_required", "inputRequests": asked }))
            }
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut bridge =
        User::new(folder.path(), false).client.start(&["connect", &server.url(), "--token-env", "SEKISHO_E2E_TOKEN"]);
    bridge.write(&hello());
    let mut id = 0;
    for kind in ["question", "error", "refusal", "result"] {
        for at in (0..PAGES.len()).map(|at| at.to_string()).chain(["good".to_owned()]) {
            id += 1;
            let before = bridge.stdout().now().len();
            bridge.write(&call(id, &format!("{kind}-{at}")));
            let mark = format!("\"id\":{id}");
            let heard = bridge.stdout().find(|text| {
                let new = &text[before..];
                new.lines().any(|line| line.contains(&mark) && line.ends_with('}')).then(|| new.to_owned())
            });
            let heard = heard.await.unwrap_or_else(|| panic!("{kind} {at}: {}", bridge.stdout().now()));
            assert_eq!(heard.contains("\"url\""), at == "good", "{kind} {at}: {heard}");
        }
    }
    // A request that the client never saw is answered with an error that says what was wrong.
    let answered =
        || server.came().iter().filter(|came| came.body["id"] == 7 && came.body["error"].is_object()).count();
    until("the server is told", async || (answered() == PAGES.len()).then_some(())).await;
}

/// ATK-227: a server refuses its standing stream, whatever token is sent. No page is opened for that: a person logs in
/// only for the client's calls, once for each call.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_opened_for_what_nobody_called() {
    let server = Hostile::start(|came| {
        let refused = came.target == "/mcp" && (came.method == Method::GET || came.rpc() == "tools/call");
        refused.then(|| with(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")], ""))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let user = User::new(folder.path(), true);
    let mut bridge = user.client.start(&["connect", &server.url()]);
    bridge.write(&hello());
    bridge.stdout().contains("protocolVersion").await;
    assert_eq!(user.pages().len(), 1, "for the first message");
    let listened = || server.came().iter().filter(|came| came.method == Method::GET && came.target == "/mcp").count();
    until("it listens", async || (listened() >= 3).then_some(())).await;
    assert_eq!(user.pages().len(), 1, "{:?}", user.pages());
    bridge.write(&call(1, "x"));
    bridge.stdout().contains("\"id\":1").await;
    assert_eq!(user.pages().len(), 2, "one for the call: {:?}", user.pages());
    let before = listened();
    until("it listens again", async || (listened() > before).then_some(())).await;
    assert_eq!(user.pages().len(), 2, "{:?}", user.pages());
}
