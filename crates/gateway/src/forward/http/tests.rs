//! Real sockets, with a scripted server on the other side.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, StatusCode};
use sekisho_protocol::mcp::method::Revision;
use sekisho_protocol::secret::UpstreamSecret;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::super::fixture::server::{Connection, Received, Server};
use super::super::fixture::{
    MODERN, OLDER, call, cleared, events_of, in_session, initialize, json_of, name, next_message, request,
};
use super::super::{AnswerBody, Deadline, Event, ForwardError, ForwardLimits, ListenRequest, UpstreamSession};
use super::HttpUpstream;
use crate::credential::{Credential, CredentialError, CredentialSource};
use crate::revision::FarRevision;
use crate::upstream::{HttpSettings, UpstreamName, UpstreamSettings};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const SECOND: Duration = Duration::from_secs(1);

fn upstream(settings: &HttpSettings) -> Arc<HttpUpstream> {
    let limits = ForwardLimits { answer_bytes_max: 2000, ..ForwardLimits::default() };
    upstream_within(limits, settings)
}

fn upstream_within(limits: ForwardLimits, settings: &HttpSettings) -> Arc<HttpUpstream> {
    let name = UpstreamName::behind(&name());
    Arc::new(HttpUpstream::new(limits, name, settings, source(settings)))
}

/// Where the credential comes from that this configuration gives an upstream.
fn source(settings: &HttpSettings) -> Arc<CredentialSource> {
    Arc::new(CredentialSource::new(&UpstreamSettings::Http(settings.clone())))
}

/// The credential that this configuration gives an upstream.
fn credential(settings: &HttpSettings) -> Result<Credential, CredentialError> {
    source(settings).own().now_or_never().unwrap()
}

fn at(server: &Server) -> Arc<HttpUpstream> {
    upstream(&HttpSettings::new(server.url()))
}

async fn answering(status: &'static str, headers: &'static str, body: &'static str) -> Server {
    Server::start(move |_, connection: Connection| connection.answer(status, headers, body)).await
}

fn listening(session: Option<UpstreamSession>, last_event_id: Option<&str>) -> ListenRequest {
    ListenRequest {
        cleared: cleared("a", "ping"),
        upstream: call("a", OLDER, "x", json!({})).upstream,
        credential: Credential::None,
        session,
        far: FarRevision(OLDER),
        headers: http::HeaderMap::new(),
        last_event_id: last_event_id.map(str::to_owned),
    }
}

/// ATK-88: a redirect is an error, whatever its kind, and its target is never contacted.
#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = answering("200 OK", "Content-Type: application/json\r\n", RESULT).await;
    let target = elsewhere.url();
    for status in ["301 X", "302 X", "303 X", "307 X", "308 X"] {
        let target = target.clone();
        let server = Server::start(move |_, connection: Connection| {
            let location = format!("Location: {target}\r\n");
            async move { connection.answer(status, &location, "").await }
        })
        .await;
        let mut settings = HttpSettings::new(server.url());
        settings.headers.push((http::header::AUTHORIZATION, UpstreamSecret::from_outside("Bearer s")));
        let upstream = upstream(&settings);
        for revision in [MODERN, OLDER] {
            let mut request = call("a", revision, "x", json!({}));
            request.credential = credential(&settings).unwrap();
            let error = upstream.clone().send(request).await.unwrap_err();
            assert!(matches!(error, ForwardError::Redirected { .. }), "{status}: {error}");
        }
        assert!(matches!(upstream.revisions(None).await, Err(ForwardError::Redirected { .. })));
    }
    assert!(elsewhere.received().is_empty());
}

