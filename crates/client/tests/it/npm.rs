//! A provider written by others: the npm `oidc-provider`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use http::header::{CONTENT_TYPE, COOKIE};
use sekisho_client::http::{Destination, HttpClient, HttpSettings, Request, Response, SafeHttp};
use sekisho_client::jwks::KeySets;
use sekisho_client::openid::provider::discover;
use sekisho_client::openid::sign_in::{SignInWish, begin};
use sekisho_client::openid::user_info::user_info;
use sekisho_client::registration::Registration;
use sekisho_client::token::TokenEndpoint;
use sekisho_e2e::harness::node::serve;
use sekisho_protocol::env::{SeededEntropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::ClientSecret;
use sekisho_token::{IdToken, IdTokenExpectation, PublicKeys, verify_id_token};
use serde_json::{Value, json};

use crate::world::now;

const REDIRECT: &str = "http://127.0.0.1:9/login/corp/callback";
const SECRET: &str = "a secret: with % and /";

/// A small browser: cookies, redirects on loopback, one form.
struct Browser<'a> {
    http: &'a dyn HttpClient,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    async fn send(&mut self, request: Request) -> Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = self.http.send(request.header(COOKIE, &cookies.join("; "))).await.unwrap();
        for cookie in response.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }

    /// Signs in under this name. Returns the URL to which the provider sends the browser back.
    async fn sign_in(&mut self, issuer: &str, url: String, name: &str) -> String {
        let mut url = url;
        for _ in 0..10 {
            let mut response = self.send(Request::new(Method::GET, Destination::given(&url), "".into())).await;
            if response.status == 200 {
                let form = Request::new(Method::POST, Destination::given(&url), format!("username={name}").into());
                response = self.send(form.header(CONTENT_TYPE, "application/x-www-form-urlencoded")).await;
            }
            let to = response.headers["location"].to_str().unwrap().to_owned();
            if to.starts_with(REDIRECT) {
                return to;
            }
            url = if to.starts_with('/') { format!("{issuer}{to}") } else { to };
        }
        panic!("no end of redirects at {url}");
    }
}

/// Sign-in, claims and a change of keys at software that was not written for us.
#[tokio::test]
async fn people_sign_in_at_the_npm_provider() {
    let world = json!({
        "clients": [{ "client_id": "sekisho", "client_secret": SECRET, "redirect_uris": [REDIRECT] }],
        "people": { "ada": { "email": "ada@example.com", "groups": ["engineers"] } },
    });
    let served = serve("provider", &["--world", &world.to_string()]).await;
    let settings = HttpSettings { allow_http_loopback: true, ..HttpSettings::default() };
    let http: Arc<dyn HttpClient> = Arc::new(SafeHttp::new(settings).unwrap());
    let keys = KeySets::new(Arc::clone(&http));
    let entropy = SeededEntropy::default();
    let redirect_uri = RedirectUri::parse(REDIRECT).unwrap();
    let registration = Registration {
        issuer: served.url.clone(),
        client: ClientId::parse("sekisho").unwrap(),
        authentication: ClientAuthentication::ClientSecretBasic,
        secret: Some(ClientSecret::from_outside(SECRET)),
        key: None,
        redirect_uris: vec![redirect_uri.clone()],
    };
    let provider = discover(&*http, &served.url).await.unwrap();
    provider.suits(SigningAlgorithm::Rs256, registration.authentication).unwrap();
    for seconds in [0, 61] {
        let at = after(now(), seconds);
        let scopes = "email groups".parse().unwrap();
        let wish = SignInWish {
            redirect_uri: &redirect_uri,
            scopes: &scopes,
            prompt: None,
            max_age_seconds: Some(300),
            acr_values: &[],
            login_hint: None,
        };
        let (url, sign_in) = begin(&provider, &registration, wish, at, &entropy).unwrap();
        let mut browser = Browser { http: &*http, cookies: BTreeMap::new() };
        let back = browser.sign_in(&served.url, url, "ada").await;
        let code = sign_in.answer(&back, at).unwrap();
        let endpoint = TokenEndpoint::new(&*http, &provider.server, &registration).unwrap();
        let tokens = sign_in.exchange(&endpoint, &code, at).await.unwrap();
        let expect = IdTokenExpectation {
            issuer: provider.issuer(),
            client: &registration.client,
            other_audiences: &[],
            algorithm: SigningAlgorithm::Rs256,
            nonce: sign_in.nonce(),
            access_token: &tokens.access,
            max_age_seconds: sign_in.max_age_seconds(),
            acr_required: &[],
            now: at,
        };
        let check = |keys: &str| verify_id_token(&PublicKeys::parse(keys).unwrap(), tokens.id_token.expose(), &expect);
        let checked = keys.check(&provider.keys, at, check, |error| error.lacks_key()).await.unwrap();
        let id_token: IdToken = checked.unwrap_or_else(|error| panic!("{error}\n{}", served.stderr()));
        assert_eq!((id_token.subject.as_str(), &id_token.claims["groups"]), ("ada", &json!(["engineers"])));
        assert!(id_token.authenticated_at.is_some());
        let claims = user_info(&*http, &provider, &tokens.access, &id_token.subject).await.unwrap();
        assert_eq!(claims["email"], Value::from("ada@example.com"));
        // The provider changes its keys for the second round.
        let renew = Request::new(Method::POST, Destination::given(format!("{}/admin/keys", served.url)), "".into());
        assert_eq!(http.send(renew).await.unwrap().status, 204);
    }
}
