//! Makes and signs access tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use sekisho_protocol::secret::AccessToken;

use crate::claims::{AccessClaims, Audience, Wire, nested_actors};
use crate::jws::TOKEN_BYTES_MAX;
use crate::keys::{Keys, SigningKey};

/// The media type of our tokens (RFC 9068 §2.1), without `application/`.
pub(crate) const TYPE: &str = "at+jwt";

/// Why no token was made. All of these are our own fault.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// `exp` is not after `iat`, or too long after it.
    #[error("the token would not live between one second and {} seconds", AccessClaims::LIFETIME_SECONDS_MAX)]
    Lifetime,
    /// The path does not end with the client that gets the token.
    #[error("the token's path does not end with its client")]
    Path,
    /// The cryptographic library returned an error.
    #[error("the token could not be signed")]
    Signature(#[source] jsonwebtoken::errors::Error),
    /// The token would be longer than a verifier accepts.
    #[error("the token would be longer than {TOKEN_BYTES_MAX} bytes: grant fewer scopes")]
    TooLong,
    /// The claims could not be written.
    #[error("the claims could not be written")]
    Write(#[from] serde_json::Error),
}

/// Signs `claims` with the key whose duty is to sign. Fractions of seconds are dropped.
pub fn sign(keys: &Keys, claims: &AccessClaims) -> Result<AccessToken, SignError> {
    let lifetime = claims.exp.as_second() - claims.iat.as_second();
    if !(1..=AccessClaims::LIFETIME_SECONDS_MAX).contains(&lifetime) {
        return Err(SignError::Lifetime);
    }
    if claims.path.last() != Some(&claims.client_id) {
        return Err(SignError::Path);
    }
    let wire = Wire {
        iss: claims.iss.clone(),
        sub: claims.sub.clone(),
        aud: Audience::One(claims.aud.as_str().to_owned()),
        exp: claims.exp.as_second(),
        iat: claims.iat.as_second(),
        nbf: None,
        jti: claims.jti,
        client_id: claims.client_id.clone(),
        scope: claims.scope.clone(),
        grant: claims.grant,
        epoch: claims.epoch,
        path: claims.path.clone(),
        task: claims.task,
        act: nested_actors(&claims.path),
    };
    let key = keys.signer();
    let header = serde_json::json!({ "typ": TYPE, "alg": "ES256", "kid": key.id().to_string() }).to_string();
    let token = compact(key, &header, &serde_json::to_string(&wire)?).map_err(SignError::Signature)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(SignError::TooLong);
    }
    Ok(AccessToken::from_outside(token))
}

/// Returns the compact form of this header and payload, with its signature.
pub(crate) fn compact(key: &SigningKey, header: &str, payload: &str) -> Result<String, jsonwebtoken::errors::Error> {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key.encoding(), Algorithm::ES256)?;
    Ok(format!("{signed}.{signature}"))
}