/// PX-13: a 401 or 403 of an upstream means that it wants a credential of ours. Nothing of it goes on, and it is no
/// sign of an older era (TR-52).
#[tokio::test]
async fn a_challenge_of_the_upstream_is_not_relayed() {
    for (status, code) in [("401 Unauthorized", 401), ("403 Forbidden", 403)] {
        let challenge =
            "WWW-Authenticate: Bearer resource_metadata=\"https://up.example/\"\r\nContent-Type: application/json\r\n";
        let server = answering(status, challenge, RESULT).await;
        let upstream = at(&server);
        let wanted = ForwardError::WantsOwnCredential { status: code };
        assert_eq!(upstream.clone().send(call("a", MODERN, "x", json!({}))).await.unwrap_err(), wanted);
        assert_eq!(upstream.revisions(None).await.unwrap_err(), wanted);
        assert!(!wanted.to_string().contains("up.example"));
        assert_eq!(server.received().len(), 2);
    }
}

/// ATK-53, ATK-64, PX-10, PX-12, PX-29: of the caller's headers, only those on the list go on, unchanged, and ours
/// replace them. The body goes on byte by byte.
#[tokio::test]
async fn only_listed_headers_go_on_and_the_body_as_it_is() {
    let server = answering("200 OK", "Content-Type: application/json\r\n", RESULT).await;
    let mut settings = HttpSettings::new(format!("{}?key=1#part", server.url()));
    let own = (HeaderName::from_static("x-api-key"), UpstreamSecret::from_outside("own"));
    settings.headers.push(own);
    let body = "{ \"jsonrpc\" : \"2.0\",\n\"id\":1, \"method\":\"tools/call\",\"params\":{\"name\":\"\\u0061\"}}";
    let mut request = request("a", MODERN, body);
    for (name, value) in [
        ("authorization", "Bearer canary"),
        ("cookie", "canary=1"),
        ("dpop", "canary"),
        ("x-api-key", "canary"),
        ("x-user", "canary"),
        ("x-forwarded-for", "canary"),
        ("connection", "canary"),
        ("transfer-encoding", "canary"),
        ("content-length", "7"),
        ("host", "canary"),
        ("mcp-session-id", "canary"),
        ("last-event-id", "canary"),
        ("mcp-method", "tools/call"),
        ("mcp-param-place", "=?base64?w6k=?="),
        ("traceparent", "00-1-2-3"),
        ("mcp-protocol-version", "2026-07-28"),
    ] {
        request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    request.credential = credential(&settings).unwrap();
    upstream(&settings).send(request).await.unwrap();
    let received = server.received().remove(0);
    assert!(!received.head.contains("canary"), "{}", received.head);
    assert!(received.head.starts_with("POST /mcp?key=1 HTTP/1.1\r\n"), "{}", received.head);
    assert_eq!(received.body, body);
    for (name, value) in [
        ("host", server.url().trim_start_matches("http://").split('/').next().unwrap()),
        ("x-api-key", "own"),
        ("mcp-method", "tools/call"),
        ("mcp-param-place", "=?base64?w6k=?="),
        ("traceparent", "00-1-2-3"),
        ("mcp-protocol-version", "2026-07-28"),
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(received.header(name), [value], "{name}");
    }
}

/// ATK-64: no value becomes a second header, neither a configured one nor one from an upstream.
#[tokio::test]
async fn no_value_becomes_a_second_header() {
    for value in ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\0"] {
        let mut settings = HttpSettings::new("http://127.0.0.1:1/");
        settings.headers.push((HeaderName::from_static("x-key"), UpstreamSecret::from_outside(value)));
        let error = ForwardError::from(credential(&settings).unwrap_err());
        assert_eq!(upstream(&settings).revisions(None).await.unwrap_err(), error);
        assert!(matches!(error, ForwardError::Misconfigured { .. }), "{error}");
        assert!(!error.sent() && !error.to_string().contains("Evil"));

        let session = UpstreamSession::Http(value.to_owned());
        let upstream = upstream(&HttpSettings::new("http://127.0.0.1:1/"));
        let request = in_session(call("a", OLDER, "x", json!({})), &session);
        assert!(matches!(upstream.clone().send(request).await, Err(ForwardError::Malformed { .. })));
        let resumed = upstream.listen(listening(None, Some(value))).await;
        assert!(matches!(resumed, Err(ForwardError::Malformed { .. })));
    }
}

