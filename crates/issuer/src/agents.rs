//! Connected agents: the grants that somebody gave, each with its tasks, and `/grants/{id}`, the page of one.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::{Task, TaskDefinition};
use sekisho_store::{Grant, GrantFilter, StoreError, TaskFilter, Tx};

use crate::Issuer;
use crate::clients::plain_text;
use crate::error;
use crate::own::{self, OwnError};
use crate::pages::{self, Chrome, End, ScopeLine};
use crate::parameters::Form;
use crate::place::Place;
use crate::session::{FormKind, Session, form_token};
use crate::shown::{self, ClientLine, ServerLine};
use crate::tasks::offer::{self, OfferLine};
use crate::text::{Language, Sentence};
use crate::visit::Visit;

mod change;

use change::{Begun, Draft};
pub(crate) use change::{check, of_grant, seen};

/// How many grants the home page lists, the newest first.
const GRANTS_MAX: usize = 100;

/// How many tasks the page of a grant lists, the newest first.
const TASKS_MAX: usize = 50;

/// One living grant on the home page.
pub(crate) struct GrantLine {
    pub(crate) id: String,
    pub(crate) client: ClientLine,
    pub(crate) server: ServerLine,
    pub(crate) scopes: Vec<ScopeLine>,
    pub(crate) tasks: Vec<TaskLine>,
    pub(crate) since: String,
    pub(crate) last_used: Option<String>,
    pub(crate) ends: Option<String>,
    pub(crate) csrf: String,
}

/// One task of a grant.
pub(crate) struct TaskLine {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) standing: Sentence,
    pub(crate) is_over: bool,
    /// Everything that the grant's tokens do is held to it.
    pub(crate) is_current: bool,
}

impl TaskLine {
    fn new(task: &Task, grant: &Grant, now: Timestamp) -> Self {
        Self {
            id: task.id.to_string(),
            purpose: purpose(&task.definition),
            standing: standing(task, now),
            is_over: task.is_over(now),
            is_current: grant.task == Some(task.id),
        }
    }
}

/// A purpose as it is shown.
pub(crate) fn purpose(definition: &TaskDefinition) -> String {
    plain_text(&definition.purpose, TaskDefinition::PURPOSE_CHARS_MAX)
}

/// How a task stands.
pub(crate) fn standing(task: &Task, now: Timestamp) -> Sentence {
    if task.is_over(now) {
        Sentence::TaskOver
    } else if task.calls_left.is_some_and(|left| left <= 0) {
        Sentence::TaskSpent
    } else {
        Sentence::TaskRunning
    }
}

/// Scopes in words; what another of them includes anyway is left out.
pub(crate) fn scope_lines(language: Language, scopes: &ScopeSet) -> Vec<ScopeLine> {
    let is_included = |scope: &&_| {
        !scopes.iter().any(|other| other != *scope && sekisho_protocol::scope::Scope::includes(other, scope))
    };
    scopes.iter().filter(is_included).map(|scope| ScopeLine::new(language, scope)).collect()
}

/// Whether a grant has not ended.
pub(crate) fn is_alive(grant: &Grant, now: Timestamp) -> bool {
    grant.revoked_at.is_none() && grant.expires_at.is_none_or(|end| end > now)
}

/// The living grants of whoever is signed in (ATK-14: they can be listed and ended).
pub(crate) async fn grant_lines(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
) -> Result<Vec<GrantLine>, StoreError> {
    let subject = own::subject(session);
    let mut grants =
        tx.grants().list(&GrantFilter { subject: Some(subject.clone()), ..GrantFilter::default() }).await?;
    grants.retain(|grant| is_alive(grant, visit.now));
    grants.reverse();
    grants.truncate(GRANTS_MAX);
    let running = TaskFilter { subject: Some(subject), ..TaskFilter::default() };
    let running = tx.tasks().list(&running, visit.now).await?;
    let mut clients = shown::Clients::default();
    let mut lines = Vec::new();
    for grant in grants {
        let mut tasks: Vec<Task> = running.iter().filter(|task| task.grant == grant.id).cloned().collect();
        // A task that is over still holds the grant until somebody resumes it.
        if let Some(current) = grant.task
            && !tasks.iter().any(|task| task.id == current)
        {
            tasks.extend(tx.tasks().find(current).await?);
        }
        let id = grant.id.to_string();
        lines.push(GrantLine {
            client: clients.find(tx, &grant.client).await?,
            server: shown::server(issuer, &grant.server),
            scopes: scope_lines(visit.language, &grant.scopes),
            tasks: tasks.iter().map(|task| TaskLine::new(task, &grant, visit.now)).collect(),
            since: shown::moment(grant.created_at),
            last_used: grant.last_used_at.map(shown::moment),
            ends: grant.expires_at.map(shown::moment),
            csrf: form_token(visit, Some(session), FormKind::EndGrant, &id).expose().to_owned(),
            id,
        });
    }
    Ok(lines)
}

