use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::{AccessToken, ClientSecret, RefreshToken, SubjectToken};
use serde_json::{Value, json};

use super::{
    Browser, Grant, Identity, KnownClient, Login, LoginError, LoginParts, MetadataDocument, Visit, VisitError,
};
use crate::authorization::{AuthorizationAnswer, AuthorizationRequest, finish};
use crate::callback::{CallbackAddress, CallbackError};
use crate::fixtures::{ISSUER, REDIRECT, RESOURCE, issuer_json, registration, resource_id, resource_json};
use crate::http::Scripted;
use crate::token::Tokens;
use crate::token_store::{FileStore, MemoryStore, StoreKey, TokenStore};

pub(crate) const DOCUMENT: &str = "GET https://server.test/.well-known/oauth-protected-resource/mcp/notes";
pub(crate) const METADATA: &str = "GET https://issuer.test/.well-known/oauth-authorization-server";
pub(crate) const TOKEN: &str = "POST https://issuer.test/token";
const REGISTER: &str = "POST https://issuer.test/register";

/// A person who agrees, as often as asked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Willing {
    pub(crate) visits: Arc<AtomicUsize>,
    pub(crate) shown: Arc<std::sync::Mutex<Vec<String>>>,
    pub(crate) warned: Arc<std::sync::Mutex<Vec<String>>>,
    /// A parameter and its wrong value in the answer, in place of the right `iss` or `state`.
    pub(crate) bend: Option<(&'static str, &'static str)>,
    pub(crate) redirect: Option<RedirectUri>,
}

impl Browser for Willing {
    fn ready<'a>(&'a self, place: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        let redirect = RedirectUri::parse(&format!("http://127.0.0.1:4711{}", place.path())).unwrap();
        let visit = Self { redirect: Some(redirect), ..self.clone() };
        Box::pin(async move { Ok(Box::new(visit) as Box<dyn Visit>) })
    }

    fn show(&self, url: &str) {
        self.shown.lock().unwrap().push(url.to_owned());
    }

    fn warn(&self, text: &str) {
        self.warned.lock().unwrap().push(text.to_owned());
    }
}

impl Visit for Willing {
    fn redirect_uri(&self) -> &RedirectUri {
        self.redirect.as_ref().unwrap()
    }

    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>> {
        self.visits.fetch_add(1, Ordering::Relaxed);
        let url = url::Url::parse(request.url()).unwrap();
        let sent: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        let mut answer = vec![("code", "c".to_owned()), ("state", sent["state"].clone()), ("iss", ISSUER.to_owned())];
        if let Some((name, value)) = self.bend {
            answer.retain(|(known, _)| *known != name);
            answer.push((name, value.to_owned()));
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
        let finished = finish(request, &format!("{}?{query}", request.redirect_uri()));
        Box::pin(async move { Ok(finished.map_err(CallbackError::from)?) })
    }
}

/// The answers of an issuer and a server without defects.
pub(crate) fn world() -> Scripted {
    Scripted::default().json(DOCUMENT, 200, &resource_json()).json(METADATA, 200, &issuer_json(ISSUER)).json(
        REGISTER,
        201,
        &json!({ "client_id": "cli_1", "redirect_uris": [REDIRECT] }),
    )
}

pub(crate) fn granted(access: &str) -> Value {
    json!({ "access_token": access, "token_type": "Bearer", "expires_in": 600, "refresh_token": format!("{access}-rt") })
}

pub(crate) struct Setup {
    pub(crate) http: Arc<Scripted>,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) browser: Willing,
    pub(crate) known: Vec<KnownClient>,
    pub(crate) document: Option<MetadataDocument>,
    pub(crate) redirect: Option<RedirectUri>,
    pub(crate) grant: Grant,
}

impl Setup {
    pub(crate) fn new(http: Scripted) -> Self {
        Self {
            http: Arc::new(http),
            store: Arc::new(MemoryStore::default()),
            browser: Willing::default(),
            known: Vec::new(),
            document: None,
            redirect: None,
            grant: Grant::Code,
        }
    }

