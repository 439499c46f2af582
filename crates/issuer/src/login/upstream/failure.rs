//! Why nobody was signed in at a provider: a page that says what to do, and the sentence of the records.

use axum::response::Response;
use http::StatusCode;
use sekisho_acts::ActError;
use sekisho_client::jwks::KeySetError;
use sekisho_client::openid::member_groups::MemberGroupsError;
use sekisho_client::openid::provider::ProviderError;
use sekisho_client::openid::sign_in::{AnswerError, SignInError};
use sekisho_client::openid::user_info::UserInfoError;
use sekisho_client::token::TokenError;
use sekisho_protocol::openid::groups::Fault as GroupsFault;
use sekisho_protocol::openid::identity::{IdentityError, RequirementError};
use sekisho_store::StoreError;
use sekisho_token::{IdTokenError, PublicKeysError};
use sekisho_web::error::{Fault, tell, tell_fault, told};
use sekisho_web::sentence::Sentence;
use sekisho_web::{Site, Visit};

/// Why nobody was signed in at a provider.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The browser came back with something that is not acted on.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// Too many sign-ins are begun.
    #[error("too many sign-ins are begun from this address")]
    Busy,
    /// The sign-in was finished, has ended, is of another browser, or never was.
    #[error("the sign-in was finished, has ended, or belongs to another browser")]
    Gone,
    /// In which groups the person is cannot be told.
    #[error("groups: {0}")]
    Groups(#[from] GroupsFault),
    /// The claims name nobody.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The provider's keys could not be had.
    #[error("the keys of the provider: {0}")]
    Keys(#[from] KeySetError),
    /// The provider's keys cannot be used.
    #[error("the keys of the provider: {0}")]
    KeySet(#[from] PublicKeysError),
    /// All groups of the person could not be had.
    #[error(transparent)]
    MemberGroups(#[from] MemberGroupsError),
    /// The person proved who they are before this was asked of them.
    #[error("a new proof was asked for (`prompt=login`), and the provider gave an older one (`auth_time`)")]
    OldProof,
    /// The provider could not be reached a moment ago.
    #[error("the provider could not be reached a moment ago, and is asked again in some seconds")]
    Pause,
    /// The provider cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The configuration asks for something that the person does not have.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// The user is shut out.
    #[error("{0}")]
    ShutOut(String),
    /// Nobody can be sent there.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The code was not traded.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The ID token is not believed.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// There is no provider of this name.
    #[error("there is no provider of this name")]
    Unknown,
    /// UserInfo was not given.
    #[error(transparent)]
    UserInfo(#[from] UserInfoError),
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for UpstreamError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<ActError> for UpstreamError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => error.into(),
            error @ ActError::Invalid(_) => Self::ShutOut(error.to_string()),
            other => Self::Internal(Fault::internal(other)),
        }
    }
}

impl UpstreamError {
    /// The sentence of the records, with its causes.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let cause = error.to_string();
            if !text.ends_with(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
            source = error.source();
        }
        text
    }

    /// Whether newer keys of the provider could make the token good.
    pub(super) fn lacks_key(&self) -> bool {
        matches!(self, Self::IdToken(error) if error.lacks_key())
    }

    /// Whether the same would succeed in another transaction.
    pub(super) fn met_another(error: &ActError) -> bool {
        matches!(error, ActError::Exists { .. } | ActError::Store(StoreError::Conflict { .. }))
    }
}

/// The page that says why. `label`: the provider, as its button calls it.
pub(crate) fn page(site: &Site, visit: &Visit, label: &str, error: &UpstreamError) -> Response {
    use Sentence as S;
    let mut telling = match error {
        UpstreamError::Answer(_) => tell(StatusCode::FORBIDDEN, S::UpstreamRefused, S::HintSignInAgain),
        UpstreamError::Busy => tell(StatusCode::TOO_MANY_REQUESTS, S::ErrorBusy, S::HintReload),
        UpstreamError::Gone => tell(StatusCode::BAD_REQUEST, S::UpstreamGone, S::HintSignInAgain),
        UpstreamError::Groups(_) => tell(StatusCode::FORBIDDEN, S::UpstreamGroups, S::HintTellAdministrator),
        UpstreamError::Identity(_) | UpstreamError::IdToken(_) | UpstreamError::KeySet(_) | UpstreamError::OldProof => {
            tell(StatusCode::FORBIDDEN, S::UpstreamNotBelieved, S::HintTellAdministrator)
        }
        UpstreamError::Requirement(_) | UpstreamError::ShutOut(_) => {
            tell(StatusCode::FORBIDDEN, S::UpstreamNotAdmitted, S::HintTellAdministrator)
        }
        UpstreamError::Keys(_)
        | UpstreamError::MemberGroups(_)
        | UpstreamError::Pause
        | UpstreamError::Provider(_)
        | UpstreamError::SignIn(_)
        | UpstreamError::Token(_)
        | UpstreamError::UserInfo(_) => tell(StatusCode::BAD_GATEWAY, S::UpstreamFailed, S::UpstreamLater),
        UpstreamError::Unknown => tell(StatusCode::NOT_FOUND, S::UpstreamUnknown, S::HintSignInAgain),
        UpstreamError::Internal(fault) => tell_fault(fault, visit),
    };
    label.clone_into(&mut telling.detail);
    told(site, visit, telling)
}
