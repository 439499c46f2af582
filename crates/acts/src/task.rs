//! Tasks: begin one, give it more room, end it, free a grant of one that is over.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_policy::task::check_bounds;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskError, TaskOrigin};
use sekisho_store::{Grant, NewTask, StoreError, TaskPlace, Tx};

use crate::reading::is_alive;
use crate::{ActError, Invalid, Performer};

/// A task to begin.
#[derive(Debug, Clone)]
pub struct Begin {
    /// On which grant.
    pub grant: GrantId,
    /// What it needs.
    pub definition: TaskDefinition,
    /// How it began.
    pub origin: TaskOrigin,
    /// The running task that it is inside of.
    pub parent: Option<TaskId>,
    /// The tokens that are held to it.
    pub place: TaskPlace,
    /// The tools against whose definitions its bounds are checked.
    pub tools: KnownTools,
}

/// The tools whose definitions are known.
#[derive(Debug, Clone)]
pub enum KnownTools {
    /// Of every tool of the server.
    All,
    /// Of these, by name: who asks may not learn what others take.
    Only(BTreeMap<String, String>),
}

/// Begins a task on a living grant.
pub async fn begin(tx: &mut Tx, by: &Performer<'_>, begin: Begin) -> Result<TaskId, ActError> {
    begin.definition.check().map_err(Invalid::Task)?;
    let grant = find_grant(tx, by, begin.grant).await?;
    let tools = match begin.tools {
        KnownTools::All => tx.catalogue().definitions(&grant.server).await?.into_iter().collect(),
        KnownTools::Only(tools) => tools,
    };
    check_bounds(&begin.definition, &tools).map_err(Invalid::TaskBounds)?;
    let id = TaskId::generate(by.now, by.entropy);
    let detail = format!("`{id}`: {}", begin.definition.purpose);
    let new = NewTask {
        id,
        grant: grant.id,
        server: grant.server.clone(),
        definition: begin.definition,
        origin: begin.origin,
        created_at: by.now,
        parent: begin.parent,
        place: begin.place,
    };
    match tx.tasks().begin(&new).await {
        Err(StoreError::Conflict { .. }) => return Err(absent(grant.id)),
        Err(StoreError::Full { .. }) => return Err(Invalid::ManyTasks.into()),
        other => other?,
    }
    by.record(tx, about(by, ActKind::TaskBegun, &grant, id, detail)).await?;
    Ok(id)
}

/// Whether a person may begin a task on a grant: nothing runs that all its tokens are held to already.
pub async fn may_begin(tx: &mut Tx, grant: &Grant, now: Timestamp) -> Result<bool, StoreError> {
    let Some(current) = grant.task else { return Ok(true) };
    Ok(tx.tasks().find(current).await?.is_none_or(|task| task.is_over(now)))
}

/// What a task gets more of. It never becomes less: nothing is taken out, no bound is drawn closer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct More {
    /// Tools to add, with any arguments.
    pub tools: BTreeSet<String>,
    /// Tools of the task whose bounds are dropped.
    pub unbound: BTreeSet<String>,
    /// Calls to add to a budget. A task without a budget has none to widen.
    pub calls: u32,
    /// By how many seconds its end moves. A task without an end has none to move.
    pub seconds: u32,
}

/// Gives a running task more room.
pub async fn widen(tx: &mut Tx, by: &Performer<'_>, id: TaskId, more: &More) -> Result<(), ActError> {
    let (task, grant) = find(tx, by, id).await?;
    let absent = || ActError::absent("running task", id);
    if task.is_over(by.now) || !is_alive(tx, grant.id, by.now).await? {
        return Err(absent());
    }
    let wider = widened(&task, more)?;
    if !tx.tasks().widen(id, &wider.definition, wider.ends_at, by.now).await? {
        return Err(absent());
    }
    let detail = format!("`{id}`: {}", wider.changes.join(", "));
    Ok(by.record(tx, about(by, ActKind::TaskWidened, &grant, id, detail)).await?)
}

/// A task with more room.
#[derive(Debug, PartialEq)]
struct Wider {
    definition: TaskDefinition,
    ends_at: Option<Timestamp>,
    /// For the records.
    changes: Vec<String>,
}

