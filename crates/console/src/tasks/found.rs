//! The task of a page, and what its forms are about.

use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::Task;
use sekisho_store::{Grant, Tx};
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::place::Place;
use sekisho_web::session::Session;

use crate::offer::digest_of;
use crate::own;

/// A task with its grant.
pub(super) struct TaskAndGrant {
    pub(super) task: Task,
    pub(super) grant: Grant,
}

/// The task, if its grant is of the one who is signed in.
pub(super) async fn find(tx: &mut Tx, visit: &Visit, id: TaskId) -> Result<(TaskAndGrant, Session), PageError> {
    let place = Place::Task(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let mut found = None;
    if let Some(task) = tx.tasks().find(id).await? {
        let grant = tx.grants().find(task.grant).await?.filter(|grant| grant.subject == subject);
        found = grant.map(|grant| TaskAndGrant { task, grant });
    }
    own::only(found, session, place)
}

/// Returns the offered tools that are not in the task yet.
pub(super) fn addable(task: &Task, offered: Vec<Tool>) -> Vec<Tool> {
    offered.into_iter().filter(|tool| !task.definition.tools.contains_key(&tool.name)).collect()
}

/// What the form that widens is about: this task as it was shown, and these definitions of the tools on it.
pub(super) fn about_widen(task: &Task, addable: &[Tool]) -> String {
    let definition = serde_json::to_string(&task.definition).unwrap_or_default();
    let end = task.ends_at.map(|end| end.to_string()).unwrap_or_default();
    format!("{} {} {end} {}", task.id, Digest::of(definition.as_bytes()), digest_of(addable))
}
