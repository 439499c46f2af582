//! Asking the issuer of an opaque token what it is worth (RFC 7662), and remembering the answer no longer than the token
//! lives.

use std::fmt::{self, Debug};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Entropy;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::AccessToken;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::http::{HttpClient, Named};
use crate::registration::Registration;
use crate::token::{NamedEndpoint, TokenEndpoint, TokenError};

/// An active token, as its issuer describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Introspected {
    /// Who it is about: 1 to 255 bytes of ASCII.
    pub subject: String,
    /// The client that it was given to.
    pub client: ClientId,
    /// The scopes, as the issuer names them.
    pub scopes: ScopeSet,
    /// Whom it is for.
    pub audiences: Vec<String>,
    /// When it ends, if the issuer says so.
    pub expires: Option<Timestamp>,
    /// Everything that the issuer says of it, for the mapping of claims.
    pub claims: Map<String, Value>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntrospectionError {
    /// It is for another server, or for nobody in particular.
    #[error("the token is not for this server")]
    Audience,
    /// The issuer could not be asked, or did not answer as it should.
    #[error("the issuer of the token could not be asked")]
    Ask(#[source] Arc<TokenError>),
    /// The token is not active: unknown, expired, revoked.
    #[error("the issuer says that the token is not active")]
    Inactive,
    /// What the issuer says cannot be acted on.
    #[error("the issuer's answer about the token lacks `{member}`, or has it in another form")]
    Member {
        /// Which.
        member: &'static str,
    },
    /// Too many tokens are asked about at this moment.
    #[error("too many tokens are being asked about: try again in a moment")]
    Busy,
}

/// Where tokens are asked about.
pub struct Introspection {
    http: Arc<dyn HttpClient>,
    server: AuthorizationServer,
    registration: Registration,
    endpoint: String,
    entropy: Arc<dyn Entropy>,
    known: Cache<Digest, Arc<Mutex<Option<Answered>>>>,
    room: tokio::sync::Semaphore,
}

/// What an issuer said, and until when that is taken for true.
struct Answered {
    outcome: Result<Arc<Introspected>, IntrospectionError>,
    until: Timestamp,
}

/// The answer (RFC 7662 §2.2).
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default, deserialize_with = "audiences")]
    aud: Option<Vec<String>>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    exp: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    token_type: Option<String>,
}

fn audiences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Many(Vec<String>),
        One(String),
    }
    Ok(Option::<Form>::deserialize(deserializer)?.map(|form| match form {
        Form::Many(all) => all,
        Form::One(one) => vec![one],
    }))
}

impl Introspection {
    /// How many tokens are remembered; the least used is forgotten.
    pub const TOKENS_MAX: u64 = 10_000;
    /// How long an answer is taken for true, whatever the token's end: what the issuer revokes is refused after this time.
    pub const FRESH: SignedDuration = SignedDuration::from_secs(30);
    /// How long a token stays refused that was not active, so that a client that tries again costs the issuer little.
    const REFUSED: SignedDuration = SignedDuration::from_secs(10);
    /// How many tokens are asked about at once: who sends made-up tokens makes others wait only so much.
    const ASKED_AT_ONCE: usize = 16;

    /// Asks at `endpoint` of `server`, as the client `registration`.
    pub fn new(
        http: Arc<dyn HttpClient>,
        server: AuthorizationServer,
        registration: Registration,
        endpoint: String,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let known = Cache::new(Self::TOKENS_MAX);
        let room = tokio::sync::Semaphore::new(Self::ASKED_AT_ONCE);
        Self { http, server, registration, endpoint, entropy, known, room }
    }

