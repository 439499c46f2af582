//! Why a token of an external authorization server gives no access.

use sekisho_acts::ActError;
use sekisho_client::introspection::IntrospectionError;
use sekisho_client::issuers::TokenIssuerError;
use sekisho_client::jwks::KeySetError;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::openid::identity::{IdentityError, RequirementError};
use sekisho_store::StoreError;
use sekisho_token::VerifyError;

/// Why a token of an external authorization server gives no access. The texts are for the records and quote nothing of
/// the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExternalError {
    /// It names an audience that the configuration does not list.
    #[error("the token is also for somebody else: list that audience in `other_audiences` if that is all right")]
    Audiences,
    /// The name of its client is too long to be kept.
    #[error("the identifier of the token's client is too long")]
    Client,
    /// The grant was ended here.
    #[error("the grant of this client was ended here, and its user has not let the client in again")]
    Ended(GrantId),
    /// It does not name a person in the claims of the configuration.
    #[error("the token does not say who it is about: {0}")]
    Identity(#[from] IdentityError),
    /// The issuer does not accept it, or describes it in a form that cannot be used.
    #[error("{0}")]
    Introspection(IntrospectionError),
    /// It is from another issuer than the one of the configuration.
    #[error("the token is from another issuer than this server's authorization server")]
    Issuer,
    /// It is one of our own, and this server does not accept those.
    #[error("the token is of the checkpoint's own issuer, which this server does not accept (`ours_too`)")]
    Ours,
    /// Its person is none of those who may come in.
    #[error("the token's person may not come in: {0}")]
    Person(#[from] RequirementError),
    /// It is about a client, and about no person.
    #[error("the token is of a client that acts in its own name")]
    Service,
    /// Its user is shut out here.
    #[error("the user is shut out here")]
    ShutOut,
    /// It cannot be checked at the moment.
    #[error("{0}")]
    Unavailable(#[from] UnavailableError),
    /// Its signature, its type, its times or its claims are not as they have to be.
    #[error("{0}")]
    Verify(#[from] VerifyError),
}

/// Why a token cannot be checked at the moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnavailableError {
    /// The issuer could not be asked about the token.
    #[error("the authorization server could not be asked about the token")]
    Ask(#[source] IntrospectionError),
    /// Too many users and grants are being made at this moment.
    #[error("too many clients come for the first time at this moment")]
    Busy,
    /// Its keys could not be fetched.
    #[error("the keys of the authorization server could not be fetched")]
    Keys(#[source] KeySetError),
    /// The key of the token may have been published since the keys were fetched, and they cannot be fetched yet.
    #[error("the key of the token may be newer than the keys that are known, which cannot be fetched again yet")]
    KeysOld,
    /// Its metadata could not be fetched, or cannot be used.
    #[error("the metadata of the authorization server cannot be used: {0}")]
    Metadata(#[from] TokenIssuerError),
    /// Its metadata lack what the configured form of tokens needs.
    #[error("the metadata of the authorization server have no `{0}`, which the configuration needs")]
    NotOffered(&'static str),
    /// The user or the grant could not be made.
    #[error("what the token stands for could not be kept: {0}")]
    Acts(#[source] ActError),
    /// The store cannot be asked.
    #[error("the store cannot be asked")]
    Store(#[from] StoreError),
}

impl From<StoreError> for ExternalError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// The kinds of refusal, which are answered differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExternalFault {
    /// The grant was ended here, so another token does not help: 403.
    Ended(GrantId),
    /// The token is not good here: 401.
    Refused,
    /// The user is shut out here, so another token does not help: 403.
    ShutOut,
    /// Nobody knows at the moment: 503.
    Unavailable,
}

impl ExternalError {
    /// Returns the kind of refusal.
    pub(crate) fn fault(&self) -> ExternalFault {
        match self {
            Self::Ended(grant) => ExternalFault::Ended(*grant),
            Self::ShutOut => ExternalFault::ShutOut,
            Self::Unavailable(_) => ExternalFault::Unavailable,
            Self::Audiences
            | Self::Client
            | Self::Identity(_)
            | Self::Introspection(_)
            | Self::Issuer
            | Self::Ours
            | Self::Person(_)
            | Self::Service
            | Self::Verify(_) => ExternalFault::Refused,
        }
    }
}
