//! Our own tokens: what they claim, how they are signed, when they are believed; and the signed statements that others
//! show to us: of clients about themselves, of OpenID providers about people, of other issuers about access.
//!
//! This is the one place that knows how our access tokens are made (RFC 9068, ES256). It is pure: keys and `now`
//! are handed in, nothing is fetched, stored or logged. Whether a grant is still alive is not asked here: a token
//! that [`verify()`] believes may have been revoked since, which is for the store to say.
//!
//! Start from [`AccessClaims`]. The issuer calls [`sign()`] with the [`Keys`] in force; the gateway calls
//! [`verify()`] with an [`Expectation`]; the token endpoint calls [`verify_assertion`] with the client's
//! [`PublicKeys`]. Statements of providers and other issuers are [`verify_id_token`], [`verify_logout_token`],
//! [`verify_id_jag`] and [`verify_foreign_access`]; their keys are fetched by the crate `client`. To add a claim: a field of [`AccessClaims`], of the private `Wire` beside it, and a row in the
//! type matrix of `verify/tests.rs`.

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
