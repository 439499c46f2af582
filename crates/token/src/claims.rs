//! The claims of an access token (RFC 9068 §2.2), and their JSON form.

use jiff::Timestamp;
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::ids::{ClientId, GrantId, TaskId, TokenId};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// The claims of one access token. Times have the precision of a second (RFC 7519 §2, NumericDate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// The issuer identifier, byte for byte as in the metadata (RFC 8414 §2).
    pub iss: String,
    /// The subject for whom the client acts.
    pub sub: Subject,
    /// The one server that the token is valid for (RFC 8707 §2).
    pub aud: ResourceId,
    /// The client that holds the token: always the last actor of `path`.
    pub client_id: ClientId,
    /// The scopes that were granted.
    pub scope: ScopeSet,
    /// The grant behind the token; claim `grant`.
    pub grant: GrantId,
    /// The grant's epoch when the token was made; claim `epoch`. The token ends when the grant's epoch changes.
    pub epoch: i64,
    /// The clients on the path, first to last; claim `path`. The nested `act` (RFC 8693 §4.1) is made from it.
    pub path: ActorPath,
    /// The running task, if the grant has one; claim `task`.
    pub task: Option<TaskId>,
    /// When the token was made.
    pub iat: Timestamp,
    /// When the token expires: after `iat`, by at most [`AccessClaims::LIFETIME_SECONDS_MAX`].
    pub exp: Timestamp,
    /// The token's own identifier, for the records.
    pub jti: TokenId,
}

impl AccessClaims {
    /// The longest lifetime that is signed or accepted, in seconds. Issuers use minutes; this limits the damage of a
    /// mistake.
    pub const LIFETIME_SECONDS_MAX: i64 = 24 * 60 * 60;
}

/// The claims as JSON. No other member is accepted: our issuer writes no other, and a member that we do not check
/// (`cnf`) must not look checked (ATK-55).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    pub(crate) iss: String,
    pub(crate) sub: Subject,
    pub(crate) aud: Audience,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<i64>,
    pub(crate) jti: TokenId,
    pub(crate) client_id: ClientId,
    pub(crate) scope: ScopeSet,
    pub(crate) grant: GrantId,
    pub(crate) epoch: i64,
    pub(crate) path: ActorPath,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<TaskId>,
    /// Kept as it came. It is compared as a whole with the path, and decides nothing else (RFC 8693 §4.1).
    pub(crate) act: Value,
}

/// `aud` (RFC 7519 §4.1.3): we write one string; a list with us in it is accepted too (RS-28).
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Whether `resource` is named. An audience that covers several servers never matches (RS-29).
    pub(crate) fn names(&self, resource: &ResourceId) -> bool {
        let is = |text: &String| ResourceId::parse(text).is_ok_and(|audience| audience == *resource);
        match self {
            Self::One(text) => is(text),
            Self::Many(texts) => texts.iter().any(is),
        }
    }
}

/// Returns the path in the standard form (RFC 8693 §4.1): the last actor outermost, the one before it inside.
pub(crate) fn nested_actors(path: &ActorPath) -> Value {
    path.hops().iter().fold(Value::Null, |before, client| match before {
        Value::Null => json!({ "sub": client }),
        before => json!({ "sub": client, "act": before }),
    })
}

/// Reads an optional claim that is present: `null` is a value of the wrong type, and does not count as absent (ATK-55).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
