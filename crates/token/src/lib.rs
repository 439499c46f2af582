//! Our own tokens: what they claim, how they are signed, when they are believed; and the signed statements with
//! which clients prove themselves to us.
//!
//! This is the one place that knows how our access tokens are made (RFC 9068, ES256). It is pure: keys and `now`
//! are handed in, nothing is fetched, stored or logged. Whether a grant is still alive is not asked here: a token
//! that [`verify()`] believes may have been revoked since, which is for the store to say.
//!
//! Start from [`AccessClaims`]. The issuer calls [`sign()`] with the [`Keys`] in force; the gateway calls
//! [`verify()`] with an [`Expectation`]; the token endpoint calls [`verify_assertion`] with the client's
//! [`PublicKeys`]. To add a claim: a field of [`AccessClaims`], of the private `Wire` beside it, and a row in the
//! type matrix of `verify/tests.rs`.

mod assertion;
mod claims;
#[cfg(any(test, feature = "test-util"))]
pub mod forge;
mod json;
mod jws;
mod keys;
mod public_keys;
mod sign;
mod verify;

pub use assertion::{AssertionClaims, verify_assertion};
pub use claims::AccessClaims;
pub use keys::{KeyDuty, KeyEntry, KeyError, Keys, KeysError, SigningKey};
pub use public_keys::{PublicKeys, PublicKeysError};
pub use sign::{SignError, sign};
pub use verify::{Expectation, VerifyError, claimed_audience, verify};