#[tokio::test]
async fn a_wrong_url_is_told_when_the_server_is_used() {
    for url in ["", "ftp://x/", "unix:/x", "http://user:pw@x/", "mcp"] {
        let error = upstream(&HttpSettings::new(url)).revisions(None).await.unwrap_err();
        assert!(matches!(error, ForwardError::Misconfigured { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("pw"));
    }
    let mut settings = HttpSettings::new("https://localhost/");
    settings.extra_ca_pem = Some(b"no certificate".to_vec());
    let error = upstream(&settings).revisions(None).await.unwrap_err();
    assert!(matches!(error, ForwardError::Misconfigured { .. }), "{error}");
}

/// An error says whether the message was certainly not sent: only then does a budget get its call back.
#[tokio::test]
async fn a_closed_port_is_unreachable_and_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let upstream = upstream(&HttpSettings::new(format!("http://{address}/mcp?secret=1")));
    let error = upstream.send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
    assert!(matches!(error, ForwardError::Unreachable { .. }), "{error}");
    assert!(!error.sent() && !error.to_string().contains("secret"), "{error}");
}

/// TR-36: the first event is passed on while the upstream still works on the next; comments, ids and `retry` are kept.
#[tokio::test]
async fn events_are_not_held_back() {
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let server = Server::start(move |_, mut connection: Connection| {
        let waiting = waiting.clone();
        async move {
            connection.begin_events().await;
            connection
                .chunk(":\n\nid: 7\ndata:\n\nretry: 20\nevent: message\nid: 8\ndata: {\"a\":\ndata: 1}\n\n")
                .await
                .unwrap();
            waiting.notified().await;
            connection.chunk("data: {\"b\":2}\n\n").await.unwrap();
            connection.chunk("").await.unwrap();
        }
    })
    .await;
    let mut events = events_of(at(&server).send(call("a", OLDER, "x", json!({}))).await.unwrap());
    let message = Event::Message { data: "{\"a\":\n1}".into(), id: Some("8".into()), name: Some("message".into()) };
    for expected in [Event::Comment, Event::Position { id: "7".into() }, Event::Retry(20), message] {
        assert_eq!(events.next().await.unwrap().unwrap(), expected);
    }
    go_on.notify_one();
    assert_eq!(next_message(&mut events).await, json!({ "b": 2 }));
    assert!(events.next().await.is_none());
}

/// A server that sends one event, another for each notice, and the end with the third. It reports if the connection was
/// closed before that.
async fn patient() -> (Server, mpsc::Receiver<&'static str>, Arc<Notify>) {
    let (said, told) = mpsc::channel(4);
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let server = Server::start(move |_, mut connection: Connection| {
        let (said, waiting) = (said.clone(), waiting.clone());
        async move {
            connection.begin_events().await;
            connection.chunk("data: 1\n\n").await.unwrap();
            for says in ["went on", "went on", "sent all"] {
                tokio::select! {
                    () = connection.closed() => return said.send("closed").await.unwrap(),
                    () = waiting.notified() => {}
                }
                connection.chunk("data: 2\n\n").await.unwrap();
                if says == "sent all" {
                    connection.chunk("").await.unwrap();
                }
                said.send(says).await.unwrap();
            }
        }
    })
    .await;
    (server, told, go_on)
}

/// TR-37: in 2026-07-28 a stream that is dropped closes the connection to the upstream within a second.
#[tokio::test]
async fn a_modern_disconnect_reaches_the_upstream() {
    let (server, mut told, _go_on) = patient().await;
    let mut events = events_of(at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap());
    assert_eq!(next_message(&mut events).await, json!(1));
    drop(events);
    assert_eq!(tokio::time::timeout(SECOND, told.recv()).await.unwrap(), Some("closed"));

    // The same holds before it has answered.
    let (said, mut told) = mpsc::channel(1);
    let server = Server::start(move |_, mut connection: Connection| {
        let said = said.clone();
        async move {
            said.send("asked").await.unwrap();
            connection.closed().await;
            said.send("closed").await.unwrap();
        }
    })
    .await;
    let sending = tokio::spawn(at(&server).send(call("a", MODERN, "x", json!({}))));
    assert_eq!(told.recv().await, Some("asked"));
    sending.abort();
    assert_eq!(tokio::time::timeout(SECOND, told.recv()).await.unwrap(), Some("closed"));
}

/// TR-38: in the older revisions the upstream's answer is read to its end, because the upstream may keep what it sends
/// for a client that comes back. The number of such exchanges is bounded.
#[tokio::test]
async fn an_older_disconnect_does_not_reach_the_upstream() {
    let (server, mut told, go_on) = patient().await;
    let mut events = events_of(at(&server).send(call("a", OLDER, "x", json!({}))).await.unwrap());
    assert_eq!(next_message(&mut events).await, json!(1));
    drop(events);
    for says in ["went on", "went on", "sent all"] {
        go_on.notify_one();
        assert_eq!(told.recv().await, Some(says));
    }

    let (server, mut told, _go_on) = patient().await;
    let limits = ForwardLimits { abandoned_max: 0, ..ForwardLimits::default() };
    let upstream = upstream_within(limits, &HttpSettings::new(server.url()));
    let mut events = events_of(upstream.send(call("a", OLDER, "x", json!({}))).await.unwrap());
    assert_eq!(next_message(&mut events).await, json!(1));
    drop(events);
    assert_eq!(tokio::time::timeout(SECOND, told.recv()).await.unwrap(), Some("closed"));
}

/// ATK-93: events, answers and encodings that would grow without bound are refused.
#[tokio::test]
async fn what_an_upstream_sends_is_bounded() {
    let long: &'static str = Box::leak("x".repeat(3000).into_boxed_str());
    let server = answering("200 OK", "Content-Type: application/json\r\n", long).await;
    let error = at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
    assert_eq!(error, ForwardError::TooLarge { max: 2000 });

    let server = answering("200 OK", "Content-Type: text/event-stream\r\n", long).await;
    for revision in [MODERN, OLDER] {
        let mut events = events_of(at(&server).send(call("a", revision, "x", json!({}))).await.unwrap());
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error, ForwardError::TooLarge { max: 2000 });
        assert!(events.next().await.is_none());
    }
    for (lines, encoding) in [
        ("Content-Encoding: gzip\r\n", "gzip"),
        ("Content-Encoding: BR\r\n", "br"),
        ("Content-Encoding: identity, zstd\r\n", "zstd"),
        ("Content-Encoding: identity\r\nContent-Encoding: x-gzip\r\n", "x-gzip"),
        ("Content-Encoding: evil\r\n", "(another)"),
    ] {
        for kind in ["application/json", "text/event-stream"] {
            let encoded: &'static str = Box::leak(format!("Content-Type: {kind}\r\n{lines}").into_boxed_str());
            let server = answering("200 OK", encoded, RESULT).await;
            let error = at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
            assert_eq!(error, ForwardError::Encoded { encoding }, "{lines}");
            assert!(error.to_string().contains(encoding) && error.to_string().contains("switch compression off"));
        }
    }
    for lines in ["Content-Encoding: Identity\r\n", "Content-Encoding: \r\n"] {
        let plain: &'static str = Box::leak(format!("Content-Type: application/json\r\n{lines}").into_boxed_str());
        let server = answering("200 OK", plain, RESULT).await;
        assert_eq!(json_of(at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap())["id"], 1, "{lines}");
    }
}

