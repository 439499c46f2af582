//! An external authorization server on a socket, with its own keys, that does what a test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sekisho_client::registration::Registration;
use sekisho_gateway::{ExternalParts, ExternalTokens, Route, Routes, TokenForm};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::external::{ExternalIssuer, ScopeMap};
use sekisho_protocol::ids::{ClientId, KeyId, UserId};
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::ClientSecret;
use sekisho_protocol::server::ServerCard;
use sekisho_store::LinkedIdentity;
use sekisho_token::{SigningKey, TokenType, forge};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{World, name};

/// The audience of `notes` at the issuer.
pub(crate) const NOTES: &str = "api://notes";
/// The audience of `other` there.
pub(crate) const OTHER: &str = "api://other";
/// The secret of the client as which the gateway asks about tokens.
const SECRET: &str = "the secret of the gateway";

/// The server that answers.
pub(crate) struct Issuer {
    pub(crate) url: String,
    /// The keys that are published; the last one signs.
    keys: Mutex<Vec<SigningKey>>,
    /// What is said of opaque tokens.
    answers: Mutex<BTreeMap<String, Value>>,
    /// The last words of the paths of all requests.
    asked: Mutex<Vec<String>>,
    /// Whether every request is answered with 500.
    pub(crate) is_down: AtomicBool,
    /// While a test holds this, questions about tokens are not answered.
    pub(crate) held: tokio::sync::Mutex<()>,
}

impl Issuer {
    pub(crate) async fn start(world: &World) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            url: format!("http://{}/tenant", listener.local_addr().unwrap()),
            keys: Mutex::default(),
            answers: Mutex::default(),
            asked: Mutex::default(),
            is_down: AtomicBool::new(false),
            held: tokio::sync::Mutex::default(),
        });
        issuer.change_keys(world);
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    /// Signs with a new key from now on, and publishes only that one.
    pub(crate) fn change_keys(&self, world: &World) {
        let key = SigningKey::generate(KeyId::generate(world.clock.now(), world.entropy.as_ref())).unwrap();
        *self.keys.lock().unwrap() = vec![key];
    }

    /// Signs with the key of somebody else from now on, and publishes that one.
    pub(crate) fn use_key(&self, key: &SigningKey) {
        *self.keys.lock().unwrap() = vec![key.clone()];
    }

    pub(crate) fn key(&self) -> SigningKey {
        self.keys.lock().unwrap().last().unwrap().clone()
    }

    /// The claims of a good token of Ada for `notes`.
    pub(crate) fn claims(&self, world: &World, scopes: &str) -> Value {
        let now = world.clock.now().as_second();
        json!({ "iss": self.url, "sub": "ada-1", "aud": NOTES, "client_id": "agent", "scope": scopes, "jti": "one",
            "iat": now, "exp": now + 3600 })
    }

    /// Signs these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let key = self.key();
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": key.id().to_string() });
        forge::signed(&key, &header.to_string(), &claims.to_string())
    }

    /// A good token of Ada for `notes`.
    pub(crate) fn token(&self, world: &World, scopes: &str) -> String {
        self.sign(&self.claims(world, scopes))
    }

    /// The same with one claim changed; `null` removes it.
    pub(crate) fn changed(&self, world: &World, claim: &str, value: Value) -> String {
        let mut claims = self.claims(world, "notes.read");
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value,
        }
        self.sign(&claims)
    }

    /// Says this of an opaque token from now on.
    pub(crate) fn say(&self, token: &str, answer: Value) {
        self.answers.lock().unwrap().insert(token.to_owned(), answer);
    }

    /// How often an endpoint was asked.
    pub(crate) fn asked(&self, word: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == word).count()
    }

    /// How many requests came in all.
    pub(crate) fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(crate) fn parts(&self, map: &[(&str, &str)], ours_too: bool) -> ExternalParts {
        let map = map.iter().map(|(theirs, ours)| (theirs.parse().unwrap(), ours.parse().unwrap()));
        ExternalParts {
            issuer: Arc::new(ExternalIssuer {
                provider: "corp".parse().unwrap(),
                issuer: self.url.clone(),
                scopes: ScopeMap::new(map.collect()),
                ours_too,
            }),
            provider_issuer: self.url.clone(),
            named_by: vec!["sub".to_owned()],
            require: BTreeMap::new(),
            audiences: vec![NOTES.to_owned()],
            other_audiences: Vec::new(),
            form: TokenForm::Signed { algorithms: vec![SigningAlgorithm::Es256], typed: TokenType::AtJwt },
        }
    }

    /// Asking about each token.
    pub(crate) fn introspected(&self) -> TokenForm {
        TokenForm::Introspected(Box::new(Registration {
            issuer: self.url.clone(),
            client: ClientId::parse("gateway").unwrap(),
            authentication: ClientAuthentication::ClientSecretPost,
            secret: Some(ClientSecret::from_outside(SECRET)),
            key: None,
            redirect_uris: Vec::new(),
        }))
    }
}

