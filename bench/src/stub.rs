//! The upstream of every proxy: an MCP server over Streamable HTTP whose answers are constant and small.
//!
//! It speaks the stateless revision (2026-07-28) and answers `initialize` for the older ones, so that a gateway of
//! either era can stand in front of it. It checks only what it needs to answer; it is no example of a server.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// The tool that the generator calls.
pub(crate) const TOOL: &str = "read_note";
/// The text of the single content item in the result of a call of [`TOOL`].
pub(crate) const TEXT: &str = "the note says that all is well";

/// The largest body that is read, in bytes. Calls have 300.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The older revisions, newest first. The first one is the answer to an `initialize` for an unknown revision.
const LEGACY_REVISIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    name: Option<String>,
    #[serde(rename = "protocolVersion")]
    protocol_version: Option<String>,
}

/// Answers at any path until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), io::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // If a connection breaks, the caller notices, because it checks every answer.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
    if request.method() != Method::POST {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, String::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
    let (status, text) = respond(&body);
    Ok(reply(status, text))
}

fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns the status and the body for one message.
fn respond(body: &[u8]) -> (StatusCode, String) {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
        return (StatusCode::BAD_REQUEST, error("null", -32700, "not a JSON-RPC message"));
    };
    // Without an id or a method, it is a notification or a response: it is accepted without an answer.
    let (Some(id), Some(method)) = (message.id, message.method) else {
        return (StatusCode::ACCEPTED, String::new());
    };
    let params = message.params.as_ref();
    match result(&method, params) {
        Some(result) => (StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)),
        None if method == "tools/call" => (StatusCode::OK, error(id.get(), -32602, "unknown tool")),
        None => (StatusCode::NOT_FOUND, error(id.get(), -32601, "method not found")),
    }
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}

fn result(method: &str, params: Option<&Params>) -> Option<String> {
    let list = |member: &str, items: &str| {
        format!(r#"{{"{member}":[{items}],"resultType":"complete","ttlMs":60000,"cacheScope":"public"}}"#)
    };
    match method {
        "initialize" => Some(initialize(params)),
        "ping" => Some("{}".to_owned()),
        "prompts/list" => Some(list("prompts", "")),
        "resources/list" => Some(list("resources", "")),
        "resources/templates/list" => Some(list("resourceTemplates", "")),
        "server/discover" => Some(discover()),
        "tools/call" if params.and_then(|params| params.name.as_deref()) == Some(TOOL) => Some(format!(
            r#"{{"content":[{{"type":"text","text":"{TEXT}"}}],"isError":false,"resultType":"complete"}}"#
        )),
        "tools/list" => Some(list("tools", &tools())),
        _ => None,
    }
}

fn initialize(params: Option<&Params>) -> String {
    let asked = params.and_then(|params| params.protocol_version.as_deref());
    let [newest, _] = LEGACY_REVISIONS;
    let revision = LEGACY_REVISIONS.into_iter().find(|known| Some(*known) == asked).unwrap_or(newest);
    format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench-stub","version":"1.0.0"}}}}"#
    )
}

fn discover() -> String {
    let legacy = LEGACY_REVISIONS.map(|revision| format!(r#""{revision}""#)).join(",");
    format!(
        r#"{{"resultType":"complete","supportedVersions":["2026-07-28",{legacy}],"capabilities":{{"tools":{{}}}},"ttlMs":60000,"cacheScope":"public","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"bench-stub","version":"1.0.0"}}}}}}"#
    )
}

fn tools() -> String {
    let read_only = [TOOL, "list_notes", "search_notes"].map(|name| tool(name, true));
    let writing = ["write_note", "delete_note"].map(|name| tool(name, false));
    [read_only.join(","), writing.join(",")].join(",")
}

fn tool(name: &str, read_only: bool) -> String {
    format!(
        r#"{{"name":"{name}","description":"A tool of the bench stub","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":{read_only}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_json_and_carries_the_id_of_its_request() {
        let methods = [
            "initialize",
            "ping",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
            "server/discover",
            "tools/list",
        ];
        for method in methods {
            let (status, text) = respond(format!(r#"{{"jsonrpc":"2.0","id":"a-7","method":"{method}"}}"#).as_bytes());
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(status, StatusCode::OK, "{method}");
            assert_eq!(answer["id"], "a-7", "{method}");
            assert!(answer["result"].is_object(), "{method}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused_and_a_notification_is_accepted() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/frobnicate"}"#, StatusCode::NOT_FOUND, "-32601"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"no_such"}}"#, StatusCode::OK, "-32602"),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, StatusCode::ACCEPTED, ""),
            ("{", StatusCode::BAD_REQUEST, "-32700"),
        ];
        for (body, status, code) in cases {
            let (got, text) = respond(body.as_bytes());
            assert_eq!(got, status, "{body}");
            assert!(text.contains(code), "{body}: {text}");
        }
    }

    #[test]
    fn initialize_agrees_to_a_known_revision_and_offers_the_newest_otherwise() {
        for (asked, agreed) in [("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25")] {
            let params = Params { name: None, protocol_version: Some(asked.to_owned()) };
            assert!(initialize(Some(&params)).contains(agreed), "{asked}");
        }
    }
}