    pub(crate) fn login(&self) -> Login {
        Login::new(LoginParts {
            http: self.http.clone(),
            store: Arc::clone(&self.store),
            browser: Arc::new(self.browser.clone()),
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::default()),
            identity: Identity {
                client_name: "test".to_owned(),
                known: self.known.clone(),
                document: self.document.clone(),
                redirect: self.redirect.clone(),
                scopes: None,
            },
            grant: self.grant.clone(),
        })
    }

    pub(crate) fn visits(&self) -> usize {
        self.browser.visits.load(Ordering::Relaxed)
    }

    /// Returns the forms that were sent to the token endpoint.
    pub(crate) fn forms(&self) -> Vec<std::collections::HashMap<String, String>> {
        self.http.sent().iter().filter(|sent| sent.line == TOKEN).map(crate::http::SentRequest::form).collect()
    }

    pub(crate) fn keep(&self, access: &str, seconds: u32) -> Tokens {
        let tokens = Tokens {
            issuer: ISSUER.to_owned(),
            client: registration(),
            resource: resource_id(),
            access: AccessToken::from_outside(access),
            refresh: Some(RefreshToken::from_outside("kept-rt")),
            expires: Some(after(ManualClock::default().now(), seconds)),
            scopes: Some("mcp:read".parse().unwrap()),
            asked: Some("mcp:read".parse().unwrap()),
            dpop: None,
        };
        self.store.keep_tokens(&resource_id(), &tokens).unwrap();
        tokens
    }
}

fn known(issuer: Option<&str>) -> KnownClient {
    KnownClient {
        issuer: issuer.map(str::to_owned),
        client: ClientId::parse("given").unwrap(),
        authentication: None,
        secret: Some(ClientSecret::from_outside("secret")),
        key: None,
    }
}

/// CL-01, CL-10, CL-20: resource, issuer, registration, a person, a token; and all of it is stored.
#[tokio::test]
async fn a_first_login_goes_the_whole_way() {
    let setup = Setup::new(world().json(TOKEN, 200, &granted("at")));
    let tokens = setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert_eq!(tokens.access.expose(), "at");
    assert_eq!(setup.http.lines(), [DOCUMENT, METADATA, REGISTER, TOKEN]);
    assert_eq!(setup.store.tokens(&resource_id()).unwrap(), Some(tokens));
    assert_eq!(setup.store.registration(ISSUER).unwrap().unwrap().client.as_str(), "cli_1");
    assert_eq!(setup.forms()[0]["resource"], RESOURCE);
    // The second time, nobody is asked and nothing is registered.
    setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert_eq!(setup.visits(), 1);
}

/// CL-11, CL-19: a given identifier is used first, and is shown only to the issuer that gave it.
#[tokio::test]
async fn a_given_identifier_comes_first_and_stays_with_its_issuer() {
    let setup = Setup { known: vec![known(None)], ..Setup::new(world().json(TOKEN, 200, &granted("at"))) };
    setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert!(!setup.http.lines().contains(&REGISTER.to_owned()));

    let other = "https://other.test";
    let mut moved = resource_json();
    moved["authorization_servers"] = json!([other]);
    let empty: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    for (store, known) in [(setup.store, known(None)), (empty, known(Some(ISSUER)))] {
        store.forget_tokens(&resource_id()).unwrap();
        let setup = Setup { store, known: vec![known], ..Setup::new(http_again(&moved, other)) };
        let error = setup.login().renew(&resource_id(), None, None).await.unwrap_err();
        assert!(
            matches!(&error, LoginError::Moved { issuer, registered, .. } if issuer == other && registered == ISSUER)
        );
        let sent = setup.http.sent();
        assert!(sent.iter().all(|sent| !sent.line.contains("/token") && !sent.line.contains("/register")), "{sent:?}");
    }
}

fn http_again(moved: &Value, other: &str) -> Scripted {
    Scripted::default().json(DOCUMENT, 200, moved).json(
        &format!("GET {other}/.well-known/oauth-authorization-server"),
        200,
        &issuer_json(other),
    )
}

/// CL-11, CL-17: if an issuer accepts no client, the error names it and says what to do.
#[tokio::test]
async fn who_cannot_become_known_is_told_so() {
    let mut closed = issuer_json(ISSUER);
    closed.as_object_mut().unwrap().remove("registration_endpoint");
    let http = Scripted::default().json(DOCUMENT, 200, &resource_json()).json(METADATA, 200, &closed);
    let setup = Setup::new(http);
    let error = setup.login().renew(&resource_id(), None, None).await.unwrap_err();
    assert!(error.to_string().contains("ask its operator for a client identifier"), "{error}");
    assert_eq!(setup.visits(), 0);
}

