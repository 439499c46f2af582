//! The matrix of methods, the forms of credentials, signed statements.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use proptest::prelude::{any, prop, proptest};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::{ClientId, KeyId};
use sekisho_protocol::registration::{ClientAuthentication, ClientOrigin};
use sekisho_protocol::secret::ClientSecret;
use sekisho_token::{SigningKey, forge};
use sekisho_web::parameters::Parameters;
use serde_json::{Value, json};

use super::{ASSERTION_TYPE, AuthenticatedClient, AuthenticationError, authenticate, read};
use crate::testing::{BASE, World, client};

/// What a request shows: header and form.
#[derive(Clone, Default)]
struct Shows {
    authorization: Vec<HeaderValue>,
    form: Vec<(&'static str, String)>,
}

impl Shows {
    fn id(id: &str) -> Self {
        Self { form: vec![("client_id", id.to_owned())], ..Self::default() }
    }

    fn basic(mut self, id: &str, secret: &str) -> Self {
        self.authorization.push(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))).parse().unwrap());
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.form.push((name, value.to_owned()));
        self
    }

    fn assertion(self, text: &str) -> Self {
        self.with("client_assertion", text).with("client_assertion_type", ASSERTION_TYPE)
    }

    fn form(&self) -> Parameters {
        Parameters::read(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.form).finish())
            .unwrap()
    }
}

async fn attempt(world: &World, shows: &Shows) -> Result<AuthenticatedClient, AuthenticationError> {
    let credentials = read(&shows.authorization, &shows.form())?;
    authenticate(&world.issuer, &world.visit(), credentials).await
}

/// ATK-33: for each registered method every other, none, and every combination is refused; only its own passes. A secret is
/// the same proof in the header and in the body (PyPI `mcp` 2.3.0 sends it in the body whatever was registered).
#[tokio::test]
async fn a_client_authenticates_by_its_own_method_and_no_other() {
    const SECRET: [&str; 2] = ["basic", "post"];
    let world = World::new().await;
    let secret = ClientSecret::generate(&*world.issuer.site.entropy);
    let secret = secret.expose();
    let key = SigningKey::generate(KeyId::generate(world.clock.now(), &*world.issuer.site.entropy)).unwrap();
    let jwks = json!({ "keys": [key.public_jwk()] }).to_string();
    let methods = [
        ("none", ClientAuthentication::None),
        ("basic", ClientAuthentication::ClientSecretBasic),
        ("post", ClientAuthentication::ClientSecretPost),
        ("jwt", ClientAuthentication::PrivateKeyJwt),
    ];
    for (id, method) in methods {
        let mut client = client(id);
        client.authentication = method;
        client.jwks = (id == "jwt").then(|| jwks.clone());
        world.keep(&client, Some(ClientSecret::from_outside(secret).digest())).await;
    }
    for (id, _) in methods {
        let statement = assertion(&world, &key, &json!({ "iss": id, "sub": id }));
        let shown = [
            ("none", Shows::id(id)),
            ("basic", Shows::default().basic(id, secret)),
            ("basic", Shows::id(id).basic(id, secret)),
            ("post", Shows::id(id).with("client_secret", secret)),
            ("jwt", Shows::id(id).assertion(&statement)),
            ("both", Shows::id(id).basic(id, secret).with("client_secret", secret)),
            ("both", Shows::id(id).with("client_secret", secret).assertion(&statement)),
            ("both", Shows::id(id).basic(id, secret).assertion(&statement)),
            ("wrong", Shows::default().basic(id, "wrong")),
            ("wrong", Shows::default().basic(id, "")),
            ("wrong", Shows::id(id).with("client_secret", "wrong")),
            ("wrong", Shows::id("other").basic(id, secret)),
            ("wrong", Shows::default().basic("nobody", secret)),
            ("wrong", Shows::default().basic(id, secret).basic(id, secret)),
        ];
        for (kind, shows) in shown {
            let same = kind == id || (SECRET.contains(&kind) && SECRET.contains(&id));
            assert_eq!(attempt(&world, &shows).await.is_ok(), same, "{id} shows {kind}");
        }
    }
    assert!(attempt(&world, &Shows::default()).await.is_err());
    assert!(attempt(&world, &Shows::id("nobody")).await.is_err());
    world.client("out", |client| client.disabled = true).await;
    assert!(attempt(&world, &Shows::id("out")).await.is_err());
}

fn assertion(world: &World, key: &SigningKey, changes: &Value) -> String {
    let now = world.clock.now().as_second();
    let mut claims = json!({ "iss": "jwt", "sub": "jwt", "aud": BASE, "exp": now + 60, "iat": now, "jti": "j1" });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.id().to_string() });
    forge::signed(key, &header.to_string(), &claims.to_string())
}

async fn with_key() -> (World, SigningKey) {
    let world = World::new().await;
    let key = SigningKey::generate(KeyId::generate(world.clock.now(), &*world.issuer.site.entropy)).unwrap();
    let jwks = json!({ "keys": [key.public_jwk()] }).to_string();
    let change = |client: &mut sekisho_protocol::registration::Client| {
        client.id = ClientId::parse("jwt").unwrap();
        client.authentication = ClientAuthentication::PrivateKeyJwt;
        client.jwks = Some(jwks);
    };
    world.client("jwt", change).await;
    (world, key)
}