/// A result has the same bound in a body and in an event.
#[tokio::test]
async fn an_answer_has_one_bound_in_a_body_and_in_an_event() {
    let json: &'static str = Box::leak(format!("{}{RESULT}", " ".repeat(1900)).into_boxed_str());
    let server = answering("200 OK", "Content-Type: application/json\r\n", json).await;
    assert_eq!(json_of(at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap())["id"], 1);
    let event: &'static str = Box::leak(format!("data: {json}\n\n").into_boxed_str());
    let server = answering("200 OK", "Content-Type: text/event-stream\r\n", event).await;
    let mut events = events_of(at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap());
    assert_eq!(next_message(&mut events).await["id"], 1);
}

/// Only events of the type `message` carry messages (HTML Living Standard §9.2.6). Others keep the connection open,
/// and their ids are places to resume from.
#[tokio::test]
async fn events_of_other_types_carry_no_message() {
    let events =
        "event: ping\ndata: ping\n\nevent: endpoint\ndata: /x\nid: 4\n\nevent: message\ndata: 1\n\nevent:\ndata: 2\n\n";
    let server = answering("200 OK", "Content-Type: text/event-stream\r\n", events).await;
    for revision in [MODERN, OLDER] {
        let mut events = events_of(at(&server).send(call("a", revision, "x", json!({}))).await.unwrap());
        assert_eq!(events.next().await.unwrap().unwrap(), Event::Comment);
        assert_eq!(events.next().await.unwrap().unwrap(), Event::Position { id: "4".into() });
        for number in [1, 2] {
            assert_eq!(next_message(&mut events).await, json!(number));
        }
        assert!(events.next().await.is_none());
    }
}

