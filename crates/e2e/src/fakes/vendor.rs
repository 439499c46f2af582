//! A vendor on loopback, in one process: an authorization server, an MCP server that asks for its tokens, and a REST
//! endpoint that tells whose account a key or token is for. It behaves or misbehaves as a test tells it, and remembers
//! every refresh token that it was shown.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The conduct of the vendor until the test changes it.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// How long access tokens live.
    pub lives: Duration,
    /// What `expires_in` says; `None`: the member is missing.
    pub expires_in: Option<Value>,
    /// Whether each refresh gives another refresh token, and a used one ends the account's tokens.
    pub rotates: bool,
    /// Whether a refresh token is given at all.
    pub refreshes: bool,
    /// The error with which refreshes are refused.
    pub refuses: Option<String>,
    /// The status of every answer of the token endpoint, if it is broken.
    pub broken: Option<u16>,
    /// How long an answer of the token endpoint takes.
    pub takes: Duration,
    /// The scopes that are granted, whatever was asked for.
    pub scopes: String,
    /// Where the MCP server and the REST endpoint redirect to, if they do.
    pub redirects: Option<String>,
    /// Whether the MCP server refuses every token.
    pub refuses_all: bool,
    /// Members of its metadata that have other values.
    pub claims: Vec<(&'static str, String)>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            lives: Duration::from_secs(3600),
            expires_in: Some(json!(3600)),
            rotates: true,
            refreshes: true,
            refuses: None,
            broken: None,
            takes: Duration::ZERO,
            scopes: "files".to_owned(),
            redirects: None,
            refuses_all: false,
            claims: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
struct Token {
    account: String,
    ends: Instant,
}

#[derive(Debug, Default)]
struct Known {
    conduct: Conduct,
    person: String,
    codes: BTreeMap<String, BTreeMap<String, String>>,
    access: BTreeMap<String, Token>,
    /// Refresh tokens, their accounts, and how often each was shown.
    refresh: BTreeMap<String, (String, u32)>,
    keys: BTreeMap<String, String>,
    next: u64,
    seen: Vec<Seen>,
    revoked: Vec<String>,
}

/// A request to the vendor.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its path, without the query.
    pub path: String,
    /// The fields of its query or form.
    pub fields: BTreeMap<String, String>,
    /// Its headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

/// The vendor. It stops when it is dropped.
#[derive(Debug)]
pub struct Vendor {
    base: String,
    known: Arc<Mutex<Known>>,
    serving: JoinHandle<()>,
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vendor {
    /// Starts on 127.0.0.1 at a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let known = Arc::new(Mutex::new(Known { person: "nobody".to_owned(), ..Known::default() }));
        let (shared, own) = (Arc::clone(&known), base.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (known, base) = (Arc::clone(&shared), own.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&known), base.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { base, known, serving })
    }

    /// Returns the URL of one of its paths.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Changes its conduct.
    pub fn conduct(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut lock(&self.known).conduct);
    }

    /// Signs in this person from now on, without asking.
    pub fn person(&self, account: &str) {
        account.clone_into(&mut lock(&self.known).person);
    }

    /// Makes a key for this account.
    pub fn key(&self, account: &str) -> String {
        let mut known = lock(&self.known);
        let key = known.fresh("key");
        known.keys.insert(key.clone(), account.to_owned());
        key
    }

    /// Ends a key.
    pub fn end_key(&self, key: &str) {
        lock(&self.known).keys.remove(key);
    }

    /// Ends every access token of an account now; its refresh token stays.
    pub fn end_access(&self, account: &str) {
        lock(&self.known).access.retain(|_, token| token.account != account);
    }

    /// Ends everything of an account.
    pub fn end_account(&self, account: &str) {
        self.end_access(account);
        lock(&self.known).refresh.retain(|_, (own, _)| own != account);
    }

    /// Returns every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.known).seen.clone()
    }

    /// Returns how many refreshes it was asked for so far.
    pub fn refreshes(&self) -> usize {
        let is_refresh = |seen: &&Seen| seen.fields.get("grant_type").is_some_and(|kind| kind == "refresh_token");
        self.seen().iter().filter(is_refresh).count()
    }

    /// Returns how many refresh tokens were shown more than once.
    pub fn shown_twice(&self) -> usize {
        lock(&self.known).refresh.values().filter(|(_, shown)| *shown > 1).count()
    }

    /// Returns the tokens that were given back.
    pub fn revoked(&self) -> Vec<String> {
        lock(&self.known).revoked.clone()
    }

    /// Returns every secret that it ever gave: access tokens, refresh tokens and keys.
    pub fn secrets(&self) -> Vec<String> {
        let known = lock(&self.known);
        known.access.keys().chain(known.refresh.keys()).chain(known.keys.keys()).cloned().collect()
    }
}

