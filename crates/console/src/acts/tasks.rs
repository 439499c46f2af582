//! Tasks: begin, end, free a grant of one.

use sekisho_policy::task::check_bounds;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use sekisho_store::{NewTask, Store, StoreError, TaskFilter, TaskPlace};

use super::{ActError, Outcome, Performer, TaskRow, record};

pub(super) async fn list(store: &Store, user: Option<&str>, all: bool, now: Timestamp) -> Result<Outcome, ActError> {
    let mut tx = store.read().await?;
    let subject = match user {
        None => None,
        Some(name) => {
            let found = tx.users().find_by_name(name).await?;
            Some(Subject::User(found.ok_or_else(|| ActError::Absent { what: "user", name: name.to_owned() })?.id))
        }
    };
    let filter = TaskFilter { subject, include_over: all, ..TaskFilter::default() };
    let row = |task: Task| TaskRow {
        over: task.is_over(now),
        id: task.id,
        grant: task.grant,
        server: task.server,
        origin: task.origin,
        definition: task.definition,
        calls_left: task.calls_left,
        ends: task.ends_at,
    };
    Ok(Outcome::Tasks { tasks: tx.tasks().list(&filter, now).await?.into_iter().map(row).collect() })
}

pub(super) async fn start(
    store: &Store,
    who: Performer<'_>,
    grant: GrantId,
    definition: TaskDefinition,
) -> Result<Outcome, ActError> {
    definition.check().map_err(|error| ActError::Invalid(error.to_string()))?;
    let absent = || ActError::Absent { what: "living grant", name: grant.to_string() };
    let mut tx = store.begin().await?;
    let found = tx.grants().find(grant).await?.ok_or_else(absent)?;
    let definitions = tx.catalogue().definitions(&found.server).await?;
    let checked = check_bounds(&definition, &definitions.into_iter().collect());
    checked.map_err(|error| ActError::Invalid(error.to_string()))?;
    let id = TaskId::generate(who.now, who.entropy);
    let new = NewTask {
        id,
        grant,
        server: found.server,
        definition,
        origin: TaskOrigin::Command,
        created_at: who.now,
        parent: None,
        place: TaskPlace::Current,
    };
    match tx.tasks().begin(&new).await {
        Err(StoreError::Conflict { .. }) => return Err(absent()),
        Err(StoreError::Full { .. }) => {
            let why = "as many tasks that people began run on this grant as there may be: finish one first";
            return Err(ActError::Invalid(why.to_owned()));
        }
        other => other?,
    }
    tx.audit().append(who.node, &record(who, "task start", format!("{grant} {id}")), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Task { id })
}

pub(super) async fn finish(store: &Store, who: Performer<'_>, task: TaskId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.tasks().finish(task, "finished by an operator", who.now).await? {
        return Err(ActError::Absent { what: "running task", name: task.to_string() });
    }
    tx.audit().append(who.node, &record(who, "task finish", task.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}

pub(super) async fn resume(store: &Store, who: Performer<'_>, grant: GrantId) -> Result<Outcome, ActError> {
    let mut tx = store.begin().await?;
    if !tx.tasks().resume(grant, who.now).await? {
        return Err(ActError::Absent { what: "living grant with a finished task", name: grant.to_string() });
    }
    tx.audit().append(who.node, &record(who, "task resume", grant.to_string()), who.now).await?;
    tx.commit().await?;
    Ok(Outcome::Done { count: 0 })
}