/// TR-44: after progress a call has its full time again.
#[tokio::test]
async fn progress_on_a_stream_gives_a_call_its_time_anew() {
    let server = Server::start(|_, mut connection: Connection| async move {
        connection.begin_events().await;
        for _ in 0..5 {
            let progress =
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
            connection.chunk(&format!("data: {progress}\n\n")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        connection.chunk(&format!("data: {RESULT}\n\n")).await.unwrap();
        connection.chunk("").await.unwrap();
    })
    .await;
    let mut slow = call("a", MODERN, "x", json!({}));
    slow.deadline = Deadline::new(tokio::time::Instant::now(), Duration::from_millis(1500));
    let mut events = events_of(at(&server).send(slow).await.unwrap());
    for _ in 0..5 {
        assert_eq!(next_message(&mut events).await["method"], "notifications/progress");
    }
    assert_eq!(next_message(&mut events).await["id"], 1);
}

/// RFC 9110 §10.2.3: an upstream that asks to wait says for how long, in seconds or by a date that is compared with its
/// own.
#[tokio::test]
async fn an_upstream_that_asks_to_wait_says_for_how_long() {
    let dates = "Date: Mon, 30 Nov 2026 20:00:00 GMT\r\nRetry-After: Mon, 30 Nov 2026 20:01:30 GMT\r\n";
    for (status, code, headers, seconds) in [
        ("429 Too Many Requests", 429, "Retry-After: 7\r\n", Some(7)),
        ("503 Service Unavailable", 503, "Retry-After: 0\r\n", Some(0)),
        ("429 X", 429, dates, Some(90)),
        ("429 X", 429, "Retry-After: Mon, 30 Nov 2026 20:01:30 GMT\r\n", None),
        ("429 X", 429, "Retry-After: 99999999999999999999\r\n", Some(86_400)),
        ("429 X", 429, "Retry-After: -1\r\n", None),
        ("503 X", 503, "Retry-After: soon\r\n", None),
        ("503 X", 503, "", None),
    ] {
        let headers: &'static str = Box::leak(format!("{headers}Content-Type: application/json\r\n").into_boxed_str());
        let server = answering(status, headers, RESULT).await;
        for revision in [MODERN, OLDER] {
            let error = at(&server).send(call("a", revision, "x", json!({}))).await.unwrap_err();
            let wanted = ForwardError::AskedToWait { status: code, retry_after_seconds: seconds };
            assert_eq!(error, wanted, "{headers}");
        }
    }
}

/// A stream that breaks off inside an event is an error, and the piece of the event is not passed on.
#[tokio::test]
async fn half_an_event_is_not_passed_on() {
    let server = answering("200 OK", "Content-Type: text/event-stream\r\n", "data: 1\n\ndata: 2").await;
    let mut events = events_of(at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap());
    assert_eq!(next_message(&mut events).await, json!(1));
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ForwardError::Unreachable { sent: true, .. }), "{error}");
}

