//! What rights say to one question.

use std::sync::Arc;

use sekisho_protocol::audit::RuleId;

/// What rights say to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the subject may.
    pub permitted: bool,
    /// The rules that led to it: of a yes those that permit, of a no those that forbid.
    pub because: Arc<[RuleId]>,
    /// A rule that wants a person's yes to each call.
    pub approval: Option<RuleId>,
    /// A rule that wants a declared task.
    pub task_required: Option<RuleId>,
    /// What the rules give as their reasons; for owners, records and `explain`.
    pub reasons: Vec<String>,
    /// Rules that could not be evaluated: then the answer is no.
    pub broken: Arc<[RuleId]>,
    /// Rules that could not compare an argument: those that forbid do, and those that permit do not.
    pub unread: Vec<Unread>,
}

impl Answer {
    /// Whether rules say no that could be evaluated; nothing said means no, too, and is not this.
    pub fn is_forbidden(&self) -> bool {
        !self.permitted && self.broken.is_empty() && !self.because.is_empty()
    }
}

/// A rule that looks at an argument, which is there in a form that the rule cannot compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The rule.
    pub rule: RuleId,
    /// The argument, by the name under which it was sent.
    pub argument: String,
}
