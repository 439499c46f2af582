//! What stands behind a caller, as the store says it: declared tasks, and how far its clients are trusted.

use sekisho_protocol::registration::ClientOrigin;

use crate::task::Need;

/// What stands behind a token at this moment, as the store says it.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// What the declared tasks need.
    pub need: Need,
    /// How far the least trusted client on the path is trusted.
    pub trust: Trust,
}

/// How far a client is trusted to be who it says it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// It registered itself; nobody has checked anything.
    #[default]
    Unverified,
    /// It is described by a document at a host of its own.
    Published,
    /// An operator registered it.
    Registered,
}

impl Trust {
    /// The trust of a client of this origin.
    pub fn of(origin: ClientOrigin) -> Self {
        match origin {
            ClientOrigin::Dynamic => Self::Unverified,
            ClientOrigin::MetadataDocument => Self::Published,
            ClientOrigin::Registered => Self::Registered,
        }
    }

    /// As policies see it.
    pub(crate) fn level(self) -> i64 {
        match self {
            Self::Unverified => 0,
            Self::Published => 1,
            Self::Registered => 2,
        }
    }
}
