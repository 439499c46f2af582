//! What a person does with a grant: end it, or say what it is for now.

use std::collections::BTreeMap;

use sekisho_policy::task::check_bounds;
use sekisho_protocol::audit::{Authorization, AuthorizationAct};
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_protocol::task::{ANY, TaskDefinition, TaskError, TaskOrigin};
use sekisho_store::{Grant, NewTask, StoreError, TaskPlace, Tx};

use super::find;
use crate::consent::reading;
use crate::own::{self, OwnError};
use crate::pages::{End, tool_key};
use crate::parameters::{Form, Parameters};
use crate::session::{self, FormKind, is_ours};
use crate::tasks::offer;
use crate::text::Sentence;
use crate::visit::Visit;
use crate::{Issuer, records};

/// What somebody wrote into the form that begins a task.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) purpose: String,
    pub(super) calls: String,
    pub(super) end: End,
    /// The keys of the ticked tools.
    pub(super) tools: Vec<String>,
    /// The resources and prompts.
    pub(super) reading: TaskDefinition,
}

impl Default for Draft {
    fn default() -> Self {
        let reading = TaskDefinition { resources: vec![ANY.to_owned()], ..TaskDefinition::default() };
        Self { purpose: String::new(), calls: String::new(), end: End::Never, tools: Vec::new(), reading }
    }
}

impl Draft {
    fn read(form: &Parameters) -> Result<Self, OwnError> {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let end = form.one("end").unwrap_or_default();
        let end = End::ALL.into_iter().find(|choice| choice.word() == end).ok_or(OwnError::Malformed)?;
        let tools = form.all("tool").map(str::to_owned).collect();
        Ok(Self { purpose: text("purpose"), calls: text("calls"), end, tools, reading: reading(form) })
    }

    /// The task that it describes, of the tools that were offered.
    fn definition(&self, offered: &[Tool]) -> Result<TaskDefinition, Sentence> {
        let calls = match self.calls.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| Sentence::ProblemCalls)?),
        };
        let ticked = offered.iter().filter(|tool| self.tools.contains(&tool_key(&tool.name)));
        let definition = TaskDefinition {
            purpose: self.purpose.clone(),
            tools: ticked.map(|tool| (tool.name.clone(), None)).collect(),
            calls,
            expires_in: self.end.seconds(),
            ..self.reading.clone()
        };
        check(&definition)?;
        Ok(definition)
    }
}

/// Whether a task can be kept and its bounds be checked; if not, what to tell the person.
pub(crate) fn check(definition: &TaskDefinition) -> Result<(), Sentence> {
    definition.check().map_err(|error| match error {
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
    })?;
    // Which arguments a tool takes was looked at when the bounds were made.
    check_bounds(definition, &BTreeMap::new()).map_err(|_| Sentence::ProblemTooLarge)
}

/// Whether nothing runs that everything is held to already.
pub(super) async fn may_begin(tx: &mut Tx, grant: &Grant, now: Timestamp) -> Result<bool, StoreError> {
    let Some(current) = grant.task else { return Ok(true) };
    Ok(tx.tasks().find(current).await?.is_none_or(|task| task.is_over(now)))
}

/// What the form is about: this grant, held to what it is held to now, and these definitions of the tools on it.
pub(super) fn about_begin(grant: &Grant, tools: &[Tool]) -> String {
    let current = grant.task.map(|task| task.to_string()).unwrap_or_default();
    format!("{} {current} {}", grant.id, seen(tools))
}

/// The tools as they are at this moment.
pub(crate) fn seen(tools: &[Tool]) -> Digest {
    let parts: Vec<&[u8]> =
        tools.iter().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]).collect();
    Digest::of_list(&parts)
}

/// What came of a form that begins a task.
pub(super) enum Begun {
    /// Nothing yet: what was written, and what is wrong with it.
    Not(Draft, Sentence),
    /// It runs.
    Task(TaskId),
}

/// Begins a task to which everything that the client does is held from now on.
pub(super) async fn begin(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<Begun, OwnError> {
    let id: GrantId = id.parse().map_err(|_| OwnError::NotThere)?;
    let form = own::fields(form, &["tool"])?;
    let mut tx = session::begin(issuer, visit).await?;
    let (grant, session) = find(&mut tx, visit, id).await?;
    let tools = offer::tools(issuer, &mut tx, &grant, visit.now).await?;
    if !is_ours(visit, Some(&session), FormKind::BeginTask, &about_begin(&grant, &tools), form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    if !own::is_alive(&mut tx, &grant, visit).await? || !may_begin(&mut tx, &grant, visit.now).await? {
        return Err(OwnError::Ended);
    }
    let draft = Draft::read(form)?;
    let definition = match draft.definition(&tools) {
        Ok(definition) => definition,
        Err(problem) => return Ok(Begun::Not(draft, problem)),
    };
    let new = NewTask {
        id: TaskId::generate(visit.now, &*issuer.entropy),
        grant: id,
        server: grant.server.clone(),
        definition,
        origin: TaskOrigin::Person,
        created_at: visit.now,
        parent: None,
        place: TaskPlace::Current,
    };
    match tx.tasks().begin(&new).await {
        Ok(()) => {}
        // The grant has ended meanwhile.
        Err(StoreError::Conflict { .. }) => return Err(OwnError::Ended),
        Err(StoreError::Full { .. }) => return Ok(Begun::Not(draft, Sentence::ProblemManyTasks)),
        Err(error) => return Err(error.into()),
    }
    let entry = Authorization {
        detail: format!("`{}`: {}", new.id, new.definition.purpose),
        ..of_grant(AuthorizationAct::TaskBegun, grant)
    };
    records::append(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    Ok(Begun::Task(new.id))
}

/// Takes a grant back.
pub(super) async fn end(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<(), OwnError> {
    let grant: GrantId = id.parse().map_err(|_| OwnError::NotThere)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(issuer, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(OwnError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::EndGrant, id, form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    let (found, _) = find(&mut tx, visit, grant).await?;
    if tx.grants().revoke(grant, "ended by its user", visit.now).await? {
        records::append(issuer, &mut tx, visit, of_grant(AuthorizationAct::GrantRevoked, found)).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Takes back every grant of whoever is signed in.
pub(super) async fn end_all(issuer: &Issuer, visit: &Visit, form: &Form) -> Result<(), OwnError> {
    let form = own::fields(form, &[])?;
    let mut tx = issuer.store.begin().await?;
    let session = session::current(&mut tx, visit).await?.ok_or(OwnError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::EndAllGrants, "", form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    let ended = tx.grants().revoke_of_user(session.user.id, "all ended by their user", visit.now).await?;
    let entry = Authorization {
        subject: Some(own::subject(&session)),
        detail: format!("all agents: {ended} grants"),
        ..records::entry(AuthorizationAct::GrantRevoked)
    };
    records::append(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// An entry about a grant.
pub(crate) fn of_grant(act: AuthorizationAct, grant: Grant) -> Authorization {
    Authorization {
        subject: Some(grant.subject),
        client: Some(grant.client),
        server: Some(grant.server),
        grant: Some(grant.id),
        ..records::entry(act)
    }
}
