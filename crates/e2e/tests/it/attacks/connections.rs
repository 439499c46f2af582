//! Connections that are many, slow, or never end: they must not take the places of authenticated callers.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sekisho_e2e::fakes::call::{headers, message, tool};
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::{Conduct, Speaks};
use sekisho_e2e::fakes::wire::{Ask, Connection, ask};
use sekisho_e2e::harness::Setup;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::field::{Field, OWNER, UP, USER};

/// Health checks and honest callers are answered within this time, whatever else happens.
const IN_TIME: Duration = Duration::from_secs(2);
/// The timeout for opening a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// The checkpoint's file descriptors in the default run: its connection table then has 384 places.
const DESCRIPTORS: usize = 1024;
/// More connections than any table has places.
const WHOLE_TABLE: usize = 4400;
/// The number of connections in the default run: more than there are descriptors.
const CONNECTIONS: usize = 1200;

fn number(variable: &str, default: usize) -> usize {
    std::env::var_os(variable).and_then(|text| text.to_str()?.parse().ok()).unwrap_or(default)
}

/// Raises this test's limit of file descriptors to the maximum, and returns it.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}

/// Starts a field whose connection table has the full or a small size.
async fn sized(whole_table: bool) -> Field {
    let how = |setup: Setup| if whole_table { setup } else { setup.descriptors(DESCRIPTORS) };
    Field::changed(Speaks::Modern, "", async |setup| how(setup)).await
}

/// Returns what stuck strangers send, each in another way. The last ones hold their places longest.
fn ways(field: &Field) -> Vec<Vec<u8>> {
    let host = field.host();
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 500\r\n\r\ngrant";
    let texts = [
        String::new(),
        "GET /health".to_owned(),
        format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("POST /login HTTP/1.1\r\nHost: {host}\r\n{form}"),
        format!("POST /oauth/token HTTP/1.1\r\nHost: {host}\r\n{form}"),
    ];
    // A request over HTTP/2, after which the connection stays open.
    texts.map(String::into_bytes).into_iter().chain([field.over_http2("/healthz", &[])]).collect()
}

/// Opens this many connections of strangers.
async fn strangers(field: &Field, ways: &[Vec<u8>], connections: usize) -> Vec<TcpStream> {
    let mut opening = JoinSet::new();
    for _ in 0..4 {
        let (address, ways) = (field.address, ways.to_vec());
        opening.spawn(async move {
            let (mut held, mut failed) = (Vec::with_capacity(connections / 4), 0);
            for at in 0..connections / 4 {
                // A checkpoint that accepts no more connections is as full as it gets.
                let Ok(Ok(mut stream)) = timeout(CONNECT, TcpStream::connect(address)).await else {
                    failed += 1;
                    if failed > 3 {
                        break;
                    }
                    continue;
                };
                failed = 0;
                let _ = stream.write_all(&ways[at % ways.len()]).await;
                held.push(stream);
            }
            held
        });
    }
    opening.join_all().await.into_iter().flatten().collect()
}

/// Sends a request on its own connection, and checks that the response arrives in the promised time.
async fn quickly(address: SocketAddr, request: &Ask, what: &str) -> sekisho_e2e::fakes::wire::Reply {
    let began = Instant::now();
    let reply = timeout(Duration::from_secs(20), ask(address, request)).await;
    let reply = reply.unwrap_or_else(|_| panic!("{what}: no answer at all"));
    let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(began.elapsed() < IN_TIME, "{what} took {:?}", began.elapsed());
    reply
}

