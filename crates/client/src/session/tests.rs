use std::sync::Arc;

use ::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use sekisho_protocol::secret::AccessToken;

use super::{Entry, Session, SessionError};
use crate::fixtures::{RESOURCE, resource_id};
use crate::http::{Destination, HttpClient, HttpError, Request, Response, Scripted};
use crate::login::tests::{Setup, TOKEN, granted, world};
use crate::token::Tokens;

const SERVER: &str = "POST https://server.test/mcp/notes";
const CHALLENGE: &str =
    r#"Bearer resource_metadata="https://server.test/.well-known/oauth-protected-resource/mcp/notes""#;
const STEP_UP: &str = r#"Bearer error="insufficient_scope", scope="mcp:write", resource_metadata="https://server.test/.well-known/oauth-protected-resource/mcp/notes""#;

fn request() -> Request {
    Request::new(Method::POST, Destination::given(RESOURCE), Bytes::from_static(b"{}"))
}

/// A server that gives these answers in order, and then repeats the last one.
fn server(http: Scripted, answers: &[(u16, &str)]) -> Scripted {
    answers.iter().fold(http, |http, (status, challenge)| {
        let headers: &[(&str, &str)] = if challenge.is_empty() { &[] } else { &[("www-authenticate", challenge)] };
        http.with(SERVER, *status, headers, "")
    })
}

fn session(setup: &Setup) -> Session {
    Session::new(setup.http.clone(), resource_id(), Entry::Login(Box::new(setup.login())))
}

fn tokens_shown(setup: &Setup) -> Vec<String> {
    let calls = setup.http.sent().into_iter().filter(|sent| sent.line == SERVER);
    calls.map(|sent| sent.header("authorization").to_owned()).collect()
}

/// CL-02, CL-36: a 401 leads to a login, and the request is sent again with the token in its header.
#[tokio::test]
async fn a_401_leads_to_a_login_and_the_request_goes_again() {
    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &[(401, CHALLENGE), (200, "")]));
    let session = session(&setup);
    assert_eq!(session.open(&request(), "ping").await.unwrap().status, 200);
    assert_eq!(tokens_shown(&setup), ["", "Bearer at"]);
    // The next request has the token from the start.
    session.open(&request(), "ping").await.unwrap();
    assert_eq!(tokens_shown(&setup)[2], "Bearer at");
    assert!(setup.http.lines().iter().all(|line| !line.contains("access_token")));
}

/// A server that always answers 401 is not called again after one login: no loop of 401s.
#[tokio::test]
async fn an_endless_401_ends() {
    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &[(401, CHALLENGE)]));
    let error = session(&setup).open(&request(), "ping").await.unwrap_err();
    assert!(matches!(error, SessionError::NotTaken { .. }), "{error}");
    assert_eq!(tokens_shown(&setup).len(), 2);
    assert!(error.to_string().contains(RESOURCE), "{error}");
}

/// CL-24, CL-26: a refusal for lack of scope leads to a bounded number of step-ups for each operation.
#[tokio::test]
async fn an_endless_403_ends() {
    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &[(403, STEP_UP)]));
    setup.keep("narrow", 600);
    let session = session(&setup);
    let error = session.open(&request(), "tools/call write").await.unwrap_err();
    assert!(
        matches!(&error, SessionError::StillRefused { operation, .. } if operation == "tools/call write"),
        "{error}"
    );
    assert_eq!(tokens_shown(&setup).len(), 2);
    // The count is remembered: nobody is asked again for this operation.
    session.open(&request(), "tools/call write").await.unwrap_err();
    assert_eq!(tokens_shown(&setup).len(), 3);
    session.open(&request(), "tools/call other").await.unwrap_err();
    assert_eq!(tokens_shown(&setup).len(), 5);
}

