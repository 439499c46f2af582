//! An OpenID provider on loopback with real keys, which signs one person in without asking. It behaves like a kind of
//! provider, or misbehaves as a test tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

pub mod keys;
pub mod profile;

use keys::{Key, Signs, unsigned};
use profile::Behaves;

/// One kind of misbehaviour, in effect until the test changes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Misconduct {
    /// ID tokens say `alg: none` and have no signature.
    AlgNone,
    /// The redirect with the answer names another issuer.
    AnswersAsAnother,
    /// This member of the metadata has this value; `null` removes it.
    Describes(&'static str, Value),
    /// ID tokens expired an hour ago.
    Expired,
    /// This endpoint (given by its last word, such as `token`) responds with 500.
    Fails(&'static str),
    /// This endpoint never responds.
    Hangs(&'static str),
    /// The metadata name this issuer.
    Lies(String),
    /// ID tokens have no `nonce`.
    NoNonce,
    /// ID tokens are for another client.
    OtherClient,
    /// UserInfo is about this person.
    OtherPerson(String),
    /// Tokens are signed with a key that is not published.
    OtherKey,
    /// The clock of the provider is this many seconds ahead.
    Skewed(i64),
    /// This member of ID tokens, UserInfo and access tokens has this value; `null` removes it.
    Says(&'static str, Value),
}

/// A request that the provider received.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The last word of its path.
    pub endpoint: String,
    /// The fields of its query or form.
    pub fields: BTreeMap<String, String>,
    /// Its `Authorization` header.
    pub authorization: String,
}

#[derive(Debug)]
struct State {
    behaves: Behaves,
    issuer: String,
    signs: Signs,
    keys: Mutex<Vec<Arc<Key>>>,
    stray: Key,
    clients: Mutex<BTreeMap<String, String>>,
    client_keys: Mutex<BTreeMap<String, Vec<u8>>>,
    assertions: Mutex<BTreeSet<String>>,
    person: Mutex<Map<String, Value>>,
    codes: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    /// How many codes were made.
    codes_made: AtomicUsize,
    misconduct: Mutex<Vec<Misconduct>>,
    arrived: Mutex<Vec<Arrived>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The provider. It stops when it is dropped.
#[derive(Debug)]
pub struct Provider {
    /// The address at which it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Provider {
    /// Starts on 127.0.0.1 at a free port, and signs with RS256.
    pub async fn start(behaves: Behaves) -> io::Result<Self> {
        Self::start_with(behaves, Signs::Rs256).await
    }

    /// Does the same with another signature algorithm.
    pub async fn start_with(behaves: Behaves, signs: Signs) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            behaves,
            issuer: format!("http://{address}{}", behaves.path()),
            signs,
            keys: Mutex::new(vec![Arc::new(Key::generate("key-1", signs))]),
            stray: Key::generate("key-1", signs),
            clients: Mutex::default(),
            client_keys: Mutex::default(),
            assertions: Mutex::default(),
            person: Mutex::new(behaves.person()),
            codes: Mutex::default(),
            codes_made: AtomicUsize::new(0),
            misconduct: Mutex::default(),
            arrived: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, state, serving })
    }

    /// Returns its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Returns the URL of one of its endpoints, given by its last word.
    pub fn endpoint(&self, word: &str) -> String {
        self.state.endpoint(word)
    }

    /// Registers a client with this secret.
    pub fn register(&self, client: &str, secret: &str) {
        lock(&self.state.clients).insert(client.to_owned(), secret.to_owned());
    }

    /// Registers a client that proves itself with the ES256 key with this public point (RFC 7523 §2.2), uncompressed.
    pub fn register_key(&self, client: &str, public: &[u8]) {
        lock(&self.state.clients).insert(client.to_owned(), String::new());
        lock(&self.state.client_keys).insert(client.to_owned(), public.to_vec());
    }

    /// Signs in a person with these claims from now on, in addition to those that the profile gives everybody.
    pub fn person(&self, claims: &Value) {
        let mut person = self.state.behaves.person();
        person.extend(claims.as_object().cloned().unwrap_or_default());
        *lock(&self.state.person) = person;
    }

    /// Misbehaves in this way from now on, and in no other.
    pub fn misbehave(&self, misconduct: Misconduct) {
        self.misbehave_in(&[misconduct]);
    }

    /// Misbehaves in these ways from now on, and in no other.
    pub fn misbehave_in(&self, misconducts: &[Misconduct]) {
        *lock(&self.state.misconduct) = misconducts.to_vec();
    }

    /// Stops all misbehaviour.
    pub fn behave(&self) {
        lock(&self.state.misconduct).clear();
    }

    /// Signs with a new key from now on, and publishes only that one.
    pub fn change_keys(&self) {
        let mut keys = lock(&self.state.keys);
        let id = format!("key-{}", keys.len() + 1);
        keys.push(Arc::new(Key::generate(&id, self.state.signs)));
    }

    /// Signs a token of this type with these claims.
    pub fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        self.state.key().token(typ, claims)
    }

    /// Returns its time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.state.now()
    }

    /// Signs a logout token for this client (OpenID Connect Back-Channel Logout 1.0 §2.4).
    pub fn logout_token(&self, client: &str, subject: &str, sid: Option<&str>) -> String {
        let now = self.state.now();
        let mut claims = json!({ "iss": self.state.issuer, "aud": client, "iat": now, "exp": now + 120, "sub": subject,
            "jti": format!("logout-{now}-{subject}"),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
        if let Some(sid) = sid {
            claims["sid"] = json!(sid);
        }
        self.sign(Some("logout+jwt"), &claims)
    }

    /// Returns the requests that an endpoint received.
    pub fn arrived(&self, endpoint: &str) -> Vec<Arrived> {
        lock(&self.state.arrived).iter().filter(|one| one.endpoint == endpoint).cloned().collect()
    }
}

impl State {
    /// Returns the URL of an endpoint below the issuer, as the metadata name it.
    fn endpoint(&self, word: &str) -> String {
        format!("{}/{word}", self.issuer.trim_end_matches('/'))
    }

    fn key(&self) -> Arc<Key> {
        Arc::clone(lock(&self.keys).last().expect("there is a key"))
    }

    fn does(&self, test: impl Fn(&Misconduct) -> bool) -> bool {
        lock(&self.misconduct).iter().any(test)
    }

    #[expect(clippy::disallowed_methods, reason = "a party outside of the checkpoint has a clock of its own")]
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let skew = lock(&self.misconduct)
            .iter()
            .map(|one| if let Misconduct::Skewed(by) = one { *by } else { 0 })
            .sum::<i64>();
        i64::try_from(since).unwrap_or(0) + skew
    }

    /// Returns the claims of the person at this place.
    fn claims(&self, place: profile::Place) -> Map<String, Value> {
        let mut claims = self.behaves.at(place, &lock(&self.person));
        for one in lock(&self.misconduct).iter() {
            match one {
                Misconduct::Says(name, Value::Null) => drop(claims.remove(*name)),
                Misconduct::Says(name, value) => drop(claims.insert((*name).to_owned(), value.clone())),
                _ => {}
            }
        }
        claims
    }
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a header"));
    response
}