async fn is_reachable(field: &Field) {
    for path in ["/healthz", "/readyz"] {
        let reply = quickly(field.address, &Ask::get(path), path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

fn write(granted: &Granted) -> Ask {
    tool(UP, &granted.access, "keep")
}

/// ATK-186: there are more strangers than places, each stuck in another way. They delay neither health checks nor pages
/// nor honest calls, round after round, and the answered calls are recorded. `SEKISHO_TEST_CONNECTIONS=4400` fills the
/// table of a machine with enough descriptors, `SEKISHO_TEST_ROUNDS=20` sets the number of rounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_keeps_nobody_waiting() {
    descriptors();
    let connections = number("SEKISHO_TEST_CONNECTIONS", CONNECTIONS);
    let field = sized(connections != CONNECTIONS).await;
    let granted = field.granted(OWNER, "mcp:read mcp:write").await;
    let mut acknowledged = Vec::new();
    for round in 0..number("SEKISHO_TEST_ROUNDS", 2) {
        let held = strangers(&field, &ways(&field), connections).await;
        assert!(held.len() > connections / 2, "only {} connections could be made", held.len());
        for _ in 0..3 {
            is_reachable(&field).await;
            let page = quickly(field.address, &Ask::get("/login"), "a page").await;
            assert_eq!(page.status, 200, "round {round}: {}", page.text());
            let reply = quickly(field.address, &write(&granted), "an honest call").await;
            assert_eq!(reply.status, 200, "round {round}: {}", reply.text());
            acknowledged.push(reply.header("x-request-id").unwrap().to_owned());
        }
        drop(held);
        is_reachable(&field).await;
    }
    let records = field.checkpoint.records().await;
    for id in &acknowledged {
        let of_call = records.iter().filter(|row| row["record"]["request"] == id.as_str());
        assert!(of_call.count() >= 1, "{id} was answered and is not on record");
    }
    field.lets_in().await;
}

/// A call whose first event arrives, and nothing after it.
fn unfinished(granted: &Granted) -> Ask {
    let mut body = message("tools/call", json!({ "name": "look", "arguments": {} }));
    body["params"]["_meta"]["progressToken"] = json!("p");
    headers(UP, &granted.access, "tools/call").header("mcp-name", "look").json(&body)
}

/// ATK-187: if every place is taken by a call under way, health checks and pages are still answered, and a further call
/// is told at once to come back later. Then SIGTERM ends the process in time, despite slow bodies and unread responses
/// (ATK-192).
#[tokio::test(flavor = "multi_thread")]
async fn a_table_full_of_calls_has_a_reserve_and_an_end() {
    let field = Field::changed(Speaks::Modern, "", async |setup| setup.descriptors(DESCRIPTORS)).await;
    let granted = [field.granted(OWNER, "mcp:read").await, field.granted(USER, "mcp:read").await];
    field.upstream.behave(Conduct::Drip(1, Duration::from_secs(600)));
    let (mut open, mut refused) = (Vec::new(), 0);
    for at in 0..600 {
        let Ok(Ok(mut connection)) = timeout(IN_TIME, Connection::open(field.address)).await else { continue };
        let sent = connection.send(&unfinished(&granted[at % 2]).bytes(&field.host())).await;
        match (sent, timeout(Duration::from_secs(5), connection.head()).await) {
            (Ok(()), Ok(Ok(head))) if head.status == 200 => open.push(connection),
            (Ok(()), Ok(Ok(head))) => {
                assert_eq!((head.status, head.header("retry-after")), (503, Some("1")), "{head:?}");
                refused += 1;
            }
            _ => {}
        }
    }
    assert!(open.len() >= 300 && refused >= 100, "{} answered, {refused} refused", open.len());
    for _ in 0..3 {
        is_reachable(&field).await;
        assert_eq!(quickly(field.address, &Ask::get("/login"), "a page").await.status, 200);
        let further = quickly(field.address, &unfinished(&granted[0]), "a further call").await;
        assert_eq!((further.status, further.header("retry-after")), (503, Some("1")), "{}", further.text());
    }
    let _slow = strangers(&field, &ways(&field), 200).await;
    let began = Instant::now();
    let finished = field.checkpoint.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?} to end", began.elapsed());
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr);
    drop(open);
}

/// ATK-192: slow strangers in every place, and responses that nobody reads, do not delay the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_does_not_keep_it_from_ending() {
    let whole_table = descriptors() >= 3 * WHOLE_TABLE;
    let field = sized(whole_table).await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.upstream.behave(Conduct::Large(6 << 20));
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::open(field.address).await.unwrap();
        connection.send(&tool(UP, &granted.access, "look").bytes(&field.host())).await.unwrap();
        unread.push(connection);
    }
    let connections = if whole_table { WHOLE_TABLE } else { CONNECTIONS };
    let _held = strangers(&field, &ways(&field)[5..], connections).await;
    let began = Instant::now();
    field.checkpoint.process().terminate();
    let ended = timeout(Duration::from_secs(30), field.checkpoint.process().ended()).await;
    assert!(ended.is_ok_and(|status| status.success()), "it did not end well");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?} to end", began.elapsed());
    drop(unread);
}

/// ATK-191: a stranger's body that arrives byte by byte is given up well before an honest one would be.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_body_has_to_arrive() {
    let field = Field::start().await;
    let mut connection = Connection::open(field.address).await.unwrap();
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 500\r\n\r\n",
        field.host()
    );
    connection.send(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let trickling = async {
        let mut every = tokio::time::interval(Duration::from_millis(500));
        loop {
            every.tick().await;
            if connection.send(b"g").await.is_err() {
                return None;
            }
            if let Ok(head) = timeout(Duration::from_millis(10), connection.head()).await {
                return head.ok();
            }
        }
    };
    let head = timeout(Duration::from_secs(16), trickling).await.expect("the body is still waited for");
    assert!(began.elapsed() > Duration::from_secs(8), "an honest one would have been given up");
    assert_eq!(head.map(|head| head.status), Some(408));
    field.untouched();
}