/// One grant: who, where, what, for which tasks.
#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    chrome: Chrome,
    id: String,
    ask: Ends,
    client: ClientLine,
    client_id: String,
    server: ServerLine,
    scopes: Vec<ScopeLine>,
    /// The actors between the user and the server, when there are more than one.
    path: Vec<ClientLine>,
    tasks: Vec<TaskLine>,
    since: String,
    last_used: Option<String>,
    ends: Option<String>,
    alive: bool,
    end_csrf: String,
    /// `None`: a task cannot be begun here now.
    begin: Option<BeginForm>,
}

/// The two ends of the road in the picture.
pub(crate) struct Ends {
    pub(crate) initial: String,
    pub(crate) server_initial: String,
}

/// The form that begins a task.
struct BeginForm {
    csrf: String,
    purpose: String,
    calls: String,
    end: End,
    ends: [End; 4],
    tools: Vec<OfferLine>,
    /// Whether resources and prompts are part of it.
    reads: bool,
    problem: Option<Sentence>,
}

/// `GET /grants/{id}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_with(&issuer, &visit, &id, &Draft::default(), None).await
}

async fn shown_with(issuer: &Issuer, visit: &Visit, id: &str, draft: &Draft, problem: Option<Sentence>) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match agent_page(issuer, visit, id, draft, problem).await {
        Ok(page) => pages::page(visit, issuer, status, &page, ""),
        Err(error) => error::own(issuer, visit, &error),
    }
}

/// `POST /grants/{id}/end`: whoever gave a grant takes it back.
pub(crate) async fn end(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::end(&issuer, &visit, &id, &form).await {
        Ok(()) => pages::go(&issuer, &visit, "/"),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// `POST /agents/end`: whoever is signed in takes back every grant.
pub(crate) async fn end_all(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match change::end_all(&issuer, &visit, &form).await {
        Ok(()) => pages::go(&issuer, &visit, "/"),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// `POST /grants/{id}/tasks`: whoever gave a grant says what it is for now.
pub(crate) async fn begin(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::begin(&issuer, &visit, &id, &form).await {
        Ok(Begun::Task(task)) => pages::go(&issuer, &visit, &Place::Task(task).path()),
        Ok(Begun::Not(draft, problem)) => shown_with(&issuer, &visit, &id, &draft, Some(problem)).await,
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// The grant, if it is of the one who is signed in, whatever became of it.
async fn find(tx: &mut Tx, visit: &Visit, id: GrantId) -> Result<(Grant, Session), OwnError> {
    let place = Place::Grant(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let found = tx.grants().find(id).await?.filter(|grant| grant.subject == subject);
    own::only(found, session, place)
}

async fn agent_page(
    issuer: &Issuer,
    visit: &Visit,
    id: &str,
    draft: &Draft,
    problem: Option<Sentence>,
) -> Result<AgentPage, OwnError> {
    let id: GrantId = id.parse().map_err(|_| OwnError::NotThere)?;
    let mut tx = issuer.store.read().await?;
    let (grant, session) = find(&mut tx, visit, id).await?;
    let mut tasks = tx
        .tasks()
        .list(&TaskFilter { grant: Some(id), include_over: true, ..TaskFilter::default() }, visit.now)
        .await?;
    tasks.reverse();
    tasks.truncate(TASKS_MAX);
    let alive = own::is_alive(&mut tx, &grant, visit).await?;
    let begin = if alive && change::may_begin(&mut tx, &grant, visit.now).await? {
        let tools = offer::tools(issuer, &mut tx, &grant, visit.now).await?;
        let about = change::about_begin(&grant, &tools);
        Some(BeginForm {
            csrf: form_token(visit, Some(&session), FormKind::BeginTask, &about).expose().to_owned(),
            purpose: draft.purpose.clone(),
            calls: draft.calls.clone(),
            end: draft.end,
            ends: End::ALL,
            reads: !draft.reading.resources.is_empty(),
            tools: tools.iter().map(|tool| OfferLine::new(tool, &grant.scopes, &draft.tools)).collect(),
            problem,
        })
    } else {
        None
    };
    let mut clients = shown::Clients::default();
    let mut path = Vec::new();
    for hop in grant.path.hops() {
        path.push(clients.find(&mut tx, hop).await?);
    }
    let client = clients.find(&mut tx, &grant.client).await?;
    let server = shown::server(issuer, &grant.server);
    let text = id.to_string();
    Ok(AgentPage {
        chrome: Chrome::new(issuer, visit).with(visit, &session, Some(text.clone())),
        ask: Ends { initial: shown::initial(&client.name), server_initial: shown::initial(&server.title) },
        client_id: plain_text(grant.client.as_str(), 300),
        scopes: scope_lines(visit.language, &grant.scopes),
        path: if path.len() > 1 { path } else { Vec::new() },
        tasks: tasks.iter().map(|task| TaskLine::new(task, &grant, visit.now)).collect(),
        since: shown::moment(grant.created_at),
        last_used: grant.last_used_at.map(shown::moment),
        ends: grant.expires_at.map(shown::moment),
        alive,
        end_csrf: form_token(visit, Some(&session), FormKind::EndGrant, &text).expose().to_owned(),
        begin,
        client,
        server,
        id: text,
    })
}
