//! A proxy with common mistakes, on purpose: with the third party behind it, and the servers that trust it. The scenes
//! about attacks call it. It listens on loopback, keeps everything in memory, and has no real data.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The running proxy. It stops when this is dropped.
#[derive(Debug)]
pub struct NaiveProxy {
    /// Its origin, such as `http://127.0.0.1:41234`.
    pub origin: String,
    memory: Shared,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Memory {
    redirects: HashMap<String, String>,
    /// By our own `state`: the client and its `state`.
    pending: HashMap<String, (String, String)>,
    codes: Vec<String>,
    tokens: Vec<String>,
    sessions: u32,
    /// The last `Authorization` header that the upstream got.
    shown: Option<String>,
    counter: u32,
}

type Shared = Arc<Mutex<Memory>>;
type Parameters = Query<HashMap<String, String>>;

#[derive(Deserialize)]
struct Redemption {
    code: String,
}

impl NaiveProxy {
    /// Starts the proxy on a free port of loopback. Fails if there is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let memory = Shared::default();
        let router = Router::new()
            .route("/proxy/register", post(register))
            .route("/proxy/authorize", get(authorize))
            .route("/proxy/callback", get(callback))
            .route("/proxy/token", post(token))
            .route("/proxy/mcp", post(proxied))
            .route("/third/authorize", get(third_party))
            .route("/third/consent", post(third_party_consent))
            .route("/upstream/mcp", post(upstream))
            .route("/mail/mcp", post(mail))
            .with_state(Arc::clone(&memory));
        let serving = tokio::spawn(async move {
            // If a request fails, the scene that sent it notices.
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { origin, memory, serving })
    }

    /// Returns the last `Authorization` header that the upstream got since the previous call.
    pub(crate) fn take_shown(&self) -> Option<String> {
        memory(&self.memory).shown.take()
    }
}

impl Drop for NaiveProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn memory(shared: &Shared) -> std::sync::MutexGuard<'_, Memory> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn next(&mut self, what: &str) -> String {
        self.counter += 1;
        format!("{what}-{}", self.counter)
    }
}

fn redirect(place: &str) -> Response {
    (StatusCode::FOUND, [(LOCATION, place.to_owned())]).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?.to_owned())
}

/// Registers any client with any redirect URI.
async fn register(State(shared): State<Shared>, Json(asked): Json<Value>) -> Response {
    let redirect = asked.pointer("/redirect_uris/0").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut memory = memory(&shared);
    let client = memory.next("client");
    memory.redirects.insert(client.clone(), redirect);
    (StatusCode::CREATED, Json(json!({ "client_id": client }))).into_response()
}

/// The mistake: every client is redirected to the third party with the one client identifier that the proxy has there,
/// and the person is never asked about the client.
async fn authorize(State(shared): State<Shared>, Query(asked): Parameters) -> Response {
    let of = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let mut memory = memory(&shared);
    let pending = memory.next("pending");
    memory.pending.insert(pending.clone(), (of("client_id"), of("state")));
    redirect(&format!("/third/authorize?client_id=the-proxy&state={pending}"))
}

/// The third party remembers that a person agreed to the proxy once.
async fn third_party(headers: HeaderMap, Query(asked): Parameters) -> Response {
    let state = asked.get("state").cloned().unwrap_or_default();
    let remembered =
        headers.get(COOKIE).and_then(|value| value.to_str().ok()).is_some_and(|jar| jar.contains("agreed=yes"));
    if remembered {
        return redirect(&format!("/proxy/callback?code=third&state={state}"));
    }
    let state: String =
        state.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect();
    let form = format!(
        "<form method=\"post\" action=\"/third/consent?state={state}\"><button name=\"decision\" value=\"approve\">Let the proxy in</button></form>"
    );
    Html(form).into_response()
}

async fn third_party_consent(Query(asked): Parameters) -> Response {
    let state = asked.get("state").cloned().unwrap_or_default();
    let mut response = redirect(&format!("/proxy/callback?code=third&state={state}"));
    if let Ok(cookie) = "agreed=yes; HttpOnly; SameSite=Lax; Path=/third".parse() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

async fn callback(State(shared): State<Shared>, Query(asked): Parameters) -> Response {
    let mut memory = memory(&shared);
    let pending = asked.get("state").and_then(|state| memory.pending.remove(state));
    let Some((client, state)) = pending else { return StatusCode::BAD_REQUEST.into_response() };
    let Some(place) = memory.redirects.get(&client).cloned() else { return StatusCode::BAD_REQUEST.into_response() };
    let code = memory.next("code");
    memory.codes.push(code.clone());
    redirect(&format!("{place}?code={code}&state={state}"))
}

async fn token(State(shared): State<Shared>, Form(asked): Form<Redemption>) -> Response {
    let mut memory = memory(&shared);
    let before = memory.codes.len();
    memory.codes.retain(|code| *code != asked.code);
    if memory.codes.len() == before {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    }
    let token = memory.next("token");
    memory.tokens.push(token.clone());
    Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 })).into_response()
}

/// Two mistakes: a session replaces a token, and the token is passed on.
async fn proxied(State(shared): State<Shared>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let session = headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut memory = memory(&shared);
    let known = session.as_ref().and_then(|session| session.parse::<u32>().ok());
    let has_session = known.is_some_and(|session| (1001..=1000 + memory.sessions).contains(&session));
    let token = bearer(&headers).filter(|token| memory.tokens.contains(token));
    if token.is_none() && !has_session {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    memory.shown = token.map(|token| format!("Bearer {token}"));
    let mut response = Json(answer(&asked, "the private notes of alice")).into_response();
    if asked.get("method") == Some(&json!("initialize")) {
        memory.sessions += 1;
        if let Ok(session) = (1000 + memory.sessions).to_string().parse() {
            response.headers_mut().insert("mcp-session-id", session);
        }
    }
    response
}

/// A server of 2025-11-25 that notes the `Authorization` header that it gets.
async fn upstream(State(shared): State<Shared>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    if asked.get("id").is_none() {
        return StatusCode::ACCEPTED.into_response();
    }
    if asked.get("method") == Some(&json!("tools/call")) {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        memory(&shared).shown = shown.map(str::to_owned);
    }
    Json(answer(&asked, "looked up")).into_response()
}

/// Another server behind the proxy. Its mistake: it accepts every token that the proxy issued, for whichever server.
async fn mail(State(shared): State<Shared>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let good = bearer(&headers).is_some_and(|token| memory(&shared).tokens.contains(&token));
    if good {
        Json(answer(&asked, "the mail of alice")).into_response()
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

fn answer(asked: &Value, text: &str) -> Value {
    let result = match asked.get("method").and_then(Value::as_str) {
        Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "naive", "version": "1" } }),
        Some("tools/list") => json!({ "tools": [{ "name": "lookup", "description": "Looks something up.",
            "inputSchema": { "type": "object" } }] }),
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": text }] }),
        Some("ping") => json!({}),
        _ => {
            return json!({ "jsonrpc": "2.0", "id": asked.get("id"), "error": { "code": -32601, "message": "no such method" } });
        }
    };
    json!({ "jsonrpc": "2.0", "id": asked.get("id"), "result": result })
}
