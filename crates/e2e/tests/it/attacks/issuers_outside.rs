//! The surroundings of our client: authorization servers of strangers, each with two MCP servers, and the browser of a
//! person, or of somebody else, which follows links and keeps cookies.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_e2e::harness::{Outside, wait};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// The behaviour of a stranger's authorization server. It approves every request at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// Announces `iss` in its metadata (RFC 9207).
    pub(crate) promises_iss: bool,
    /// Sends `iss` in its answers.
    pub(crate) sends_iss: bool,
    /// Supports client metadata documents.
    pub(crate) documents: bool,
    /// Registers clients, with this identifier or with new ones.
    pub(crate) registers: bool,
    pub(crate) registers_as: Option<String>,
    /// Redirects browsers to another authorization server, as the given client if there is one.
    pub(crate) sends_on: Option<(String, Option<String>)>,
    /// The issuer that its MCP servers name; `None` is the server itself.
    pub(crate) named: Option<String>,
    /// The next code gets this error.
    pub(crate) refuses: Option<&'static str>,
    /// How many seconds a first token lives.
    pub(crate) seconds: u32,
    /// How many seconds a refreshed token lives; 0 is ten minutes.
    pub(crate) refreshed_seconds: u32,
    /// Shows a page instead of redirecting with the answer.
    pub(crate) asks: bool,
}

/// One request to the token endpoint or to the revocation endpoint.
#[derive(Debug, Clone)]
pub(crate) struct EndpointRequest {
    pub(crate) form: HashMap<String, String>,
    /// The client, from wherever in the request it was.
    pub(crate) client: String,
    /// The secret that authenticated it.
    pub(crate) secret: Option<String>,
    /// The status of the response.
    pub(crate) status: u16,
}

impl EndpointRequest {
    pub(crate) fn is(&self, grant: &str) -> bool {
        self.form.get("grant_type").is_some_and(|kind| kind == grant)
    }
}

#[derive(Debug, Default)]
struct IssuerState {
    manner: Manner,
    /// Redirect URIs by client.
    clients: HashMap<String, Vec<String>>,
    /// Issued codes, with client and redirect URI.
    codes: HashMap<String, (String, String)>,
    /// Active refresh tokens with their clients.
    refresh: HashMap<String, String>,
    asked: Vec<EndpointRequest>,
    revoked: Vec<EndpointRequest>,
    made: u32,
}

#[derive(Debug)]
struct Inner {
    origin: String,
    kept: Mutex<IssuerState>,
    /// A refresh is answered when it gets a permit here.
    places: Semaphore,
    /// The number of refreshes that have arrived.
    arrived: tokio::sync::watch::Sender<u32>,
}

/// A stranger's authorization server.
#[derive(Debug, Clone)]
pub(crate) struct Issuer(Arc<Inner>);

impl Issuer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let kept = Mutex::new(IssuerState { manner, ..IssuerState::default() });
        let places = Semaphore::new(Semaphore::MAX_PERMITS);
        let issuer = Self(Arc::new(Inner { origin, kept, places, arrived: tokio::sync::watch::Sender::new(0) }));
        let router = axum::Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/.well-known/oauth-protected-resource/{server}/mcp", get(resource))
            .route("/register", post(register))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .route("/{server}/mcp", any(mcp))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    pub(crate) fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Returns the URL of one of its MCP servers.
    pub(crate) fn server(&self, name: &str) -> String {
        format!("{}/{name}/mcp", self.0.origin)
    }

    fn kept(&self) -> MutexGuard<'_, IssuerState> {
        self.0.kept.lock().unwrap()
    }

    /// Changes its behaviour.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.kept().manner);
    }

    /// Adds a client, as if it had fetched its document or an operator had registered it.
    pub(crate) fn knows(&self, client: &str, redirects: &[&str]) {
        let redirects = redirects.iter().map(|&uri| uri.to_owned()).collect();
        self.kept().clients.insert(client.to_owned(), redirects);
    }

    /// Responds to a token request.
    fn granted(&self, mut asked: EndpointRequest) -> Response {
        let is_refresh = asked.is("refresh_token");
        let mut kept = self.kept();
        let refused = if asked.is("authorization_code") { kept.manner.refuses.take() } else { None };
        let good = match asked.form.get("grant_type").map(String::as_str) {
            Some("authorization_code") => {
                kept.codes.get(&asked.form["code"]).is_some_and(|(client, _)| *client == asked.client)
            }
            Some("refresh_token") => {
                kept.refresh.remove(&asked.form["refresh_token"]).is_some_and(|of| of == asked.client)
            }
            _ => true,
        };
        let error = refused.or((!good).then_some("invalid_grant"));
        asked.status = if error.is_some() { 400 } else { 200 };
        kept.asked.push(asked.clone());
        if let Some(error) = error {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
        }
        let access = kept.new_name("access");
        let seconds = match (is_refresh, kept.manner.refreshed_seconds) {
            (false, _) => kept.manner.seconds,
            (true, 0) => 600,
            (true, seconds) => seconds,
        };
        let mut granted = json!({ "access_token": access, "token_type": "Bearer", "expires_in": seconds });
        if is_refresh || asked.is("authorization_code") {
            let refresh = kept.new_name("refresh");
            kept.refresh.insert(refresh.clone(), asked.client);
            granted["refresh_token"] = json!(refresh);
        }
        Json(granted).into_response()
    }

    /// Returns the number of its clients.
    pub(crate) fn clients(&self) -> usize {
        self.kept().clients.len()
    }

    /// Returns the redirect URIs to which it sent a code.
    pub(crate) fn redirects(&self) -> Vec<String> {
        self.kept().codes.values().map(|(_, redirect)| redirect.clone()).collect()
    }

    /// Returns the requests to the token endpoint.
    pub(crate) fn asked(&self) -> Vec<EndpointRequest> {
        self.kept().asked.clone()
    }

    /// Returns the requests to the token endpoint with this grant type.
    pub(crate) fn grants(&self, kind: &str) -> Vec<EndpointRequest> {
        self.asked().into_iter().filter(|asked| asked.is(kind)).collect()
    }

    /// Returns the requests to the revocation endpoint.
    pub(crate) fn revoked(&self) -> Vec<EndpointRequest> {
        self.kept().revoked.clone()
    }

    /// Returns the number of active refresh tokens.
    pub(crate) fn living(&self) -> usize {
        self.kept().refresh.len()
    }

    /// Stops answering refreshes.
    pub(crate) fn hold(&self) {
        self.0.places.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Answers refreshes again.
    pub(crate) fn release(&self) {
        self.0.places.add_permits(1000);
    }

    /// Waits until this many refreshes have arrived.
    pub(crate) async fn arrived(&self, count: u32) {
        let mut arrived = self.0.arrived.subscribe();
        let reached = arrived.wait_for(|seen| *seen >= count);
        tokio::time::timeout(wait::LONG, reached).await.expect("a refresh arrives").unwrap();
    }
}

