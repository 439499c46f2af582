//! Why a token is not believed.

/// Why a token is not believed. Whoever sent it is told none of this (RS-26): it is for the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// `alg` is not the key's (RFC 8725 §3.1).
    #[error("the token's algorithm is not the one of its key")]
    Algorithm,
    /// `aud` is somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// A claim is missing, has the wrong type, or contradicts another.
    #[error("a claim of the token is missing, mistyped or contradictory")]
    Claims,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iss` is somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// Not a compact JWS in the one spelling that is read, or with header members that are refused.
    #[error("the token is not a well-formed compact JWS")]
    Malformed,
    /// `nbf` or `iat` lie ahead.
    #[error("the token is not valid yet: compare the clocks")]
    NotYetValid,
    /// No such key made it.
    #[error("the signature is wrong")]
    Signature,
    /// `typ` says that it is another kind of token (RFC 8725 §3.11).
    #[error("the token is of another type")]
    Type,
    /// `kid` is missing, unknown, or of a key whose time is over.
    #[error("the token's key is not known")]
    UnknownKey,
}
