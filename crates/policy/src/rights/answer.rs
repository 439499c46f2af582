//! The answer of the rights to one question.

use std::sync::Arc;

use sekisho_protocol::audit::RuleId;

/// The answer of the rights to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the subject may do it.
    pub permitted: bool,
    /// The rules that led to it: those that permit if it is permitted, otherwise those that forbid.
    pub because: Arc<[RuleId]>,
    /// A rule that requires an approval of each call.
    pub approval: Option<RuleId>,
    /// A rule that requires a declared task.
    pub task_required: Option<RuleId>,
    /// The reasons that the rules give; for owners, records and `explain`.
    pub reasons: Vec<String>,
    /// The rules that could not be evaluated. If there are any, nothing is permitted.
    pub broken: Arc<[RuleId]>,
    /// The rules that could not compare an argument: a `forbid` among them forbids, and a `permit` does not permit.
    pub unread: Vec<Unread>,
}

impl Answer {
    /// Whether rules that could be evaluated forbid the call. A call that no rule permits is refused as well, but not
    /// forbidden.
    pub fn is_forbidden(&self) -> bool {
        !self.permitted && self.broken.is_empty() && !self.because.is_empty()
    }
}

/// A rule with an argument in a form that the rule cannot compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The rule.
    pub rule: RuleId,
    /// The argument's name, as it was sent.
    pub argument: String,
}
