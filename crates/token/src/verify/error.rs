//! Why a token is refused.

/// Why a token is refused. The sender is told none of this (RS-26); it is for the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// `alg` is not the algorithm of the key (RFC 8725 §3.1).
    #[error("the token is signed with another algorithm than the expected one, or than that of its key")]
    Algorithm,
    /// `aud` names somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// A claim is missing, has the wrong type, or contradicts another.
    #[error("a claim of the token is missing, mistyped or contradictory")]
    Claims,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iss` names somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// The token is not a compact JWS in the one accepted spelling, or has header members that are refused.
    #[error("the token is not a well-formed compact JWS")]
    Malformed,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet: compare the clocks")]
    NotYetValid,
    /// The signature is not one by this key.
    #[error("the signature is wrong")]
    Signature,
    /// `typ` says that it is another kind of token (RFC 8725 §3.11).
    #[error("the token is of another type")]
    Type,
    /// `kid` is missing, unknown, or of a key whose window is over.
    #[error("the token's key is not known")]
    UnknownKey,
}