async fn answer(State(issuer): State<Arc<Issuer>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let word = path.rsplit('/').next().unwrap_or_default().to_owned();
    issuer.asked.lock().unwrap().push(word.clone());
    if issuer.is_down.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let body = match path.as_str() {
        "/.well-known/oauth-authorization-server/tenant" => json!({
            "issuer": issuer.url,
            "authorization_endpoint": format!("{}/authorize", issuer.url),
            "token_endpoint": format!("{}/token", issuer.url),
            "jwks_uri": format!("{}/keys", issuer.url),
            "introspection_endpoint": format!("{}/introspect", issuer.url),
        }),
        "/tenant/keys" => {
            let keys: Vec<Value> = issuer.keys.lock().unwrap().iter().map(SigningKey::public_jwk).collect();
            json!({ "keys": keys })
        }
        "/tenant/introspect" => {
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
            if form.get("client_secret").map(String::as_str) != Some(SECRET) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            drop(issuer.held.lock().await);
            let answers = issuer.answers.lock().unwrap();
            answers.get(&form["token"]).cloned().unwrap_or_else(|| json!({ "active": false }))
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(body).into_response()
}

/// A world in which an external authorization server grants access to `notes`, and Ada there is the owner here.
pub(crate) async fn world_with(change: impl Fn(&Issuer, &mut ExternalParts)) -> (World, Arc<Issuer>) {
    let world = World::new().await.classified().await;
    let issuer = Issuer::start(&world).await;
    mount(&world, "notes", Some(&parts(&issuer, &change)));
    is(&world, &issuer, "ada-1", world.owner()).await;
    (world, issuer)
}

fn parts(issuer: &Issuer, change: &impl Fn(&Issuer, &mut ExternalParts)) -> ExternalParts {
    let map = [("notes.edit", "mcp:write"), ("notes.read", "mcp:read")];
    let mut parts = issuer.parts(&map, false);
    change(issuer, &mut parts);
    parts
}

/// Mounts a server with these settings in place of its own.
pub(crate) fn mount(world: &World, server: &str, parts: Option<&ExternalParts>) {
    let mut routes: Routes = (**world.routes.borrow()).clone();
    let route = &routes.servers[&name(server)];
    let card = ServerCard { external: parts.map(|parts| Arc::clone(&parts.issuer)), ..route.card.clone() };
    let route = Route { card, external: parts.cloned().map(ExternalTokens::new), ..(**route).clone() };
    routes.servers.insert(name(server), Arc::new(route));
    world.routes.send_replace(Arc::new(routes));
}

/// Says that a person at the issuer is this user here.
pub(crate) async fn is(world: &World, issuer: &Issuer, subject: &str, user: UserId) {
    let identity = Identity { issuer: issuer.url.clone(), subject: subject.to_owned() };
    let linked = LinkedIdentity { identity, user, made_user: false, created_at: world.clock.now(), signed_in_at: None };
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.identities().link(&linked).await.unwrap());
    tx.commit().await.unwrap();
}
