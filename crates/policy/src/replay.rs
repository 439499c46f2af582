//! Recorded calls, judged again by other rights.

use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Authority, Call};
use crate::rights::Rights;

/// What rights said to a call when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Whether the user might.
    pub permitted: bool,
    /// Whether a person was asked.
    pub asked: bool,
}

/// What other rights would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// It would not pass any more.
    Breaks,
    /// A person would be asked who was not.
    Asks,
    /// It would pass, and did not.
    Passes,
    /// The same as before.
    Same,
    /// Rules look at arguments, and those were not kept.
    Undecidable,
}

/// Judges a call again, at the moment at which it was made. `kept`: whether its arguments are those that it had.
pub fn replay(
    rights: &Rights,
    (caller, authority): (&Caller, &Authority),
    (call, kept): (&Call, bool),
    before: Before,
    at: Timestamp,
) -> Replayed {
    if !kept && rights.looks_at_arguments(&caller.subject, &call.server) {
        return Replayed::Undecidable;
    }
    let answer = rights.judge(caller, authority, call, at);
    match (before.permitted, answer.permitted) {
        (true, false) => Replayed::Breaks,
        (false, true) => Replayed::Passes,
        (true, true) if answer.approval.is_some() && !before.asked => Replayed::Asks,
        (true, true) | (false, false) => Replayed::Same,
    }
}
