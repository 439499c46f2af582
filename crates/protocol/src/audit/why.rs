//! Why a call was refused, as one closed word of the records.

use serde::{Deserialize, Serialize};

/// Why a call was refused, or would have been, had its server not been told to observe only. A record holds the word that
/// [`Why::as_str`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The account that the user linked for the server cannot be used any more.
    AccountExpired,
    /// The user has linked no account for the server.
    AccountMissing,
    /// A rule wants a person's yes to this very call, and nobody has given one.
    Approval,
    /// An argument is beyond the bounds of a declared task.
    ArgumentOutsideTask,
    /// The arguments are not those that the tool takes.
    ArgumentsInvalid,
    /// A declared task has used up its calls.
    BudgetSpent,
    /// The user said no to this very call.
    Declined,
    /// The token behind the call has ended.
    Expired,
    /// The tool is new or has changed, and no owner has accepted it.
    HeldBack,
    /// A declared task does not name the tool, resource or prompt.
    OutsideTask,
    /// The user may not make the call, or there is no such thing.
    Rights,
    /// The token lacks scopes that the call needs.
    Scopes,
    /// A declared task is finished.
    TaskFinished,
    /// A rule wants a declared task, and there is none.
    TaskRequired,
    /// A task is named that nobody knows.
    TaskUnknown,
    /// A person would have to approve the call, and it sends more beside its arguments than a page could show.
    TooLargeToApprove,
}

impl Why {
    /// The word of the records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountExpired => "account_expired",
            Self::AccountMissing => "account_missing",
            Self::Approval => "approval",
            Self::ArgumentOutsideTask => "argument_outside_task",
            Self::ArgumentsInvalid => "arguments_invalid",
            Self::BudgetSpent => "budget_spent",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::HeldBack => "held_back",
            Self::OutsideTask => "outside_task",
            Self::Rights => "rights",
            Self::Scopes => "scopes",
            Self::TaskFinished => "task_finished",
            Self::TaskRequired => "task_required",
            Self::TaskUnknown => "task_unknown",
            Self::TooLargeToApprove => "too_large_to_approve",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Why;

    /// What is written in a record is the word that people and programs know.
    #[test]
    fn a_record_holds_the_word_of_a_refusal() {
        use Why::{
            AccountExpired, AccountMissing, Approval, ArgumentOutsideTask, ArgumentsInvalid, BudgetSpent, Declined,
            Expired, HeldBack, OutsideTask, Rights, Scopes, TaskFinished, TaskRequired, TaskUnknown, TooLargeToApprove,
        };
        let all = [
            AccountExpired,
            AccountMissing,
            Approval,
            ArgumentOutsideTask,
            ArgumentsInvalid,
            BudgetSpent,
            Declined,
            Expired,
            HeldBack,
            OutsideTask,
            Rights,
            Scopes,
            TaskFinished,
            TaskRequired,
            TaskUnknown,
            TooLargeToApprove,
        ];
        for why in all {
            let written = serde_json::to_string(&why).unwrap();
            assert_eq!(written, format!("\"{}\"", why.as_str()));
            assert_eq!(serde_json::from_str::<Why>(&written).unwrap(), why);
        }
    }
}