fn refused(error: &str) -> Response<Full<Bytes>> {
    reply(400, &json!({ "error": error }))
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let both = url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(&body));
    let path = parts.uri.path();
    let word = path.rsplit('/').next().unwrap_or_default().to_owned();
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = both.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let arrived = Arrived { endpoint: word.clone(), fields, authorization: authorization.to_owned() };
    lock(&state.arrived).push(arrived.clone());
    if state.does(|one| matches!(one, Misconduct::Hangs(endpoint) if *endpoint == word)) {
        std::future::pending::<()>().await;
    }
    if state.does(|one| matches!(one, Misconduct::Fails(endpoint) if *endpoint == word)) {
        return Ok(reply(500, &json!({ "error": "server_error" })));
    }
    Ok(match word.as_str() {
        "openid-configuration"
            if path == format!("{}/.well-known/openid-configuration", state.behaves.path().trim_end_matches('/')) =>
        {
            reply(200, &metadata(&state))
        }
        "authorize" => authorize(&state, &arrived.fields),
        "token" => token(&state, &arrived),
        "keys" => reply(200, &json!({ "keys": [state.key().jwk()] })),
        "userinfo" => user_info(&state, &arrived),
        "logout" => log_out(&arrived.fields),
        "introspect" => introspect(&state, &arrived),
        "getMemberObjects" if arrived.authorization.starts_with("Bearer ") => {
            let groups = lock(&state.person).get("groups").map_or_else(|| json!([]), profile::object_ids);
            reply(200, &json!({ "value": groups }))
        }
        _ => reply(404, &json!({})),
    })
}