    /// What the token is worth at a server that one of `audiences` means. Many who show one token at once cause one request.
    pub async fn ask(
        &self,
        token: &AccessToken,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Arc<Introspected>, IntrospectionError> {
        let known = self.known.get_with(token.digest(), Arc::default);
        // Held across the request on purpose: others with the same token wait for its outcome.
        let mut known = known.lock().await;
        let outcome = match &*known {
            Some(answered) if now < answered.until => answered.outcome.clone(),
            _ => {
                let outcome = self.fetch(token, now).await;
                let until = kept_until(&outcome, now);
                *known = Some(Answered { outcome: outcome.clone(), until });
                outcome
            }
        };
        drop(known);
        let introspected = outcome?;
        if introspected.audiences.iter().any(|one| audiences.contains(one)) {
            Ok(introspected)
        } else {
            Err(IntrospectionError::Audience)
        }
    }

    async fn fetch(&self, token: &AccessToken, now: Timestamp) -> Result<Arc<Introspected>, IntrospectionError> {
        let _room = self.room.try_acquire().map_err(|_| IntrospectionError::Busy)?;
        let failed = |error| IntrospectionError::Ask(Arc::new(error));
        let endpoint = TokenEndpoint::new(&*self.http, &self.server, &self.registration).map_err(failed)?;
        let form = [("token", token.expose()), ("token_type_hint", "access_token")];
        let to = NamedEndpoint { named: Named::IntrospectionEndpoint, url: self.endpoint.as_str() };
        let response = endpoint.proving(&*self.entropy, None).post_to(to, &form, now).await.map_err(failed)?;
        let claims: Option<Map<String, Value>> = response.json();
        let claims = claims.ok_or_else(|| {
            failed(TokenError::Malformed { issuer: self.server.issuer.clone(), status: response.status.as_u16() })
        })?;
        read(claims, &self.server.issuer, now).map(Arc::new)
    }
}

/// Until when an answer is taken for true: never longer than the token lives. What could not be asked is asked again.
fn kept_until(outcome: &Result<Arc<Introspected>, IntrospectionError>, now: Timestamp) -> Timestamp {
    let after = |wait| now.checked_add(wait).unwrap_or(now);
    match outcome {
        Ok(token) => token.expires.map_or(after(Introspection::FRESH), |end| end.min(after(Introspection::FRESH))),
        Err(IntrospectionError::Inactive | IntrospectionError::Member { .. }) => after(Introspection::REFUSED),
        Err(_) => now,
    }
}

/// Reads an answer. Whatever is missing that access depends on is a refusal.
fn read(claims: Map<String, Value>, issuer: &str, now: Timestamp) -> Result<Introspected, IntrospectionError> {
    match claims.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(IntrospectionError::Inactive),
        _ => return Err(IntrospectionError::Member { member: "active" }),
    }
    let wrong = |member| IntrospectionError::Member { member };
    let wire: Wire = serde_json::from_value(Value::Object(claims.clone())).map_err(|_| wrong("sub"))?;
    if wire.iss.as_ref().is_some_and(|iss| iss != issuer) {
        return Err(wrong("iss"));
    }
    // A refresh token or an ID token gives no access; one that is bound to a key is worth nothing without the proof.
    let bearer = wire.token_type.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer || claims.contains_key("cnf") {
        return Err(wrong("token_type"));
    }
    let moment = |second: Option<i64>| second.map(Timestamp::from_second).transpose();
    let (expires, begins) = (moment(wire.exp).map_err(|_| wrong("exp"))?, moment(wire.nbf).map_err(|_| wrong("nbf"))?);
    if expires.is_some_and(|end| end <= now) || begins.is_some_and(|begin| begin > now) {
        return Err(IntrospectionError::Inactive);
    }
    let plain =
        |text: &String| (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let subject = wire.sub.filter(plain).ok_or_else(|| wrong("sub"))?;
    let client = wire.client_id.and_then(|id| ClientId::parse(&id).ok()).ok_or_else(|| wrong("client_id"))?;
    let scopes = wire.scope.unwrap_or_default().parse().map_err(|_| wrong("scope"))?;
    let audiences = wire.aud.filter(|all| !all.is_empty()).ok_or_else(|| wrong("aud"))?;
    Ok(Introspected { subject, client, scopes, audiences, expires, claims })
}

impl Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("issuer", &self.server.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
