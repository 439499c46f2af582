//! Requests that look like two, are incomplete, or never end.

use std::time::Duration;

use sekisho_e2e::fakes::call::{headers, message, tool};
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::wire::Connection;
use serde_json::{Value, json};

use super::field::{Field, OWNER, UP};

fn call_of(name: &str) -> Value {
    message("tools/call", json!({ "name": name, "arguments": {} }))
}

/// Returns the head of an honest call without a length, to be changed.
fn head(field: &Field, granted: &Granted) -> String {
    format!(
        "POST {UP} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: look\r\n",
        field.host(),
        granted.access
    )
}

/// One way to make one request look like two.
struct Smuggled {
    what: &'static str,
    bytes: Vec<u8>,
    /// How many requests in it are honest for every reader.
    honest: usize,
}

/// Returns the attacks: each hides a call of `wipe` behind a call of `look`.
fn smuggled(field: &Field, granted: &Granted) -> Vec<Smuggled> {
    let body = call_of("look").to_string();
    let hidden_body = call_of("wipe").to_string();
    let hidden = format!(
        "{}Content-Length: {}\r\n\r\n{hidden_body}",
        head(field, granted).replace("Mcp-Name: look", "Mcp-Name: wipe"),
        hidden_body.len()
    );
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let base = head(field, granted);
    let length = |count: usize| format!("Content-Length: {count}\r\n");
    let both = |te: &str, count: usize, rest: &str| format!("{base}{}{te}\r\n\r\n{rest}", length(count));
    let te = "Transfer-Encoding: chunked";
    let text = [
        ("CL.TE", both(te, chunked.len() + hidden.len(), &format!("{chunked}{hidden}"))),
        ("CL.TE, TE first", format!("{base}{te}\r\n{}\r\n{chunked}{hidden}", length(chunked.len() + hidden.len()))),
        ("TE.CL", both(te, 4, &format!("{chunked}{hidden}"))),
        (
            "TE.CL with the hidden one in the chunk",
            both(te, body.len(), &format!("{:x}\r\n{body}{hidden}\r\n0\r\n\r\n", body.len() + hidden.len())),
        ),
        ("TE.TE, the second unknown", format!("{base}{te}\r\nTransfer-Encoding: x\r\n\r\n{chunked}{hidden}")),
        (
            "TE.TE, identity",
            format!("{base}Transfer-Encoding: identity\r\n{}{te}\r\n\r\n{chunked}{hidden}", length(chunked.len())),
        ),
        ("TE xchunked", both("Transfer-Encoding: xchunked", body.len(), &format!("{body}{hidden}"))),
        ("TE chunked, gzip", format!("{base}Transfer-Encoding: chunked, gzip\r\n\r\n{chunked}{hidden}")),
        ("TE gzip, chunked", format!("{base}Transfer-Encoding: gzip, chunked\r\n\r\n{chunked}{hidden}")),
        (
            "TE with a space before the colon",
            format!("{base}Transfer-Encoding : chunked\r\n{}\r\n{body}{hidden}", length(body.len())),
        ),
        ("TE with a tab", format!("{base}Transfer-Encoding:\tchunked\r\n{}\r\n{chunked}{hidden}", length(4))),
        (
            "TE folded",
            format!("{base}Transfer-Encoding:\r\n chunked\r\n{}\r\n{chunked}{hidden}", length(chunked.len())),
        ),
        (
            "TE with a vertical tab",
            format!("{base}Transfer-Encoding: \x0bchunked\r\n{}\r\n{chunked}{hidden}", length(4)),
        ),
        ("two lengths", format!("{base}{}{}\r\n{body}{hidden}", length(body.len()), length(body.len() + hidden.len()))),
        (
            "two lengths, smaller last",
            format!("{base}{}{}\r\n{body}{hidden}", length(body.len() + hidden.len()), length(body.len())),
        ),
        (
            "a list of lengths",
            format!("{base}Content-Length: {}, {}\r\n\r\n{body}{hidden}", body.len(), body.len() + hidden.len()),
        ),
        ("a signed length", format!("{base}Content-Length: +{}\r\n\r\n{body}{hidden}", body.len())),
        ("a negative length", format!("{base}Content-Length: -1\r\n\r\n{body}{hidden}")),
        ("a length in hex", format!("{base}Content-Length: 0x{:x}\r\n\r\n{body}{hidden}", body.len())),
        ("a length with a word", format!("{base}Content-Length: {} x\r\n\r\n{body}{hidden}", body.len())),
        ("a huge length", format!("{base}Content-Length: 99999999999999999999999\r\n\r\n{body}{hidden}")),
        (
            "a length with a space before the colon",
            format!("{base}Content-Length : {}\r\n\r\n{body}{hidden}", body.len()),
        ),
        ("an underscore", format!("{base}Content_Length: 1\r\n{}\r\n{body}{hidden}", length(body.len()))),
        ("a header without a name", format!("{base}: x\r\n{}\r\n{body}{hidden}", length(body.len()))),
        ("a nul in a value", format!("{base}X: a\0b\r\n{}\r\n{body}{hidden}", length(body.len()))),
        (
            "a bare CR in a value",
            format!("{base}X: a\rTransfer-Encoding: chunked\r\n{}\r\n{body}{hidden}", length(body.len())),
        ),
        ("a chunk longer than it says", format!("{base}{te}\r\n\r\n1\r\n{body}\r\n0\r\n\r\n{hidden}")),
        ("a chunk size with a sign", format!("{base}{te}\r\n\r\n+{chunked}{hidden}")),
        ("a chunk size in 0x", format!("{base}{te}\r\n\r\n0x{chunked}{hidden}")),
        ("a chunk size beyond 64 bits", format!("{base}{te}\r\n\r\n1ffffffffffffffff\r\n{body}\r\n0\r\n\r\n{hidden}")),
        ("a chunk extension with LF", format!("{base}{te}\r\n\r\n{:x};a\n{body}\r\n0\r\n\r\n{hidden}", body.len())),
        (
            "an absolute target of somebody else",
            format!("{}{}\r\n{body}", base.replacen(UP, "http://evil.test/mcp/up", 1), length(body.len())),
        ),
        ("two hosts", format!("{base}Host: evil.test\r\n{}\r\n{body}", length(body.len()))),
        (
            "no host",
            format!("{}{}\r\n{body}", base.replace(&format!("Host: {}\r\n", field.host()), ""), length(body.len())),
        ),
        (
            "a space in the target",
            format!("{}{}\r\n{body}", base.replacen(UP, "/mcp/up HTTP/1.1\r\nX: y /x", 1), length(body.len())),
        ),
        ("HTTP/0.9", format!("POST {UP}\r\n\r\n{hidden}")),
        (
            "HTTP/2.0 in words",
            format!("{}{}\r\n{body}{hidden}", base.replace("HTTP/1.1", "HTTP/2.0"), length(body.len())),
        ),
    ];
    let honest = |what: &str| usize::from(what.contains("TE with a tab") || what.contains("an underscore"));
    let mut all: Vec<Smuggled> = text
        .into_iter()
        .map(|(what, text)| Smuggled { what, honest: honest(what), bytes: text.into_bytes() })
        .collect();
    let lf = format!("{base}{}\r\n{body}", length(body.len())).replacen("\r\n", "\n", 3);
    all.push(Smuggled { what: "bare LF in the head", honest: 1, bytes: lf.into_bytes() });
    all
}

