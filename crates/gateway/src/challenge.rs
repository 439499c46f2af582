//! The `WWW-Authenticate` header: what the operation needs and what was granted before, from our own configuration
//! (RS-15 to RS-25). It never repeats an upstream's challenge (PX-13, ATK-79).

use http::HeaderValue;
use sekisho_protocol::challenge::{Challenge, ChallengeError};

use crate::authenticate::AuthenticateError;
use crate::authorize::Denied;
use crate::external::ExternalFault;
use crate::fault::Fault;
use crate::metadata;
use crate::route::Route;
use crate::scope_words::{challenged, spoken, spoken_to};

/// Returns the registered error code for a bad token; none if no token was shown (RS-16).
pub(crate) fn error_of(error: &AuthenticateError) -> Option<ChallengeError> {
    match error {
        AuthenticateError::Missing | AuthenticateError::Unavailable(_) => None,
        AuthenticateError::Malformed => Some(ChallengeError::InvalidRequest),
        AuthenticateError::Ended | AuthenticateError::Token(_) => Some(ChallengeError::InvalidToken),
        AuthenticateError::External(error) => match error.fault() {
            ExternalFault::Refused => Some(ChallengeError::InvalidToken),
            ExternalFault::Ended(_) | ExternalFault::ShutOut | ExternalFault::Unavailable => None,
        },
    }
}

/// Returns a sentence that is the same for every way in which a token can be bad (RS-26).
pub(crate) fn description_of(error: &AuthenticateError) -> &'static str {
    match error {
        AuthenticateError::Ended | AuthenticateError::Token(_) => {
            "the access token is expired, revoked, or not for this server"
        }
        AuthenticateError::Malformed => "send one Authorization header with one bearer token",
        AuthenticateError::Missing => "an access token is needed",
        AuthenticateError::Unavailable(_) => "the token cannot be checked at the moment",
        AuthenticateError::External(error) => match error.fault() {
            ExternalFault::Ended(_) => "the user has ended the access of this client here",
            ExternalFault::Refused => "the access token is expired, revoked, or not for this server",
            ExternalFault::ShutOut => "the user is shut out here",
            ExternalFault::Unavailable => {
                "the authorization server of this server cannot be asked about the token at the moment; try again"
            }
        },
    }
}

/// Returns the challenge of a response, if a token, or another token, would help.
pub(crate) fn header(route: &Route, base_url: &str, fault: &Fault) -> Option<HeaderValue> {
    let card = &route.card;
    let challenge = match fault {
        Fault::Authenticate(AuthenticateError::Unavailable(_)) => return None,
        Fault::Authenticate(AuthenticateError::External(error)) if error.fault() != ExternalFault::Refused => {
            return None;
        }
        Fault::Authenticate(error) => Challenge {
            error: error_of(error),
            description: error_of(error).map(|_| description_of(error)),
            resource_metadata: metadata::url(base_url, &card.name),
            scope: spoken(route, &challenged(&card.scopes_default)).unwrap_or_default(),
        },
        Fault::Denied { denied, .. } => {
            let (needed, granted, issued_by) = match &**denied {
                Denied::StepUp { step_up, granted, issued_by, .. } => (&step_up.scopes, granted, issued_by),
                Denied::Account(_)
                | Denied::Approval { .. }
                | Denied::ApprovalAnonymous(_)
                | Denied::Declined(_)
                | Denied::Policy(_)
                | Denied::Task { .. }
                | Denied::TooLarge(_) => return None,
            };
            Challenge {
                error: Some(ChallengeError::InsufficientScope),
                description: Some("the call needs a scope that was not granted"),
                resource_metadata: metadata::url(base_url, &card.name),
                // Names the scopes that were granted already, too (RS-22). A client that asks for just the scopes in
                // the challenge, as those on the TypeScript SDK 1.x do, would lose the others.
                scope: spoken_to(route, issued_by.as_ref(), &challenged(&needed.union(granted).shortened()))?,
            }
        }
        Fault::Call(_)
        | Fault::Ended(_)
        | Fault::RoundsFull
        | Fault::Forward(_)
        | Fault::Full
        | Fault::Journal(_)
        | Fault::Open(_)
        | Fault::OtherName { .. }
        | Fault::TooFast(_) => return None,
    };
    // `to_header` writes only visible ASCII.
    HeaderValue::try_from(challenge.to_header()).ok()
}
