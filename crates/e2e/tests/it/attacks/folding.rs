//! A server that treats as equal whatever any server might: it decodes twice, normalises Unicode, ignores case, cleans
//! paths and cuts off users, ports, parameters, queries and fragments. It reports what it was asked for, by value.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use unicode_normalization::UnicodeNormalization as _;

/// What arrived, by value: its kind, and what the server read it as.
pub(crate) type Arrived = Vec<(String, String)>;

#[derive(Debug, Default)]
struct ArrivedValues(Mutex<Arrived>);

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Folding {
    address: SocketAddr,
    seen: Arc<ArrivedValues>,
    serving: JoinHandle<()>,
}

impl Drop for Folding {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Folding {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<ArrivedValues>::default();
        let router = Router::new().route("/mcp", post(answer)).with_state(Arc::clone(&seen));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, seen, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn arrived(&self) -> Arrived {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(seen): State<Arc<ArrivedValues>>, Json(message): Json<Value>) -> Json<Value> {
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let take = |kind: &str, value: String| {
        let mut seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((kind.to_owned(), value.clone()));
        value
    };
    let result = match text("/method").as_str() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "resources": {}, "prompts": {}, "completions": {}, "tools": {} },
        }),
        "tools/list" => json!({ "tools": [] }),
        "resources/list" => {
            let resources = LISTED.map(|uri| json!({ "uri": uri, "name": uri }));
            json!({ "resources": resources })
        }
        "prompts/list" => {
            let prompts = ["open", "secret", "op\u{200b}en", "re\u{301}sume"].map(|name| json!({ "name": name }));
            json!({ "prompts": prompts })
        }
        "resources/read" => {
            let value = take("resource", folded(&text("/params/uri")));
            json!({ "contents": [{ "uri": text("/params/uri"), "text": format!("read {value}") }] })
        }
        "prompts/get" => {
            let value = take("prompt", folded_name(&text("/params/name")));
            json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": format!("got {value}") } }] })
        }
        "completion/complete" => {
            take("completion", folded(&text("/params/ref/uri")));
            json!({ "completion": { "values": [] } })
        }
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            return Json(json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
        }
    };
    let mut result = result;
    result["resultType"] = json!("complete");
    Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

/// What it lists: resources that may be read, some that may not, and entries that nobody can ask for.
pub(crate) const LISTED: [&str; 7] = [
    "note://pub/a",
    "note://priv/b",
    "NOTE://priv/b",
    "note:/priv/b",
    "note://pub/x/../../priv/b",
    "note://pub/a b",
    "note://pub/%61",
];

fn folded_name(name: &str) -> String {
    let seen: String =
        name.nfkc().filter(|character| !matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}')).collect();
    seen.trim().to_uppercase().to_lowercase()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let octet = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet.filter(|_| bytes[at] == b'%') {
            Some(octet) => {
                out.push(octet);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    // Old decoders read overlong forms like this.
    let text = String::from_utf8_lossy(&out).into_owned();
    text.replace("\u{fffd}\u{fffd}", ".")
}

/// Returns `scheme:/host/path` with everything folded.
pub(crate) fn folded(uri: &str) -> String {
    let before = uri.trim().replace(['\t', '\n', '\r'], "");
    let before = before.split(['#', '?']).next().unwrap_or_default();
    let text = folded_name(&decoded(&decoded(before))).replace('\\', "/");
    let text = text.split(['#', '?']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let rest = match rest.strip_prefix("//") {
        Some(inner) => {
            let (authority, path) = inner.split_once('/').unwrap_or((inner, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            let is_here = scheme == "file" && matches!(host, "localhost" | "127.0.0.1");
            let host = if is_here { "" } else { host };
            format!("{host}/{path}")
        }
        None => rest.to_owned(),
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        match segment.split(';').next().unwrap_or_default().trim_end_matches(' ') {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other.trim_end_matches(['.', ' '])),
        }
    }
    format!("{scheme}:/{}", segments.join("/"))
}