/// ATK-64: whatever a request looks like, the upstream sees at most the one request that was checked, and never the
/// hidden one.
#[tokio::test]
async fn no_request_is_two() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    for attack in smuggled(&field, &granted) {
        field.upstream.forget();
        let mut connection = Connection::open(field.address).await.unwrap();
        let _ = connection.send(&attack.bytes).await;
        let answer = connection.rest(Duration::from_millis(400)).await;
        drop(connection);
        let calls = field.upstream.calls();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            calls.iter().all(|call| !call.text().contains("wipe")),
            "{}: the hidden call went on:\n{text}",
            attack.what
        );
        assert!(calls.len() <= 1, "{}: {} calls went on", attack.what, calls.len());
        assert!(!text.contains(" 500 "), "{}: {text}", attack.what);
        if attack.honest == 0 && !calls.is_empty() {
            // There is one reading only: this call is answered, and no other request succeeds.
            assert!(text.matches("HTTP/1.1 200").count() <= 1, "{}:\n{text}", attack.what);
        }
    }
    field.is_healthy(&granted).await;
}

/// ATK-64: two callers on one upstream connection do not mix: after a broken exchange the next one is complete.
#[tokio::test]
async fn a_broken_exchange_is_not_the_next_ones() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    for _ in 0..5 {
        let mut connection = Connection::open(field.address).await.unwrap();
        let whole = tool(UP, &granted.access, "look").bytes(&field.host());
        connection.send(&whole[..whole.len() - 10]).await.unwrap();
        drop(connection);
        field.is_healthy(&granted).await;
    }
    field.untouched();
}