fn metadata(state: &State) -> Value {
    let lie = lock(&state.misconduct)
        .iter()
        .find_map(|one| if let Misconduct::Lies(name) = one { Some(name.clone()) } else { None });
    let signs = if state.signs == Signs::Es256 { "ES256" } else { "RS256" };
    let mut document = json!({
        "issuer": lie.unwrap_or_else(|| state.issuer.clone()),
        "authorization_endpoint": state.endpoint("authorize"),
        "token_endpoint": state.endpoint("token"),
        "jwks_uri": state.endpoint("keys"),
        "userinfo_endpoint": state.endpoint("userinfo"),
        "introspection_endpoint": state.endpoint("introspect"),
        "end_session_endpoint": state.endpoint("logout"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [signs],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
    });
    state.behaves.describe(&mut document);
    let members = document.as_object_mut().expect("metadata are an object");
    for one in lock(&state.misconduct).iter() {
        match one {
            Misconduct::Describes(name, Value::Null) => drop(members.remove(*name)),
            Misconduct::Describes(name, value) => drop(members.insert((*name).to_owned(), value.clone())),
            _ => {}
        }
    }
    document
}

/// Signs the person in at once, and sends the browser back.
fn authorize(state: &State, fields: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
    let known = fields.get("client_id").is_some_and(|client| lock(&state.clients).contains_key(client));
    let Some(mut url) = fields.get("redirect_uri").and_then(|uri| Url::parse(uri).ok()).filter(|_| known) else {
        return refused("invalid_request");
    };
    let code = format!("code-{}", state.codes_made.fetch_add(1, Ordering::Relaxed) + 1);
    lock(&state.codes).insert(code.clone(), fields.clone());
    let mut pairs = url.query_pairs_mut();
    pairs.append_pair("code", &code).append_pair("state", fields.get("state").map_or("", String::as_str));
    if state.does(|one| *one == Misconduct::AnswersAsAnother) {
        pairs.append_pair("iss", "https://another.example");
    } else if state.behaves.sends_iss() {
        pairs.append_pair("iss", &state.issuer);
    }
    drop(pairs);
    let mut response = reply(302, &json!({}));
    response.headers_mut().insert("location", url.as_str().parse().expect("a header"));
    response
}

/// RP-Initiated Logout 1.0 §2 and §3: sends the browser back at once. What else a provider does, it does without being seen.
fn log_out(fields: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
    let Some(mut url) = fields.get("post_logout_redirect_uri").and_then(|uri| Url::parse(uri).ok()) else {
        return reply(200, &json!({}));
    };
    if let Some(state) = fields.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    let mut response = reply(302, &json!({}));
    response.headers_mut().insert("location", url.as_str().parse().expect("a header"));
    response
}

/// Returns the client that the request authenticates, if there is one.
fn authenticated(state: &State, arrived: &Arrived) -> Option<String> {
    let (client, secret) = match arrived.authorization.strip_prefix("Basic ") {
        Some(basic) => {
            let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
            let (client, secret) = text.split_once(':')?;
            // RFC 6749 §2.3.1: both halves are form-encoded.
            let plain =
                |text: &str| url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
            (plain(client)?, plain(secret)?)
        }
        None => {
            (arrived.fields.get("client_id")?.clone(), arrived.fields.get("client_secret").cloned().unwrap_or_default())
        }
    };
    let by_secret = lock(&state.clients).get(&client).is_some_and(|own| !own.is_empty() && *own == secret);
    let by_key = arrived.fields.get("client_assertion").is_some_and(|assertion| proves(state, &client, assertion));
    (by_secret || by_key).then_some(client)
}

/// Whether an assertion proves this client (RFC 7523 §3): its signature, who made it, for whom, in its time, and once.
fn proves(state: &State, client: &str, assertion: &str) -> bool {
    let Some(public) = lock(&state.client_keys).get(client).cloned() else { return false };
    let Some((signed, signature)) = assertion.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    let claims = super::oauth::claims(assertion);
    let once = claims["jti"].as_str().is_some_and(|jti| lock(&state.assertions).insert(jti.to_owned()));
    key.verify(signed.as_bytes(), &signature).is_ok()
        && claims["iss"] == client
        && claims["sub"] == client
        && claims["aud"] == state.issuer.as_str()
        && claims["exp"].as_i64().is_some_and(|end| end > state.now())
        && once
}

fn token(state: &State, arrived: &Arrived) -> Response<Full<Bytes>> {
    let Some(client) = authenticated(state, arrived) else { return reply(401, &json!({ "error": "invalid_client" })) };
    let field = |name: &str| arrived.fields.get(name).map_or("", String::as_str);
    let Some(asked) = lock(&state.codes).remove(field("code")) else { return refused("invalid_grant") };
    let asked_for = |name: &str| asked.get(name).map_or("", String::as_str);
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
    let holds = asked_for("code_challenge") == challenge
        && asked_for("redirect_uri") == field("redirect_uri")
        && asked_for("client_id") == client;
    if !holds {
        return refused("invalid_grant");
    }
    let access = format!("access-of-{}", field("code"));
    let id_token = id_token(state, &client, asked_for("nonce"), &access);
    reply(200, &json!({ "id_token": id_token, "access_token": access, "token_type": "Bearer", "expires_in": 300 }))
}

fn id_token(state: &State, client: &str, nonce: &str, access: &str) -> String {
    let now = state.now();
    let mut claims = state.claims(profile::Place::IdToken);
    let half = URL_SAFE_NO_PAD.encode(&digest(&SHA256, access.as_bytes()).as_ref()[..16]);
    let base = json!({ "iss": state.issuer, "aud": client, "iat": now, "exp": now + 300, "nonce": nonce,
        "at_hash": half, "auth_time": now - 1, "sid": "session-1" });
    for (name, value) in base.as_object().cloned().unwrap_or_default() {
        claims.entry(name).or_insert(value);
    }
    state.behaves.date(&mut claims, now);
    if state.does(|one| *one == Misconduct::Expired) {
        claims.insert("iat".to_owned(), json!(now - 7200));
        claims.insert("exp".to_owned(), json!(now - 3600));
    }
    if state.does(|one| *one == Misconduct::NoNonce) {
        claims.remove("nonce");
    }
    if state.does(|one| *one == Misconduct::OtherClient) {
        claims.insert("aud".to_owned(), json!("another-client"));
    }
    let claims = Value::Object(claims);
    if state.does(|one| *one == Misconduct::AlgNone) {
        return unsigned(&claims);
    }
    if state.does(|one| *one == Misconduct::OtherKey) {
        return state.stray.token(Some("JWT"), &claims);
    }
    state.key().token(Some("JWT"), &claims)
}

fn user_info(state: &State, arrived: &Arrived) -> Response<Full<Bytes>> {
    if !arrived.authorization.starts_with("Bearer access-of-code-") {
        return reply(401, &json!({ "error": "invalid_token" }));
    }
    let mut claims = state.claims(profile::Place::UserInfo);
    for one in lock(&state.misconduct).iter() {
        if let Misconduct::OtherPerson(subject) = one {
            claims.insert("sub".to_owned(), json!(subject));
        }
    }
    reply(200, &Value::Object(claims))
}

/// RFC 7662: the text `opaque-` with the server's identifier is an active token for that server.
fn introspect(state: &State, arrived: &Arrived) -> Response<Full<Bytes>> {
    if authenticated(state, arrived).is_none() {
        return reply(401, &json!({ "error": "invalid_client" }));
    }
    let token = arrived.fields.get("token").map_or("", String::as_str);
    let Some(audience) = token.strip_prefix("opaque-") else { return reply(200, &json!({ "active": false })) };
    let mut claims = state.claims(profile::Place::UserInfo);
    let base = json!({ "active": true, "iss": state.issuer, "aud": audience, "client_id": "agent", "scope": "read",
        "token_type": "Bearer", "exp": state.now() + 300 });
    claims.extend(base.as_object().cloned().unwrap_or_default());
    reply(200, &Value::Object(claims))
}
