//! Why a login failed.

use sekisho_store::StoreError;
use sekisho_web::error::Fault;

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("too many log in at once")]
    Busy,
    #[error("the form did not come from this browser's page")]
    Forgery,
    #[error("the form cannot be read")]
    Malformed,
    #[error("too many failed attempts for this account or from this address")]
    Throttled,
    #[error("the user name or the password is wrong")]
    Wrong,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}