/// CL-30, CL-32, ATK-83: an answer from another issuer, or for another login, leads to no token request.
#[tokio::test]
async fn a_bent_answer_leads_to_no_token_request() {
    for bend in [("iss", "https://evil.test"), ("state", "another"), ("code", "")] {
        let setup = Setup {
            browser: Willing { bend: Some(bend), ..Willing::default() },
            ..Setup::new(world().json(TOKEN, 200, &granted("at")))
        };
        let error = setup.login().renew(&resource_id(), None, None).await.unwrap_err();
        assert!(matches!(error, LoginError::Visit(_)), "{bend:?}: {error}");
        assert!(setup.forms().is_empty());
        assert_eq!(setup.store.tokens(&resource_id()).unwrap(), None);
    }
}

/// A token that is about to end is refreshed and not sent; one that was rejected is not sent again; a refused refresh
/// leads to a new login with the scopes of the old one.
#[tokio::test]
async fn what_ends_is_refreshed_and_what_is_refused_begins_anew() {
    let setup = Setup::new(world().json(TOKEN, 200, &granted("fresh")));
    setup.store.keep_registration(&crate::fixtures::registration()).unwrap();
    setup.keep("old", 5);
    let tokens = setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert_eq!((tokens.access.expose(), setup.visits()), ("fresh", 0));
    assert_eq!(setup.forms()[0]["grant_type"], "refresh_token");

    let kept = setup.keep("rejected", 600);
    setup.login().renew(&resource_id(), Some(&kept.access), None).await.unwrap();
    assert_eq!(setup.visits(), 0);
    // Meanwhile another program has stored a new token.
    setup.keep("of another program", 600);
    let tokens = setup.login().renew(&resource_id(), Some(&kept.access), None).await.unwrap();
    assert_eq!(tokens.access.expose(), "of another program");

    let refused = json!({ "error": "invalid_grant" });
    let setup = Setup::new(world().json(TOKEN, 400, &refused).json(TOKEN, 200, &granted("at")));
    setup.store.keep_registration(&crate::fixtures::registration()).unwrap();
    let kept = Tokens { asked: Some("mcp:write".parse().unwrap()), ..setup.keep("old", 5) };
    setup.store.keep_tokens(&resource_id(), &kept).unwrap();
    let tokens = setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert_eq!((tokens.access.expose(), setup.visits()), ("at", 1));
    assert_eq!(tokens.asked.unwrap().to_string(), "mcp:read mcp:write");
}

/// CL-18, ATK-87: if the resource moves to another issuer, the refresh token is not sent there.
#[tokio::test]
async fn a_refresh_token_does_not_move_house() {
    let other = "https://other.test";
    let mut moved = resource_json();
    moved["authorization_servers"] = json!([other]);
    let http = http_again(&moved, other)
        .json("POST https://other.test/register", 201, &json!({ "client_id": "cli_2" }))
        .json("POST https://other.test/token", 200, &granted("at"))
        .json(METADATA, 200, &issuer_json(ISSUER));
    let setup = Setup {
        browser: Willing { bend: Some(("iss", "https://other.test")), ..Willing::default() },
        ..Setup::new(http)
    };
    setup.store.keep_registration(&crate::fixtures::registration()).unwrap();
    let kept = setup.keep("old", 600);
    let tokens = setup.login().renew(&resource_id(), Some(&kept.access), None).await.unwrap();
    assert_eq!(tokens.issuer, other);
    let sent = setup.http.sent();
    assert!(sent.iter().all(|sent| !String::from_utf8_lossy(&sent.body).contains("kept-rt")), "{sent:?}");
    assert!(sent.iter().all(|sent| !String::from_utf8_lossy(&sent.body).contains("cli_1")), "{sent:?}");
}

/// CL-24, CL-25: a step-up asks for the earlier scopes and for the needed ones, and never refreshes.
#[tokio::test]
async fn a_step_up_asks_for_the_union() {
    let setup = Setup::new(world().json(TOKEN, 200, &granted("wide")));
    let held = setup.keep("narrow", 600);
    let challenge = crate::challenge::BearerChallenge {
        error: Some("insufficient_scope".to_owned()),
        scope: Some("mcp:write".parse().unwrap()),
        ..Default::default()
    };
    let tokens = setup.login().widen(&resource_id(), &held, Some(&challenge)).await.unwrap();
    assert_eq!(tokens.asked.unwrap().to_string(), "mcp:read mcp:write");
    assert_eq!(setup.forms()[0]["grant_type"], "authorization_code");
    assert_eq!(setup.visits(), 1);
}

