//! `/servers/{name}/tools`: the tools of one server that an owner or an administrator has to decide about. Tools that are new
//! or changed are read and let through (ATK-76), tools without a class get one, and tools that were seen later are listed.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sekisho_acts::tool::{self, Shown};
use sekisho_acts::{ActError, reading};
use sekisho_protocol::catalogue::{Difference, HeldTool, Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_store::{SeenLater, Tx};
use sekisho_web::Visit;
use sekisho_web::choice::{ToolLine, tool_key};
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::shown::{self, ServerLine};

use crate::{Console, home, own};

/// The most tools in one list of the page; the others follow once these are decided.
const SHOWN_MAX: usize = 50;
/// The most characters of one side of a difference that are shown.
const SIDE_CHARS_MAX: usize = 4000;

/// The tools of one server that an owner has to decide about.
#[derive(Template)]
#[template(path = "server_tools.html")]
struct ToolsPage {
    chrome: Chrome,
    name: String,
    server: ServerLine,
    csrf: String,
    held: Vec<HeldLine>,
    /// How many more are held back.
    held_more: usize,
    /// The tools without a class that are not held back.
    unclassified: Vec<ToolLine>,
    /// How many more have no class.
    unclassified_more: usize,
    /// The tools that the server did not show at first.
    later: Vec<LaterLine>,
    /// How many more were seen later.
    later_more: usize,
}

/// A tool that was not in the server's first list.
struct LaterLine {
    name: String,
    first_seen: String,
    /// Its state now.
    state: Sentence,
}

struct HeldLine {
    tool: ToolLine,
    is_new: bool,
    /// Whether several tools have this name, so that none of them can be let through.
    is_of_several: bool,
    differences: Vec<DifferenceLine>,
    more: usize,
}

struct DifferenceLine {
    at: String,
    before: Option<String>,
    after: Option<String>,
}

impl HeldLine {
    fn new(held: &HeldTool) -> Self {
        let (differences, more) = held.differences();
        let mut tool = ToolLine::new(&held.tool);
        // The class that it had is chosen, unless the new definition looks like a graver one.
        let likely = held.tool.class.map_or(held.tool.proposed, |class| class.max(held.tool.proposed));
        for choice in &mut tool.choices {
            choice.chosen = choice.value == likely.as_str();
        }
        tool.name = shown::exact(&held.tool.name, 128);
        let line = |difference: Difference| DifferenceLine {
            at: shown::exact(&difference.at, 400),
            before: difference.before.as_deref().map(|text| shown::exact(text, SIDE_CHARS_MAX)),
            after: difference.after.as_deref().map(|text| shown::exact(text, SIDE_CHARS_MAX)),
        };
        let differences = differences.into_iter().map(line).collect();
        Self { tool, is_new: held.is_new(), is_of_several: held.is_of_several(), differences, more }
    }
}

/// `GET /servers/{name}/tools`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(name): Path<String>) -> Response {
    let page = tools_page(&console, &visit, &name).await;
    home::page_or_home(&console, &visit, page)
}

/// `POST /servers/{name}/tools`: gives each ticked tool the class that was chosen, and accepts its definition as it was shown.
pub(crate) async fn accept(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Response {
    match accepted(&console, &visit, &name, &form).await {
        Ok(server) => frame::go(&console.site, &visit, &format!("/servers/{server}/tools")),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// The page; `None` where nobody is signed in.
async fn tools_page(console: &Console, visit: &Visit, name: &str) -> Result<Option<ToolsPage>, PageError> {
    let mut tx = console.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(None) };
    let found = Found::of(console, &mut tx, &session, name).await?;
    let later = tx.catalogue().seen_later(&found.server).await?;
    Ok(Some(ToolsPage {
        chrome: Chrome::new(&console.site, visit).with(visit, &session, None),
        csrf: form_token(visit, Some(&session), FormKind::AcceptTools, &found.about()).expose().to_owned(),
        held: found.held.iter().take(SHOWN_MAX).map(HeldLine::new).collect(),
        held_more: found.held.len().saturating_sub(SHOWN_MAX),
        unclassified: found.unclassified.iter().take(SHOWN_MAX).map(ToolLine::new).collect(),
        unclassified_more: found.unclassified.len().saturating_sub(SHOWN_MAX),
        later: later.iter().take(SHOWN_MAX).map(|tool| found.later_line(tool)).collect(),
        later_more: later.len().saturating_sub(SHOWN_MAX),
        name: found.server.to_string(),
        server: shown::server(&console.site, &found.server),
    }))
}

/// A server that is mounted, and its tools that wait for a decision.
struct Found {
    server: ServerName,
    /// The tools that are held back.
    held: Vec<HeldTool>,
    /// The tools without a class that are not held back.
    unclassified: Vec<Tool>,
}

impl Found {
    /// Finds them for owners and administrators. Other users get the answer that there is no such page.
    async fn of(console: &Console, tx: &mut Tx, session: &Session, name: &str) -> Result<Self, PageError> {
        let server: ServerName = name.parse().map_err(|_| PageError::NotThere)?;
        let servers = Arc::clone(&console.site.servers.borrow());
        let card = servers.find(&server).filter(|_| session.user.role.administers()).ok_or(PageError::NotThere)?;
        let held = tx.catalogue().held(&server).await?;
        let mut unclassified = reading::tools(tx, Some(&card.classes), &server).await?;
        unclassified.retain(|tool| tool.class.is_none());
        Ok(Self { server, held, unclassified })
    }

    /// The tools on the page that can be ticked.
    fn shown(&self) -> impl Iterator<Item = &Tool> {
        let held = self.held.iter().take(SHOWN_MAX).map(|held| &held.tool);
        held.chain(self.unclassified.iter().take(SHOWN_MAX))
    }

    /// What the form is about: exactly these definitions. One that changes while the owner reads makes it worthless.
    fn about(&self) -> String {
        let parts: Vec<&[u8]> =
            self.shown().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]).collect();
        format!("{} {}", self.server, Digest::of_list(&parts))
    }

    fn later_line(&self, tool: &SeenLater) -> LaterLine {
        let state = match tool.listed {
            false => Sentence::LaterCallersOnly,
            true if self.held.iter().any(|held| held.tool.name == tool.name) => Sentence::LaterHeld,
            true => Sentence::LaterAccepted,
        };
        LaterLine { name: shown::exact(&tool.name, 128), first_seen: shown::moment(tool.first_seen), state }
    }
}

async fn accepted(console: &Console, visit: &Visit, name: &str, form: &Form) -> Result<ServerName, PageError> {
    let form = own::fields(form, &["tool"])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    let found = Found::of(console, &mut tx, &session, name).await?;
    if !is_ours(visit, Some(&session), FormKind::AcceptTools, &found.about(), form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let by = own::performer(console, visit, &session);
    for ticked in found.shown() {
        let key = tool_key(&ticked.name);
        if !form.all("tool").any(|ticked| ticked == key) {
            continue;
        }
        let class = form.one(&format!("class.{key}")).and_then(|word| word.parse::<ToolClass>().ok());
        let class = class.ok_or(PageError::Malformed)?;
        let shown = Shown { name: &ticked.name, seen: &ticked.seen };
        tool::classify(&mut tx, &by, &found.server, shown, class).await.map_err(|error| match error {
            // It changed since the page was shown, or several tools have its name.
            ActError::Invalid(_) => PageError::Ended,
            other => own::page_error(other),
        })?;
    }
    tx.commit().await?;
    Ok(found.server)
}