impl IssuerState {
    fn new_name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }
}

async fn metadata(State(issuer): State<Issuer>) -> Json<Value> {
    let (origin, manner) = (issuer.origin().to_owned(), issuer.kept().manner.clone());
    let mut document = json!({
        "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"), "revocation_endpoint": format!("{origin}/revoke"),
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": manner.documents,
        "authorization_response_iss_parameter_supported": manner.promises_iss,
    });
    if manner.registers {
        document["registration_endpoint"] = json!(format!("{origin}/register"));
    }
    Json(document)
}

async fn resource(
    State(issuer): State<Issuer>,
    axum::extract::Path(server): axum::extract::Path<String>,
) -> Json<Value> {
    let named = issuer.kept().manner.named.clone().unwrap_or_else(|| issuer.origin().to_owned());
    Json(json!({ "resource": issuer.server(&server), "authorization_servers": [named] }))
}

async fn register(State(issuer): State<Issuer>, body: Bytes) -> Response {
    let wish: Value = serde_json::from_slice(&body).unwrap();
    let mut kept = issuer.kept();
    let client = kept.manner.registers_as.clone().unwrap_or_else(|| kept.new_name("client"));
    let redirects = wish["redirect_uris"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap().to_owned());
    kept.clients.insert(client.clone(), redirects.collect());
    (StatusCode::CREATED, Json(json!({ "client_id": client, "redirect_uris": wish["redirect_uris"] }))).into_response()
}

/// Returns a URI without its port, which is free by RFC 8252.
fn without_port(uri: &str) -> String {
    let mut url = url::Url::parse(uri).unwrap();
    url.set_port(None).unwrap();
    url.into()
}

async fn authorize(State(issuer): State<Issuer>, RawQuery(query): RawQuery) -> Response {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect::<Vec<_>>();
    let text = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let (client, redirect) = (text("client_id").unwrap_or_default(), text("redirect_uri").unwrap_or_default());
    let mut kept = issuer.kept();
    let found = |to: String| (StatusCode::FOUND, [("location", to)]).into_response();
    if let Some((other, named)) = kept.manner.sends_on.clone() {
        let same = pairs.iter().filter(|(name, _)| name != "client_id");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(same)
            .append_pair("client_id", &named.unwrap_or(client))
            .finish();
        return found(format!("{other}/authorize?{query}"));
    }
    let known = kept
        .clients
        .get(&client)
        .is_some_and(|uris| uris.iter().any(|uri| without_port(uri) == without_port(&redirect)));
    if !known {
        return (StatusCode::BAD_REQUEST, "this client or its redirect URI is not known here").into_response();
    }
    if kept.manner.asks {
        return (StatusCode::OK, "log in").into_response();
    }
    let code = kept.new_name("code");
    kept.codes.insert(code.clone(), (client, redirect.clone()));
    let mut answer = url::form_urlencoded::Serializer::new(String::new());
    answer.append_pair("code", &code).append_pair("state", &text("state").unwrap_or_default());
    if kept.manner.sends_iss {
        answer.append_pair("iss", issuer.origin());
    }
    found(format!("{redirect}?{}", answer.finish()))
}

