//! What a person does with a task: give it more room, end it, or go on without it.

use std::collections::BTreeSet;

use sekisho_protocol::audit::{Authorization, AuthorizationAct};
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::{Task, TaskDefinition};
use sekisho_store::Tx;

use super::{Found, about_widen, addable, find, offer};
use crate::agents::{check, of_grant};
use crate::own::{self, OwnError};
use crate::pages::tool_key;
use crate::parameters::{Form, Parameters};
use crate::place::Place;
use crate::session::{self, FormKind, Session, is_ours};
use crate::text::Sentence;
use crate::visit::Visit;
use crate::{Issuer, records};

/// What somebody wants more of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The keys of the tools to add.
    pub(super) tools: Vec<String>,
    /// The keys of the tools whose bounds to drop.
    pub(super) unbound: Vec<String>,
    /// How many calls to add, as it was written.
    pub(super) calls: String,
    /// By how much to move the end: `hour`, `day` or nothing.
    pub(super) end: String,
}

impl Wish {
    fn read(form: &Parameters) -> Self {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let all = |name| form.all(name).map(str::to_owned).collect();
        Self { tools: all("tool"), unbound: all("unbound"), calls: text("calls"), end: text("end") }
    }
}

/// What came of a form.
pub(super) enum Changed {
    /// Nothing yet: what was wanted, and what is wrong with it.
    Not(Wish, Sentence),
    /// It is done, and this is where to see it.
    Now(Place),
}

/// Reads which button it was, and does it.
pub(super) async fn change(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<Changed, OwnError> {
    let id: TaskId = id.parse().map_err(|_| OwnError::NotThere)?;
    let form = own::fields(form, &["tool", "unbound"])?;
    let mut tx = session::begin(issuer, visit).await?;
    let (found, session) = find(&mut tx, visit, id).await?;
    let ours = |kind| is_ours(visit, Some(&session), kind, &id.to_string(), form.one("csrf"));
    let changed = match form.one("act") {
        Some("widen") => widen(issuer, &mut tx, visit, found, &session, form).await?,
        Some("finish") if ours(FormKind::FinishTask) => finish(issuer, &mut tx, visit, found).await?,
        Some("resume") if ours(FormKind::ResumeTask) => resume(issuer, &mut tx, visit, found).await?,
        Some("finish" | "resume") => return Err(OwnError::Forgery),
        _ => return Err(OwnError::Malformed),
    };
    tx.commit().await?;
    Ok(changed)
}

async fn widen(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    found: Found,
    session: &Session,
    form: &Parameters,
) -> Result<Changed, OwnError> {
    let Found { task, grant } = found;
    let addable = addable(&task, offer::tools(issuer, tx, &grant, visit.now).await?);
    if !is_ours(visit, Some(session), FormKind::WidenTask, &about_widen(&task, &addable), form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    if !own::is_alive(tx, &grant, visit).await? || task.is_over(visit.now) {
        return Err(OwnError::Ended);
    }
    let wish = Wish::read(form);
    let wider = match widened(&task, &addable, &wish) {
        Ok(wider) => wider,
        Err(problem) => return Ok(Changed::Not(wish, problem)),
    };
    if !tx.tasks().widen(task.id, &wider.definition, wider.ends_at, visit.now).await? {
        return Err(OwnError::Ended);
    }
    let detail = format!("`{}`: {}", task.id, wider.said);
    let entry = Authorization { detail, ..of_grant(AuthorizationAct::TaskWidened, grant) };
    records::append(issuer, tx, visit, entry).await?;
    Ok(Changed::Now(Place::Task(task.id)))
}

/// A task with more room.
#[derive(Debug, PartialEq)]
struct Wider {
    definition: TaskDefinition,
    ends_at: Option<Timestamp>,
    /// For the records.
    said: String,
}

/// What the task becomes. It never becomes less: nothing is taken out, no bound is drawn closer.
fn widened(task: &Task, addable: &[Tool], wish: &Wish) -> Result<Wider, Sentence> {
    let mut definition = task.definition.clone();
    let mut ends_at = task.ends_at;
    let mut said = Vec::new();
    let keys: BTreeSet<&str> = wish.tools.iter().map(String::as_str).collect();
    for tool in addable.iter().filter(|tool| keys.contains(tool_key(&tool.name).as_str())) {
        definition.tools.insert(tool.name.clone(), None);
        said.push(format!("tool `{}`", tool.name));
    }
    for (name, bounds) in &mut definition.tools {
        if bounds.is_some() && wish.unbound.contains(&tool_key(name)) {
            *bounds = None;
            said.push(format!("any arguments for `{name}`"));
        }
    }
    if !wish.calls.is_empty() {
        let more: u32 = wish.calls.parse().map_err(|_| Sentence::ProblemCalls)?;
        // What is left grows by the same, where it is kept.
        if let (Some(total), 1..) = (&mut definition.calls, more) {
            *total = total.checked_add(more).ok_or(Sentence::ProblemCalls)?;
            said.push(format!("{more} more calls"));
        }
    }
    let seconds = match wish.end.as_str() {
        "" => None,
        "hour" => Some(60 * 60),
        "day" => Some(24 * 60 * 60),
        _ => return Err(Sentence::ProblemEnd),
    };
    if let (Some(end), Some(seconds)) = (&mut ends_at, seconds) {
        *end = after(*end, seconds);
        let length = end.as_second().saturating_sub(task.created_at.as_second());
        definition.expires_in = Some(u32::try_from(length).map_err(|_| Sentence::ProblemEnd)?);
        said.push(format!("until {end}"));
    }
    if said.is_empty() {
        return Err(Sentence::ProblemNothing);
    }
    check(&definition)?;
    Ok(Wider { definition, ends_at, said: said.join(", ") })
}

async fn finish(issuer: &Issuer, tx: &mut Tx, visit: &Visit, found: Found) -> Result<Changed, OwnError> {
    let id = found.task.id;
    if !tx.tasks().finish(id, "finished by its user", visit.now).await? {
        return Err(OwnError::Ended);
    }
    let entry = of_grant(AuthorizationAct::TaskFinished, found.grant);
    records::append(issuer, tx, visit, Authorization { detail: format!("`{id}`"), ..entry }).await?;
    Ok(Changed::Now(Place::Task(id)))
}

async fn resume(issuer: &Issuer, tx: &mut Tx, visit: &Visit, found: Found) -> Result<Changed, OwnError> {
    let Found { task, grant } = found;
    // What was read is that this task is over; another one may hold the grant by now.
    let alive = own::is_alive(tx, &grant, visit).await?;
    if !alive || grant.task != Some(task.id) || !tx.tasks().resume(grant.id, visit.now).await? {
        return Err(OwnError::Ended);
    }
    let place = Place::Grant(grant.id);
    let entry = of_grant(AuthorizationAct::TaskResumed, grant);
    records::append(issuer, tx, visit, Authorization { detail: format!("`{}`", task.id), ..entry }).await?;
    Ok(Changed::Now(place))
}
