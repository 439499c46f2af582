//! Error codes of the OAuth endpoints (RFC 6749 §4.1.2.1 and §5.2, RFC 7591 §3.2.2, RFC 8707 §2).

use serde::{Deserialize, Serialize};

/// A registered error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthErrorCode {
    /// The person or a rule refused.
    AccessDenied,
    /// RFC 6750 §3.1.
    InsufficientScope,
    /// An entry is unknown, malformed, or for another server (RFC 9396 §5).
    InvalidAuthorizationDetails,
    /// The client could not be authenticated.
    InvalidClient,
    /// RFC 7591 §3.2.2.
    InvalidClientMetadata,
    /// The code or token is not valid for this request.
    InvalidGrant,
    /// RFC 7591 §3.2.2.
    InvalidRedirectUri,
    /// The request is malformed.
    InvalidRequest,
    /// The scope is unknown or malformed.
    InvalidScope,
    /// RFC 8707 §2.
    InvalidTarget,
    /// RFC 6750 §3.1.
    InvalidToken,
    /// A page would be needed, and `prompt=none` forbids it (OpenID Connect Core §3.1.2.6).
    InteractionRequired,
    /// We failed, in a redirect (RFC 6749 §4.1.2.1); also for a refresh that cannot help (decision 0070).
    ServerError,
    /// Too busy for now.
    TemporarilyUnavailable,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// The grant type is unknown.
    UnsupportedGrantType,
    /// The response type is unknown.
    UnsupportedResponseType,
}

impl OauthErrorCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::InsufficientScope => "insufficient_scope",
            Self::InteractionRequired => "interaction_required",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
        }
    }
}

/// The JSON body of an error (RFC 6749 §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthErrorBody {
    /// The code, as the word came: a client may meet codes that it does not know.
    pub error: String,
    /// A sentence for a developer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}
