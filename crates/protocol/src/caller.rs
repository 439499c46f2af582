//! Who speaks: the subject, the ordered path of clients that speak for it, and the lineage of the grant.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{ClientId, GrantId, TaskId, TokenId, UserId};
use crate::scope::ScopeSet;

/// Where a request came from, as the listener saw it; put into every request, never read from a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub core::net::IpAddr);

/// Whether somebody has shown who he is on a connection: said by the surface that found out, read by the listener, which
/// gives strangers less room. It says nothing about what anybody may do.
#[derive(Debug, Clone, Default)]
pub struct Recognition(Arc<AtomicBool>);

impl Recognition {
    /// A token or a session was shown and is good.
    pub fn recognize(&self) {
        if !self.is_recognized() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether that was said.
    pub fn is_recognized(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// For whom a call is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Nobody: the server was opened on purpose (`access = "public"`).
    Anonymous,
    /// A service in its own name: a client that acts for no user.
    Service(ClientId),
    /// A person.
    User(UserId),
}

/// A text that names no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject: expected `anonymous`, `service:CLIENT` or a user identifier")]
pub struct SubjectError;

impl Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Service(client) => write!(f, "service:{client}"),
            Self::User(user) => Display::fmt(user, f),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        if let Some(client) = text.strip_prefix("service:") {
            return client.parse().map(Self::Service).map_err(|_| SubjectError);
        }
        text.parse().map(Self::User).map_err(|_| SubjectError)
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anonymous | Self::Service(_) => serializer.collect_str(self),
            Self::User(user) => user.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The ordered actors of a call, from the client the user let in to the one that calls now.
///
/// It comes from the grant's lineage and travels as the signed claim `path`; the nested `act` (RFC 8693 §4.1)
/// is its interoperable copy and is never decided on. Never empty, never longer than [`ActorPath::HOPS_MAX`],
/// no actor twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ActorPath(Arc<[ClientId]>);

/// Why actors do not make a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActorPathError {
    /// No actor at all.
    #[error("a path needs at least one actor")]
    Empty,
    /// The same actor twice.
    #[error("a path must not meet the same actor twice")]
    Loop,
    /// More than [`ActorPath::HOPS_MAX`] actors.
    #[error("a path has at most {} actors", ActorPath::HOPS_MAX)]
    TooLong,
}

impl ActorPath {
    /// The most actors on one path.
    pub const HOPS_MAX: usize = 8;

    /// The path of a client that a user let in directly.
    pub fn direct(client: ClientId) -> Self {
        Self([client].into())
    }

    /// A path of these actors, first to last.
    pub fn new(actors: Vec<ClientId>) -> Result<Self, ActorPathError> {
        if actors.is_empty() {
            return Err(ActorPathError::Empty);
        }
        if actors.len() > Self::HOPS_MAX {
            return Err(ActorPathError::TooLong);
        }
        let repeats =
            actors.iter().enumerate().any(|(at, actor)| actors.iter().skip(at + 1).any(|later| later == actor));
        if repeats { Err(ActorPathError::Loop) } else { Ok(Self(actors.into())) }
    }

    /// The actors, first to last.
    pub fn hops(&self) -> &[ClientId] {
        &self.0
    }

    /// Who calls now.
    pub fn last(&self) -> Option<&ClientId> {
        self.0.last()
    }
}

impl<'de> Deserialize<'de> for ActorPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The verified bearer of an access token: everything the pipeline may know of who calls.
///
/// Made from a verified token whose grant is alive and of the same epoch, or for the anonymous subject of a
/// server opened on purpose; never from a header, a body or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For whom.
    pub subject: Subject,
    /// Who calls; `None` only for the anonymous subject.
    pub client: Option<ClientId>,
    /// Through whom; `None` only for the anonymous subject.
    pub path: Option<ActorPath>,
    /// The grant behind the token; `None` only for the anonymous subject.
    pub grant: Option<GrantId>,
    /// What was granted.
    pub scopes: ScopeSet,
    /// The running task, if one was declared.
    pub task: Option<TaskId>,
    /// The token, for the records; never its characters.
    pub token: Option<TokenId>,
    /// When the token ends; standing streams end with it.
    pub expires: Timestamp,
}

impl Caller {
    /// Nobody in particular, at a server opened on purpose.
    pub fn anonymous(scopes: ScopeSet) -> Self {
        Self {
            subject: Subject::Anonymous,
            client: None,
            path: None,
            grant: None,
            scopes,
            task: None,
            token: None,
            expires: Timestamp::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ActorPath, ActorPathError, Subject};
    use crate::ids::ClientId;

    fn client(name: &str) -> ClientId {
        ClientId::parse(name).unwrap()
    }

    #[test]
    fn a_path_is_bounded_and_has_no_loop() {
        assert_eq!(ActorPath::new(vec![]), Err(ActorPathError::Empty));
        assert_eq!(ActorPath::new(vec![client("a"), client("b"), client("a")]), Err(ActorPathError::Loop));
        let long = (0..9).map(|n| client(&n.to_string())).collect();
        assert_eq!(ActorPath::new(long), Err(ActorPathError::TooLong));
    }

    /// RFC 9700 §4.15: a client cannot pose as a user by its identifier.
    #[test]
    fn a_client_never_reads_as_a_user() {
        let service = Subject::Service(client("usr_01a2b3c4d5e6f708091a2b3c4d5e6f70"));
        assert_eq!(service.to_string().parse(), Ok(service));
    }
}
