//! The decision: rights, then need, then grant, in the order in which a refusal may speak.
//!
//! Rights come first so that whoever has none learns nothing of what exists; the grant comes last because its
//! refusal (a step-up) names scopes.

use sekisho_protocol::audit::Need;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::scope::ScopeSet;

use crate::model::{Call, Target, ToolStanding};
use crate::permit::{Owed, Permit};
use crate::rights::{Rights, RuleId};

/// One answer to one call.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a decision is taken apart at once; a box would cost more than the copy")]
pub enum Decision {
    /// A person has to say yes to this very call first.
    Ask(Approval),
    /// No.
    Deny(Reason),
    /// Yes.
    Permit(Permit),
    /// Not with these scopes: all that the call needs are named.
    StepUp(StepUp),
}

/// A person's yes that is missing: to this exact call, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Of user, client, server, tool and canonical arguments.
    pub call: Digest,
    /// The rule that asks for it.
    pub rule: RuleId,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The token behind the call has ended.
    Expired,
    /// The call is not part of the declared task, or the task is not running.
    OutsideTask,
    /// The user may not do this; or there is no such thing. Both are answered alike.
    Rights,
}

impl Reason {
    /// The set that spoke.
    pub fn set(self) -> SetName {
        match self {
            Self::Expired => SetName::Grant,
            Self::OutsideTask => SetName::Need,
            Self::Rights => SetName::Rights,
        }
    }
}

/// The scopes a call needs and the token lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// All scopes of the operation (RS-20), not only the missing ones.
    pub scopes: ScopeSet,
    /// The rule by which the user has the right.
    pub rule: RuleId,
}

/// Judges one call. Total: every input has an answer, and what is not known is refused.
pub fn decide(rights: &Rights, caller: &Caller, call: &Call, now: Timestamp) -> Decision {
    let Some(rule) = right(rights, caller, call) else {
        return Decision::Deny(Reason::Rights);
    };
    if caller.expires <= now {
        return Decision::Deny(Reason::Expired);
    }
    if need(caller) == Need::Outside {
        return Decision::Deny(Reason::OutsideTask);
    }
    if !call.is_granted_by(&caller.scopes) {
        return Decision::StepUp(StepUp { scopes: call.scopes(), rule });
    }
    let owes = Owed { record_first: !call.is_read() };
    Decision::Permit(Permit { caller: caller.clone(), call: call.clone(), because: vec![rule], owes })
}

/// Whether a list may show this to the caller: what `decide` would permit, ask about, or let step up to.
pub fn may_see(rights: &Rights, caller: &Caller, call: &Call, now: Timestamp) -> bool {
    !matches!(decide(rights, caller, call, now), Decision::Deny(_))
}

/// How the caller's task stands to a call. A task that is named but not known is not running.
pub fn need(caller: &Caller) -> Need {
    match caller.task {
        None => Need::Undeclared,
        Some(_) => Need::Outside,
    }
}

/// The rule by which the subject may make this call.
fn right(rights: &Rights, caller: &Caller, call: &Call) -> Option<RuleId> {
    let reach = rights.reach(&caller.subject, &call.server)?;
    let exists = match &call.target {
        Target::Job { own, .. } => *own,
        Target::Tool { standing, .. } => *standing != ToolStanding::Unknown,
        Target::Prompt { .. } | Target::Resource { .. } | Target::Server => true,
    };
    (exists && call.class() <= reach.up_to).then_some(reach.rule)
}

#[cfg(test)]
mod tests;
