use sekisho_protocol::mcp::headers::{HeaderView, agree};
use sekisho_protocol::mcp::message::Message;
use sekisho_protocol::mcp::method::Revision;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::AccessToken;
use serde_json::json;

use super::{McpError, McpSession};
use crate::fixtures::{ISSUER, RESOURCE, registration, resource_id};
use crate::http::{Scripted, SentRequest};
use crate::token::Tokens;

const POST: &str = "POST https://server.test/mcp/notes";

fn tokens() -> Tokens {
    let access = AccessToken::from_outside("at");
    Tokens {
        issuer: ISSUER.to_owned(),
        client: registration(),
        resource: resource_id(),
        access,
        refresh: None,
        expires: None,
        scopes: None,
        asked: None,
        dpop: None,
    }
}

fn session(revision: Revision) -> McpSession {
    McpSession::new(resource_id(), revision, "demo")
}

fn result(id: i64) -> serde_json::Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": {} })
}

/// CL-36, TR-16: in 2026-07-28, headers repeat parts of the body, and every request names revision and client in
/// `_meta`.
#[tokio::test]
async fn a_stateless_request_says_everything_itself() {
    let http = Scripted::default().json(POST, 200, &result(1)).json(POST, 200, &result(2));
    let mut session = session(Revision::V2026_07_28);
    session.initialize(&http, Some(&tokens())).await.unwrap();
    let params = json!({ "name": "日本", "arguments": {}, "_meta": { "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } } });
    let answer = session.call(&http, Some(&tokens()), "tools/call", params).await.unwrap();
    assert_eq!(answer.result(), Some(&json!({})));
    let sent = http.sent();
    let methods: Vec<&str> = sent.iter().map(|sent| sent.header("mcp-method")).collect();
    assert_eq!(methods, ["server/discover", "tools/call"]);
    for request in &sent {
        assert_eq!(request.header("authorization"), "Bearer at");
        assert_eq!(request.header("accept"), "application/json, text/event-stream");
        assert_eq!(request.header("mcp-session-id"), "");
        check_agreement(request);
    }
    assert_eq!(sent[1].header("mcp-name"), "=?base64?5pel5pys?=");
    assert_eq!(
        sent[1].json()["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"],
        json!({ "elicitation": {} })
    );
}

/// Checks with the gateway's own code that headers and body agree.
fn check_agreement(sent: &SentRequest) {
    let headers: Vec<(&str, &[u8])> =
        sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let view = HeaderView::read(headers);
    let message = Message::read(&sent.body, &Limits::default()).unwrap();
    assert_eq!(agree(&view, &message, None), Ok(Revision::V2026_07_28));
}

/// 2025-11-25 lifecycle: one `initialize`, then every request has the session and the revision; DELETE ends the session
/// (CL-36).
#[tokio::test]
async fn a_session_is_begun_and_ended() {
    let begun: &[(&'static str, &str)] = &[("content-type", "application/json"), ("mcp-session-id", "s1")];
    let http = Scripted::default().with(POST, 200, begun, result(1).to_string()).with(POST, 202, &[], "").json(
        POST,
        200,
        &result(2),
    );
    let mut session = session(Revision::V2025_11_25);
    session.initialize(&http, Some(&tokens())).await.unwrap();
    session.call(&http, Some(&tokens()), "tools/list", json!({})).await.unwrap();
    session.close(&http, Some(&tokens())).await.unwrap();
    session.close(&http, Some(&tokens())).await.unwrap();
    let sent = http.sent();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[0].json()["params"]["protocolVersion"], json!("2025-11-25"));
    assert_eq!((sent[0].header("mcp-session-id"), sent[0].header("mcp-protocol-version")), ("", ""));
    assert_eq!(sent[1].json(), json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    for request in &sent[1..] {
        assert_eq!((request.header("mcp-session-id"), request.header("mcp-protocol-version")), ("s1", "2025-11-25"));
        assert_eq!(request.header("authorization"), "Bearer at");
    }
    assert_eq!(sent[3].line, format!("DELETE {RESOURCE}"));
    assert!(!sent[2].json().to_string().contains("_meta"));
}

/// The response on a stream is found among earlier messages.
#[tokio::test]
async fn an_answer_on_a_stream_is_found() {
    let stream: &[(&'static str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];
    // An event of another type carries no message.
    let body = ": hi\n\nevent: ping\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":2}}\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{\"a\":1}}\n\ndata: cut";
    let http = Scripted::default().with(POST, 200, stream, body);
    let answer = session(Revision::V2026_07_28).call(&http, None, "tools/list", json!({})).await.unwrap();
    assert_eq!(answer.result(), Some(&json!({ "a": 1 })));
    assert_eq!(answer.others.len(), 1);
    assert_eq!(http.sent()[0].header("authorization"), "");
}

/// CL-02: a 401 is returned with its challenge; an error without an id is still returned.
#[tokio::test]
async fn a_refusal_is_an_answer() {
    let challenge: &[(&'static str, &str)] = &[
        ("content-type", "application/json"),
        ("www-authenticate", r#"Bearer resource_metadata="https://server.test/m", scope="mcp:read""#),
    ];
    let http =
        Scripted::default().with(POST, 401, challenge, r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"}}"#);
    let answer = session(Revision::V2025_11_25).initialize(&http, None).await.unwrap();
    assert_eq!(answer.status.as_u16(), 401);
    assert_eq!(answer.challenge.as_ref().unwrap().resource_metadata.as_deref(), Some("https://server.test/m"));
    assert_eq!(answer.error().unwrap()["code"], json!(-32000));
    // After a refused `initialize`, no `initialized` is sent.
    assert_eq!(http.lines(), [POST]);
}

/// CL-37: a token is sent to its own server and to nobody else.
#[tokio::test]
async fn a_token_of_another_server_is_not_sent() {
    for other in ["https://server.test/mcp/other", "https://evil.test/mcp/notes", "https://server.test/mcp/notes/"] {
        let http = Scripted::default();
        let mut session = McpSession::new(ResourceId::parse(other).unwrap(), Revision::V2026_07_28, "demo");
        let error = session.call(&http, Some(&tokens()), "tools/list", json!({})).await.unwrap_err();
        assert!(matches!(error, McpError::OtherResource { .. }), "{other}: {error:?}");
        assert!(http.lines().is_empty());
    }
}