/// AS-34, ATK-34: a statement is good for this issuer alone, from this client, signed with its key, for a short while.
#[tokio::test]
async fn a_statement_for_somebody_else_is_refused() {
    let (world, key) = with_key().await;
    let other = SigningKey::generate(key.id()).unwrap();
    let now = world.clock.now().as_second();
    let bad = [
        json!({ "aud": format!("{BASE}/oauth/token") }),
        json!({ "aud": [BASE] }),
        json!({ "aud": [BASE, "https://other.example"] }),
        json!({ "aud": format!("{BASE}/") }),
        json!({ "aud": "https://other.example" }),
        json!({ "aud": null }),
        json!({ "iss": "other" }),
        json!({ "sub": "other" }),
        json!({ "jti": null }),
        json!({ "exp": now - 120 }),
        json!({ "exp": now + 86_400 }),
        json!({ "exp": null }),
    ];
    for change in bad {
        let shows = Shows::id("jwt").assertion(&assertion(&world, &key, &change));
        assert!(attempt(&world, &shows).await.is_err(), "{change}");
    }
    let forged = Shows::id("jwt").assertion(&assertion(&world, &other, &json!({})));
    assert!(attempt(&world, &forged).await.is_err());
    let good = assertion(&world, &key, &json!({}));
    let untyped = Shows::id("jwt").with("client_assertion", &good);
    assert!(attempt(&world, &untyped).await.is_err());
    let mistyped =
        untyped.clone().with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    assert!(attempt(&world, &mistyped).await.is_err());
    // Nothing of this took the statement's name; and `client_id` may be left out.
    assert!(attempt(&world, &Shows::default().assertion(&good)).await.is_ok());
}

/// ATK-35: one statement, one success: at once, 64 at a time, and after the clock was set back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_statement_is_used_once() {
    let (world, key) = with_key().await;
    let world = Arc::new(world);
    let shows = Shows::id("jwt").assertion(&assertion(&world, &key, &json!({})));
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (world, shows, barrier) = (world.clone(), shows.clone(), barrier.clone());
        racers.spawn(async move {
            barrier.wait().await;
            attempt(&world, &shows).await.is_ok()
        });
    }
    assert_eq!(racers.join_all().await.into_iter().filter(|won| *won).count(), 1);
    let back = world.clock.now().checked_sub(jiff::SignedDuration::from_secs(20)).unwrap();
    world.clock.set(back);
    assert!(matches!(attempt(&world, &shows).await, Err(AuthenticationError::AssertionUsed)));
}

/// AS-34: a document that names its keys' address makes its client confidential, and the keys are found there.
#[tokio::test]
async fn keys_are_found_where_the_document_says() {
    let world = World::new().await;
    let key = SigningKey::generate(KeyId::generate(world.clock.now(), &*world.issuer.site.entropy)).unwrap();
    let url = "https://client.example/c.json";
    let document = json!({
        "client_id": url, "client_name": "C", "redirect_uris": ["https://client.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://client.example/keys",
    });
    world.http.answer(200, "application/json", document.to_string());
    world.http.answer(200, "application/json", json!({ "keys": [key.public_jwk()] }).to_string());
    let statement = assertion(&world, &key, &json!({ "iss": url, "sub": url }));
    let found = attempt(&world, &Shows::id(url).assertion(&statement)).await.unwrap();
    assert_eq!(found.client().origin, ClientOrigin::MetadataDocument);
    assert_eq!(world.http.asked(), [url, "https://client.example/keys"]);
    assert!(matches!(attempt(&world, &Shows::id(url)).await, Err(AuthenticationError::Method(_))));
}

/// ATK-27: the two halves of a Basic header are form-encoded (RFC 6749 §2.3.1); whatever else comes is refused.
#[test]
fn a_basic_header_is_read_strictly() {
    let shows = |header: &str| {
        let header = HeaderValue::from_bytes(header.as_bytes()).ok()?;
        read(&[header], &Parameters::default()).ok().map(|credentials| credentials.id.to_string())
    };
    let encode = |text: &str| format!("Basic {}", STANDARD.encode(text));
    assert_eq!(shows(&encode("id:secret")), Some("id".to_owned()));
    assert_eq!(shows(&encode("a%3Ab:s%20s")), Some("a:b".to_owned()));
    assert_eq!(shows(&encode("id:secret").replace("Basic", "bAsIc")), Some("id".to_owned()));
    for bad in [
        "",
        "Basic",
        "Basic ",
        "Basic  aWQ6cw==",
        "Basic aWQ6cw",
        "Basic aWQ6cw=",
        "Basic %%%%",
        "Bearer aWQ6cw==",
        "Basic\u{a0}aWQ6cw==",
        "Basic aWQ6cw== x",
    ] {
        assert_eq!(shows(bad), None, "{bad:?}");
    }
    for bad in ["no colon", ":secret", "id%zz:s", "id:%ff", "\u{7f}:s", "caf\u{e9}:s"] {
        assert_eq!(shows(&encode(bad)), None, "{bad:?}");
    }
}

proptest! {
    /// ATK-27: no header is too odd to be answered.
    #[test]
    fn any_header_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), basic in any::<bool>()) {
        let text = if basic { [b"Basic ".as_slice(), STANDARD.encode(&bytes).as_bytes()].concat() } else { bytes };
        if let Ok(header) = HeaderValue::from_bytes(&text) {
            let _ = read(&[header], &Parameters::default());
        }
    }
}
