//! Access tokens of an external authorization server: what one server accepts, and how such a token becomes a caller.
//!
//! [`verify`] finds out what a token says, by the issuer's keys or by asking it. [`admit`] finds the user and the grant
//! that stand behind it. Both cost a signature, a request or the store, so the result is kept by
//! `authenticate.rs` for a while ([`Accepted::until`]).

mod admit;
mod error;
mod parts;
mod verify;

pub(crate) use error::{ExternalError, ExternalFault};
pub(crate) use parts::{Accepted, External, ExternalSources, Presentation};
pub use parts::{ExternalParts, ExternalTokens, TokenForm};

/// Accepts a token that one server was shown, or says why not.
pub(crate) async fn accept(
    external: &External,
    tokens: &ExternalTokens,
    token: &str,
    shown: Presentation<'_>,
) -> Result<Accepted, ExternalError> {
    let verified = verify::verify(external, tokens, token, shown.now).await?;
    admit::admit(external, tokens, &verified, shown).await
}
