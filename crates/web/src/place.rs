//! Pages that a person has to sign in for, and is sent back to afterwards.

use std::fmt::{self, Display};
use std::str::FromStr;

use sekisho_protocol::ids::{AccessRequestId, ApprovalId, GrantId, PendingId, RequestId, TaskId};

/// A page, named by the identifier of its subject; the identifier's prefix says which kind of page it is.
///
/// INVARIANT: this is all that a login or logout takes from outside to go somewhere: no path and no URL is, so
/// a browser is sent to one of these seven kinds of path and to nothing else (ATK-04).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A request for access, for an owner to answer.
    Access(AccessRequestId),
    /// A call that waits for approval.
    Approval(ApprovalId),
    /// A client that asks for consent.
    Consent(PendingId),
    /// A grant.
    Grant(GrantId),
    /// The accounts that a person has linked.
    Links,
    /// A call that was refused, and for which an owner can be asked.
    Refused(RequestId),
    /// A task.
    Task(TaskId),
}

/// The name of [`Place::Links`], of which there is one.
const LINKS: &str = "links";

/// The error for a text that names no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the identifier of an approval, a call, a grant, a request or a task")]
pub struct PlaceError;

impl Place {
    /// Returns the path of the page, without the prefix of the site.
    pub fn path(self) -> String {
        match self {
            Self::Access(id) => format!("/access/{id}"),
            Self::Approval(id) => format!("/approvals/{id}"),
            Self::Consent(id) => format!("/consent/{id}"),
            Self::Grant(id) => format!("/grants/{id}"),
            Self::Links => "/links".to_owned(),
            Self::Refused(id) => format!("/access/{id}"),
            Self::Task(id) => format!("/tasks/{id}"),
        }
    }

    /// Returns the path of the login that leads back to this page.
    pub fn login(self) -> String {
        format!("/login?request={self}")
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(id) => Display::fmt(id, f),
            Self::Approval(id) => Display::fmt(id, f),
            Self::Consent(id) => Display::fmt(id, f),
            Self::Grant(id) => Display::fmt(id, f),
            Self::Links => f.write_str(LINKS),
            Self::Refused(id) => Display::fmt(id, f),
            Self::Task(id) => Display::fmt(id, f),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let places = [
            text.parse().map(Self::Access).ok(),
            text.parse().map(Self::Approval).ok(),
            text.parse().map(Self::Consent).ok(),
            text.parse().map(Self::Grant).ok(),
            (text == LINKS).then_some(Self::Links),
            text.parse().map(Self::Refused).ok(),
            text.parse().map(Self::Task).ok(),
        ];
        places.into_iter().flatten().next().ok_or(PlaceError)
    }
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::{AccessRequestId, ApprovalId, GrantId, PendingId, RequestId, TaskId, UserId};

    use super::Place;

    /// ATK-04: each of our identifiers leads to its own page, and any other text leads nowhere.
    #[test]
    fn only_our_own_pages_have_a_name() {
        let (now, entropy) = (ManualClock::default().now(), SeededEntropy::default());
        for place in [
            Place::Access(AccessRequestId::generate(now, &entropy)),
            Place::Approval(ApprovalId::generate(now, &entropy)),
            Place::Consent(PendingId::generate(now, &entropy)),
            Place::Grant(GrantId::generate(now, &entropy)),
            Place::Links,
            Place::Refused(RequestId::generate(now, &entropy)),
            Place::Task(TaskId::generate(now, &entropy)),
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
            assert!(place.path().ends_with(&format!("/{place}")), "{place}");
        }
        let task = TaskId::generate(now, &entropy);
        for elsewhere in [
            String::new(),
            "/".to_owned(),
            "//evil.example".to_owned(),
            "https://evil.example/".to_owned(),
            format!("{task}/../../evil"),
            format!("{task}@evil.example"),
            format!("{task}?x=1"),
            format!(" {task}"),
            format!("/tasks/{task}"),
            UserId::generate(now, &entropy).to_string(),
        ] {
            assert!(elsewhere.parse::<Place>().is_err(), "{elsewhere}");
        }
    }
}
