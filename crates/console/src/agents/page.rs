//! The page of a grant: its client, server, scopes and tasks.

use askama::Template;
use sekisho_acts::reading::is_alive;
use sekisho_acts::task::may_begin;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::text::plain_text;
use sekisho_store::TaskFilter;
use sekisho_web::Visit;
use sekisho_web::choice::{End, ScopeLine};
use sekisho_web::error::PageError;
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, form_token};
use sekisho_web::shown::{self, ClientLine, ServerLine};

use super::found::{about_begin, find};
use super::list::scope_lines;
use super::task_form::TaskForm;
use crate::Console;
use crate::form_page::Filled;
use crate::offer::{self, OfferLine};
use crate::task_line::{Ends, TaskLine};

/// How many tasks the page of a grant lists, the newest first.
const TASKS_MAX: usize = 50;

/// A grant: its client, server, scopes and tasks.
#[derive(Template)]
#[template(path = "agent.html")]
pub(super) struct AgentPage {
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
    /// The external authorization server that let the client in.
    issuer: Option<String>,
    end_csrf: String,
    /// `None`: the client is not kept out.
    release_csrf: Option<String>,
    /// `None`: a task cannot be begun here now.
    begin: Option<BeginForm>,
}

/// The form that begins a task.
struct BeginForm {
    csrf: String,
    purpose: String,
    calls: String,
    end: End,
    ends: [End; 5],
    tools: Vec<OfferLine>,
    /// Whether resources and prompts are part of it.
    reads: bool,
    problem: Option<Sentence>,
}

/// The page of a grant, for the person who gave it.
pub(super) async fn page(
    console: &Console,
    visit: &Visit,
    id: &str,
    filled: &Filled<TaskForm>,
) -> Result<AgentPage, PageError> {
    let (draft, problem) = (&filled.form, filled.problem);
    let id: GrantId = id.parse().map_err(|_| PageError::NotThere)?;
    let mut tx = console.site.store.read().await?;
    let (grant, session) = find(&mut tx, visit, id).await?;
    let mut tasks = tx
        .tasks()
        .list(&TaskFilter { grant: Some(id), include_over: true, ..TaskFilter::default() }, visit.now)
        .await?;
    tasks.reverse();
    tasks.truncate(TASKS_MAX);
    let alive = is_alive(&mut tx, id, visit.now).await?;
    let begin = if alive && may_begin(&mut tx, &grant, visit.now).await? {
        let tools = offer::tools(console, &mut tx, &grant, visit.now).await?;
        let about = about_begin(&grant, &tools);
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
    let server = shown::server(&console.site, &grant.server);
    let text = id.to_string();
    Ok(AgentPage {
        chrome: Chrome::new(&console.site, visit).with(visit, &session, Some(text.clone())),
        ask: Ends { initial: shown::initial(&client.name), server_initial: shown::initial(&server.title) },
        client_id: plain_text(grant.client.as_str(), 300),
        scopes: scope_lines(visit.language, &grant.scopes),
        path: if path.len() > 1 { path } else { Vec::new() },
        tasks: tasks.iter().map(|task| TaskLine::new(task, &grant, visit.now)).collect(),
        since: shown::moment(grant.created_at),
        last_used: grant.last_used_at.map(shown::moment),
        ends: grant.expires_at.map(shown::moment),
        alive,
        issuer: grant.issuer.as_deref().map(|issuer| plain_text(issuer, 300)),
        release_csrf: grant
            .keeps_out()
            .then(|| form_token(visit, Some(&session), FormKind::ReleaseGrant, &text).expose().to_owned()),
        end_csrf: form_token(visit, Some(&session), FormKind::EndGrant, &text).expose().to_owned(),
        begin,
        client,
        server,
        id: text,
    })
}