/// Reads the form, the client and its secret.
fn read(headers: &HeaderMap, body: &[u8]) -> EndpointRequest {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let basic = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let basic = basic.map(|text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap());
    let (client, secret) = match basic.as_ref().and_then(|pair| pair.split_once(':')) {
        Some((client, secret)) => (client.to_owned(), Some(secret.to_owned())),
        None => (form.get("client_id").cloned().unwrap_or_default(), form.get("client_secret").cloned()),
    };
    EndpointRequest { form, client, secret, status: 0 }
}

async fn token(State(issuer): State<Issuer>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = read(&headers, &body);
    let is_refresh = asked.is("refresh_token");
    let answer = issuer.granted(asked);
    if is_refresh {
        // From here on the refresh token is used up, even if the response is lost.
        issuer.0.arrived.send_modify(|arrived| *arrived += 1);
        issuer.0.places.acquire().await.unwrap().forget();
    }
    answer
}

async fn revoke(State(issuer): State<Issuer>, headers: HeaderMap, body: Bytes) -> Response {
    let mut asked = read(&headers, &body);
    let mut kept = issuer.kept();
    let token = asked.form["token"].clone();
    let owned = kept.refresh.get(&token).is_some_and(|client| *client == asked.client);
    if owned {
        kept.refresh.remove(&token);
    }
    asked.status = if owned { 200 } else { 400 };
    kept.revoked.push(asked.clone());
    let status = StatusCode::from_u16(asked.status).unwrap();
    (status, Json(json!({ "error": "invalid_client" }))).into_response()
}

/// Accepts every request with a token.
async fn mcp(
    State(issuer): State<Issuer>,
    axum::extract::Path(server): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.get("authorization").is_none() {
        let place = format!("{}/.well-known/oauth-protected-resource/{server}/mcp", issuer.origin());
        let challenge = format!("Bearer resource_metadata=\"{place}\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    let result =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "s", "version": "1" } });
    Json(json!({ "jsonrpc": "2.0", "id": 1, "result": result })).into_response()
}

/// Returns the output of a terminal as one line: reports are broken into lines of the terminal's width.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// A folder with a program for `$BROWSER` that writes down its arguments.
#[derive(Debug)]
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.program("browser", &format!("printf '%s\\n' \"$*\" >> '{}'", desk.path("opened").display()));
        desk
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a program for `/bin/sh`.
    pub(crate) fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        // Written beside it and renamed, because a program that is open for writing cannot be started.
        let part = self.path(&format!("{name}.part"));
        std::fs::write(&part, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&part, self.path(name)).unwrap();
    }

    /// Returns our client with this data directory.
    pub(crate) fn client(&self, data: &Path) -> Outside {
        Outside::new(data, "nobody", "none").variable("BROWSER", self.path("browser").display().to_string())
    }

    /// Returns the command lines with which browsers were started.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("opened")).unwrap_or_default();
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Waits for the n-th start of a browser, counted from one. Returns its argument.
    pub(crate) async fn opened(&self, nth: usize) -> String {
        wait::until("a browser is opened", async || self.command_lines().get(nth - 1).cloned()).await
    }
}

/// The page on which a browser ended.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// The URLs that led to it; the last one is the page's own.
    pub(crate) way: Vec<String>,
}

/// A browser that follows links and keeps cookies. Cookies do not depend on the port.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    cookies: HashMap<String, (String, String)>,
}

impl Visitor {
    /// Opens a URL and follows redirects.
    pub(crate) async fn browse(&mut self, url: &str) -> Page {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut way = vec![url.to_owned()];
        for _ in 0..10 {
            let here = url::Url::parse(way.last().unwrap()).unwrap();
            let mut request = client.get(here.clone());
            let sent = self.cookies.iter().filter(|(_, (_, path))| here.path().starts_with(path.as_str()));
            let line: Vec<_> = sent.map(|(name, (value, _))| format!("{name}={value}")).collect();
            if !line.is_empty() {
                request = request.header("cookie", line.join("; "));
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => return Page { status: 0, text: error.to_string(), way },
            };
            for cookie in answer.headers().get_all("set-cookie") {
                let mut parts = cookie.to_str().unwrap().split("; ");
                let (name, value) = parts.next().unwrap().split_once('=').unwrap();
                let path = parts.find_map(|part| part.strip_prefix("Path=")).unwrap_or("/");
                self.cookies.insert(name.to_owned(), (value.to_owned(), path.to_owned()));
            }
            match answer.headers().get("location").filter(|_| answer.status().is_redirection()) {
                Some(next) => way.push(here.join(next.to_str().unwrap()).unwrap().into()),
                None => {
                    let status = answer.status().as_u16();
                    return Page { status, text: answer.text().await.unwrap_or_default(), way };
                }
            }
        }
        panic!("redirects without end: {way:?}")
    }
}
