//! `/`: what this is; for who is signed in, what waits for an answer, which agents were let in, what is protected.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::connect_lines::connect_lines;
use sekisho_store::{StoreError, Tx};

use crate::access::{self, AskedLine};
use crate::agents::{self, GrantLine};
use crate::clients::plain_text;
use crate::error;
use crate::own::{self, OwnError};
use crate::pages::{self, Chrome};
use crate::session::{self, FormKind, Session, form_token};
use crate::shown;
use crate::text::Sentence;
use crate::visit::Visit;
use crate::{Issuer, door};

/// How many open questions the page lists, the oldest first.
const WAITING_MAX: usize = 100;

/// What this is, what waits, who was let in, and what is protected.
#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    chrome: Chrome,
    waiting: Vec<WaitingLine>,
    asked: Vec<AskedLine>,
    grants: Vec<GrantLine>,
    /// For the form that ends all of them.
    end_all_csrf: String,
    servers: Vec<ProtectedLine>,
    /// How many tools wait for an owner at which server.
    held: Vec<HeldLine>,
    /// Whether the records are there to be read.
    audits: bool,
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
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit) -> Response {
    match home_page(&issuer, &visit).await {
        Ok(page) if page.chrome.who.is_none() => pages::entry_page(&visit, &issuer, &page, ""),
        Ok(page) => pages::page(&visit, &issuer, StatusCode::OK, &page, ""),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// The page for somebody who is not signed in. `path`: what lies behind a door.
fn signed_out(issuer: &Issuer, visit: &Visit, path: &str) -> HomePage {
    let mut chrome = Chrome::new(issuer, visit);
    chrome.entry = door::entry(issuer, visit, path);
    HomePage {
        chrome,
        waiting: Vec::new(),
        asked: Vec::new(),
        grants: Vec::new(),
        end_all_csrf: String::new(),
        servers: Vec::new(),
        held: Vec::new(),
        audits: false,
    }
}

/// The same as an answer, at an address that is for who is signed in.
pub(crate) fn before_doors(issuer: &Issuer, visit: &Visit, path: &str) -> Response {
    pages::entry_page(visit, issuer, &signed_out(issuer, visit, path), "")
}

async fn home_page(issuer: &Issuer, visit: &Visit) -> Result<HomePage, OwnError> {
    let mut tx = issuer.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(signed_out(issuer, visit, "/")) };
    let waiting = waiting_lines(issuer, &mut tx, visit, &session).await?;
    let asked = access::asked_lines(issuer, &mut tx, visit, &session).await?;
    let grants = agents::grant_lines(issuer, &mut tx, visit, &session).await?;
    let held = if session.user.role.administers() { tx.catalogue().held_counts().await? } else { Vec::new() };
    let servers = Arc::clone(&issuer.servers.borrow());
    let line = |card: &sekisho_protocol::server::ServerCard| ProtectedLine {
        name: card.name.to_string(),
        title: plain_text(&card.title, 80),
        url: card.resource.as_str().to_owned(),
        connect: connect_lines(&card.name, card.resource.as_str()),
    };
    // What is not mounted any more cannot be looked at.
    let held = held.into_iter().filter_map(|(server, count)| {
        let title = plain_text(&servers.find(&server)?.title, 80);
        (count > 0).then(|| HeldLine { server: server.to_string(), title, count })
    });
    let held = held.collect();
    let servers = servers.iter().map(line).collect();
    let audits = session.user.role.audits();
    let end_all_csrf = form_token(visit, Some(&session), FormKind::EndAllGrants, "").expose().to_owned();
    let chrome = Chrome::new(issuer, visit).with(visit, &session, None);
    Ok(HomePage { chrome, waiting, asked, grants, end_all_csrf, servers, held, audits })
}

async fn waiting_lines(
    issuer: &Issuer,
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
            server: shown::server(issuer, &approval.server).title,
            tool: shown::exact(&approval.tool, 80),
            minutes_left: shown::minutes_until(approval.expires_at, visit.now),
        });
    }
    Ok(lines)
}
