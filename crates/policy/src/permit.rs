//! The proof that `decide` permitted a call.

use std::sync::Arc;

use sekisho_protocol::audit;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::TaskId;

use crate::model::Call;
use crate::reason::Reason;
use crate::rights::RuleId;

/// Proof that all three sets permit this call of this caller.
///
/// No public constructor, not `Clone`, not `Deserialize`: only [`crate::decide::decide`] makes one, and
/// settling takes it by value.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) caller: Caller,
    pub(crate) call: Call,
    pub(crate) because: Arc<[RuleId]>,
    pub(crate) need: audit::Need,
    pub(crate) task: Option<TaskId>,
    pub(crate) owes: Owed,
    pub(crate) observed: Option<Reason>,
}

/// What has to be paid before a permitted call is forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed {
    /// Whether the record must be durable before the effect, as for everything but reads.
    pub record_first: bool,
    /// The approval that is used up; it is for this very call.
    pub approval: Option<Digest>,
    /// The tasks from whose budget one call is taken.
    pub budgets: Vec<TaskId>,
    /// The round of a call that was paid for before. It is used up in place of approval and budgets.
    pub round: Option<Digest>,
}

impl Owed {
    /// Whether paying only needs the queue of records.
    pub fn is_record_only(&self) -> bool {
        !self.record_first && !self.takes()
    }

    /// Whether paying takes something that a second call would miss.
    pub fn takes(&self) -> bool {
        self.approval.is_some() || !self.budgets.is_empty() || self.round.is_some()
    }
}

impl Permit {
    /// The caller that was permitted.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The call that was permitted.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Returns what is owed.
    pub fn owes(&self) -> &Owed {
        &self.owes
    }

    /// The rules that permit the call.
    pub fn because(&self) -> &Arc<[RuleId]> {
        &self.because
    }

    /// The call's relation to the declared tasks.
    pub fn need(&self) -> audit::Need {
        self.need
    }

    /// The task that was declared last.
    pub fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// What would have refused the call if its server did not only observe.
    pub fn observed(&self) -> Option<&Reason> {
        self.observed.as_ref()
    }
}