/// CL-53, CL-56: grants without a person: in the client's own name, or by a platform's assertion.
#[tokio::test]
async fn a_program_gets_in_without_a_person() {
    // `{"aud":"https://issuer.test"}`
    let workload = Grant::Workload(SubjectToken::from_outside("e30.eyJhdWQiOiJodHRwczovL2lzc3Vlci50ZXN0In0.sig"));
    for (grant, kind) in
        [(Grant::ClientCredentials, "client_credentials"), (workload, "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    {
        let setup =
            Setup { known: vec![known(Some(ISSUER))], grant, ..Setup::new(world().json(TOKEN, 200, &granted("at"))) };
        setup.login().renew(&resource_id(), None, None).await.unwrap();
        let forms = setup.forms();
        assert_eq!((forms[0]["grant_type"].as_str(), forms[0]["resource"].as_str()), (kind, RESOURCE));
        assert_eq!(setup.visits(), 0);
        assert!(setup.http.sent().iter().any(|sent| sent.header("authorization").starts_with("Basic ")));
    }
    let nobody = Setup { grant: Grant::ClientCredentials, ..Setup::new(world()) };
    assert!(matches!(nobody.login().renew(&resource_id(), None, None).await, Err(LoginError::Unknown { .. })));
}

/// If the issuer has forgotten a client, it is registered again before a person is sent there.
#[tokio::test]
async fn a_forgotten_registration_is_made_anew() {
    let setup = Setup::new(world().json(TOKEN, 200, &granted("at")));
    let stale = crate::registration::Registration {
        client: ClientId::parse("stale").unwrap(),
        authentication: ClientAuthentication::None,
        ..crate::fixtures::registration()
    };
    setup.store.keep_registration(&stale).unwrap();
    // The table has no authorization page, so it answers 404, like an issuer that shows an error to its person.
    setup.login().renew(&resource_id(), None, None).await.unwrap();
    assert_eq!(setup.store.registration(ISSUER).unwrap().unwrap().client.as_str(), "cli_1");
    assert_eq!(setup.visits(), 1);
}

/// CL-38, CL-41: if several programs of one user find that their token has ended, one of them refreshes it once, and
/// all of them use the new token.
#[tokio::test(flavor = "multi_thread")]
async fn several_programs_refresh_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = |folder: &Path| -> Arc<dyn TokenStore> {
        Arc::new(FileStore::open(folder.to_owned(), StoreKey::new([7; 32])).unwrap())
    };
    let first = Setup { store: store(folder.path()), ..Setup::new(world().json(TOKEN, 200, &granted("fresh"))) };
    first.store.keep_registration(&crate::fixtures::registration()).unwrap();
    let kept = first.keep("old", 600);
    let programs: Vec<Setup> = (0..8)
        .map(|_| Setup {
            store: store(folder.path()),
            http: Arc::clone(&first.http),
            ..Setup::new(Scripted::default())
        })
        .collect();
    let logins: Vec<Login> = programs.iter().map(Setup::login).collect();
    let resource = resource_id();
    let renewed = logins.iter().map(|login| login.renew(&resource, Some(&kept.access), None));
    for tokens in futures_util::future::join_all(renewed).await {
        assert_eq!(tokens.unwrap().access.expose(), "fresh");
    }
    assert_eq!(first.forms().len(), 1);
}

/// A logout deletes the grant, even if the issuer does not accept the revocation.
#[tokio::test]
async fn a_logout_forgets_whatever_the_issuer_says() {
    for status in [200, 500] {
        let setup = Setup::new(world().json("POST https://issuer.test/revoke", status, &json!({})));
        setup.store.keep_registration(&crate::fixtures::registration()).unwrap();
        setup.keep("at", 600);
        let outcome = setup.login().logout(&resource_id()).await.unwrap().unwrap();
        assert_eq!(outcome.is_ok(), status == 200);
        assert_eq!(setup.store.tokens(&resource_id()).unwrap(), None);
        assert!(setup.login().logout(&resource_id()).await.unwrap().is_none());
    }
}
