//! The page of a task, and the forms that change it.

use askama::Template;
use sekisho_acts::reading::is_alive;
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::{Task, TaskOrigin};
use sekisho_web::Visit;
use sekisho_web::choice::tool_key;
use sekisho_web::error::PageError;
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, form_token};
use sekisho_web::shown::{self, ClientLine, JsonText, ServerLine};

use super::found::{TaskAndGrant, about_widen, addable, find};
use super::widening_form::WideningForm;
use crate::Console;
use crate::form_page::Filled;
use crate::offer::{self, OfferLine};
use crate::task_line::{Ends, purpose, state};

/// The most characters of one tool's bounds that are shown.
const BOUNDS_CHARS_MAX: usize = 4000;

/// A task, and the forms that change it.
#[derive(Template)]
#[template(path = "task.html")]
pub(super) struct TaskPage {
    chrome: Chrome,
    id: String,
    ask: Ends,
    purpose: String,
    state: Sentence,
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
    /// Each of the forms is there if the task can be changed in that way now.
    widen: Option<WidenForm>,
    finish_csrf: Option<String>,
    resume_csrf: Option<String>,
}

/// The calls that are left, and the total.
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

/// The page of a task, for the person who gave its grant.
pub(super) async fn page(
    console: &Console,
    visit: &Visit,
    id: &str,
    filled: &Filled<WideningForm>,
) -> Result<TaskPage, PageError> {
    let id: TaskId = id.parse().map_err(|_| PageError::NotThere)?;
    let mut tx = console.site.store.read().await?;
    let (TaskAndGrant { task, grant }, session) = find(&mut tx, visit, id).await?;
    let alive = is_alive(&mut tx, grant.id, visit.now).await?;
    let is_over = task.is_over(visit.now) || !alive;
    let form = |kind, about: &str| form_token(visit, Some(&session), kind, about).expose().to_owned();
    let text = id.to_string();
    let widen = if is_over {
        None
    } else {
        let addable = addable(&task, offer::tools(console, &mut tx, &grant, visit.now).await?);
        let csrf = form(FormKind::WidenTask, &about_widen(&task, &addable));
        let offered = addable.iter().map(|tool| OfferLine::new(tool, &grant.scopes, &filled.form.tools)).collect();
        Some(WidenForm { csrf, offered, calls: filled.form.calls.clone(), problem: filled.problem })
    };
    let resumable = alive && is_over && grant.task == Some(id);
    let client = shown::client(&mut tx, &grant.client).await?;
    let server = shown::server(&console.site, &grant.server);
    Ok(TaskPage {
        chrome: Chrome::new(&console.site, visit).with(visit, &session, Some(text.clone())),
        ask: Ends { initial: shown::initial(&client.name), server_initial: shown::initial(&server.title) },
        purpose: purpose(&task.definition),
        state: if is_over { Sentence::TaskOver } else { state(&task, visit.now) },
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
