//! One task in one line, as the home page and the page of its grant show it.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::task::{Task, TaskDefinition};
use sekisho_protocol::text::plain_text;
use sekisho_store::Grant;
use sekisho_web::sentence::Sentence;

/// One task of a grant.
pub(crate) struct TaskLine {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) state: Sentence,
    pub(crate) is_over: bool,
    /// Whether the grant's tokens are held to it.
    pub(crate) is_current: bool,
}

impl TaskLine {
    pub(crate) fn new(task: &Task, grant: &Grant, now: Timestamp) -> Self {
        Self {
            id: task.id.to_string(),
            purpose: purpose(&task.definition),
            state: state(task, now),
            is_over: task.is_over(now),
            is_current: grant.task == Some(task.id),
        }
    }
}

/// A purpose as it is shown.
pub(crate) fn purpose(definition: &TaskDefinition) -> String {
    plain_text(&definition.purpose, TaskDefinition::PURPOSE_CHARS_MAX)
}

/// The state of a task, in words.
pub(crate) fn state(task: &Task, now: Timestamp) -> Sentence {
    if task.is_over(now) {
        Sentence::TaskOver
    } else if task.calls_left.is_some_and(|left| left <= 0) {
        Sentence::TaskSpent
    } else {
        Sentence::TaskRunning
    }
}

/// The letters in the two badges of the picture: the client's and the server's.
pub(crate) struct Ends {
    pub(crate) initial: String,
    pub(crate) server_initial: String,
}