/// TR-44: the wait for the head of an answer and for its end are both bounded.
#[tokio::test]
async fn an_upstream_has_a_deadline() {
    let server = Server::start(|_, mut connection: Connection| async move {
        connection.closed().await;
    })
    .await;
    let mut settings = HttpSettings::new(server.url());
    settings.answer_timeout = Duration::from_millis(100);
    for revision in [MODERN, OLDER] {
        let error = upstream(&settings).send(call("a", revision, "x", json!({}))).await.unwrap_err();
        assert_eq!(error, ForwardError::Timeout { sent: true });
    }
    let (server, _told, _go_on) = patient().await;
    let mut slow = call("a", MODERN, "x", json!({}));
    slow.deadline = Deadline::new(tokio::time::Instant::now(), Duration::from_millis(300));
    let mut events = events_of(at(&server).send(slow).await.unwrap());
    assert_eq!(next_message(&mut events).await, json!(1));
    assert_eq!(events.next().await.unwrap().unwrap_err(), ForwardError::Timeout { sent: true });
}

/// HTTP errors: a JSON-RPC answer in one goes on with its status; otherwise only the status goes on.
#[tokio::test]
async fn an_http_error_goes_on_as_message_or_as_status() {
    let json = "Content-Type: application/json\r\n";
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}"#;
    let server = answering("400 Bad Request", json, error).await;
    let answer = at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(json_of(answer)["error"]["code"], -32022);
    for (headers, body) in [(json, r#"{"message":"secret"}"#), ("Content-Type: text/html\r\n", "<p>"), ("", "")] {
        let server = answering("500 X", headers, body).await;
        let answer = at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap();
        assert!(matches!(answer.body, AnswerBody::Refused { status } if status == 500), "{answer:?}");
    }
    let server = answering("200 OK", "Content-Type: text/html\r\n", "<p>").await;
    let error = at(&server).send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
    assert!(matches!(error, ForwardError::Malformed { .. }));
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let server = answering("202 Accepted", "", "").await;
    let answer = at(&server).send(request("a", OLDER, notification)).await.unwrap();
    assert!(matches!(answer.body, AnswerBody::Accepted));
}

/// A session of an older upstream begins with `initialize`, is named on every request, is gone after 404, and is ended
/// by DELETE.
#[tokio::test]
async fn a_session_of_the_upstream_is_kept() {
    let server = Server::start(|request: Received, connection: Connection| async move {
        let json = "Content-Type: application/json\r\n";
        match request.header("mcp-session-id").first().map(String::as_str) {
            None if request.head.starts_with("POST") => {
                let session = format!("{json}Mcp-Session-Id: up-1\r\n");
                connection.answer("200 OK", &session, RESULT).await;
            }
            Some("up-1") if request.head.starts_with("POST") => connection.json(RESULT).await,
            Some("up-1") => connection.answer("405 X", "", "").await,
            _ => connection.answer("404 X", json, RESULT).await,
        }
    })
    .await;
    let upstream = at(&server);
    let answer = upstream.clone().send(initialize("a", "1", json!({}))).await.unwrap();
    let Some(UpstreamSession::Http(id)) = &answer.session else { panic!("{answer:?}") };
    assert_eq!(id, "up-1");
    let session = answer.session.clone().unwrap();
    let answer = upstream.clone().send(in_session(call("a", OLDER, "x", json!({})), &session)).await.unwrap();
    assert!(answer.session.is_none());
    let error = upstream.listen(listening(Some(session.clone()), Some("9"))).await.unwrap_err();
    assert_eq!(error, ForwardError::MethodNotAllowed);
    upstream.end_session("up-1").await;
    let gone = UpstreamSession::Http("up-2".into());
    let error = upstream.send(in_session(call("a", OLDER, "x", json!({})), &gone)).await.unwrap_err();
    assert_eq!(error, ForwardError::SessionGone);
    let received = server.received();
    let versions: Vec<_> = received.iter().map(|received| received.header("mcp-protocol-version")).collect();
    assert_eq!(versions[0], Vec::<String>::new());
    assert_eq!(versions[1], ["2025-11-25"]);
    assert!(received[2].head.starts_with("GET"));
    assert_eq!(received[2].header("last-event-id"), ["9"]);
    assert_eq!(received[2].header("accept"), ["text/event-stream"]);
    assert!(received[3].head.starts_with("DELETE"));
}

