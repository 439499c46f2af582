//! `/sessions`: in which browsers somebody is signed in. A person sees and ends their own; an owner also those of others.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use sekisho_acts::ActError;
use sekisho_acts::session::{self as sessions, Which};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::text::plain_text;
use sekisho_store::{BrowserSession, SignInMethod, SignedInUser, Tx, User};
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::language::Language;
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::{Visit, shown};

use crate::{Console, home, own};

/// How many sessions of a person, and how many people, are listed.
const LISTED_MAX: usize = 100;
/// The most characters of a browser's name and of a person's name that are shown.
const NAME_CHARS_MAX: usize = 80;

/// The browsers in which one person is signed in, and for an owner who else is.
#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    chrome: Chrome,
    /// Whose they are, where they are not those of the person who looks.
    person: Option<String>,
    /// The identifier of that person, for the form.
    user: String,
    csrf: String,
    sessions: Vec<SessionLine>,
    /// Whether there are sessions that the list does not show.
    is_cut: bool,
    /// Whether there are others than the one that looks.
    has_others: bool,
    people: Vec<PersonLine>,
}

/// One browser.
struct SessionLine {
    handle: String,
    browser: String,
    /// How the person signed in: the parts of a sentence, and the name in it.
    method: Option<((&'static str, &'static str), String)>,
    since: String,
    seen: String,
    /// Whether it is the browser that shows the page.
    is_this: bool,
}

/// Somebody who is signed in, for an owner.
struct PersonLine {
    id: String,
    name: String,
    count: u64,
    seen: String,
}

/// `GET /sessions`; for an owner with `person`, those of somebody else.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    let page = page(&console, &visit, query.as_deref().unwrap_or_default()).await;
    home::page_or_home(&console, &visit, page)
}

async fn page(console: &Console, visit: &Visit, query: &str) -> Result<Option<SessionsPage>, PageError> {
    let parameters = Parameters::read(query).map_err(|_| PageError::Malformed)?;
    if parameters.repeated(&[]).is_some() {
        return Err(PageError::Malformed);
    }
    let mut tx = console.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(None) };
    let whose = whose(&mut tx, &session, parameters.one("person")).await?;
    let mut all = tx.browser_sessions().of_user(whose.id, visit.now).await?;
    let has_others = all.iter().any(|row| row.digest != session.row.digest);
    let is_cut = all.len() > LISTED_MAX;
    all.truncate(LISTED_MAX);
    let is_own = whose.id == session.user.id;
    let people =
        if session.user.role.owns() && is_own { tx.browser_sessions().users(visit.now).await? } else { Vec::new() };
    let people = people.into_iter().filter(|one| one.user != whose.id).take(LISTED_MAX);
    Ok(Some(SessionsPage {
        person: (!is_own).then(|| plain_text(&whose.name, NAME_CHARS_MAX)),
        user: whose.id.to_string(),
        csrf: form_token(visit, Some(&session), FormKind::EndSessions, &whose.id.to_string()).expose().to_owned(),
        sessions: all.iter().map(|row| line(visit, &session, row)).collect(),
        is_cut,
        has_others,
        people: people.map(|one| person_line(visit, one)).collect(),
        chrome: Chrome::new(&console.site, visit).with(visit, &session, None),
    }))
}

/// The person whose sessions are shown: the one who looks, or for an owner the one that is named. Who may not look is told
/// what is told of somebody who is not there.
async fn whose(tx: &mut Tx, session: &Session, named: Option<&str>) -> Result<User, PageError> {
    let Some(named) = named else { return Ok(session.user.clone()) };
    let user: UserId = named.parse().map_err(|_| PageError::NotThere)?;
    if user == session.user.id {
        return Ok(session.user.clone());
    }
    if !session.user.role.owns() {
        return Err(PageError::NotThere);
    }
    tx.users().find(user).await?.ok_or(PageError::NotThere)
}

fn line(visit: &Visit, session: &Session, row: &BrowserSession) -> SessionLine {
    let unknown = || visit.language.say(Sentence::SessionUnknown).to_owned();
    SessionLine {
        handle: handle(&row.digest),
        browser: if row.browser.is_empty() { unknown() } else { plain_text(&row.browser, NAME_CHARS_MAX) },
        method: method(visit.language, &row.method),
        since: shown::moment(row.created_at),
        // Where the clock was set back, the last use lies ahead.
        seen: shown::moment(row.seen_at.min(visit.now)),
        is_this: row.digest == session.row.digest,
    }
}

fn method(language: Language, method: &SignInMethod) -> Option<((&'static str, &'static str), String)> {
    let (sentence, name) = match method {
        SignInMethod::Link => (Sentence::SessionByLink, String::new()),
        SignInMethod::Password => (Sentence::SessionByPassword, String::new()),
        SignInMethod::Provider(name) => (Sentence::SessionByProvider, plain_text(name, NAME_CHARS_MAX)),
        SignInMethod::Unknown => return None,
    };
    Some((language.around(sentence), name))
}

fn person_line(visit: &Visit, one: SignedInUser) -> PersonLine {
    PersonLine {
        id: one.user.to_string(),
        name: plain_text(&one.name, NAME_CHARS_MAX),
        count: one.sessions,
        seen: shown::moment(one.seen_at.min(visit.now)),
    }
}

/// What a form calls a session: not the digest under which it is stored.
fn handle(digest: &Digest) -> String {
    Digest::of_list(&[b"session on a page", digest.as_bytes()]).to_string()
}

/// `POST /sessions`: ends one session, all but the one that asks, or all of another person.
pub(crate) async fn end(State(console): State<Arc<Console>>, visit: Visit, form: Form) -> Response {
    match change(&console, &visit, &form).await {
        Ok(path) => frame::go(&console.site, &visit, &path),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

async fn change(console: &Console, visit: &Visit, form: &Form) -> Result<String, PageError> {
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    let person = form.one("person").ok_or(PageError::Malformed)?;
    if !is_ours(visit, Some(&session), FormKind::EndSessions, person, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let whose = whose(&mut tx, &session, Some(person)).await?;
    let is_own = whose.id == session.user.id;
    let this = session.row.digest;
    let by = own::performer(console, visit, &session);
    let named;
    let which = match (form.one("session"), form.one("what")) {
        (Some(handle), None) => {
            named = find(&mut tx, visit, whose.id, handle).await?;
            Which::One(&named)
        }
        (None, Some("others")) if is_own => Which::Others(&this),
        (None, Some("all")) if !is_own => Which::All,
        _ => return Err(PageError::Malformed),
    };
    match sessions::end(&mut tx, &by, whose.id, which).await {
        Ok(_) => tx.commit().await?,
        // They ended meanwhile, which is what was wanted.
        Err(ActError::Absent { .. }) => {}
        Err(error) => return Err(own::page_error(error)),
    }
    Ok(if is_own { "/sessions".to_owned() } else { format!("/sessions?person={}", whose.id) })
}

/// The session that a form calls so, if it is one of this person.
async fn find(tx: &mut Tx, visit: &Visit, user: UserId, wanted: &str) -> Result<Digest, PageError> {
    let all = tx.browser_sessions().of_user(user, visit.now).await?;
    all.iter().map(|row| row.digest).find(|digest| handle(digest) == wanted).ok_or(PageError::Ended)
}
