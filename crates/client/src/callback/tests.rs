use std::time::Duration;

use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::redirect::RedirectUri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::{CallbackAddress, CallbackError, CallbackListener};
use crate::authorization::{AuthorizationParameters, AuthorizationRequest, FinishError, begin};
use crate::fixtures::{ISSUER, REDIRECT, registration, resource_id, server};

const PATIENCE: Duration = Duration::from_secs(20);

async fn listen(place: &CallbackAddress) -> CallbackListener {
    CallbackListener::bind(place, |_, _| false, &SeededEntropy::default()).await.unwrap()
}

fn place() -> CallbackAddress {
    CallbackAddress::of_issuer(ISSUER, None)
}

fn begun(listener: &CallbackListener) -> AuthorizationRequest {
    let resource = resource_id();
    let mut registration = registration();
    registration.redirect_uris = vec![listener.redirect_uri().clone()];
    let wish = AuthorizationParameters {
        resource: &resource,
        redirect_uri: listener.redirect_uri(),
        scopes: None,
        by_hand: false,
    };
    begin(&server(), &registration, wish, &SeededEntropy::default()).unwrap()
}

/// Builds the target of an answer with our `state`, followed by `rest`.
fn target(request: &AuthorizationRequest, rest: &str) -> String {
    let url = Url::parse(request.url()).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let path = Url::parse(request.redirect_uri().as_str()).unwrap().path().to_owned();
    format!("{path}?state={state}&iss=https%3A%2F%2Fissuer.test&{rest}")
}

