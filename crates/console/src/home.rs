//! `/`: says what this is. For people who are signed in it lists what waits for an answer, connected agents, and
//! servers.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::connect_lines::connect_lines;
use sekisho_protocol::text::plain_text;
use sekisho_store::{StoreError, Tx};
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token};
use sekisho_web::{Visit, door, shown};

use crate::access::{self, AskedLine};
use crate::agents::{self, GrantLine};
use crate::{Console, own};

/// How many open questions the page lists, the oldest first.
const WAITING_MAX: usize = 100;

/// The home page: what waits for an answer, connected agents, and servers.
#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    chrome: Chrome,
    waiting: Vec<WaitingLine>,
    asked: Vec<AskedLine>,
    grants: Vec<GrantLine>,
    /// The token of the form that ends all of them.
    end_all_csrf: String,
    servers: Vec<ProtectedLine>,
    /// How many tools wait for an owner at which server.
    held: Vec<HeldLine>,
    /// Whether the person may decide about the tools of servers.
    administers: bool,
    /// Whether the records are there to be read.
    audits: bool,
    /// Whether a server works with accounts that people link.
    links: bool,
}

/// The tools of one server that wait for an owner.
struct HeldLine {
    server: String,
    title: String,
    count: u64,
}

/// One protected server.
struct ProtectedLine {
    name: String,
    title: String,
    url: String,
    /// What to paste into which client.
    connect: Vec<(&'static str, String)>,
}

/// One call that waits for a person.
struct WaitingLine {
    id: String,
    client: String,
    server: String,
    tool: String,
    minutes_left: i64,
}

/// `GET /`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit) -> Response {
    match home_page(&console, &visit).await {
        Ok(page) if page.chrome.who.is_none() => frame::entry_page(&visit, &console.site, &page, ""),
        Ok(page) => frame::page(&visit, &console.site, StatusCode::OK, &page, ""),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// The page for somebody who is not signed in. `path`: what lies behind a door.
fn signed_out(console: &Console, visit: &Visit, path: &str) -> HomePage {
    let mut chrome = Chrome::new(&console.site, visit);
    chrome.entry = door::entry(&console.site, visit, path);
    HomePage {
        chrome,
        waiting: Vec::new(),
        asked: Vec::new(),
        grants: Vec::new(),
        end_all_csrf: String::new(),
        servers: Vec::new(),
        held: Vec::new(),
        administers: false,
        audits: false,
        links: false,
    }
}

/// Answers with a page that only people who are signed in may see. Other people are sent to the home page. Where there
/// are doors, the page asks them to sign in, because the browser may be signed in behind a door.
pub(crate) fn page_or_home<P: Template>(
    console: &Console,
    visit: &Visit,
    page: Result<Option<P>, PageError>,
) -> Response {
    match page {
        Ok(Some(page)) => frame::page(visit, &console.site, StatusCode::OK, &page, ""),
        Ok(None) if console.site.settings.is_https() => frame::go(&console.site, visit, "/"),
        Ok(None) => frame::entry_page(visit, &console.site, &signed_out(console, visit, &visit.target), ""),
        Err(error) => error::page(&console.site, visit, &error),
    }
}

async fn home_page(console: &Console, visit: &Visit) -> Result<HomePage, PageError> {
    let mut tx = console.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(signed_out(console, visit, "/")) };
    let waiting = waiting_lines(console, &mut tx, visit, &session).await?;
    let asked = access::asked_lines(console, &mut tx, visit, &session).await?;
    let grants = agents::grant_lines(console, &mut tx, visit, &session).await?;
    let administers = session.user.role.administers();
    let held = if administers { tx.catalogue().held_counts().await? } else { Vec::new() };
    let servers = Arc::clone(&console.site.servers.borrow());
    let line = |card: &sekisho_protocol::server::ServerCard| ProtectedLine {
        name: card.name.to_string(),
        title: plain_text(&card.title, 80),
        url: card.resource.as_str().to_owned(),
        connect: connect_lines(&card.name, card.resource.as_str()),
    };
    // A server that is not mounted any more has no page.
    let held = held.into_iter().filter_map(|(server, count)| {
        let title = plain_text(&servers.find(&server)?.title, 80);
        (count > 0).then(|| HeldLine { server: server.to_string(), title, count })
    });
    let held = held.collect();
    let links = servers.iter().any(|card| card.account.is_some());
    let servers = servers.iter().map(line).collect();
    let audits = session.user.role.audits();
    let end_all_csrf = form_token(visit, Some(&session), FormKind::EndAllGrants, "").expose().to_owned();
    let chrome = Chrome::new(&console.site, visit).with(visit, &session, None);
    Ok(HomePage { chrome, waiting, asked, grants, end_all_csrf, servers, held, administers, audits, links })
}

async fn waiting_lines(
    console: &Console,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
) -> Result<Vec<WaitingLine>, StoreError> {
    let mut pending = tx.approvals().pending_of_subject(&own::subject(session), visit.now).await?;
    pending.truncate(WAITING_MAX);
    let mut names = shown::Clients::default();
    let mut lines = Vec::new();
    for approval in pending {
        lines.push(WaitingLine {
            id: approval.id.to_string(),
            client: names.find(tx, &approval.client).await?.name,
            server: shown::server(&console.site, &approval.server).title,
            tool: shown::exact(&approval.tool, 80),
            minutes_left: shown::minutes_until(approval.expires_at, visit.now),
        });
    }
    Ok(lines)
}
