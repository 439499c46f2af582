//! `/tasks/{id}`: a declared piece of work as its person sees it, and what only a person may do with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::{Task, TaskOrigin};
use sekisho_store::{Grant, Tx};

use crate::Issuer;
use crate::agents::{Ends, purpose, seen, standing};
use crate::error;
use crate::own::{self, OwnError};
use crate::pages::{self, Chrome, tool_key};
use crate::parameters::Form;
use crate::place::Place;
use crate::session::{FormKind, Session, form_token};
use crate::shown::{self, ClientLine, JsonText, ServerLine};
use crate::text::Sentence;
use crate::visit::Visit;

mod change;
pub(crate) mod offer;

use change::{Changed, Wish};
use offer::OfferLine;

/// The most characters of one tool's bounds that are shown.
const BOUNDS_CHARS_MAX: usize = 4000;

/// A task, and the forms that change it.
#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    chrome: Chrome,
    id: String,
    ask: Ends,
    purpose: String,
    standing: Sentence,
    is_over: bool,
    grant: String,
    client: ClientLine,
    server: ServerLine,
    origin: Sentence,
    began: String,
    ended: Option<String>,
    ends: Option<String>,
    calls: Option<Calls>,
    tools: Vec<NeedLine>,
    resources: Vec<String>,
    prompts: Vec<String>,
    /// Each is there when the task can be changed so now.
    widen: Option<WidenForm>,
    finish_csrf: Option<String>,
    resume_csrf: Option<String>,
}

/// What is left of a budget, and what it was.
struct Calls {
    left: i64,
    total: u32,
}

/// One tool of the task.
struct NeedLine {
    key: String,
    name: String,
    /// `None`: any arguments.
    bounds: Option<JsonText>,
}

/// The form that widens.
struct WidenForm {
    csrf: String,
    offered: Vec<OfferLine>,
    calls: String,
    problem: Option<Sentence>,
}

impl TaskPage {
    fn has_bounds(&self) -> bool {
        self.tools.iter().any(|tool| tool.bounds.is_some())
    }
}

/// `GET /tasks/{id}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_with(&issuer, &visit, &id, &Wish::default(), None).await
}

async fn shown_with(issuer: &Issuer, visit: &Visit, id: &str, wish: &Wish, problem: Option<Sentence>) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match task_page(issuer, visit, id, wish, problem).await {
        Ok(page) => pages::page(visit, issuer, status, &page, ""),
        Err(error) => error::own(issuer, visit, &error),
    }
}

/// `POST /tasks/{id}`: widen, finish or resume.
pub(crate) async fn change(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::change(&issuer, &visit, &id, &form).await {
        Ok(Changed::Not(wish, problem)) => shown_with(&issuer, &visit, &id, &wish, Some(problem)).await,
        Ok(Changed::Now(place)) => pages::go(&issuer, &visit, &place.path()),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// A task with its grant.
struct Found {
    task: Task,
    grant: Grant,
}

/// The task, if its grant is of the one who is signed in.
async fn find(tx: &mut Tx, visit: &Visit, id: TaskId) -> Result<(Found, Session), OwnError> {
    let place = Place::Task(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let mut found = None;
    if let Some(task) = tx.tasks().find(id).await? {
        let grant = tx.grants().find(task.grant).await?.filter(|grant| grant.subject == subject);
        found = grant.map(|grant| Found { task, grant });
    }
    own::only(found, session, place)
}

/// The tools that could be added: offered, and not there yet.
fn addable(task: &Task, offered: Vec<Tool>) -> Vec<Tool> {
    offered.into_iter().filter(|tool| !task.definition.tools.contains_key(&tool.name)).collect()
}

/// What the form that widens is about: this task as it was shown, and these definitions of the tools on it.
fn about_widen(task: &Task, addable: &[Tool]) -> String {
    let definition = serde_json::to_string(&task.definition).unwrap_or_default();
    let end = task.ends_at.map(|end| end.to_string()).unwrap_or_default();
    format!("{} {} {end} {}", task.id, Digest::of(definition.as_bytes()), seen(addable))
}

async fn task_page(
    issuer: &Issuer,
    visit: &Visit,
    id: &str,
    wish: &Wish,
    problem: Option<Sentence>,
) -> Result<TaskPage, OwnError> {
    let id: TaskId = id.parse().map_err(|_| OwnError::NotThere)?;
    let mut tx = issuer.store.read().await?;
    let (Found { task, grant }, session) = find(&mut tx, visit, id).await?;
    let alive = own::is_alive(&mut tx, &grant, visit).await?;
    let is_over = task.is_over(visit.now) || !alive;
    let form = |kind, about: &str| form_token(visit, Some(&session), kind, about).expose().to_owned();
    let text = id.to_string();
    let widen = if is_over {
        None
    } else {
        let addable = addable(&task, offer::tools(issuer, &mut tx, &grant, visit.now).await?);
        let csrf = form(FormKind::WidenTask, &about_widen(&task, &addable));
        let offered = addable.iter().map(|tool| OfferLine::new(tool, &grant.scopes, &wish.tools)).collect();
        Some(WidenForm { csrf, offered, calls: wish.calls.clone(), problem })
    };
    let resumable = alive && is_over && grant.task == Some(id);
    let client = shown::client(&mut tx, &grant.client).await?;
    let server = shown::server(issuer, &grant.server);
    Ok(TaskPage {
        chrome: Chrome::new(issuer, visit).with(visit, &session, Some(text.clone())),
        ask: Ends { initial: shown::initial(&client.name), server_initial: shown::initial(&server.title) },
        purpose: purpose(&task.definition),
        standing: if is_over { Sentence::TaskOver } else { standing(&task, visit.now) },
        is_over,
        grant: grant.id.to_string(),
        origin: origin(task.origin),
        began: shown::moment(task.created_at),
        ended: task.ended_at.or(task.ends_at.filter(|_| is_over)).map(shown::moment),
        ends: task.ends_at.map(shown::moment),
        calls: task.calls_left.zip(task.definition.calls).map(|(left, total)| Calls { left, total }),
        tools: need_lines(&task),
        resources: shown::resources(visit.language, &task.definition),
        prompts: shown::prompts(visit.language, &task.definition),
        widen,
        finish_csrf: (!is_over).then(|| form(FormKind::FinishTask, &text)),
        resume_csrf: resumable.then(|| form(FormKind::ResumeTask, &text)),
        client,
        server,
        id: text,
    })
}

fn need_lines(task: &Task) -> Vec<NeedLine> {
    let bounds = |schema: &serde_json::Value| shown::json(&schema.to_string(), BOUNDS_CHARS_MAX);
    let line = |(name, schema): (&String, &Option<serde_json::Value>)| NeedLine {
        key: tool_key(name),
        name: shown::exact(name, 128),
        bounds: schema.as_ref().map(bounds),
    };
    task.definition.tools.iter().map(line).collect()
}

fn origin(origin: TaskOrigin) -> Sentence {
    match origin {
        TaskOrigin::Agent => Sentence::OriginAgent,
        TaskOrigin::Command => Sentence::OriginCommand,
        TaskOrigin::Details | TaskOrigin::Exchange => Sentence::OriginClient,
        TaskOrigin::Person => Sentence::OriginPerson,
        TaskOrigin::Template => Sentence::OriginTemplate,
    }
}