/// ATK-227: a call leads to one login and to at most one page for each new scope, whatever the server answers. A
/// request that does not come from a call leads to none.
#[tokio::test]
async fn one_call_opens_each_page_once() {
    let say = |scope: &str| STEP_UP.replace("mcp:write", scope);
    let (one, two, three) = (say("tool:one"), say("tool:two"), say("tool:three"));
    let answers = [(401, CHALLENGE), (403, one.as_str()), (403, &two), (403, &three), (401, CHALLENGE)];
    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &answers));
    let pages = || setup.http.lines().iter().filter(|line| *line == TOKEN).count();
    session(&setup).open(&request(), "tools/call x").await.unwrap_err();
    assert_eq!(pages(), 3, "a login, and two steps up");

    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &[(403, STEP_UP), (401, CHALLENGE)]));
    setup.keep("narrow", 600);
    session(&setup).open(&request(), "tools/call x").await.unwrap_err();
    let pages = setup.http.lines().iter().filter(|line| *line == TOKEN).count();
    assert_eq!(pages, 1, "after a step up a 401 is no reason to log in");

    let setup = Setup::new(server(world().json(TOKEN, 200, &granted("at")), &[(401, CHALLENGE)]));
    let quiet = session(&setup);
    assert_eq!(quiet.open_quietly(&request()).await.unwrap().status, 401);
    let kept = setup.keep("ended", 600);
    setup.store.keep_tokens(&resource_id(), &Tokens { refresh: None, ..kept }).unwrap();
    let quiet = session(&setup);
    let error = quiet.open_quietly(&request()).await.unwrap_err();
    assert!(matches!(error, SessionError::Login(_)), "{error}");
    assert!(!setup.http.lines().iter().any(|line| line == TOKEN || line.contains("/register")));
}

/// A refusal that no scope would change is passed on as it is.
#[tokio::test]
async fn another_403_is_an_answer() {
    let setup = Setup::new(server(world(), &[(403, "")]));
    setup.keep("at", 600);
    assert_eq!(session(&setup).open(&request(), "tools/call x").await.unwrap().status, 403);
    assert_eq!(tokens_shown(&setup), ["Bearer at"]);
}

/// ST-01: a given token is used as it is. If the server does not accept it, nobody is asked.
#[tokio::test]
async fn a_given_token_is_never_renewed() {
    let setup = Setup::new(server(world(), &[(200, ""), (401, CHALLENGE)]));
    let entry = Entry::Given(AccessToken::from_outside("given"));
    let session = Session::new(setup.http.clone(), resource_id(), entry);
    session.open(&request(), "ping").await.unwrap();
    let error = session.open(&request(), "ping").await.unwrap_err();
    assert!(matches!(error, SessionError::Given { .. }), "{error}");
    assert_eq!(setup.http.lines(), [SERVER, SERVER]);
}

/// A server that wants a token. It answers only after everybody has asked.
#[derive(Debug)]
struct Guarded(Arc<Scripted>);

impl HttpClient for Guarded {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move {
            if request.url() != RESOURCE {
                return self.0.send(request).await;
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let good = request.headers.get("authorization").is_some_and(|value| value == "Bearer fresh");
            let mut headers = ::http::HeaderMap::new();
            headers.insert("www-authenticate", CHALLENGE.parse().unwrap());
            let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            Ok(Response { status, headers, body: Bytes::new() })
        })
    }
}

/// Many requests that get a 401 at once cause one login, and one refresh when their shared token has ended.
#[tokio::test]
async fn many_requests_share_one_login() {
    for held in [false, true] {
        let setup = Setup::new(world().json(TOKEN, 200, &granted("fresh")));
        if held {
            setup.store.keep_registration(&crate::fixtures::registration()).unwrap();
            setup.keep("ended", 600);
        }
        let guarded: Arc<dyn HttpClient> = Arc::new(Guarded(Arc::clone(&setup.http)));
        let session = Session::new(guarded, resource_id(), Entry::Login(Box::new(setup.login())));
        let asked = request();
        let calls = (0..8).map(|_| session.open(&asked, "ping"));
        for opened in futures_util::future::join_all(calls).await {
            assert_eq!(opened.unwrap().status, 200);
        }
        assert_eq!(setup.http.lines().iter().filter(|line| *line == TOKEN).count(), 1, "{held}");
    }
}