impl Known {
    fn fresh(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("canary-{kind}-{}-{}", self.next, URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.next.to_be_bytes())))
    }

    fn grant(&mut self, account: &str) -> Value {
        let conduct = self.conduct.clone();
        let access = self.fresh("access");
        let ends = Instant::now() + conduct.lives;
        self.access.insert(access.clone(), Token { account: account.to_owned(), ends });
        let mut granted = json!({ "access_token": access, "token_type": "Bearer", "scope": conduct.scopes });
        if let Some(seconds) = conduct.expires_in {
            granted["expires_in"] = seconds;
        }
        if conduct.refreshes {
            let refresh = self.fresh("refresh");
            self.refresh.insert(refresh.clone(), (account.to_owned(), 0));
            granted["refresh_token"] = json!(refresh);
        }
        granted
    }

    fn account(&self, shown: &str) -> Option<String> {
        let token = self.access.get(shown).filter(|token| Instant::now() < token.ends);
        token.map(|token| token.account.clone()).or_else(|| self.keys.get(shown).cloned())
    }

    fn token(&mut self, fields: &BTreeMap<String, String>) -> (u16, Value) {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let refused = |error: &str| (400, json!({ "error": error, "error_description": "as the test wants it" }));
        match field("grant_type").as_str() {
            "authorization_code" => {
                let Some(request) = self.codes.remove(&field("code")) else { return refused("invalid_grant") };
                let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
                let fits = request["code_challenge"] == challenge
                    && request["redirect_uri"] == field("redirect_uri")
                    && request["client_id"] == field("client_id");
                if !fits {
                    return refused("invalid_grant");
                }
                (200, self.grant(&request["account"]))
            }
            "refresh_token" => {
                let shown = field("refresh_token");
                if let Some((_, count)) = self.refresh.get_mut(&shown) {
                    *count += 1;
                }
                if let Some(error) = self.conduct.refuses.clone() {
                    return refused(&error);
                }
                let Some((account, count)) = self.refresh.get(&shown).cloned() else {
                    return refused("invalid_grant");
                };
                if self.conduct.rotates && count > 1 {
                    // A used refresh token means a theft, so everything of the account ends.
                    self.access.retain(|_, token| token.account != account);
                    return refused("invalid_grant");
                }
                let mut granted = self.grant(&account);
                if !self.conduct.rotates {
                    granted.as_object_mut().unwrap().remove("refresh_token");
                }
                (200, granted)
            }
            _ => refused("unsupported_grant_type"),
        }
    }
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn moved(to: &str) -> Response<Full<Bytes>> {
    let mut response = respond(302, &json!({}));
    response.headers_mut().insert("location", to.parse().unwrap());
    response
}

fn fields(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

async fn answer(
    known: Arc<Mutex<Known>>,
    base: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        path: parts.uri.path().to_owned(),
        fields: fields(parts.uri.query().unwrap_or(&body)),
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body,
    };
    let conduct = {
        let mut known = lock(&known);
        known.seen.push(seen.clone());
        known.conduct.clone()
    };
    Ok(match seen.path.as_str() {
        "/.well-known/oauth-protected-resource/mcp" => respond(
            200,
            &json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base], "scopes_supported": ["files"] }),
        ),
        "/.well-known/oauth-authorization-server" => {
            let mut told = metadata(&base);
            for (member, value) in &conduct.claims {
                told[*member] = json!(value);
            }
            respond(200, &told)
        }
        "/register" => respond(201, &json!({ "client_id": "registered", "redirect_uris": registered(&seen.body) })),
        "/authorize" => authorize(&mut lock(&known), &base, &seen.fields),
        "/token" => {
            tokio::time::sleep(conduct.takes).await;
            match conduct.broken {
                Some(status) => respond(status, &json!({ "what": "broken" })),
                None => {
                    let (status, body) = lock(&known).token(&seen.fields);
                    respond(status, &body)
                }
            }
        }
        "/revoke" => {
            lock(&known).revoked.push(seen.fields.get("token").cloned().unwrap_or_default());
            respond(200, &json!({}))
        }
        "/user" | "/mcp" if conduct.redirects.is_some() => moved(&conduct.redirects.unwrap_or_default()),
        "/user" => match bearer(&lock(&known), &seen) {
            Some(account) => respond(200, &json!({ "login": account })),
            None => respond(401, &json!({})),
        },
        "/mcp" => mcp(&lock(&known), &base, &seen),
        _ => respond(404, &json!({})),
    })
}

fn metadata(base: &str) -> Value {
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "revocation_endpoint": format!("{base}/revoke"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn registered(body: &str) -> Value {
    serde_json::from_str::<Value>(body).map(|body| body["redirect_uris"].clone()).unwrap_or_default()
}

fn authorize(known: &mut Known, base: &str, asked: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
    let code = known.fresh("code");
    let mut request = asked.clone();
    request.insert("account".to_owned(), known.person.clone());
    known.codes.insert(code.clone(), request);
    let state = asked.get("state").cloned().unwrap_or_default();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("code", code.as_str()), ("state", &state), ("iss", base)])
        .finish();
    moved(&format!("{}?{query}", asked.get("redirect_uri").cloned().unwrap_or_default()))
}

fn bearer(known: &Known, seen: &Seen) -> Option<String> {
    let shown = seen.headers.get("authorization")?.strip_prefix("Bearer ")?;
    known.account(shown)
}

fn mcp(known: &Known, base: &str, seen: &Seen) -> Response<Full<Bytes>> {
    let account = bearer(known, seen).filter(|_| !known.conduct.refuses_all);
    let Some(account) = account else {
        let mut refused = respond(401, &json!({ "error": "invalid_token" }));
        let challenge =
            format!("Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\", scope=\"files\"");
        refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        return refused;
    };
    let Ok(message) = serde_json::from_str::<Value>(&seen.body) else { return respond(405, &json!({})) };
    let Some(id) = message.get("id").cloned() else { return respond(202, &json!({})) };
    let modern = message.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion").is_some();
    let tools = json!([{ "name": "whoami", "description": "whoami", "inputSchema": { "type": "object" },
        "annotations": { "readOnlyHint": true } }]);
    let result = match message.get("method").and_then(Value::as_str).unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        "initialize" => json!({ "protocolVersion": message.pointer("/params/protocolVersion"),
            "capabilities": { "tools": {} }, "serverInfo": { "name": "vendor", "version": "1" } }),
        "tools/list" => json!({ "tools": tools }),
        "tools/call" => json!({ "content": [{ "type": "text", "text": account }] }),
        _ => {
            return respond(
                200,
                &json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no such method" } }),
            );
        }
    };
    let mut result = result;
    if modern {
        result["resultType"] = json!("complete");
    }
    respond(200, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}
