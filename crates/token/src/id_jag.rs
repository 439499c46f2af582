//! Verifies an identity assertion JWT authorization grant (draft-ietf-oauth-identity-assertion-authz-grant, ID-JAG;
//! MCP's enterprise-managed authorization): a provider states that a client may act for a person at one of our servers.

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foreign::{Audiences, Making, believe, claims, is_identifier, is_subject, present, present_second, second};
use crate::public_keys::PublicKeys;
use crate::verify::{Expectation, Times, VerifyError};

/// What an assertion must say to be exchanged for a token.
#[derive(Debug, Clone, Copy)]
pub struct IdJagExpectation<'a> {
    /// The provider that is trusted for this, compared byte for byte. Found by [`crate::claimed_issuer`].
    pub issuer: &'a str,
    /// Our own issuer identifier (AS-50).
    pub audience: &'a str,
    /// The client that authenticated in this request (AS-51). A public client does not authenticate, and must not come
    /// here.
    pub client: &'a ClientId,
    /// The algorithms that the provider signs with (AS-49).
    pub algorithms: &'a [SigningAlgorithm],
    /// The time of the request.
    pub now: Timestamp,
}

/// An assertion after it was verified. The caller still has to note `jti` as used until `exp` and refuse one that was
/// used before (AS-54), find the server that `resources` name here (AS-52), find the person, and grant no more than the
/// person's rights.
#[derive(Debug, Clone, PartialEq)]
pub struct IdJag {
    /// The person, as the issuer names them: 1 to 255 bytes of ASCII.
    pub subject: String,
    /// The servers that the assertion is for, 1 to [`IdJag::RESOURCES_MAX`], as it writes them.
    pub resources: Vec<ResourceId>,
    /// The scopes that the assertion allows. `None`: it names none, and allows none by itself.
    pub scopes: Option<ScopeSet>,
    /// The assertion's identifier, unique at its issuer: 1 to 256 bytes.
    pub jti: String,
    /// When the assertion expires.
    pub exp: Timestamp,
    /// All claims, for the mapping of claims.
    pub claims: Map<String, Value>,
}

impl IdJag {
    /// The longest lifetime that is accepted, in seconds. Providers use five minutes.
    pub const LIFETIME_SECONDS_MAX: i64 = 10 * 60;

    /// The most servers that one assertion may name.
    pub const RESOURCES_MAX: usize = 8;

    /// The type in its header.
    pub const TYPE: &'static str = "oauth-id-jag+jwt";

    /// Returns what is granted of the scopes that a request asks for: nothing that the assertion does not allow
    /// (AS-55). If a scope of one includes a scope of the other, the smaller one is granted. A request without `scope`
    /// asks for everything.
    pub fn granted(&self, asked: Option<&ScopeSet>) -> ScopeSet {
        match (&self.scopes, asked) {
            (None, _) => ScopeSet::default(),
            (Some(named), None) => named.clone(),
            (Some(named), Some(asked)) => asked.within(named).union(&named.within(asked)),
        }
    }
}

/// Why an assertion is refused: the answer is `invalid_grant` for each (RFC 7521 §4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdJagError {
    /// `client_id` names another client (AS-51).
    #[error("the assertion was made for another client (`client_id`)")]
    Client,
    /// The assertion is bound to a key (`cnf`), which is not checked here.
    #[error("the assertion is bound to a key (`cnf`), which is not supported here")]
    Confirmation,
    /// `resource` is missing, or does not name servers in the required form (AS-52).
    #[error("the assertion names no server (`resource`)")]
    Resource,
    /// `scope` is not a list of scopes.
    #[error("the assertion's scopes cannot be read (`scope`)")]
    Scope,
    /// The token itself is not valid.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

impl IdJagError {
    /// Whether the assertion might be valid with newer keys of the provider.
    pub fn lacks_key(&self) -> bool {
        *self == Self::Token(VerifyError::UnknownKey)
    }
}

/// The claims that are read.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    sub: String,
    aud: Audiences,
    client_id: String,
    #[serde(deserialize_with = "second")]
    exp: i64,
    #[serde(deserialize_with = "second")]
    iat: i64,
    #[serde(default, deserialize_with = "present_second")]
    nbf: Option<i64>,
    jti: String,
    #[serde(default, deserialize_with = "present")]
    resource: Option<Audiences>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<String>,
}

/// Verifies an assertion that the provider made for us, for this client and for at least one server.
pub fn verify_id_jag(keys: &PublicKeys, assertion: &str, expect: &IdJagExpectation<'_>) -> Result<IdJag, IdJagError> {
    // RFC 8725 §3.11: only this type is accepted, so that no ID token, access token or logout token passes as an
    // assertion (AS-48).
    let making = Making { algorithms: expect.algorithms, types: &[Some(IdJag::TYPE)] };
    let (payload, _) = believe(keys, assertion, making)?;
    let claims = claims(&payload)?;
    if claims.contains_key("cnf") {
        return Err(IdJagError::Confirmation);
    }
    let wire: Wire = serde_json::from_value(Value::Object(claims.clone())).map_err(|_| VerifyError::Claims)?;
    if wire.iss != expect.issuer {
        return Err(VerifyError::Issuer.into());
    }
    // We must be the only audience: otherwise the assertion could be used again at another server that it names.
    if wire.aud.0 != [expect.audience] {
        return Err(VerifyError::Audience.into());
    }
    if wire.client_id != expect.client.as_str() {
        return Err(IdJagError::Client);
    }
    let times = Times { exp: wire.exp, iat: Some(wire.iat), nbf: wire.nbf };
    times.check(expect.now, Expectation::LEEWAY_SECONDS, IdJag::LIFETIME_SECONDS_MAX)?;
    if !is_identifier(&wire.jti) || !is_subject(&wire.sub) {
        return Err(VerifyError::Claims.into());
    }
    let resources: Vec<ResourceId> = match &wire.resource {
        Some(named) if named.0.len() <= IdJag::RESOURCES_MAX => {
            let read = named.0.iter().map(|one| ResourceId::parse(one));
            read.collect::<Result<_, _>>().map_err(|_| IdJagError::Resource)?
        }
        _ => return Err(IdJagError::Resource),
    };
    let scopes = wire.scope.as_deref().map(str::parse).transpose().map_err(|_| IdJagError::Scope)?;
    let exp = Timestamp::from_second(wire.exp).map_err(|_| VerifyError::Claims)?;
    Ok(IdJag { subject: wire.sub, resources, scopes, jti: wire.jti, exp, claims })
}

#[cfg(test)]
mod tests;
