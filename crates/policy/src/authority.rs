//! What the store says about a caller: declared tasks, and how far the clients are trusted.

use sekisho_protocol::registration::ClientOrigin;

use crate::task::Need;

/// What the store says about a token at this moment.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// The need of the declared tasks.
    pub need: Need,
    /// The trust in the least trusted client on the path.
    pub trust: Trust,
}

/// How far a client is trusted to be who it says it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// The client registered itself; nobody has checked anything.
    #[default]
    Unverified,
    /// A document at a host of the client's own describes it.
    Published,
    /// An operator registered it.
    Registered,
}

impl Trust {
    /// Returns the trust in a client of this origin.
    pub fn of(origin: ClientOrigin) -> Self {
        match origin {
            ClientOrigin::Dynamic => Self::Unverified,
            ClientOrigin::MetadataDocument => Self::Published,
            ClientOrigin::Registered => Self::Registered,
        }
    }

    /// Returns the number that policies compare.
    pub(crate) fn level(self) -> i64 {
        match self {
            Self::Unverified => 0,
            Self::Published => 1,
            Self::Registered => 2,
        }
    }
}
