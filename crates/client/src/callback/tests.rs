use std::time::Duration;

use sekisho_protocol::env::SeededEntropy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::{CallbackError, CallbackListener};
use crate::authorization::{AuthorizationRequest, FinishError, Wish, begin};
use crate::fixtures::{registration, resource_id, server};

const PATIENCE: Duration = Duration::from_secs(20);

fn begun(listener: &CallbackListener) -> AuthorizationRequest {
    let resource = resource_id();
    let mut registration = registration();
    registration.redirect_uris = vec![listener.redirect_uri().clone()];
    let wish = Wish { resource: &resource, redirect_uri: listener.redirect_uri(), scopes: None };
    begin(&server(), &registration, wish, &SeededEntropy::default()).unwrap()
}

/// The answer's target with our state, and what follows it.
fn target(request: &AuthorizationRequest, rest: &str) -> String {
    let url = Url::parse(request.url()).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    format!("/callback?state={state}&iss=https%3A%2F%2Fissuer.test&{rest}")
}

async fn browse(authority: &str, method: &str, target: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// CL-30: forged answers, other requests and idle connections do not end the wait; the true answer does.
#[tokio::test]
async fn the_true_answer_is_caught_among_others() {
    let listener = CallbackListener::bind(None).await.unwrap();
    let request = begun(&listener);
    let authority = listener.authority.clone();
    assert_eq!(listener.redirect_uri().as_str(), format!("http://{authority}/callback"));
    let good = target(&request, "code=c");
    let browser = async {
        let idle = TcpStream::connect(&authority).await.unwrap();
        for (method, target, host, status) in [
            ("GET", "/", authority.as_str(), "404"),
            ("GET", "/favicon.ico", &authority, "404"),
            ("POST", good.as_str(), &authority, "404"),
            ("GET", &good, "evil.test", "404"),
            ("GET", &good, "localhost", "404"),
            ("GET", "/callback", &authority, "400"),
            ("GET", "/callback?code=evil&state=x&iss=https%3A%2F%2Fissuer.test", &authority, "400"),
        ] {
            let page = browse(&authority, method, target, host).await;
            assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{method} {target} {host}: {page}");
            assert!(!page.contains("evil"), "{page}");
        }
        let page = browse(&authority, "GET", &good, &authority).await;
        drop(idle);
        page
    };
    let (code, page) = tokio::join!(listener.wait(&request, PATIENCE), browser);
    assert_eq!(code.unwrap().expose(), "c");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("You can close this window."), "{page}");
    for header in
        ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"]
    {
        assert!(page.to_ascii_lowercase().contains(header), "{header} in {page}");
    }
}

/// CL-32, CL-34: a refusal and an answer from the wrong issuer end the wait; the page says nothing of theirs.
#[tokio::test]
async fn a_refusal_ends_the_wait() {
    for mixed_up in [false, true] {
        let listener = CallbackListener::bind(None).await.unwrap();
        let request = begun(&listener);
        let authority = listener.authority.clone();
        let mut target = target(&request, "error=access_denied&error_description=%3Cb%3ECANARY");
        if mixed_up {
            target = target.replace("issuer.test", "evil.test");
        }
        let (outcome, page) =
            tokio::join!(listener.wait(&request, PATIENCE), browse(&authority, "GET", &target, &authority));
        match outcome.unwrap_err() {
            CallbackError::Finish(FinishError::Issuer) => assert!(mixed_up),
            CallbackError::Finish(FinishError::Refused { code, .. }) => assert!(!mixed_up && code == "access_denied"),
            other => panic!("{other:?}"),
        }
        assert!(page.contains("Not logged in") && !page.contains("CANARY"), "{page}");
    }
}

#[tokio::test]
async fn waiting_ends() {
    let listener = CallbackListener::bind(None).await.unwrap();
    let request = begun(&listener);
    let outcome = listener.wait(&request, Duration::from_millis(50)).await;
    assert!(matches!(outcome.unwrap_err(), CallbackError::Deadline { .. }));
}
