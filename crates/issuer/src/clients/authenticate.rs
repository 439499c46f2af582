//! A client proves who it is (RFC 6749 §2.3, RFC 7523 §2.2): by its secret, its key, or not at all, as it registered.
//! A secret counts in the header and in the body, whichever of the two was registered: the Python SDK puts it into the body
//! whatever the metadata say (PyPI `mcp` 2.3.0), and it is the same proof.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use sekisho_client::http::{Destination, Named};
use sekisho_client::jwks::KeySetError;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientAuthentication};
use sekisho_protocol::secret::{ClientAssertion, ClientSecret};
use sekisho_token::{PublicKeys, VerifyError, verify_assertion};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::Parameters;
use subtle::ConstantTimeEq as _;

use super::LookupError;
use super::known::KnownClient;
use crate::Issuer;

/// The only type of assertion (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Proof that a request was made by this client, or by somebody who may speak as it: a public one.
/// Only [`authenticate`] makes one.
#[derive(Debug)]
pub(crate) struct AuthenticatedClient {
    client: Client,
}

impl AuthenticatedClient {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    #[cfg(test)]
    pub(crate) fn for_tests(client: Client) -> Self {
        Self { client }
    }
}

/// Why a request does not count as the client's. All but the last two are answered alike.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticationError {
    #[error("the client's statement is not good")]
    Assertion(#[from] VerifyError),
    #[error("the client's statement was used before")]
    AssertionUsed,
    #[error("the client's credentials are malformed: {0}")]
    Credentials(&'static str),
    #[error("the client's public keys are not available")]
    Keys,
    #[error("the client registered `{}`, and shows something else", .0.as_str())]
    Method(ClientAuthentication),
    #[error("the client's secret is wrong")]
    Secret,
    #[error("no such client may ask")]
    Unknown,
    #[error("the client's document is not available at the moment")]
    Unavailable,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<LookupError> for AuthenticationError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Disabled | LookupError::Unknown => Self::Unknown,
            LookupError::Document(why) if why.is_passing() => Self::Unavailable,
            LookupError::Document(_) => Self::Unknown,
            LookupError::Internal(fault) => Self::Internal(fault),
        }
    }
}

/// The client credentials in a request.
#[derive(Debug)]
pub(crate) struct Credentials {
    id: ClientId,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Assertion(ClientAssertion),
    Basic(ClientSecret),
    Nothing,
    Post(ClientSecret),
}

/// Reads the credentials of a request; two kinds in one are an error (ATK-33).
pub(crate) fn read(authorization: &[HeaderValue], form: &Parameters) -> Result<Credentials, AuthenticationError> {
    let named = form.one("client_id").map(parse_id).transpose()?;
    let secret = form.one("client_secret").map(ClientSecret::from_outside);
    let assertion = read_assertion(form)?;
    let basic = match authorization {
        [] => None,
        [header] => Some(read_basic(header)?),
        _ => return Err(AuthenticationError::Credentials("more than one `Authorization` header")),
    };
    let (id, shown) = match (basic, secret, assertion) {
        (None, None, None) => {
            (named.ok_or(AuthenticationError::Credentials("`client_id` is missing"))?, Shown::Nothing)
        }
        (Some((id, secret)), None, None) => (same(id, named)?, Shown::Basic(secret)),
        (None, Some(secret), None) => {
            (named.ok_or(AuthenticationError::Credentials("`client_id` is missing"))?, Shown::Post(secret))
        }
        (None, None, Some(assertion)) => {
            let id = match named {
                Some(id) => id,
                None => unverified_subject(&assertion)?,
            };
            (id, Shown::Assertion(assertion))
        }
        _ => return Err(AuthenticationError::Credentials("more than one kind")),
    };
    Ok(Credentials { id, shown })
}

fn parse_id(text: &str) -> Result<ClientId, AuthenticationError> {
    ClientId::parse(text).map_err(|_| AuthenticationError::Credentials("`client_id` is not one"))
}

fn same(id: ClientId, named: Option<ClientId>) -> Result<ClientId, AuthenticationError> {
    match named {
        Some(other) if other != id => Err(AuthenticationError::Credentials("two different clients")),
        _ => Ok(id),
    }
}

/// RFC 6749 §2.3.1: both halves are form-encoded, then joined, then base64. Total: whatever comes is read or refused
/// (ATK-27).
fn read_basic(header: &HeaderValue) -> Result<(ClientId, ClientSecret), AuthenticationError> {
    let malformed = || AuthenticationError::Credentials("the `Authorization` header is not well-formed `Basic`");
    let (scheme, encoded) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded =
        STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let id = sekisho_web::parameters::decode(id).map_err(|_| malformed())?;
    let secret = sekisho_web::parameters::decode(secret).map_err(|_| malformed())?;
    Ok((parse_id(&id)?, ClientSecret::from_outside(secret)))
}

