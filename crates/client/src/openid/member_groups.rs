//! Fetches all groups of a person at Entra ID, for tokens that have no room for them (Microsoft Graph,
//! `getMemberObjects`).
//!
//! The URL comes from the provider's profile and never from the token: the link in a token leads to a retired service,
//! and a URL from a token could lead anywhere.

use sekisho_protocol::openid::groups::GROUPS_MAX;
use sekisho_protocol::secret::AccessToken;
use serde::Deserialize;
use serde_json::json;

use super::BODY_BYTES_MAX;
use crate::http::{Destination, HttpClient, HttpError, Request};

/// Why the groups are not known.
#[derive(Debug, thiserror::Error)]
pub enum MemberGroupsError {
    /// The exchange failed.
    #[error("`{url}` could not be asked for the person's groups")]
    Http {
        /// The URL.
        url: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The response is not a list of texts. 403 means that the application may not read groups.
    #[error("`{url}` did not answer with groups (status {status}): let the application have `GroupMember.Read.All`")]
    Malformed {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// There are more groups than are read.
    #[error(
        "the person is in more than {GROUPS_MAX} groups: let the provider send fewer, such as those assigned to the application"
    )]
    TooMany,
}

#[derive(Deserialize)]
struct Answer {
    value: Vec<String>,
    /// The link to a further page, which this method never has.
    #[serde(default, rename = "@odata.nextLink")]
    next: Option<String>,
}

/// Returns the identifiers of all groups of the person whose access token this is.
pub async fn member_groups(
    http: &dyn HttpClient,
    at: &Destination,
    access: &AccessToken,
) -> Result<Vec<String>, MemberGroupsError> {
    let url = || at.as_str().to_owned();
    let mut request = Request::post_json(at.clone(), &json!({ "securityEnabledOnly": false })).bearer(access);
    request.body_bytes_max = BODY_BYTES_MAX;
    let response = http.send(request).await.map_err(|source| match source {
        HttpError::BodyTooLarge { .. } => MemberGroupsError::TooMany,
        source => MemberGroupsError::Http { url: url(), source },
    })?;
    let status = response.status.as_u16();
    let answer: Option<Answer> = (status == 200).then(|| response.json()).flatten();
    match answer {
        Some(answer) if answer.next.is_some() || answer.value.len() > GROUPS_MAX => Err(MemberGroupsError::TooMany),
        Some(answer) => Ok(answer.value),
        None => Err(MemberGroupsError::Malformed { url: url(), status }),
    }
}
