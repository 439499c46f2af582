//! Why a client gets no token.

use sekisho_policy::bounds::BoundsError;
use sekisho_protocol::task::TaskError;
use sekisho_web::error::Fault;
use sekisho_web::parameters::ParametersError;

use crate::clients::authenticate::AuthenticationError;

/// The grant type of an exchange (RFC 8693 §2.1).
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Why a client gets no token (RFC 6749 §5.2, RFC 8707 §2). What happened on the way to a refusal (a failure
/// counted, a grant revoked) is kept; nothing is kept of an internal error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error("`authorization_details`: {0}")]
    Bounds(#[from] BoundsError),
    #[error("`authorization_details`: {0}")]
    Details(#[from] TaskError),
    /// RFC 8693 §2.2.2: a token that cannot be exchanged, or not for what is asked.
    #[error("{0}")]
    Exchange(&'static str),
    /// There is no room for one more of what the request would make.
    #[error("{0}")]
    Full(&'static str),
    #[error("{0}")]
    Grant(&'static str),
    #[error("`grant_type` must be `authorization_code`, `refresh_token` or `{EXCHANGE}`")]
    GrantType,
    #[error("{0}")]
    Malformed(#[from] ParametersError),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Another request was there in the same moment; nothing was kept, and the same again will see it.
    #[error("another request used this at the same moment")]
    Raced,
    #[error("`{0}` occurs more than once")]
    Repeated(String),
    #[error("`scope` is malformed, or asks for more than was granted")]
    Scope,
    /// A refresh a moment after a call was refused for want of scope. At the code `server_error` both TypeScript SDKs send
    /// the person to the authorization endpoint. At `invalid_grant` they throw their tokens away first, and at most other
    /// codes they give up (npm `@modelcontextprotocol/sdk` 1.32.2 and `client` 2.4.0, in `authInternal`; docs/clients.md).
    #[error(
        "a call of this client was refused because its grant lacks scope, and a refresh gives no more: send the user to the authorization endpoint with the scope of the challenge"
    )]
    StepUp,
    #[error("`resource` must be the server for which this was granted")]
    Target,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<sekisho_store::StoreError> for TokenError {
    fn from(error: sekisho_store::StoreError) -> Self {
        Self::Internal(error.into())
    }
}
