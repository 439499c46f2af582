//! Identity assertions (ID-JAG): what is granted for one, what is refused, and both ends together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use sekisho_client::exchange::{IdentityProvider, id_jag};
use sekisho_client::http::{HttpClient, HttpError, Request, Response};
use sekisho_client::registration::Registration;
use sekisho_client::token::{TokenEndpoint, TokenParameters};
use sekisho_e2e::fakes::provider::keys::{Key, Signs, unsigned};
use sekisho_issuer::AssertionIssuer;
use sekisho_protocol::audit::{ActKind, Event};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::{ClientSecret, SubjectToken};
use sekisho_store::{AuditFilter, LinkedIdentity};
use sekisho_token::{Expectation, IdJag, verify};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::harness::{BASE, FILES, NOTES, Reply, Site};

const IDP: &str = "https://idp.example";
const AGENT: &str = "agent";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const REDIRECT: &str = "https://client.example/callback";

/// An issuer that trusts a provider, with a person of it and a confidential client.
struct Company {
    site: Site,
    key: Key,
    secret: ClientSecret,
}

impl Company {
    async fn new() -> Self {
        let trusted = AssertionIssuer {
            name: "corp".to_owned(),
            issuer: IDP.to_owned(),
            algorithms: vec![SigningAlgorithm::Es256],
            named_by: vec!["sub".to_owned()],
            require: BTreeMap::from([("hd".to_owned(), BTreeSet::from(["example.com".to_owned()]))]),
        };
        let site = Site::with(|mut settings| {
            settings.assertion_issuers = vec![trusted];
            settings
        })
        .await;
        let key = Key::generate("k1", Signs::Es256);
        let document = json!({ "issuer": IDP, "authorization_endpoint": format!("{IDP}/authorize"),
            "token_endpoint": format!("{IDP}/token"), "jwks_uri": format!("{IDP}/keys"),
            "id_token_signing_alg_values_supported": ["ES256"] });
        site.web.put(&format!("{IDP}/.well-known/openid-configuration"), 200, "application/json", &document);
        site.web.put(&format!("{IDP}/keys"), 200, "application/json", &json!({ "keys": [key.jwk()] }));
        let secret = ClientSecret::generate(&*site.entropy);
        for (id, authentication) in
            [(AGENT, ClientAuthentication::ClientSecretBasic), ("open", ClientAuthentication::None)]
        {
            let kept = (authentication != ClientAuthentication::None).then(|| secret.digest());
            site.keep(&client(id, authentication), kept).await;
        }
        let company = Self { site, key, secret };
        company.link("reader", "ada-1").await;
        company
    }

    async fn link(&self, name: &str, subject: &str) {
        let now = self.site.clock.now();
        let identity = Identity { issuer: IDP.to_owned(), subject: subject.to_owned() };
        let user = self.site.user(name).await;
        let linked = LinkedIdentity { identity, user, made_user: false, created_at: now, signed_in_at: None };
        let mut tx = self.site.store.begin().await.unwrap();
        assert!(tx.identities().link(&linked).await.unwrap());
        tx.commit().await.unwrap();
    }

    fn claims(&self, jti: &str) -> Value {
        let at = self.site.clock.now().as_second();
        json!({ "iss": IDP, "sub": "ada-1", "aud": BASE, "client_id": AGENT, "resource": NOTES,
            "scope": "mcp:read mcp:write", "hd": "example.com", "jti": jti, "iat": at, "exp": at + 300 })
    }

    fn signed(&self, claims: &Value) -> String {
        self.key.token(Some(IdJag::TYPE), claims)
    }

    async fn show(&self, assertion: &str, more: &[(&str, &str)]) -> Reply {
        self.site.send(self.request(assertion, more)).await
    }

    fn request(&self, assertion: &str, more: &[(&str, &str)]) -> http::Request<Body> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT_TYPE).append_pair("assertion", assertion).extend_pairs(more);
        let basic = sekisho_e2e::fakes::oauth::basic(AGENT, self.secret.expose());
        http::Request::post("/oauth/token")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, basic)
            .body(Body::from(form.finish()))
            .unwrap()
    }

    fn scope_of(&self, token: &str) -> String {
        let audience = ResourceId::parse(NOTES).unwrap();
        let expect = Expectation::new(BASE, &audience, self.site.clock.now());
        verify(&self.site.keys, token, &expect).unwrap().scope.to_string()
    }
}

