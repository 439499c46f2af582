//! The words of the records: one entry for a decision, one for its outcome, joined by the request id.

mod act;
mod line;
mod rule;
mod why;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::caller::{ActorPath, Subject};
use crate::digest::Digest;
use crate::env::Timestamp;
use crate::ids::{ClientId, GrantId, RequestId, ServerName, TaskId, TokenId};
use crate::refusal::SetName;
use crate::scope::ScopeSet;

pub use act::{Act, ActKind, Actor};
pub use rule::RuleId;
pub use why::Why;

/// One entry. What it says never changes once it is written; only kept arguments can be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Which exchange.
    pub request: RequestId,
    /// What happened.
    pub event: Event,
}

/// What can happen. Variants are the closed set of kinds; texts from outside are bounded by their makers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Somebody did something: signed in, let a client in, began a task, lent, revoked, configured; or was refused it.
    Act(Act),
    /// The clock of the machine was set while we ran, or stood before the last record when we began.
    ClockSet {
        /// What it said until then, by our own count of time.
        from: Timestamp,
        /// What it says now.
        to: Timestamp,
    },
    /// A call was judged.
    Decision(Box<Decision>),
    /// A judged call ended.
    Outcome(Outcome),
    /// Requests that were refused and not recorded one by one, because too many came.
    Refusals(RefusalCount),
    /// A request that never became a call: no or a bad token, a malformed body, a wrong host.
    Rejection(Rejection),
    /// A child process of a server began or ended.
    Child {
        /// Of which server.
        server: ServerName,
        /// `started`, `exited`, `killed`.
        act: String,
        /// Exit status or reason.
        detail: String,
    },
}

/// The answer of `decide`, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A person is asked.
    Ask,
    /// No.
    Deny,
    /// Yes.
    Permit,
    /// More scopes are needed.
    StepUp,
}

/// How the task stood to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Inside the declared task.
    Inside,
    /// Outside the declared task.
    Outside,
    /// No task was declared: never reported as inside three sets.
    Undeclared,
}

fn is_empty(rules: &Arc<[RuleId]>) -> bool {
    rules.is_empty()
}

/// A judged call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// For whom.
    pub subject: Subject,
    /// Which client, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// Through whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ActorPath>,
    /// By which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// By which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Which external authorization server issued the token: its issuer identifier. Absent if it was our own issuer, or if
    /// there was no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Arc<str>>,
    /// In which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// At which server.
    pub server: ServerName,
    /// Which method.
    pub method: Cow<'static, str>,
    /// Which tool, resource or prompt; at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The digest of the arguments, where the server's setting keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Digest>,
    /// The answer.
    pub verdict: Verdict,
    /// The set that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetName>,
    /// How the task stood.
    pub need: Need,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// What would have refused it, had the server not been told to observe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Why>,
    /// The rules that led to the answer.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub because: Arc<[RuleId]>,
    /// Scopes that were asked for, on a step-up (RS-64).
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
}

/// How a permitted call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// At which server.
    pub server: ServerName,
    /// What became of it.
    pub result: OutcomeResult,
    /// The HTTP status the client saw.
    pub status: u16,
    /// Bytes of the answer.
    pub bytes: u64,
    /// From the first byte read to the last byte sent.
    pub millis: u64,
}

/// What became of a permitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// The upstream answered; its answer was passed on.
    Answered,
    /// The client went away.
    Cancelled,
    /// The upstream answered with an error of the protocol.
    Error,
    /// The authority ended while the answer was streaming.
    Revoked,
    /// Nobody knows: the checkpoint ended before it could write it down.
    Unknown,
    /// The checkpoint stopped while the call was being answered.
    Stopping,
    /// The store was out of reach, so nobody could say that the authority of a stream still stood.
    Unconfirmed,
    /// Nothing came from the upstream, or nothing that could be passed on.
    UpstreamFailed,
}

/// How many requests of one kind were refused since this was last written, besides those that are on record by
/// themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    /// The word under which one of them would be on record: an act of the issuer, or the reason of a rejection.
    pub what: Cow<'static, str>,
    /// From which address (of IPv6: the /64). Absent: from all that are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many.
    pub count: u64,
}

/// A request that never became a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// At which server, when the route was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// The HTTP status.
    pub status: u16,
    /// Why, as a closed word of the surface.
    pub reason: String,
    /// More on why; bounded, holds no secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