/// ATK-68, ATK-93, PX-30: a body or headers that are too large are refused as a whole, in whichever way the size is
/// declared; an encoded body is not read.
#[tokio::test]
async fn a_body_is_read_whole_or_not_at_all() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let mut large = call_of("look");
    large["params"]["arguments"]["padding"] = json!("x".repeat(5 << 20));
    let ask = || headers(UP, &granted.access, "tools/call").header("mcp-name", "look");
    assert_eq!(field.ask(&ask().json(&large)).await.status, 413);
    for bytes in [9 << 10, 1 << 20] {
        let mirrored = field.ask(&ask().header("mcp-param-x", &"x".repeat(bytes)).json(&call_of("look"))).await;
        assert_eq!(mirrored.status, 431, "a header of {bytes} bytes");
    }
    let mut connection = Connection::open(field.address).await.unwrap();
    let body = large.to_string();
    let chunked = format!("{}Transfer-Encoding: chunked\r\n\r\n", head(&field, &granted));
    let sent = connection.send(format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await;
    if let Ok(reply) = connection.reply("POST").await {
        assert_eq!(reply.status, 413, "{sent:?}");
    }
    // The dangerous part comes after the limit.
    let late = format!("{}{}", " ".repeat((4 << 20) + 1), call_of("look"));
    assert_eq!(field.ask(&ask().header("content-type", "application/json").body(late.as_bytes())).await.status, 413);
    for encoding in ["gzip", "br", "zstd", "deflate", "compress", "gzip, gzip", "aws-chunked", "x-gzip"] {
        let reply = field.ask(&ask().header("content-encoding", encoding).json(&call_of("look"))).await;
        assert_eq!(reply.status, 415, "{encoding}");
    }
    for kind in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json-seq",
        "application/xml",
        "application/jsonx",
    ] {
        let reply = field.ask(&ask().header("content-type", kind).body(call_of("look").to_string().as_bytes())).await;
        assert_eq!(reply.status, 415, "{kind}");
    }
    field.untouched();
    field.rejected("body_too_large").await;
    field.rejected("content_encoding").await;
    field.is_healthy(&granted).await;
}

/// ATK-91: slow heads, bodies and responses are ended in time, and honest callers are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_are_ended_on_time() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let body = call_of("look").to_string();
    let beginnings = [
        ("nothing", Vec::new()),
        ("half a line", b"POST /mc".to_vec()),
        ("half a head", head(&field, &granted).into_bytes()),
        ("half a body", format!("{}Content-Length: {}\r\n\r\n{}", head(&field, &granted), body.len(), &body[..10]).into_bytes()),
        ("half a chunk", format!("{}Transfer-Encoding: chunked\r\n\r\nff\r\n{}", head(&field, &granted), &body[..10]).into_bytes()),
        ("half a preface", b"PRI * HTTP/2.0".to_vec()),
        ("half a form", format!("POST /oauth/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 500\r\n\r\ngrant", field.host()).into_bytes()),
    ];
    let mut slow = Vec::new();
    for (what, beginning) in beginnings {
        for _ in 0..20 {
            let mut connection = Connection::open(field.address).await.unwrap();
            connection.send(&beginning).await.unwrap();
            slow.push(tokio::spawn(async move { (what, connection.closes_within(Duration::from_secs(45)).await) }));
        }
    }
    for _ in 0..5 {
        field.is_healthy(&granted).await;
    }
    let mut open = std::collections::BTreeMap::new();
    for connection in slow {
        let (what, closed) = connection.await.unwrap();
        if !closed {
            *open.entry(what).or_insert(0) += 1;
        }
    }
    assert!(open.is_empty(), "still open after 45 seconds: {open:?}");
    field.rejected("body_slow").await;
    field.untouched();
    field.is_healthy(&granted).await;
}
