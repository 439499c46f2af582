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

/// Whether a good token or session was shown on a connection. The surface that verified it says so, and the listener
/// gives more room to such a connection. It says nothing about what the caller may do.
#[derive(Debug, Clone, Default)]
pub struct Recognition(Arc<AtomicBool>);

impl Recognition {
    /// Notes that a valid token or session was shown.
    pub fn recognize(&self) {
        if !self.is_recognized() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a valid token or session was noted.
    pub fn is_recognized(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The subject that a call is made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Nobody in particular: the request has no token, and the server is open on purpose (`access = "public"`).
    Anonymous,
    /// A client that acts in its own name, for no user.
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

    /// Returns the client that calls now.
    pub fn last(&self) -> Option<&ClientId> {
        self.0.last()
    }
}

impl<'de> Deserialize<'de> for ActorPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The caller and the basis of its authority: everything that the pipeline may know about it.
///
/// Made from a verified token whose grant is alive, or for a request without a token at a server
/// that was opened on purpose; never from a header, a body or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The granted scopes; at an open server, those that it gives to everybody.
    pub scopes: ScopeSet,
    /// The basis of the caller's authority.
    pub basis: Basis,
}

/// The basis of a caller's authority. Code that treats callers differently matches on this without a wildcard arm, so
/// that a new variant does not compile before each of these places handles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// An access token, and our grant behind it. [`Granted::issued_by`] says who issued the token.
    Grant(Granted),
    /// No token: the server was opened on purpose (`access = "public"`), and the caller is anonymous.
    Open,
}

/// What is known of a caller with an access token, besides its scopes. There is a grant of ours behind every token, also
/// behind one of an external authorization server: it was made when the token's client came for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The subject that the client calls for.
    pub subject: Subject,
    /// The client that calls: the last of the path.
    pub client: ClientId,
    /// The clients that the call goes through, from the one that the subject let in to the one that calls.
    pub path: ActorPath,
    /// The grant behind the token.
    pub grant: GrantId,
    /// The task that the token names, if it names one.
    pub task: Option<TaskId>,
    /// The identifier under which the records know the token. It is not the token. For a token of an external
    /// authorization server it is made when the token is seen.
    pub token: TokenId,
    /// When the token expires. Open streams end with it.
    pub expires: Timestamp,
    /// Who issued the token.
    pub issued_by: IssuedBy,
}

/// Who issued the token that a caller showed. Code that treats these callers differently matches on this without a
/// wildcard arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuedBy {
    /// The checkpoint's own issuer.
    Checkpoint,
    /// An external authorization server, which the server's configuration names. This is its issuer identifier.
    External(Arc<str>),
}

impl IssuedBy {
    /// Returns the issuer identifier of an external authorization server.
    pub fn external(&self) -> Option<&Arc<str>> {
        match self {
            Self::Checkpoint => None,
            Self::External(issuer) => Some(issuer),
        }
    }
}

/// A subject and the clients that it acts through, for which rights are evaluated: a caller, or somebody who could
/// call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal<'a> {
    /// The subject.
    pub subject: &'a Subject,
    /// The clients; `None` if there is none, or if the question does not depend on a client.
    pub path: Option<&'a ActorPath>,
}

impl<'a> Principal<'a> {
    /// Makes a principal of a subject without a client.
    pub fn of(subject: &'a Subject) -> Self {
        Self { subject, path: None }
    }

    /// The client that calls.
    pub fn client(self) -> Option<&'a ClientId> {
        self.path.and_then(ActorPath::last)
    }
}

impl<'a> From<&'a Caller> for Principal<'a> {
    fn from(caller: &'a Caller) -> Self {
        caller.principal()
    }
}

impl Caller {
    /// An anonymous caller, at a server that gives these scopes to everybody.
    pub fn anonymous(scopes: ScopeSet) -> Self {
        Self { scopes, basis: Basis::Open }
    }

    /// Returns the subject that the call is made for.
    pub fn subject(&self) -> &Subject {
        match &self.basis {
            Basis::Grant(granted) => &granted.subject,
            Basis::Open => &Subject::Anonymous,
        }
    }

    /// The client that calls; an anonymous caller has none that is known.
    pub fn client(&self) -> Option<&ClientId> {
        match &self.basis {
            Basis::Grant(granted) => Some(&granted.client),
            Basis::Open => None,
        }
    }

    /// Returns the subject and path for evaluating rights.
    pub fn principal(&self) -> Principal<'_> {
        match &self.basis {
            Basis::Grant(granted) => Principal { subject: &granted.subject, path: Some(&granted.path) },
            Basis::Open => Principal::of(&Subject::Anonymous),
        }
    }

    /// Returns who issued the caller's token. `None`: there is no token.
    pub fn issued_by(&self) -> Option<&IssuedBy> {
        match &self.basis {
            Basis::Grant(granted) => Some(&granted.issued_by),
            Basis::Open => None,
        }
    }

    /// Returns our grant behind the call, for records and for data that the store keeps by grant. Its presence says
    /// nothing about who calls: match on [`Caller::basis`] for that.
    pub fn grant(&self) -> Option<GrantId> {
        match &self.basis {
            Basis::Grant(granted) => Some(granted.grant),
            Basis::Open => None,
        }
    }

    /// When the caller's authority ends by itself. What an open server gives to everybody has no end of its own.
    pub fn ends(&self) -> Timestamp {
        match &self.basis {
            Basis::Grant(granted) => granted.expires,
            Basis::Open => Timestamp::MAX,
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Caller {
    /// A user with a grant, for tests: both are drawn from this seed. Its client is `cli_a`, it has no scopes, and its token
    /// never ends; `change` changes what the token says.
    pub fn of_test(seed: u64, change: impl FnOnce(&mut Granted)) -> Self {
        use crate::env::{Clock as _, ManualClock, SeededEntropy};
        let (now, entropy) = (ManualClock::default().now(), SeededEntropy::from_seed(seed));
        #[expect(clippy::expect_used, reason = "a constant, and for tests only")]
        let client = ClientId::parse("cli_a").expect("a client's identifier");
        let mut granted = Granted {
            subject: Subject::User(UserId::generate(now, &entropy)),
            path: ActorPath::direct(client.clone()),
            client,
            grant: GrantId::generate(now, &entropy),
            task: None,
            token: TokenId::generate(now, &entropy),
            expires: Timestamp::MAX,
            issued_by: IssuedBy::Checkpoint,
        };
        change(&mut granted);
        Self { scopes: ScopeSet::empty(), basis: Basis::Grant(granted) }
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
