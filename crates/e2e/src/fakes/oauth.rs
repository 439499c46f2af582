//! An OAuth client whose every parameter a test can change.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, Landing};
use super::wire::{Ask, Reply, ask, encode};

/// A PKCE verifier (RFC 7636 appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The S256 challenge of that verifier.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A well-formed verifier of another login.
pub const OTHER_VERIFIER: &str = "another-verifier-of-exactly-the-right-length-0";

/// The redirect URI of the clients in these tests. Nothing listens there.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A registered client.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its identifier.
    pub id: String,
    /// Its secret, if it is a confidential client.
    pub secret: Option<String>,
    /// Its redirect URI.
    pub redirect: String,
    base_url: String,
    address: SocketAddr,
}

/// The tokens that a client got.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The client.
    pub client: Client,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Granted {
    /// Returns a claim of the access token, without verifying it.
    pub fn claim(&self, name: &str) -> Value {
        claims(&self.access).get(name).cloned().unwrap_or_default()
    }
}

/// Returns the claims of a JWT, without verifying it.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap_or_default()).unwrap_or_default()
}

/// Parameters of a request, to be changed one by one.
#[derive(Debug, Clone)]
pub struct Parameters(pub Vec<(String, String)>);

impl Parameters {
    /// Replaces the value of a parameter, or adds the parameter.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    /// Adds a parameter, even if it is there already.
    #[must_use]
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(found, _)| found != name);
        self
    }

    /// Returns the parameters as a query or form.
    pub fn text(&self) -> String {
        let pairs: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        encode(&pairs)
    }

    /// Builds a `POST` of the parameters.
    pub fn post(&self, target: &str) -> Ask {
        Ask::post(target).header("content-type", "application/x-www-form-urlencoded").body(self.text().as_bytes())
    }
}

impl Client {
    /// A client that an operator registered, or one whose identifier is a URL.
    pub fn known(base_url: &str, id: &str, secret: Option<&str>, redirect: &str) -> Self {
        let port =
            Url::parse(base_url).ok().and_then(|url| url.port_or_known_default()).expect("a base URL has a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            id: id.to_owned(),
            secret: secret.map(str::to_owned),
            redirect: redirect.to_owned(),
            base_url: base_url.to_owned(),
            address,
        }
    }

    /// Registers a client.
    pub async fn register(base_url: &str, name: &str, redirect: &str) -> Self {
        let mut client = Self::known(base_url, "", None, redirect);
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [redirect],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let reply =
            ask(client.address, &Ask::post("/oauth/register").json(&metadata)).await.expect("registration is answered");
        assert_eq!(reply.status, 201, "{}", reply.text());
        client.id = reply.json()["client_id"].as_str().expect("a client has an identifier").to_owned();
        client
    }

    /// Builds a valid authorization request.
    pub fn wish(&self, resource: &str, scope: &str) -> Parameters {
        let pairs = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect),
            ("state", "state-of-this-client"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", resource),
            ("scope", scope),
        ];
        Parameters(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns the URL of an authorization request.
    pub fn link(&self, wish: &Parameters) -> String {
        format!("{}/oauth/authorize?{}", self.base_url, wish.text())
    }

    /// Does an authorization request as a person who agrees to everything. Returns the code.
    pub async fn code(&self, resource: &str, scope: &str, name: &str, password: &str) -> String {
        let mut browser = Browser::new(&self.base_url);
        match browser.agree(&self.link(&self.wish(resource, scope)), name, password).await {
            Landing::Away(url) => code_in(&url).unwrap_or_else(|| panic!("no code in {url}")),
            Landing::Page(page) => panic!("no code, but {} at {}:\n{}", page.reply.status, page.url, page.reply.text()),
        }
    }

    /// Builds a valid token request for this code.
    pub fn redemption(&self, code: &str) -> Parameters {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect),
            ("client_id", &self.id),
            ("code_verifier", VERIFIER),
        ];
        Parameters(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Builds a valid token request for this refresh token.
    pub fn refreshing(&self, refresh: &str) -> Parameters {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &self.id)];
        Parameters(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Sends a token request, with the client's secret if it has one.
    pub async fn token(&self, parameters: &Parameters) -> Reply {
        let request = parameters.post("/oauth/token");
        let request = match &self.secret {
            None => request,
            Some(secret) => request.header("authorization", &basic(&self.id, secret)),
        };
        ask(self.address, &request).await.expect("the token endpoint answers")
    }

    /// Reads the tokens from a successful response.
    pub fn granted(&self, reply: &Reply) -> Granted {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let body = reply.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Granted { client: self.clone(), access: text("access_token"), refresh: text("refresh_token") }
    }

    /// Does the whole flow, from consent to tokens.
    pub async fn be_granted(&self, resource: &str, scope: &str, name: &str, password: &str) -> Granted {
        let code = self.code(resource, scope, name, password).await;
        self.granted(&self.token(&self.redemption(&code)).await)
    }
}

/// Returns `Authorization: Basic` for these two (RFC 6749 §2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{secret}", id.replace(':', "%3A").replace('/', "%2F"))))
}

/// Returns the code in a redirect.
pub fn code_in(url: &str) -> Option<String> {
    answer_in(url, "code")
}

/// Returns a parameter from the query of a redirect.
pub fn answer_in(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}