fn client(id: &str, authentication: ClientAuthentication) -> Client {
    Client {
        id: ClientId::parse(id).unwrap(),
        origin: ClientOrigin::Registered,
        name: "Agent".to_owned(),
        redirect_uris: vec![RedirectUri::parse(REDIRECT).unwrap()],
        authentication,
        refresh: true,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    }
}

/// AS-55, AS-56, ATK-335: what is granted is what the assertion allows, of what is asked for, of what the person may hand on; without a refresh
/// token, because the provider is to be asked again; and it is on record.
#[tokio::test]
async fn an_assertion_gives_no_more_than_all_three_allow() {
    let company = Company::new().await;
    let assertion = company.signed(&company.claims("1"));
    let reply = company.show(&assertion, &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let body = reply.json();
    // The reader may read: writing, which the assertion allows, is not granted.
    assert_eq!((body["scope"].as_str(), body.get("refresh_token")), (Some("mcp:read"), None));
    assert_eq!(company.scope_of(body["access_token"].as_str().unwrap()), "mcp:read");
    company.link("owner", "grace-1").await;
    let mut of_owner = company.claims("2");
    of_owner["sub"] = json!("grace-1");
    let reply = company.show(&company.signed(&of_owner), &[("scope", "mcp:write mcp:destructive")]).await;
    assert_eq!(reply.json()["scope"], "mcp:read mcp:write", "no more than the assertion allows: {}", reply.body);
    let mut tx = company.site.store.read().await.unwrap();
    let stored = tx.audit().list(&AuditFilter::default()).await.unwrap();
    // Of the assertion itself nothing is kept.
    let signature = assertion.rsplit('.').next().unwrap();
    assert!(!format!("{stored:?}").contains(signature));
    let issued: Vec<_> = stored
        .into_iter()
        .filter_map(|stored| match stored.record.event {
            Event::Act(act) if act.act == ActKind::TokenIssued => Some(act),
            _ => None,
        })
        .collect();
    assert_eq!(issued.len(), 2);
    assert!(issued.iter().all(|act| act.detail == "identity assertion of `corp`" && act.grant.is_some()));
}

/// ATK-42, ATK-330, ATK-331, ATK-332, ATK-333, ATK-334, ATK-335, ATK-336, AS-48, AS-49, AS-50, AS-51, AS-52: each thing that is wrong with an assertion, with the registered code; nothing is granted, nobody is shown a page,
/// and the assertion is not used up.
#[tokio::test]
async fn an_assertion_that_is_not_good_gives_nothing() {
    let company = Company::new().await;
    let at = company.site.clock.now().as_second();
    let with = |name: &str, value: Value| {
        let mut claims = company.claims("1");
        claims[name] = value;
        company.signed(&claims)
    };
    let other_key = Key::generate("k1", Signs::Es256);
    let rsa = Key::generate("k1", Signs::Rs256);
    let claims = company.claims("1");
    let bad = "invalid_grant";
    let cases: Vec<(&str, String, &str)> = vec![
        ("an ID token", company.key.token(Some("JWT"), &claims), bad),
        ("no type", company.key.token(None, &claims), bad),
        ("unsigned", unsigned(&claims), bad),
        ("another key", other_key.token(Some(IdJag::TYPE), &claims), bad),
        ("another algorithm", rsa.token(Some(IdJag::TYPE), &claims), bad),
        ("another issuer", with("iss", json!("https://evil.example")), bad),
        ("an issuer almost like ours", with("iss", json!("https://idp.example/")), bad),
        ("another audience", with("aud", json!("https://other.example")), bad),
        ("two audiences", with("aud", json!([BASE, "https://other.example"])), bad),
        ("the token endpoint as audience", with("aud", json!(format!("{BASE}/oauth/token"))), bad),
        ("another client", with("client_id", json!("open")), bad),
        ("no client", with("client_id", json!(null)), bad),
        ("over", with("exp", json!(at - 120)), bad),
        ("a long life", with("exp", json!(at + 86_400)), bad),
        ("of tomorrow", with("iat", json!(at + 86_000)), bad),
        ("no name", with("jti", json!("")), bad),
        ("somebody unknown", with("sub", json!("eve-1")), bad),
        ("an address for a person", with("sub", json!("reader@example.com")), bad),
        ("somebody of another company", with("hd", json!("evil.example")), bad),
        ("bound to a key", with("cnf", json!({ "jkt": "x" })), bad),
        ("no server", with("resource", json!(null)), bad),
        ("another server", with("resource", json!("https://other.example/mcp/notes")), "invalid_target"),
        ("two servers and none chosen", with("resource", json!([NOTES, FILES])), "invalid_target"),
        ("no scope", with("scope", json!("")), "invalid_scope"),
        ("more than the person has", with("scope", json!("mcp:destructive")), "invalid_scope"),
        ("nothing but staying connected", with("scope", json!("offline_access")), "invalid_scope"),
        ("not a token", "x.y.z".to_owned(), bad),
        ("nothing", String::new(), "invalid_request"),
    ];
    for (what, assertion, code) in cases {
        let reply = company.show(&assertion, &[]).await;
        let found = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        let same = found == code || (what == "no scope" && found == bad);
        assert!(same && reply.status == StatusCode::BAD_REQUEST, "{what}: {} {}", reply.status, reply.body);
        assert!(reply.header("location").is_empty());
    }
    let good = company.signed(&claims);
    let elsewhere = company.show(&good, &[("resource", FILES)]).await;
    assert_eq!(elsewhere.json()["error"], "invalid_target");
    let wide = company.show(&good, &[("scope", "admin")]).await;
    assert_eq!(wide.json()["error"], "invalid_scope", "{}", wide.body);
    // A public client cannot be the one that is named.
    let mut of_open = company.claims("1");
    of_open["client_id"] = json!("open");
    let open = [("grant_type", GRANT_TYPE), ("assertion", &company.signed(&of_open)), ("client_id", "open")];
    assert_eq!(company.site.post_form("/oauth/token", &open).await.json()["error"], bad);
    let acts = company.site.acts().await;
    assert!(!acts.contains(&ActKind::TokenIssued) && acts.contains(&ActKind::TokenRefused));
    assert!(company.site.web.asked.lock().unwrap().iter().all(|url| url.starts_with(IDP)), "nobody else is asked");
    // None of this has used it up.
    assert_eq!(company.show(&good, &[]).await.status, StatusCode::OK);
    assert_eq!(company.show(&good, &[]).await.json()["error"], bad, "once");
}

/// ATK-337: somebody who is shut out gets nothing for an assertion that the provider still gives.
#[tokio::test]
async fn an_assertion_for_somebody_who_is_shut_out_gives_nothing() {
    let company = Company::new().await;
    let reader = company.site.user("reader").await;
    for (disabled, expected) in [(true, StatusCode::BAD_REQUEST), (false, StatusCode::OK)] {
        let mut tx = company.site.store.begin().await.unwrap();
        assert!(tx.users().set_disabled(reader, disabled).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(company.show(&company.signed(&company.claims("1")), &[]).await.status, expected);
    }
}

/// ATK-338, AS-54: of many who show assertions at the same moment, half of them copies, each assertion gives one token.
/// `SEKISHO_TEST_ASSERTIONS=1000` shows as many.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_assertions_at_once_each_is_used_once() {
    let count: usize = std::env::var_os("SEKISHO_TEST_ASSERTIONS").and_then(|n| n.to_str()?.parse().ok()).unwrap_or(60);
    let company = Company::new().await;
    let half = count / 2;
    let assertions: Vec<String> = (0..half).map(|n| company.signed(&company.claims(&format!("a{n}")))).collect();
    let mut showing = tokio::task::JoinSet::new();
    for (n, assertion) in assertions.iter().chain(&assertions).enumerate() {
        let (router, request) = (company.site.router.clone(), company.request(assertion, &[]));
        showing.spawn(async move { (n % half, router.oneshot(request).await.unwrap().status()) });
    }
    let mut good = vec![0; half];
    while let Some(shown) = showing.join_next().await {
        let (n, status) = shown.unwrap();
        match status {
            StatusCode::OK => good[n] += 1,
            StatusCode::BAD_REQUEST => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(good, vec![1; half]);
    assert_eq!(company.site.acts().await.into_iter().filter(|act| *act == ActKind::TokenIssued).count(), half);
}

/// ATK-339: where no provider is trusted for it, the grant is neither there nor named.
#[tokio::test]
async fn the_grant_is_named_only_where_a_provider_is_trusted() {
    let company = Company::new().await;
    let plain = Site::new().await;
    let path = "/.well-known/oauth-authorization-server";
    for (site, expected) in [(&company.site, true), (&plain, false)] {
        let reply = site.send(http::Request::get(path).body(Body::empty()).unwrap()).await;
        let named = reply.json()["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT_TYPE));
        assert_eq!(named, expected);
    }
    plain.keep(&client(AGENT, ClientAuthentication::ClientSecretBasic), Some(company.secret.digest())).await;
    let reply = plain.send(company.request(&company.signed(&company.claims("1")), &[])).await;
    assert_eq!(reply.json()["error"], "unsupported_grant_type");
}

/// The way of our own client: to the issuer in this process, and to everybody else as scripted.
#[derive(Debug)]
struct Ways {
    router: axum::Router,
    web: Arc<crate::harness::Web>,
}

impl HttpClient for Ways {
    fn send(
        &self,
        request: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + '_>> {
        let Some(path) = request.url().strip_prefix(BASE).map(str::to_owned) else { return self.web.send(request) };
        Box::pin(async move {
            let mut sent = http::Request::new(Body::from(request.body));
            *sent.method_mut() = request.method;
            *sent.uri_mut() = path.parse().unwrap();
            *sent.headers_mut() = request.headers;
            let (parts, body) = self.router.clone().oneshot(sent).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Ok(Response { status: parts.status, headers: parts.headers, body })
        })
    }
}

/// AS-53: both ends meet: our own client gets an assertion at the provider, trades it here, and the token is good at the server.
#[tokio::test]
async fn our_own_client_gets_an_assertion_and_uses_it() {
    let company = Company::new().await;
    let answer = json!({ "access_token": company.signed(&company.claims("1")), "token_type": "N_A", "expires_in": 300,
        "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag" });
    company.site.web.put(&format!("{IDP}/token"), 200, "application/json", &answer);
    let ways = Ways { router: company.site.router.clone(), web: company.site.web.clone() };
    let provider = IdentityProvider {
        issuer: IDP.to_owned(),
        token_endpoint: format!("{IDP}/token"),
        client: ClientId::parse("agent-at-the-provider").unwrap(),
        secret: None,
        id_token: SubjectToken::from_outside("an.id.token"),
    };
    let (notes, scopes) = (ResourceId::parse(NOTES).unwrap(), "mcp:read".parse().unwrap());
    let assertion = id_jag(&ways, &provider, BASE, &notes, Some(&scopes)).await.unwrap();
    let path = "/.well-known/oauth-authorization-server";
    let described = company.site.send(http::Request::get(path).body(Body::empty()).unwrap()).await;
    let server: AuthorizationServer = serde_json::from_str(&described.body).unwrap();
    let registration = Registration {
        issuer: BASE.to_owned(),
        client: ClientId::parse(AGENT).unwrap(),
        authentication: ClientAuthentication::ClientSecretBasic,
        secret: Some(company.secret.clone()),
        key: None,
        redirect_uris: Vec::new(),
    };
    let endpoint = TokenEndpoint::new(&ways, &server, &registration).unwrap();
    let asked = TokenParameters { resource: &notes, scopes: Some(&scopes) };
    let tokens = endpoint.redeem(&assertion, asked, company.site.clock.now()).await.unwrap();
    assert_eq!(company.scope_of(tokens.access.expose()), "mcp:read");
    let again = endpoint.redeem(&assertion, asked, company.site.clock.now()).await.unwrap_err();
    assert!(again.to_string().contains("invalid_grant"), "{again}");
}
