//! Verifies our own access tokens.

use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use sekisho_protocol::ids::KeyId;
use sekisho_protocol::resource::ResourceId;
use serde::Deserialize;

use crate::claims::{AccessClaims, Audience, Wire, nested_actors};
use crate::json;
use crate::jws::Compact;
use crate::keys::Keys;

mod error;

pub use error::VerifyError;

/// What a token must say to be valid at this server and time.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The only issuer that is accepted (RS-31), compared byte for byte.
    pub issuer: &'a str,
    /// The server that was called (RS-28).
    pub audience: &'a ResourceId,
    /// The time of the request.
    pub now: Timestamp,
    /// How far the clocks may differ, in seconds. Counts as [`Expectation::LEEWAY_SECONDS_MAX`] if it is more than
    /// that.
    pub leeway_seconds: u32,
}

impl<'a> Expectation<'a> {
    /// The most leeway, in seconds (ATK-55).
    pub const LEEWAY_SECONDS_MAX: u32 = 60;

    /// The usual leeway, in seconds.
    pub const LEEWAY_SECONDS: u32 = 30;

    /// Returns the expectation with the usual leeway.
    pub fn new(issuer: &'a str, audience: &'a ResourceId, now: Timestamp) -> Self {
        Self { issuer, audience, now, leeway_seconds: Self::LEEWAY_SECONDS }
    }
}

/// Our header has these three members and no other. Any other member of a header (`jwk`, `jku`, `x5c`, `crit`, `b64`,
/// `zip`, `enc`, ...) asks a verifier to trust what the token says about itself (ATK-54).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

/// Verifies a token: one of `keys` signed it, and it says what `expect` demands (RS-27 to RS-32).
///
/// The order has reasons: form, algorithm, type and key are checked before the signature, and the signature before any
/// claim.
pub fn verify(keys: &Keys, token: &str, expect: &Expectation<'_>) -> Result<AccessClaims, VerifyError> {
    let compact = Compact::read(token)?;
    let header: Header = json::read(&compact.header).map_err(|_| VerifyError::Malformed)?;
    if header.alg != "ES256" {
        return Err(VerifyError::Algorithm);
    }
    if !matches!(header.typ.as_deref(), Some("at+jwt" | "application/at+jwt")) {
        return Err(VerifyError::Type);
    }
    let id: KeyId = header.kid.as_deref().unwrap_or_default().parse().map_err(|_| VerifyError::UnknownKey)?;
    let key = keys.believed(id, expect.now).ok_or(VerifyError::UnknownKey)?;
    compact.verify(key.decoding(), Algorithm::ES256)?;
    let wire: Wire = json::read(&compact.payload).map_err(|_| VerifyError::Claims)?;
    check(wire, expect)
}

/// Returns the server that a token names, if it is only one. This proves nothing: it only tells which server to verify
/// the token for.
pub fn claimed_audience(token: &str) -> Option<ResourceId> {
    let compact = Compact::read(token).ok()?;
    let wire: Wire = json::read(&compact.payload).ok()?;
    match wire.aud {
        Audience::One(text) => ResourceId::parse(&text).ok(),
        Audience::Many(_) => None,
    }
}

fn check(wire: Wire, expect: &Expectation<'_>) -> Result<AccessClaims, VerifyError> {
    if wire.iss != expect.issuer {
        return Err(VerifyError::Issuer);
    }
    if !wire.aud.names(expect.audience) {
        return Err(VerifyError::Audience);
    }
    // INVARIANT: the holder of the token is the last client of the path, and `act` says the same; otherwise the token
    // is not ours.
    if wire.path.last() != Some(&wire.client_id) || nested_actors(&wire.path) != wire.act {
        return Err(VerifyError::Claims);
    }
    let times = Times { exp: wire.exp, iat: Some(wire.iat), nbf: wire.nbf };
    times.check(expect.now, expect.leeway_seconds, AccessClaims::LIFETIME_SECONDS_MAX)?;
    let moment = |seconds| Timestamp::from_second(seconds).map_err(|_| VerifyError::Claims);
    Ok(AccessClaims {
        iss: wire.iss,
        sub: wire.sub,
        aud: expect.audience.clone(),
        client_id: wire.client_id,
        scope: wire.scope,
        grant: wire.grant,
        epoch: wire.epoch,
        path: wire.path,
        task: wire.task,
        iat: moment(wire.iat)?,
        exp: moment(wire.exp)?,
        jti: wire.jti,
    })
}

/// The times of a token, in seconds since 1970 (NumericDate without fractions).
pub(crate) struct Times {
    pub(crate) exp: i64,
    pub(crate) iat: Option<i64>,
    pub(crate) nbf: Option<i64>,
}

impl Times {
    /// The last second that a timestamp can have here, near the end of the year 9999.
    const SECOND_MAX: i64 = 253_402_207_200;

    /// Checks that `now` is within the times, with the leeway, and that the whole lifetime is at most `lifetime_max`
    /// seconds.
    pub(crate) fn check(&self, now: Timestamp, leeway_seconds: u32, lifetime_max: i64) -> Result<(), VerifyError> {
        let all = [Some(self.exp), self.iat, self.nbf];
        if all.into_iter().flatten().any(|second| !(0..=Self::SECOND_MAX).contains(&second)) {
            return Err(VerifyError::Claims);
        }
        let leeway = i64::from(leeway_seconds.min(Expectation::LEEWAY_SECONDS_MAX));
        let now = now.as_second();
        let begins = self.iat.unwrap_or(now + leeway);
        if self.exp <= self.iat.unwrap_or(0) || self.exp - begins > lifetime_max {
            return Err(VerifyError::Claims);
        }
        if self.iat.is_some_and(|iat| iat > now + leeway) || self.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(VerifyError::NotYetValid);
        }
        if now >= self.exp + leeway {
            return Err(VerifyError::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
