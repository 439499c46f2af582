//! An independent OAuth client: discovery, registration, code, token. It checks nothing that a test could check.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sekisho_protocol::pkce::{CodeChallenge, read_verifier};
use serde_json::{Value, json};
use url::Url;

use super::{Answer, Caller, Person};

/// A client that is registered with the authorization server of one protected server.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its identifier.
    pub client_id: String,
    /// Its secret, if it has one. It is sent as `client_secret_basic`.
    pub client_secret: Option<String>,
    /// Its redirect URI. Nothing listens there.
    pub redirect_uri: String,
    /// The URL of the server.
    pub resource: String,
    /// The authorization server's metadata (RFC 8414).
    pub metadata: Value,
    caller: Caller,
}

/// An authorization request.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The URL that a person is sent to.
    pub url: String,
    /// The PKCE verifier.
    pub verifier: String,
    /// The `state`, which must come back unchanged.
    pub state: String,
}

/// The tokens from the token endpoint.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: Option<String>,
    /// The granted scopes.
    pub scope: String,
    /// The code that was exchanged for them.
    pub code: String,
}

/// The redirect URI of the agents.
pub const REDIRECT: &str = "http://127.0.0.1:8765/callback";

impl Agent {
    /// Follows the server's 401 to its authorization server, and registers there (RFC 7591).
    pub async fn register(server: &str) -> Self {
        Self::register_as(server, &json!({ "client_name": "End-to-end agent" })).await
    }

    /// Does the same with other members in the registration. Required members such as `redirect_uris` are added if they
    /// are missing.
    pub async fn register_as(server: &str, members: &Value) -> Self {
        let mut agent = Self::known(server, "", None).await;
        let mut request = json!({
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        for (name, value) in members.as_object().expect("members") {
            request[name] = value.clone();
        }
        let answer = agent.caller.post(agent.endpoint("registration_endpoint")).json(&request).send().await;
        assert_eq!(answer.status, 201, "registration was refused: {}", answer.text());
        let registered = answer.json();
        agent.client_id = registered["client_id"].as_str().expect("an id").to_owned();
        agent.client_secret = registered["client_secret"].as_str().map(str::to_owned);
        agent.redirect_uri = request["redirect_uris"][0].as_str().expect("a redirect").to_owned();
        agent
    }

    /// A client that already has an identifier.
    pub async fn known(server: &str, client_id: &str, client_secret: Option<&str>) -> Self {
        let caller = Caller::new();
        let refused = caller.post(server).json(&json!({})).send().await;
        assert_eq!(refused.status, 401, "{}", refused.text());
        let challenge = refused.challenge();
        let document = challenge["resource_metadata"].as_str().expect("a challenge names its metadata");
        let resource = caller.get(document).send().await.json();
        let issuer = resource["authorization_servers"][0].as_str().expect("an authorization server");
        let metadata = caller.get(&well_known(issuer)).send().await.json();
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.map(str::to_owned),
            redirect_uri: REDIRECT.to_owned(),
            resource: resource["resource"].as_str().expect("a resource").to_owned(),
            metadata,
            caller,
        }
    }

    /// Returns a URL from the metadata, such as `token_endpoint`.
    pub fn endpoint(&self, name: &str) -> &str {
        self.metadata[name].as_str().unwrap_or_else(|| panic!("no `{name}` in the metadata"))
    }

    /// Creates an authorization request with a fresh verifier and state.
    pub fn invite(&self, scope: Option<&str>) -> Invitation {
        self.invite_with(scope, &[])
    }

    /// Does the same with further parameters. They replace existing ones, and an empty value removes one.
    pub fn invite_with(&self, scope: Option<&str>, further: &[(&str, &str)]) -> Invitation {
        let verifier = unguessable();
        let state = unguessable();
        let challenge = CodeChallenge::of(&read_verifier(&verifier).expect("a verifier"));
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("resource", &self.resource),
            ("state", &state),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(scope.map(|scope| ("scope", scope)));
        pairs.retain(|(name, _)| !further.iter().any(|(other, _)| other == name));
        pairs.extend(further.iter().filter(|(_, value)| !value.is_empty()));
        let mut url = Url::parse(self.endpoint("authorization_endpoint")).expect("an address");
        url.query_pairs_mut().extend_pairs(pairs);
        Invitation { url: url.into(), verifier, state }
    }

    /// Does the whole flow: a person is sent to the issuer and agrees, and the code is exchanged.
    pub async fn be_let_in(&self, person: &mut Person, scope: Option<&str>) -> Tokens {
        let invitation = self.invite(scope);
        let redirected = person.answer(&invitation.url).await;
        self.redeem(&invitation, &redirected).await
    }

    /// Exchanges the code in a redirect.
    pub async fn redeem(&self, invitation: &Invitation, redirected: &str) -> Tokens {
        let code = parameter(redirected, "code").unwrap_or_else(|| panic!("no code came: {redirected}"));
        assert_eq!(parameter(redirected, "state").as_deref(), Some(invitation.state.as_str()), "the state came back");
        let answer = self.redeem_code(invitation, &code).await;
        assert_eq!(answer.status, 200, "the code was refused: {}", answer.text());
        Tokens::of(&answer, &code)
    }

    /// Sends a code to the token endpoint.
    pub async fn redeem_code(&self, invitation: &Invitation, code: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &invitation.verifier),
            ("resource", &self.resource),
        ];
        self.token_request(&pairs).await
    }

    /// Sends a refresh token to the token endpoint.
    pub async fn refresh(&self, refresh: &str) -> Answer {
        self.token_request(&[("grant_type", "refresh_token"), ("refresh_token", refresh), ("resource", &self.resource)])
            .await
    }

    /// Sends this form to the token endpoint, with the client's authentication.
    pub async fn token_request(&self, pairs: &[(&str, &str)]) -> Answer {
        self.form_to("token_endpoint", pairs).try_send().await.expect("the token endpoint answers")
    }

    /// Builds a form for an endpoint of the metadata, with the client's authentication.
    pub fn form_to(&self, endpoint: &str, pairs: &[(&str, &str)]) -> super::Call {
        let mut pairs = pairs.to_vec();
        let call = self.caller.post(self.endpoint(endpoint));
        let Some(secret) = &self.client_secret else {
            pairs.push(("client_id", &self.client_id));
            return call.form(&pairs);
        };
        // RFC 6749 §2.3.1: both are form-encoded first.
        let escaped = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let both = STANDARD.encode(format!("{}:{}", escaped(&self.client_id), escaped(secret)));
        call.header("authorization", format!("Basic {both}")).form(&pairs)
    }
}

impl Tokens {
    /// Reads the tokens from a successful response.
    pub fn of(answer: &Answer, code: &str) -> Self {
        let body = answer.json();
        Self {
            access: body["access_token"].as_str().expect("an access token").to_owned(),
            refresh: body["refresh_token"].as_str().map(str::to_owned),
            scope: body["scope"].as_str().unwrap_or_default().to_owned(),
            code: code.to_owned(),
        }
    }
}

/// Returns the metadata URL of an issuer (RFC 8414 §3.1).
fn well_known(issuer: &str) -> String {
    let url = Url::parse(issuer).expect("an issuer is a URL");
    let path = url.path().trim_end_matches('/');
    format!("{}/.well-known/oauth-authorization-server{path}", url.origin().ascii_serialization())
}

/// Returns a parameter of a redirect.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

/// Returns 43 random characters.
fn unguessable() -> String {
    let mut bytes = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").expect("the system has randomness");
    source.read_exact(&mut bytes).expect("there is enough of it");
    URL_SAFE_NO_PAD.encode(bytes)
}
