//! Why no account was linked: a page that says what to do, and the sentence of the records.

use axum::response::Response;
use http::StatusCode;
use sekisho_acts::ActError;
use sekisho_client::vendor::{LookupError, VendorError};
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::ids::ServerName;
use sekisho_store::StoreError;
use sekisho_web::Visit;
use sekisho_web::error::{self, Fault, PageError, tell};
use sekisho_web::sentence::Sentence;

use crate::{Issuer, records};

/// Why no account was linked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Too many links are begun.
    #[error("too many links are begun from this address")]
    Busy,
    /// The step was taken before, has ended, or belongs to another browser, session or person.
    #[error("the step was taken before, has ended, or belongs to another browser or person")]
    Gone,
    /// The vendor does not tell whose account it is, or does not accept what it gave.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The page cannot be shown, or the form is none of ours.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The vendor gives no token.
    #[error(transparent)]
    Vendor(#[from] VendorError),
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        Self::Page(error.into())
    }
}

impl From<ActError> for LinkError {
    fn from(error: ActError) -> Self {
        Self::Page(match error {
            ActError::Absent { .. } | ActError::Exists { .. } => PageError::Ended,
            ActError::Invalid(_) => PageError::Malformed,
            ActError::NotAllowed(_) => PageError::NotThere,
            ActError::Store(error) => PageError::Internal(Fault::Store(error)),
        })
    }
}

/// The page of a failure, and its record. What the vendor said is shown to the person who asked it, and to nobody else.
pub(crate) async fn page(issuer: &Issuer, visit: &Visit, server: &str, failure: &LinkError) -> Response {
    let (status, what, detail, hint) = match failure {
        LinkError::Page(error) => return error::page(&issuer.site, visit, error),
        LinkError::Busy => (StatusCode::TOO_MANY_REQUESTS, Sentence::LinkBusy, String::new(), Sentence::HintLinkAgain),
        LinkError::Gone => (StatusCode::GONE, Sentence::LinkGone, String::new(), Sentence::HintLinkAgain),
        LinkError::Lookup(error) => {
            (StatusCode::BAD_GATEWAY, Sentence::LinkFailed, error.to_string(), Sentence::HintLinkAgain)
        }
        LinkError::Vendor(error) => {
            let status = match error {
                VendorError::Answer(_) | VendorError::Refused { .. } => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_GATEWAY,
            };
            (status, Sentence::LinkFailed, error.to_string(), Sentence::HintLinkAgain)
        }
    };
    tracing::info!(request = %visit.request, server, error = failure as &dyn std::error::Error, "no account was linked");
    let act = Act {
        server: server.parse::<ServerName>().ok(),
        detail: failure.to_string(),
        ..Act::new(Actor::Anonymous, ActKind::AccountLinkRefused)
    };
    records::refused(issuer, visit, act).await;
    let telling = error::Telling { detail, ..tell(status, what, hint) };
    error::told(&issuer.site, visit, telling)
}
