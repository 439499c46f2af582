//! Proof that `decide` said yes.

use std::sync::Arc;

use sekisho_protocol::audit;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::TaskId;

use crate::model::Call;
use crate::reason::Reason;
use crate::rights::RuleId;

/// Proof that all three sets said yes to this call of this caller.
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
    /// Whether the record must be durable before the effect: for anything but reads.
    pub record_first: bool,
    /// The approval that is used up: of this very call.
    pub approval: Option<Digest>,
    /// The tasks from whose budget one call is taken.
    pub budgets: Vec<TaskId>,
    /// The round of a call that was paid for before, in place of both.
    pub round: Option<Digest>,
}

impl Owed {
    /// Whether paying it needs nobody but the queue of records.
    pub fn is_record_only(&self) -> bool {
        !self.record_first && !self.takes()
    }

    /// Whether something is taken for it that a second call would find gone.
    pub fn takes(&self) -> bool {
        self.approval.is_some() || !self.budgets.is_empty() || self.round.is_some()
    }
}

impl Permit {
    /// Who was permitted.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What was permitted.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What is owed.
    pub fn owes(&self) -> &Owed {
        &self.owes
    }

    /// By which rules.
    pub fn because(&self) -> &Arc<[RuleId]> {
        &self.because
    }

    /// How the call stands to the declared tasks.
    pub fn need(&self) -> audit::Need {
        self.need
    }

    /// The task that was declared last.
    pub fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// What would have refused, had its server not been told to observe only.
    pub fn observed(&self) -> Option<&Reason> {
        self.observed.as_ref()
    }
}
