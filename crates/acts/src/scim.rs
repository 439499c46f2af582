//! What provisioning clients do (SCIM, RFC 7644): users and groups of an identity provider come, change and go; and the tokens
//! with which those clients come in.
//!
//! Each function does one act in the transaction that it is given and writes one record. A provisioning client acts on what its own
//! provider provisions and on nothing else. It gives nobody a role, and takes none away.

use sekisho_scim::error::ScimError;
use sekisho_store::StoreError;

use crate::{ActError, Invalid};

pub mod group;
pub mod rule;
pub mod token;
pub mod user;

pub use rule::{IdentityRule, RuleError};

/// Who provisions: one client of one provider.
#[derive(Debug, Clone)]
pub struct ProvisioningClient {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// What an operator calls the client's token.
    pub label: String,
    /// By what the provider's people are known when they sign in. `None`: the provider is not in the configuration, and nobody
    /// signs in there.
    pub rule: Option<IdentityRule>,
}

impl ProvisioningClient {
    /// For the detail of a record.
    fn named(&self) -> String {
        format!("`{}` of `{}`", self.label, self.provider)
    }
}

/// Why a change was not made. Nothing of it is kept if the transaction is dropped.
#[derive(Debug, thiserror::Error)]
pub enum ProvisioningError {
    /// What was sent cannot be done.
    #[error(transparent)]
    Refused(#[from] ScimError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ActError> for ProvisioningError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => Self::Store(error),
            ActError::Invalid(Invalid::OnlyOwner(_)) => Self::Refused(ScimError::Mutability(
                "this is the only owner of the checkpoint who can sign in, so make another owner there first",
            )),
            ActError::Absent { .. } | ActError::Exists { .. } | ActError::Invalid(_) | ActError::NotAllowed(_) => {
                Self::Refused(ScimError::NotFound)
            }
        }
    }
}

/// A row that met another one: two requests that were made at the same moment, or a value that was looked for a moment ago.
fn unique(error: StoreError, what: &'static str) -> ProvisioningError {
    match error {
        StoreError::Conflict { .. } => ScimError::Uniqueness(what).into(),
        other => other.into(),
    }
}