async fn browse(authority: &str, method: &str, target: &str, more: &str) -> String {
    let host = if more.contains("host:") { String::new() } else { format!("host: {authority}\r\n") };
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(format!("{method} {target} HTTP/1.1\r\n{host}{more}\r\n").as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// Opens the page that begins the login, and returns the line with the cookie that it sets.
async fn sent(authority: &str, link: &str) -> String {
    let page = browse(authority, "GET", Url::parse(link).unwrap().path(), "").await;
    assert!(page.starts_with("HTTP/1.1 302") && page.contains("location: https://issuer.test/authorize"), "{page}");
    let cookie = page.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    format!("cookie: other=1; {}\r\n", cookie.split(';').next().unwrap())
}

/// CL-30: forged answers, unrelated requests and idle connections do not end the wait; the true answer does.
#[tokio::test]
async fn the_true_answer_is_caught_among_others() {
    let listener = listen(&place()).await;
    let request = begun(&listener);
    let (authority, link) = (listener.authority.clone(), listener.link());
    assert_eq!(listener.redirect_uri().as_str(), REDIRECT.replace("127.0.0.1:4711", &authority));
    let good = target(&request, "code=c");
    let own = good.split('?').next().unwrap().to_owned();
    let browser = async {
        let idle = TcpStream::connect(&authority).await.unwrap();
        let cookie = sent(&authority, &link).await;
        for (method, target, more, status) in [
            ("GET", "/", "", "404"),
            ("GET", "/favicon.ico", "", "404"),
            ("POST", good.as_str(), "", "404"),
            ("GET", &good, "host: evil.test\r\n", "404"),
            ("GET", &good, "host: localhost\r\n", "404"),
            ("GET", &own, &cookie, "400"),
            ("GET", &format!("{own}?code=evil&state=x&iss=https%3A%2F%2Fissuer.test"), &cookie, "400"),
            ("GET", &good.replace(&own, "/callback"), &cookie, "404"),
            ("GET", &format!("{own}/begin/evil"), &cookie, "404"),
        ] {
            let page = browse(&authority, method, target, more).await;
            assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{method} {target} {more}: {page}");
            assert!(!page.contains("evil"), "{page}");
        }
        let page = browse(&authority, "GET", &good, &cookie).await;
        drop(idle);
        page
    };
    let (answer, page) = tokio::join!(listener.wait(&request, PATIENCE), browser);
    assert_eq!(answer.unwrap().code.expose(), "c");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("You can close this window."), "{page}");
    for header in
        ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"]
    {
        assert!(page.to_ascii_lowercase().contains(header), "{header} in {page}");
    }
}

/// ATK-207: an answer with the right state but without the cookie is not accepted, whether it is a code or an error.
/// The answer with the cookie is accepted afterwards.
#[tokio::test]
async fn an_answer_of_another_browser_is_not_taken() {
    let listener = listen(&place()).await;
    let request = begun(&listener);
    let (authority, link) = (listener.authority.clone(), listener.link());
    let (good, bad) = (target(&request, "code=theirs"), target(&request, "error=access_denied"));
    let ours = target(&request, "code=ours");
    let browser = async {
        let cookie = sent(&authority, &link).await;
        for more in ["", "cookie: sekisho-1=x\r\n", &cookie.replace("sks_cf_", "sks_cg_")] {
            for target in [&good, &bad] {
                let page = browse(&authority, "GET", target, more).await;
                assert!(page.starts_with("HTTP/1.1 403") && page.contains("was not sent by the program"), "{page}");
            }
        }
        browse(&authority, "GET", &ours, &cookie).await
    };
    let (answer, page) = tokio::join!(listener.wait(&request, PATIENCE), browser);
    assert_eq!(answer.unwrap().code.expose(), "ours");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

/// ATK-208: the page that begins a login redirects one browser, which may open it again. A second browser ends the
/// login.
#[tokio::test]
async fn a_second_browser_ends_the_login() {
    let listener = listen(&place()).await;
    let request = begun(&listener);
    let (authority, link) = (listener.authority.clone(), listener.link());
    let path = Url::parse(&link).unwrap().path().to_owned();
    let browsers = async {
        let cookie = sent(&authority, &link).await;
        let again = browse(&authority, "GET", &path, &cookie).await;
        assert!(again.starts_with("HTTP/1.1 302"), "{again}");
        browse(&authority, "GET", &path, "").await
    };
    let (outcome, page) = tokio::join!(listener.wait(&request, PATIENCE), browsers);
    assert!(matches!(outcome.unwrap_err(), CallbackError::OpenedTwice));
    assert!(page.starts_with("HTTP/1.1 403") && page.contains("Another browser has opened this page before"), "{page}");
    assert!(!page.contains("location:"), "{page}");
}

/// ATK-208: another user of this machine cannot open the page, cannot use it up, and cannot bring an answer.
#[tokio::test]
async fn another_user_is_turned_away() {
    let listener = CallbackListener::bind(&place(), |_, _| true, &SeededEntropy::default()).await.unwrap();
    let request = begun(&listener);
    let (authority, link) = (listener.authority.clone(), listener.link());
    let path = Url::parse(&link).unwrap().path().to_owned();
    let other = async {
        for target in [&path, &path, &target(&request, "code=theirs")] {
            let page = browse(&authority, "GET", target, "").await;
            assert!(page.starts_with("HTTP/1.1 403") && !page.contains("set-cookie"), "{page}");
        }
    };
    tokio::select! {
        outcome = listener.wait(&request, PATIENCE) => panic!("{outcome:?}"),
        () = other => {}
    }
}

/// CL-32, CL-34: a refusal and an answer from the wrong issuer end the wait; the page repeats nothing from them.
#[tokio::test]
async fn a_refusal_ends_the_wait() {
    for mixed_up in [false, true] {
        let listener = listen(&place()).await;
        let request = begun(&listener);
        let (authority, link) = (listener.authority.clone(), listener.link());
        let mut target = target(&request, "error=access_denied&error_description=%3Cb%3ECANARY");
        if mixed_up {
            target = target.replace("issuer.test", "evil.test");
        }
        let browser = async {
            let cookie = sent(&authority, &link).await;
            browse(&authority, "GET", &target, &cookie).await
        };
        let (outcome, page) = tokio::join!(listener.wait(&request, PATIENCE), browser);
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
    let listener = listen(&place()).await;
    let request = begun(&listener);
    let outcome = listener.wait(&request, Duration::from_millis(50)).await;
    assert!(matches!(outcome.unwrap_err(), CallbackError::Deadline { .. }));
}

/// A registered redirect URI is used with its host, its path, and its port if it has one. If another program uses that
/// port, it is an error.
#[tokio::test]
async fn a_registered_redirect_is_listened_at() {
    let uri = |text: &str| RedirectUri::parse(text).unwrap();
    for (text, expected) in [
        ("http://127.0.0.1/callback", "http://127.0.0.1:PORT/callback"),
        ("http://localhost/oauth/done", "http://localhost:PORT/oauth/done"),
    ] {
        let listener = listen(&CallbackAddress::registered(&uri(text)).unwrap()).await;
        let port = listener.authority.rsplit(':').next().unwrap();
        assert_eq!(listener.redirect_uri().as_str(), expected.replace("PORT", port));
        let taken = format!("http://localhost:{port}/callback");
        let place = CallbackAddress::registered(&uri(&taken)).unwrap();
        let error = CallbackListener::bind(&place, |_, _| false, &SeededEntropy::default()).await.unwrap_err();
        assert!(matches!(&error, CallbackError::Listen { at, .. } if *at == format!("localhost:{port}")), "{error}");
        // The port of an earlier login is not required.
        let before = listener.redirect_uri().clone();
        let elsewhere = listen(&CallbackAddress::of_issuer(ISSUER, Some(&before))).await;
        assert_ne!(elsewhere.authority.rsplit(':').next().unwrap(), port);
    }
    for unusable in
        ["https://127.0.0.1/callback", "http://127.0.0.2/callback", "http://127.0.0.1/a?b=1", "com.example.app:/x"]
    {
        assert_eq!(CallbackAddress::registered(&uri(unusable)), None, "{unusable}");
    }
}
