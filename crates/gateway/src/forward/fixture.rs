//! What the tests of forwarding need: cleared messages, a scripted program, a scripted HTTP server.
//!
//! The program is this very test binary, started again with one ignored test selected. What the test harness prints
//! before and after it is noise on standard output, as some real programs produce it, too.

pub(super) mod program;
pub(super) mod server;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use sekisho_policy::decide::{Decision, decide};
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer};
use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::{RequestId, ServerName};
use sekisho_protocol::mcp::message::{Kind, Message};
use sekisho_protocol::mcp::method::{Direction, Era, Revision, lookup};
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::scope::ScopeSet;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Answer, AnswerBody, Deadline, Event, EventStream, ForwardRequest, Outgoing, UpstreamSession};
use crate::credential::Credential;
use crate::revision::FarRevision;
use crate::route::Upstream;
use crate::settle::Cleared;
use crate::upstream::{HttpSettings, UpstreamSettings};

pub(super) const MODERN: Revision = Revision::V2026_07_28;
pub(super) const OLDER: Revision = Revision::V2025_11_25;

pub(super) fn name() -> ServerName {
    "probe".parse().unwrap()
}

pub(super) fn cleared(subject: &str, method: &'static str) -> Cleared {
    let caller = match subject {
        "anonymous" => Caller::anonymous(ScopeSet::empty()),
        _ => Caller::of_test(1, |granted| granted.subject = format!("service:{subject}").parse().unwrap()),
    };
    let call = Call::bare(name(), method, Target::Server);
    let id = RequestId::generate(ManualClock::default().now(), &SeededEntropy::default());
    let text = "permit (principal, action, resource);".to_owned();
    let files = vec![PolicyFile { name: "all.cedar".into(), text }];
    let servers = [(name(), RightsServer::default())].into();
    let rights = Rights::new(RightsParts { files, servers, ..RightsParts::default() }).unwrap();
    match decide(&rights, &caller, &Authority::default(), &call, ManualClock::default().now()) {
        Decision::Permit(permit) => Cleared::for_test(permit, id),
        other => panic!("{other:?}"),
    }
}

/// A message of `subject`; its kind is read from the message itself.
pub(super) fn request(subject: &str, revision: Revision, body: &str) -> ForwardRequest {
    let message = Message::read(body.as_bytes(), &Limits::default()).unwrap();
    let row = |method: &str| lookup(revision, Direction::ClientToServer, method).unwrap();
    let (method, kind) = match message.kind() {
        Kind::Request { id, method, .. } => {
            let progress_token = message.meta().and_then(|meta| meta.progress_token.clone());
            let row = row(method);
            (row.name, Outgoing::Request { id: id.clone(), method: row.method, progress_token })
        }
        Kind::Notification { method, .. } => {
            let row = row(method);
            (row.name, Outgoing::Notification { method: row.method })
        }
        Kind::Response { id, .. } => ("ping", Outgoing::Response { id: id.clone().unwrap() }),
    };
    ForwardRequest {
        cleared: cleared(subject, method),
        upstream: Upstream::behind(&name(), UpstreamSettings::Http(HttpSettings::new("http://127.0.0.1:9/"))),
        credential: Credential::None,
        body: Bytes::copy_from_slice(body.as_bytes()),
        kind,
        far: FarRevision(revision),
        headers: HeaderMap::new(),
        session: None,
        init: None,
        deadline: Deadline::new(Instant::now(), Duration::from_secs(20)),
    }
}

/// `tools/call` with id 1.
pub(super) fn call(subject: &str, revision: Revision, tool: &str, arguments: Value) -> ForwardRequest {
    let mut params = json!({ "name": tool, "arguments": arguments });
    if revision.era() == Era::Stateless {
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": revision.as_str() });
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    request(subject, revision, &body.to_string())
}

pub(super) fn initialize(subject: &str, id: &str, capabilities: Value) -> ForwardRequest {
    let params = json!({
        "protocolVersion": OLDER.as_str(),
        "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "1" },
    });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params });
    let mut request = request(subject, OLDER, &body.to_string());
    request.init = Some(super::InitDigest::of(OLDER, &capabilities.to_string()));
    request
}

pub(super) fn in_session(mut request: ForwardRequest, session: &UpstreamSession) -> ForwardRequest {
    request.session = Some(session.clone());
    request
}

/// The one message of an answer that is not a stream.
pub(super) fn json_of(answer: Answer) -> Value {
    match answer.body {
        AnswerBody::Json(bytes) => serde_json::from_slice(&bytes).unwrap(),
        other => panic!("expected one message, got {other:?}"),
    }
}

/// The text of a tool's result, from an answer that is not a stream.
pub(super) fn text_of(answer: Answer) -> String {
    let message = json_of(answer);
    let text = message["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {message}")).to_owned()
}

pub(super) fn events_of(answer: Answer) -> EventStream {
    match answer.body {
        AnswerBody::Events(events) => events,
        other => panic!("expected a stream, got {other:?}"),
    }
}

/// The next message of a stream.
pub(super) async fn next_message(events: &mut EventStream) -> Value {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    match next.await.expect("no event in time") {
        Some(Ok(Event::Message { data, .. })) => serde_json::from_slice(&data).unwrap(),
        other => panic!("expected a message, got {other:?}"),
    }
}

/// Waits for something that another process or task does, and fails if it does not happen.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            tick.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(15), waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}
