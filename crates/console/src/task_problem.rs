//! What is wrong with a task, in the words of its page.

use sekisho_acts::Invalid;
use sekisho_protocol::task::TaskError;
use sekisho_web::sentence::Sentence;

/// The sentence. `None`: no form of ours can send that.
pub(crate) fn sentence(problem: &Invalid) -> Option<Sentence> {
    match problem {
        Invalid::ManyTasks => Some(Sentence::ProblemManyTasks),
        Invalid::Task(error) => Some(match error {
            TaskError::Bound { member: "calls", .. } => Sentence::ProblemCalls,
            TaskError::Bound { .. } => Sentence::ProblemEnd,
            TaskError::Empty => Sentence::ProblemNoTool,
            TaskError::Purpose => Sentence::ProblemPurpose,
            TaskError::Resource { .. } => Sentence::ProblemResource,
            TaskError::Elsewhere
            | TaskError::Malformed
            | TaskError::Many
            | TaskError::TooLarge
            | TaskError::UnknownType(_) => Sentence::ProblemTooLarge,
        }),
        Invalid::TaskBounds(_) => Some(Sentence::ProblemTooLarge),
        Invalid::TaskUnchanged => Some(Sentence::ProblemNothing),
        Invalid::Arguments
        | Invalid::Bounds(_)
        | Invalid::BoundsLength
        | Invalid::Chain(_)
        | Invalid::Head { .. }
        | Invalid::LoanLength
        | Invalid::ManyRequests
        | Invalid::NoConfiguration
        | Invalid::OnlyOwner(_)
        | Invalid::OnlyWayIn(_)
        | Invalid::Reason
        | Invalid::Tool
        | Invalid::ToolChanged { .. }
        | Invalid::UserName(_)
        | Invalid::ProviderName(_)
        | Invalid::ScimTokenLength
        | Invalid::ScimTokenName(_)
        | Invalid::UserShutOut(_) => None,
    }
}
