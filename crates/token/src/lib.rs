//! Our own tokens (their claims, how they are signed, and when they are accepted), and the signed statements that
//! others send us: of clients about themselves, of OpenID providers about people, of other issuers about access.
//!
//! This is the only place that knows how our access tokens are made (RFC 9068, ES256). It is pure: keys and `now` are
//! passed in; nothing is fetched, stored or logged. It does not check whether a grant is still alive: a token that
//! [`verify()`] accepts may have been revoked since, which only the store knows.
//!
//! Start from [`AccessClaims`]. The issuer calls [`sign()`] with the [`Keys`] in force; the gateway calls [`verify()`]
//! with an [`Expectation`]; the token endpoint calls [`verify_assertion`] with the client's [`PublicKeys`]. Statements
//! of providers and other issuers are verified by [`verify_id_token`], [`verify_logout_token`], [`verify_id_jag`] and
//! [`verify_foreign_access`]; the crate `client` fetches their keys. To add a claim, add a field to [`AccessClaims`],
//! one to the private `Wire` beside it, and a row to the type matrix of `verify/tests.rs`.

mod assertion;
mod claims;
mod foreign;
mod foreign_access;
#[cfg(any(test, feature = "test-util"))]
pub mod forge;
mod id_jag;
mod id_token;
mod json;
mod jws;
mod keys;
mod logout_token;
mod public_keys;
mod sign;
mod verify;

pub use assertion::{AssertionClaims, verify_assertion};
pub use claims::AccessClaims;
pub use foreign::{FOREIGN_TOKEN_BYTES_MAX, claimed_issuer, unverified_claims};
pub use foreign_access::{ForeignAccess, ForeignAccessExpectation, TokenType, verify_foreign_access};
pub use id_jag::{IdJag, IdJagError, IdJagExpectation, verify_id_jag};
pub use id_token::{IdToken, IdTokenError, IdTokenExpectation, verify_id_token};
pub use keys::{KeyDuty, KeyEntry, KeyError, Keys, KeysError, SigningKey};
pub use logout_token::{LogoutToken, LogoutTokenError, LogoutTokenExpectation, verify_logout_token};
pub use public_keys::{PublicKeys, PublicKeysError};
pub use sign::{SignError, sign};
pub use verify::{Expectation, VerifyError, claimed_audience, verify};