fn read_assertion(form: &Parameters) -> Result<Option<ClientAssertion>, AuthenticationError> {
    match (form.one("client_assertion"), form.one("client_assertion_type")) {
        (None, None) => Ok(None),
        (Some(assertion), Some(ASSERTION_TYPE)) => Ok(Some(ClientAssertion::from_outside(assertion))),
        _ => Err(AuthenticationError::Credentials("the assertion or its type is missing or unknown")),
    }
}

/// Whose statement this claims to be (RFC 7521 §4.2: `client_id` may be left out). Only used to find the keys.
fn unverified_subject(assertion: &ClientAssertion) -> Result<ClientId, AuthenticationError> {
    #[derive(serde::Deserialize)]
    struct Subject {
        sub: ClientId,
    }
    let payload = assertion.expose().split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Result<Subject, _> = serde_json::from_slice(&bytes);
    claims.map(|claims| claims.sub).map_err(|_| AuthenticationError::Credentials("the assertion names no client"))
}

/// Finds the client and has it prove itself. Takes an assertion's `jti` in a transaction of its own: used is used,
/// whatever becomes of the request (ATK-35).
pub(crate) async fn authenticate(
    issuer: &Issuer,
    visit: &Visit,
    credentials: Credentials,
) -> Result<AuthenticatedClient, AuthenticationError> {
    let Credentials { id, shown } = credentials;
    let known = super::find_again(issuer, visit, &id).await?;
    match (known.client.authentication, shown) {
        (ClientAuthentication::None, Shown::Nothing) => {}
        (
            ClientAuthentication::ClientSecretBasic | ClientAuthentication::ClientSecretPost,
            Shown::Basic(secret) | Shown::Post(secret),
        ) => check_secret(&known, &secret)?,
        (ClientAuthentication::PrivateKeyJwt, Shown::Assertion(assertion)) => {
            check_assertion(issuer, visit, &known.client, &assertion).await?;
        }
        (method, _) => return Err(AuthenticationError::Method(method)),
    }
    Ok(AuthenticatedClient { client: known.client })
}

fn check_secret(known: &KnownClient, secret: &ClientSecret) -> Result<(), AuthenticationError> {
    let kept = known.secret.ok_or(AuthenticationError::Secret)?;
    let same: bool = kept.as_bytes().ct_eq(secret.digest().as_bytes()).into();
    if same { Ok(()) } else { Err(AuthenticationError::Secret) }
}

async fn check_assertion(
    issuer: &Issuer,
    visit: &Visit,
    client: &Client,
    assertion: &ClientAssertion,
) -> Result<(), AuthenticationError> {
    let verify = |keys: &PublicKeys| {
        verify_assertion(keys, assertion.expose(), &client.id, &issuer.site.settings.base_url, visit.now)
    };
    let claims = match (&client.jwks, &client.jwks_uri) {
        (Some(inline), _) => verify(&PublicKeys::parse(inline).map_err(|_| AuthenticationError::Keys)?)?,
        (None, Some(uri)) => {
            let at = Destination::named(Named::ClientKeys, client.id.as_str(), uri);
            let at = at.map_err(|_| AuthenticationError::Keys)?;
            match verify(&read_keys(issuer.client_keys.current(&at, visit.now).await)?) {
                // The client may have a new key since; it is looked for at most once a minute (ATK-60).
                Err(VerifyError::UnknownKey) => verify(&read_keys(issuer.client_keys.renewed(&at, visit.now).await)?)?,
                outcome => outcome?,
            }
        }
        (None, None) => return Err(AuthenticationError::Keys),
    };
    let jti = Digest::of(claims.jti.as_bytes());
    let mut tx = issuer.site.store.begin().await.map_err(Fault::from)?;
    let first = tx.assertions().take(client.id.as_str(), &jti, claims.exp, visit.now).await.map_err(Fault::from)?;
    tx.commit().await.map_err(Fault::from)?;
    if first { Ok(()) } else { Err(AuthenticationError::AssertionUsed) }
}

fn read_keys(fetched: Result<Arc<str>, KeySetError>) -> Result<PublicKeys, AuthenticationError> {
    let text = fetched.map_err(|_| AuthenticationError::Keys)?;
    PublicKeys::parse(&text).map_err(|_| AuthenticationError::Keys)
}

#[cfg(test)]
mod tests;
