//! Asks the issuer of an opaque token whether it is active and what it permits (RFC 7662), and caches the response no
//! longer than the token lives.

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
    /// The client to which it was issued.
    pub client: ClientId,
    /// The scopes, as the issuer names them.
    pub scopes: ScopeSet,
    /// The audiences for which it was issued.
    pub audiences: Vec<String>,
    /// When it ends, if the issuer says so.
    pub expires: Option<Timestamp>,
    /// All members of the response, for the mapping of claims.
    pub claims: Map<String, Value>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntrospectionError {
    /// It was issued for another server, or names no audience.
    #[error("the token is not for this server")]
    Audience,
    /// The issuer could not be asked, or its response cannot be used.
    #[error("the issuer of the token could not be asked")]
    Ask(#[source] Arc<TokenError>),
    /// The token is not active: it is unknown, expired or revoked.
    #[error("the issuer says that the token is not active")]
    Inactive,
    /// A member of the response is missing or cannot be used.
    #[error("the issuer's answer about the token lacks `{member}`, or has it in another form")]
    Member {
        /// The name of the member.
        member: &'static str,
    },
    /// Too many tokens are being asked about at this moment.
    #[error("too many tokens are being asked about: try again in a moment")]
    Busy,
}

/// An introspection endpoint, with a cache of its responses.
pub struct Introspection {
    http: Arc<dyn HttpClient>,
    server: AuthorizationServer,
    registration: Registration,
    endpoint: String,
    entropy: Arc<dyn Entropy>,
    known: Cache<Digest, Arc<Mutex<Option<Answered>>>>,
    room: tokio::sync::Semaphore,
}

/// What an issuer said, and until when that is used.
struct Answered {
    outcome: Result<Arc<Introspected>, IntrospectionError>,
    until: Timestamp,
}

/// The response (RFC 7662 §2.2).
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
    /// How many tokens are cached; the least recently used one is dropped.
    pub const TOKENS_MAX: u64 = 10_000;
    /// How long a response is used at most, whatever the token's end: a revoked token is refused after this time.
    pub const FRESH: SignedDuration = SignedDuration::from_secs(30);
    /// How long a token that was not active stays refused, so that repeated attempts of a client cost the issuer
    /// little.
    const REFUSED: SignedDuration = SignedDuration::from_secs(10);
    /// How many tokens are asked about at once. It bounds how many requests a sender of made-up tokens can cause.
    const ASKED_AT_ONCE: usize = 16;

    /// Creates the cache for `endpoint` of `server`, where we are the client `registration`.
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

    /// Returns what the token permits at a server that has one of `audiences`. Simultaneous questions about one token
    /// cause one request.
    pub async fn ask(
        &self,
        token: &AccessToken,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Arc<Introspected>, IntrospectionError> {
        let known = self.known.get_with(token.digest(), Arc::default);
        // Held across the request on purpose: other tasks with the same token wait for its outcome.
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

/// Returns until when a response is used: never longer than the token lives. After a failed request, the issuer is
/// asked again at once.
fn kept_until(outcome: &Result<Arc<Introspected>, IntrospectionError>, now: Timestamp) -> Timestamp {
    let after = |wait| now.checked_add(wait).unwrap_or(now);
    match outcome {
        Ok(token) => token.expires.map_or(after(Introspection::FRESH), |end| end.min(after(Introspection::FRESH))),
        Err(IntrospectionError::Inactive | IntrospectionError::Member { .. }) => after(Introspection::REFUSED),
        Err(_) => now,
    }
}

/// Reads a response. If a member is missing on which access depends, the token is refused.
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
    // A refresh token or an ID token gives no access, and a token that is bound to a key gives none without a proof.
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
