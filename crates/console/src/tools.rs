//! `/servers/{name}/tools`: tools that are new or changed, for an owner or an administrator to read and to let through (ATK-76).

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use sekisho_acts::ActError;
use sekisho_acts::tool::{self, Shown};
use sekisho_protocol::catalogue::{Difference, HeldTool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_store::Tx;
use sekisho_web::Visit;
use sekisho_web::choice::{ToolLine, tool_key};
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::shown::{self, ServerLine};

use crate::{Console, home, own};

/// Tools on one page; the others follow once these are accepted.
const SHOWN_MAX: usize = 50;
/// The most characters of one side of a difference that are shown.
const SIDE_CHARS_MAX: usize = 4000;

/// What is held back of one server.
#[derive(Template)]
#[template(path = "tools_held.html")]
struct ToolsPage {
    chrome: Chrome,
    name: String,
    server: ServerLine,
    csrf: String,
    held: Vec<HeldLine>,
    /// How many more there are.
    more: usize,
}

struct HeldLine {
    tool: ToolLine,
    is_new: bool,
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
        // What was given before is kept, unless the new form looks like more than that.
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
        Self { tool, is_new: held.is_new(), differences: differences.into_iter().map(line).collect(), more }
    }
}

/// `GET /servers/{name}/tools`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(name): Path<String>) -> Response {
    let page = held_page(&console, &visit, &name).await;
    home::page_or_home(&console, &visit, page)
}

/// `POST /servers/{name}/tools`: lets those through that were ticked, each with the class that was chosen.
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
async fn held_page(console: &Console, visit: &Visit, name: &str) -> Result<Option<ToolsPage>, PageError> {
    let mut tx = console.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(None) };
    let (server, held) = find(console, &mut tx, &session, name).await?;
    let about = about(&server, &held);
    Ok(Some(ToolsPage {
        chrome: Chrome::new(&console.site, visit).with(visit, &session, None),
        csrf: form_token(visit, Some(&session), FormKind::AcceptTools, &about).expose().to_owned(),
        held: held.iter().take(SHOWN_MAX).map(HeldLine::new).collect(),
        more: held.len().saturating_sub(SHOWN_MAX),
        name: server.to_string(),
        server: shown::server(&console.site, &server),
    }))
}

/// A server that is mounted, and what is held back of it, for owners and administrators. Other users get the answer that there is no such page.
async fn find(
    console: &Console,
    tx: &mut Tx,
    session: &Session,
    name: &str,
) -> Result<(ServerName, Vec<HeldTool>), PageError> {
    let server: ServerName = name.parse().map_err(|_| PageError::NotThere)?;
    let mounted = console.site.servers.borrow().find(&server).is_some();
    if !session.user.role.administers() || !mounted {
        return Err(PageError::NotThere);
    }
    let held = tx.catalogue().held(&server).await?;
    Ok((server, held))
}

/// What the form is about: exactly these definitions. One that changes while the owner reads makes it worthless.
fn about(server: &ServerName, held: &[HeldTool]) -> String {
    let shown = held.iter().take(SHOWN_MAX);
    let parts: Vec<&[u8]> =
        shown.flat_map(|held| [held.tool.name.as_bytes(), held.tool.seen.as_bytes().as_slice()]).collect();
    format!("{server} {}", Digest::of_list(&parts))
}

async fn accepted(console: &Console, visit: &Visit, name: &str, form: &Form) -> Result<ServerName, PageError> {
    let form = own::fields(form, &["tool"])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    let (server, held) = find(console, &mut tx, &session, name).await?;
    if !is_ours(visit, Some(&session), FormKind::AcceptTools, &about(&server, &held), form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let by = own::performer(console, visit, &session);
    for held in held.iter().take(SHOWN_MAX) {
        let key = tool_key(&held.tool.name);
        if !form.all("tool").any(|ticked| ticked == key) {
            continue;
        }
        let class = form.one(&format!("class.{key}")).and_then(|word| word.parse::<ToolClass>().ok());
        let class = class.ok_or(PageError::Malformed)?;
        let shown = Shown { name: &held.tool.name, seen: &held.tool.seen };
        tool::classify(&mut tx, &by, &server, shown, class).await.map_err(|error| match error {
            // It changed since the page was shown.
            ActError::Invalid(_) => PageError::Ended,
            other => own::page_error(other),
        })?;
    }
    tx.commit().await?;
    Ok(server)
}
