//! Proof that `decide` said yes.

use sekisho_protocol::caller::Caller;

use crate::model::Call;
use crate::rights::RuleId;

/// Proof that all three sets said yes to this call of this caller.
///
/// No public constructor, not `Clone`, not `Deserialize`: only [`crate::decide::decide`] makes one, and
/// settling takes it by value.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) caller: Caller,
    pub(crate) call: Call,
    pub(crate) because: Vec<RuleId>,
    pub(crate) owes: Owed,
}

/// What has to be paid before a permitted call is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Whether the record must be durable before the effect: for anything but reads.
    pub record_first: bool,
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

    /// By which rules.
    pub fn because(&self) -> &[RuleId] {
        &self.because
    }

    /// What is owed.
    pub fn owes(&self) -> Owed {
        self.owes
    }

    /// The parts, for the one who settles.
    pub fn into_parts(self) -> (Caller, Call, Vec<RuleId>) {
        (self.caller, self.call, self.because)
    }
}
