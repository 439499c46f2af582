//! A server that our client contacts: it gives whatever response a test chooses, on loopback over plain http. Also a
//! user with a browser that follows every link.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use sekisho_e2e::harness::Outside;
use serde_json::{Value, json};

use super::field::{OWNER, PASSWORD};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    /// Where the server is.
    pub(crate) origin: String,
}

impl Came {
    pub(crate) fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// Returns the response to this request with this result.
    pub(crate) fn result(&self, result: &Value) -> Response {
        answer(200, &json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result }))
    }
}

/// Returns JSON with a status.
pub(crate) fn answer(status: u16, body: &Value) -> Response {
    with(status, &[("content-type", "application/json")], body.to_string())
}

/// Returns any response.
pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        // Bytes above ASCII are obsolete in a header, but are sent all the same.
        response = response.header(*name, value.as_bytes());
    }
    response.body(body.into()).unwrap()
}

type Answers = dyn Fn(&Came) -> Option<Response> + Send + Sync;

/// The server. It stops with the test.
pub(crate) struct Hostile {
    pub(crate) origin: String,
    came: Arc<Mutex<Vec<Came>>>,
}

struct Shared {
    origin: String,
    came: Arc<Mutex<Vec<Came>>>,
    answers: Box<Answers>,
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let came = Came {
        method,
        target: uri.to_string(),
        authorization: authorization.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        origin: shared.origin.clone(),
    };
    shared.came.lock().unwrap().push(came.clone());
    (shared.answers)(&came).or_else(|| usual(&came)).unwrap_or_else(|| answer(404, &json!({})))
}

/// The usual responses of a server and its authorization server, which accept everybody.
fn usual(came: &Came) -> Option<Response> {
    let origin = &came.origin;
    let path = came.target.split('?').next().unwrap_or_default();
    Some(match path {
        "/.well-known/oauth-protected-resource/mcp" => {
            answer(200, &json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin] }))
        }
        "/.well-known/oauth-authorization-server" => answer(
            200,
            &json!({ "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
                "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"] }),
        ),
        "/register" => answer(201, &json!({ "client_id": "client" })),
        "/authorize" => {
            let url = url::Url::parse(&format!("{origin}{}", came.target)).ok()?;
            let value = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
            let back = format!("{}?code=c&state={}", value("redirect_uri")?, value("state")?);
            with(302, &[("location", &back)], "")
        }
        "/token" => answer(200, &json!({ "access_token": "good", "token_type": "Bearer", "expires_in": 3600 })),
        "/mcp" if came.authorization.is_empty() => {
            with(401, &[("www-authenticate", "Bearer")], "")
        }
        "/mcp" if came.method == Method::GET => answer(405, &json!({})),
        "/mcp" if came.rpc() == "initialize" => came.result(
            &json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "hostile", "version": "1" } }),
        ),
        "/mcp" => with(202, &[], ""),
        _ => return None,
    })
}

impl Hostile {
    /// Responds as this function says, and as usual if it returns nothing.
    pub(crate) async fn start(answers: impl Fn(&Came) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let shared = Shared { origin: origin.clone(), came: Arc::clone(&came), answers: Box::new(answers) };
        let router = axum::Router::new().fallback(serve).with_state(Arc::new(shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, came }
    }

    /// Returns the URL of its MCP endpoint.
    pub(crate) fn url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    /// Returns the requests so far.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

/// A user whose browser notes each page in a file, and follows it if it is told to.
pub(crate) struct User {
    pub(crate) client: Outside,
    pub(crate) opened: PathBuf,
}

impl User {
    pub(crate) fn new(folder: &Path, goes: bool) -> Self {
        let opened = folder.join("opened");
        let browser = folder.join("browser.sh");
        let go = if goes {
            "exec python3 -c 'import sys,urllib.request as r;r.build_opener(r.HTTPCookieProcessor()).open(sys.argv[1])' \"$1\""
        } else {
            ""
        };
        std::fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n{go}\n", opened.display()))
            .unwrap();
        std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
        let client = Outside::new(&folder.join("client"), OWNER, PASSWORD)
            .variable("BROWSER", browser.display().to_string())
            .variable("SEKISHO_E2E_TOKEN", "good");
        Self { client, opened }
    }

    /// Returns the pages that were opened.
    pub(crate) fn pages(&self) -> Vec<String> {
        std::fs::read_to_string(&self.opened).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// Returns a message as a line.
pub(crate) fn line(message: &Value) -> String {
    format!("{message}\n")
}

/// Returns the handshake of a client, as two lines.
pub(crate) fn hello() -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "elicitation": { "url": {} } }, "clientInfo": { "name": "attacks", "version": "1" } });
    line(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }))
        + &line(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
}

/// Returns a call of a tool, as a line.
pub(crate) fn call(id: usize, tool: &str) -> String {
    line(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": {} } }))
}