fn widened(task: &Task, more: &More) -> Result<Wider, Invalid> {
    let mut definition = task.definition.clone();
    let mut ends_at = task.ends_at;
    let mut changes = Vec::new();
    for tool in &more.tools {
        if !definition.tools.contains_key(tool) {
            definition.tools.insert(tool.clone(), None);
            changes.push(format!("tool `{tool}`"));
        }
    }
    for (name, bounds) in &mut definition.tools {
        if bounds.is_some() && more.unbound.contains(name) {
            *bounds = None;
            changes.push(format!("any arguments for `{name}`"));
        }
    }
    // The calls that are left grow by the same number.
    if let (Some(total), 1..) = (&mut definition.calls, more.calls) {
        *total = total.checked_add(more.calls).ok_or(too_much("calls", TaskDefinition::CALLS_MAX))?;
        changes.push(format!("{} more calls", more.calls));
    }
    if let (Some(end), 1..) = (&mut ends_at, more.seconds) {
        *end = after(*end, more.seconds);
        let seconds = end.as_second().saturating_sub(task.created_at.as_second());
        let seconds = u32::try_from(seconds);
        definition.expires_in = Some(seconds.map_err(|_| too_much("expires_in", TaskDefinition::SECONDS_MAX))?);
        changes.push(format!("until {end}"));
    }
    if changes.is_empty() {
        return Err(Invalid::TaskUnchanged);
    }
    definition.check()?;
    check_bounds(&definition, &BTreeMap::new())?;
    Ok(Wider { definition, ends_at, changes })
}

fn too_much(member: &'static str, max: u32) -> Invalid {
    Invalid::Task(TaskError::Bound { member, max })
}

/// Ends a task. If all tokens of its grant are held to it, they are refused until the grant is freed of it.
pub async fn finish(tx: &mut Tx, by: &Performer<'_>, id: TaskId) -> Result<(), ActError> {
    let (_, grant) = find(tx, by, id).await?;
    let why = match by.actor {
        Actor::Agent | Actor::Client => "finished by its agent",
        Actor::Anonymous | Actor::Checkpoint => "finished by the checkpoint",
        Actor::Operator => "finished by an operator",
        Actor::Provisioner => "finished by its identity provider",
        Actor::User(_) => "finished by its user",
    };
    if !tx.tasks().finish(id, why, by.now).await? {
        return Err(ActError::absent("running task", id));
    }
    Ok(by.record(tx, about(by, ActKind::TaskFinished, &grant, id, format!("`{id}`"))).await?)
}

/// Frees a grant of the task that it is held to, which must be over. `task`: only of this one; another may hold the grant by
/// now.
pub async fn resume(tx: &mut Tx, by: &Performer<'_>, grant: GrantId, task: Option<TaskId>) -> Result<(), ActError> {
    let absent = || ActError::absent("living grant with a finished task", grant);
    let found = find_grant(tx, by, grant).await.map_err(|error| match error {
        ActError::Absent { .. } => absent(),
        other => other,
    })?;
    let held_to = found.task.filter(|held_to| task.is_none_or(|task| task == *held_to)).ok_or_else(absent)?;
    if !is_alive(tx, grant, by.now).await? || !tx.tasks().resume(grant, by.now).await? {
        return Err(absent());
    }
    Ok(by.record(tx, about(by, ActKind::TaskResumed, &found, held_to, format!("`{held_to}`"))).await?)
}

/// A task and its grant, if the actor may touch it.
async fn find(tx: &mut Tx, by: &Performer<'_>, id: TaskId) -> Result<(Task, Grant), ActError> {
    let absent = || ActError::absent("running task", id);
    let task = tx.tasks().find(id).await?.ok_or_else(absent)?;
    let grant = tx.grants().find(task.grant).await?.filter(|grant| by.may_touch(&grant.subject));
    Ok((task, grant.ok_or_else(absent)?))
}

async fn find_grant(tx: &mut Tx, by: &Performer<'_>, id: GrantId) -> Result<Grant, ActError> {
    let grant = tx.grants().find(id).await?.filter(|grant| by.may_touch(&grant.subject));
    grant.ok_or_else(|| absent(id))
}

fn absent(grant: GrantId) -> ActError {
    ActError::absent("living grant", grant)
}

fn about(by: &Performer<'_>, kind: ActKind, grant: &Grant, task: TaskId, detail: String) -> Act {
    Act { task: Some(task), detail, ..by.act_on(kind, grant) }
}
