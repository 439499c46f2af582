//! UserInfo (OpenID Connect Core 1.0 §5.3): fetches claims of the person that are not in the ID token.

use sekisho_protocol::secret::AccessToken;
use serde_json::{Map, Value};

use super::BODY_BYTES_MAX;
use super::provider::Provider;
use crate::http::{Destination, HttpClient, HttpError, Named, Request};

/// Why there are no claims.
#[derive(Debug, thiserror::Error)]
pub enum UserInfoError {
    /// The exchange failed.
    #[error("UserInfo of `{issuer}` could not be asked")]
    Http {
        /// The provider.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The response is not a JSON object, or its status is not 200. A signed response (`application/jwt`) is not read.
    #[error("UserInfo of `{issuer}` answered with something else than JSON (status {status}): let it answer unsigned")]
    Malformed {
        /// The provider.
        issuer: String,
        /// The HTTP status.
        status: u16,
    },
    /// The provider has no UserInfo endpoint.
    #[error("`{issuer}` has no UserInfo: let it put the claims into the ID token")]
    NotOffered {
        /// The provider.
        issuer: String,
    },
    /// `sub` differs from the one in the ID token, or is missing (§5.3.2).
    #[error("UserInfo of `{issuer}` is about somebody else than the ID token (`sub`)")]
    OtherSubject {
        /// The provider.
        issuer: String,
    },
}

/// Fetches the claims of the person whom the ID token calls `subject`.
pub async fn user_info(
    http: &dyn HttpClient,
    provider: &Provider,
    access: &AccessToken,
    subject: &str,
) -> Result<Map<String, Value>, UserInfoError> {
    let issuer = || provider.issuer().to_owned();
    let endpoint =
        provider.user_info_endpoint.as_ref().ok_or_else(|| UserInfoError::NotOffered { issuer: issuer() })?;
    let failed = |source| UserInfoError::Http { issuer: issuer(), source };
    let to = Destination::named(Named::UserInfoEndpoint, provider.issuer(), endpoint).map_err(failed)?;
    let mut request = Request::get(to).bearer(access);
    request.body_bytes_max = BODY_BYTES_MAX;
    let response = http.send(request).await.map_err(failed)?;
    let status = response.status.as_u16();
    let claims: Option<Map<String, Value>> = (status == 200).then(|| response.json()).flatten();
    let claims = claims.ok_or_else(|| UserInfoError::Malformed { issuer: issuer(), status })?;
    // §5.3.2: without this check, an access token of another person would bring that person's claims.
    if claims.get("sub").and_then(Value::as_str) == Some(subject) {
        Ok(claims)
    } else {
        Err(UserInfoError::OtherSubject { issuer: issuer() })
    }
}
