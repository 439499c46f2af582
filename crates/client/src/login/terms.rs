//! What an issuer's metadata and refusals mean for a login.

use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};

use crate::challenge::BearerChallenge;
use crate::signing::DpopKey;

/// Whether a refusal is temporary, so that the refresh token may still be good.
pub(super) fn is_passing(code: &str) -> bool {
    matches!(code, "server_error" | "slow_down" | "temporarily_unavailable" | "too_many_requests")
}

/// Whether tokens are bound to a key: only if the issuer supports that and the resource accepts such tokens (RFC 9449
/// §5, RFC 9728 §2). Any other resource would refuse them.
pub(super) fn takes_proofs(
    described: &ProtectedResource,
    server: &AuthorizationServer,
    challenge: Option<&BearerChallenge>,
) -> bool {
    let has = |algorithms: &[String]| algorithms.iter().any(|algorithm| algorithm == DpopKey::ALGORITHM);
    let taken = described.dpop_bound_access_tokens_required
        || has(&described.dpop_signing_alg_values_supported)
        || challenge.is_some_and(|challenge| challenge.dpop);
    has(&server.dpop_signing_alg_values_supported) && taken
}