/// A server that gives this answer to `server/discover`; with `200 Only` it does not know `initialize`.
async fn eras(discover: &'static str, status: &'static str) -> Server {
    Server::start(move |request: Received, connection: Connection| async move {
        let json = "Content-Type: application/json\r\n";
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }).to_string();
        let in_session = request.header("mcp-session-id") == ["s"];
        match body["method"].as_str() {
            Some("server/discover") => connection.answer(status, json, discover).await,
            Some("initialize") if status != "200 Only" => {
                let info = json!({ "name": "older" });
                let result = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info });
                connection.answer("200 OK", &format!("{json}Mcp-Session-Id: s\r\n"), &answer(result)).await;
            }
            Some("tools/list") if in_session || status.starts_with("200") => {
                let list = format!("data: {}\n\n", answer(json!({ "tools": [{ "name": "one" }] })));
                connection.answer("200 OK", "Content-Type: text/event-stream\r\n", &list).await;
            }
            _ => connection.answer("202 X", "", "").await,
        }
    })
    .await
}

/// TR-50, TR-52, ST-10, ST-11: an upstream is modern if it answers as a modern one. Whether it also, or only, knows the
/// older way is found out in a session that is ended afterwards. This happens once.
#[tokio::test]
async fn the_era_of_an_upstream_is_found_out_once() {
    let modern = r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
    let known = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"?"}}"#;
    let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no session"}}"#;
    let (both, older) = ([Revision::V2025_06_18, MODERN], [Revision::V2025_06_18]);
    for (discover, status, revisions) in [
        (modern, "200 OK", &both[..]),
        (modern, "200 Only", &[MODERN]),
        (known, "400 X", &both),
        (unknown, "400 X", &older),
        (unknown, "404 X", &older),
        ("<p>", "405 X", &older),
        ("", "500 X", &older),
    ] {
        let server = eras(discover, status).await;
        let upstream = at(&server);
        let (one, two) = tokio::join!(upstream.revisions(None), upstream.revisions(None));
        assert_eq!(one.unwrap().revisions, revisions, "{status}");
        two.unwrap();
        let probes = server.received();
        let discovers = probes.iter().filter(|received| received.body.contains("server/discover"));
        assert_eq!(discovers.count(), 1, "{status}");
        assert_eq!(probes[0].header("mcp-method"), ["server/discover"]);
        if discover == known {
            continue;
        }
        let lists = upstream.list_tools(None).await.unwrap();
        assert_eq!(lists.len(), if revisions == both { 2 } else { 1 }, "{status}");
        for list in lists {
            assert_eq!(list[0].get(), r#"{"name":"one"}"#);
        }
        let ended = server.received().iter().filter(|received| received.head.starts_with("DELETE")).count();
        assert_eq!(ended, if revisions == [MODERN] { 0 } else { 2 }, "{status}");
    }
}
