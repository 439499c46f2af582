//! Why a call is refused.

use sekisho_protocol::audit::Why;
use sekisho_protocol::refusal::SetName;

use crate::schema::Violation;
use crate::task::{Outside, OutsideWhy};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The arguments are not those that the tool takes.
    Arguments(Box<Violation>),
    /// The token behind the call has ended.
    Expired,
    /// The call is not part of a declared task, or the task is not running.
    OutsideTask(Outside),
    /// The user may not do this, or the thing does not exist. Both are answered alike.
    Rights,
    /// A rule requires a declared task, and there is none.
    TaskRequired,
}

impl Reason {
    /// Returns the set that refused. None did if the arguments are not those that the tool takes.
    pub fn set(&self) -> Option<SetName> {
        match self {
            Self::Arguments(_) => None,
            Self::Expired => Some(SetName::Grant),
            Self::OutsideTask(_) | Self::TaskRequired => Some(SetName::Need),
            Self::Rights => Some(SetName::Rights),
        }
    }

    /// Returns the same reason as a word for the records.
    pub fn why(&self) -> Why {
        match self {
            Self::Arguments(_) => Why::ArgumentsInvalid,
            Self::Expired => Why::Expired,
            Self::OutsideTask(outside) => match outside.why {
                OutsideWhy::Arguments(_) => Why::ArgumentOutsideTask,
                OutsideWhy::NotNamed => Why::OutsideTask,
                OutsideWhy::Over => Why::TaskFinished,
                OutsideWhy::Spent => Why::BudgetSpent,
                OutsideWhy::Unknown => Why::TaskUnknown,
            },
            Self::Rights => Why::Rights,
            Self::TaskRequired => Why::TaskRequired,
        }
    }
}
