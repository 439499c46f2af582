//! `/records` and `/records/{request}`: what happened, for who audits, and for nobody else.
//!
//! The pages only read. Arguments that were kept are shown when they are asked for, and who asked is on record before
//! they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::audit::{AuthorizationAct, Decision, Event, OutcomeResult, Record, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, RequestId, ServerName};
use sekisho_protocol::server::ServerCard;
use sekisho_store::{AuditFilter, AuditOrder, StoreError, Tx};

use crate::own::{self, OwnError};
use crate::pages::{self, Chrome};
use crate::parameters::{Form, Parameters};
use crate::session::{self, FormKind, Session, form_token, is_ours};
use crate::shown::{self, JsonText};
use crate::text::{Language, Sentence};
use crate::visit::Visit;
use crate::{Issuer, error, records};

mod looking;
mod words;

use looking::{Looking, Names, Since};

/// Records on one page.
const PAGE_MAX: u32 = 100;
/// Pages that are read for one on which something is looked for. Where they do not hold enough, the person goes on from there.
const SCANNED_PAGES_MAX: usize = 50;
/// Characters of arguments that are shown.
const ARGUMENTS_CHARS_MAX: usize = 20_000;
/// Characters of one text of a record that are shown.
const TEXT_CHARS_MAX: usize = 300;

/// What happened lately, the newest first.
#[derive(Template)]
#[template(path = "records.html")]
struct RecordsPage {
    chrome: Chrome,
    lines: Vec<ExchangeLine>,
    /// What was looked for.
    looking: Looking,
    /// The servers to choose from.
    servers: Vec<(String, String, bool)>,
    /// The query of the older ones, if there may be any.
    older: Option<String>,
}

/// One exchange in one line.
#[derive(Debug)]
struct ExchangeLine {
    id: String,
    at: String,
    what: What,
    who: String,
    /// Where, and through whom.
    around: String,
}

/// What an exchange was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct What {
    /// The tool, the method, the act.
    name: String,
    /// What came of it: a word of the records.
    word: String,
    /// Whether it is one to look at: refused, failed, rejected.
    refused: bool,
}

/// All that is known of one exchange.
#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    chrome: Chrome,
    id: String,
    entries: Vec<EntryBox>,
    /// The arguments of its call.
    arguments: Arguments,
}

/// One record, as its members.
#[derive(Debug)]
struct EntryBox {
    seq: i64,
    at: String,
    what: What,
    facts: Vec<(String, String)>,
}

/// What there is of a call's arguments.
enum Arguments {
    /// It was no call, or nothing of them was kept.
    None,
    /// They were kept, and can be asked for.
    Kept { csrf: String },
    /// They were asked for.
    Shown(JsonText),
}

/// `GET /records`; with `before`, what came before that exchange.
pub(crate) async fn list(State(issuer): State<Arc<Issuer>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    let page = records_page(&issuer, &visit, query.as_deref().unwrap_or_default()).await;
    own::page_or_home(&issuer, &visit, page)
}

/// `GET /records/{request}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    let page = record_page(&issuer, &visit, &id).await;
    own::page_or_home(&issuer, &visit, page)
}

/// `POST /records/{request}`: shows the arguments, too.
pub(crate) async fn reveal(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match revealed_page(&issuer, &visit, &id, &form).await {
        Ok(page) => pages::page(&visit, &issuer, StatusCode::OK, &page, ""),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

/// Who is signed in and audits. `None`: nobody is signed in. For everybody else there is no such page.
async fn auditor(tx: &mut Tx, visit: &Visit) -> Result<Option<Session>, OwnError> {
    match session::current(tx, visit).await? {
        Some(session) if session.user.role.audits() => Ok(Some(session)),
        Some(_) => Err(OwnError::NotThere),
        None => Ok(None),
    }
}

async fn records_page(issuer: &Issuer, visit: &Visit, query: &str) -> Result<Option<RecordsPage>, OwnError> {
    let parameters = Parameters::read(query).map_err(|_| OwnError::Malformed)?;
    let mut tx = issuer.store.read().await?;
    let Some(session) = auditor(&mut tx, visit).await? else { return Ok(None) };
    if parameters.repeated(&[]).is_some() {
        return Err(OwnError::Malformed);
    }
    let mut before = parameters.one("before").map(str::parse).transpose().map_err(|_| OwnError::NotThere)?;
    let looking = Looking::read(&parameters)?;
    let (mut people, mut clients) = (People::default(), Names::default());
    let (mut lines, mut older) = (Vec::new(), None);
    for _ in 0..if looking.is_all() { 1 } else { SCANNED_PAGES_MAX } {
        let (exchanges, is_full) = page_before(&mut tx, before, looking.from(visit.now)).await?;
        before = exchanges.last().map(|(request, _)| *request).filter(|_| is_full);
        older = before;
        for (request, records) in exchanges {
            if looking.is_all() || looking.fits(&mut tx, (&mut people, &mut clients), &records).await? {
                lines.push(line((issuer, visit.language), &mut tx, &mut people, (request, records)).await?);
            }
        }
        if before.is_none() || lines.len() * 2 >= PAGE_MAX as usize {
            break;
        }
    }
    let servers = Arc::clone(&issuer.servers.borrow());
    let server = |card: &ServerCard| {
        (card.name.to_string(), shown::server(issuer, &card.name).title, looking.server.as_ref() == Some(&card.name))
    };
    let servers = servers.iter().map(server).collect();
    let older = older.map(|request| looking.before(request));
    let chrome = Chrome::new(issuer, visit).with(visit, &session, None);
    Ok(Some(RecordsPage { chrome, lines, looking, servers, older }))
}

/// The exchanges of one page, the newest first, each whole; and whether there may be older ones.
async fn page_before(
    tx: &mut Tx,
    before: Option<RequestId>,
    since: Option<Timestamp>,
) -> Result<(Vec<(RequestId, Vec<Record>)>, bool), StoreError> {
    let filter =
        AuditFilter { before, since, order: AuditOrder::NewestFirst, limit: PAGE_MAX, ..AuditFilter::default() };
    let found = tx.audit().list(&filter).await?;
    let is_full = found.len() >= PAGE_MAX as usize;
    let mut exchanges: Vec<(RequestId, Vec<Record>)> = Vec::new();
    for stored in found {
        match exchanges.last_mut() {
            Some((request, records)) if *request == stored.record.request => records.push(stored.record),
            _ => exchanges.push((stored.record.request, vec![stored.record])),
        }
    }
    // The last one may go on beyond the page: the next page begins with it.
    if is_full && exchanges.len() > 1 {
        exchanges.pop();
    }
    Ok((exchanges, is_full))
}

/// An exchange in one line: what it was about comes from its oldest record, what came of it from its newest.
async fn line(
    (issuer, language): (&Issuer, Language),
    tx: &mut Tx,
    people: &mut People,
    (request, records): (RequestId, Vec<Record>),
) -> Result<ExchangeLine, StoreError> {
    let at = records.last().map(|record| shown::moment(record.at)).unwrap_or_default();
    let mut told: Vec<What> = Vec::new();
    let (mut who, mut around) = (String::new(), Vec::new());
    for record in records.iter().rev() {
        told.push(What::of(language, &record.event));
        let (subject, client, server) = parties(&record.event);
        if let (Some(subject), true) = (subject, who.is_empty()) {
            who = people.name(tx, subject).await?;
        }
        if let (Event::Act { by, .. }, true) = (&record.event, who.is_empty()) {
            who = text(by);
        }
        if around.is_empty() {
            if let Some(server) = server {
                around.push(shown::server(issuer, server).title);
            }
            if let Some(client) = client {
                around.push(shown::client(tx, client).await?.name);
            }
        }
    }
    let mut what = told.first().cloned().unwrap_or_else(|| What::new("", "", false));
    if let Some(last) = told.last().filter(|_| told.len() > 1) {
        what.word = format!("{} · {}", what.word, last.word);
        what.refused |= last.refused;
    }
    Ok(ExchangeLine { id: request.to_string(), at, what, who, around: around.join(" · ") })
}

async fn record_page(issuer: &Issuer, visit: &Visit, id: &str) -> Result<Option<RecordPage>, OwnError> {
    let request: RequestId = id.parse().map_err(|_| OwnError::NotThere)?;
    let mut tx = issuer.store.read().await?;
    let Some(session) = auditor(&mut tx, visit).await? else { return Ok(None) };
    let entries = entries(&mut tx, visit.language, request).await?;
    let arguments = match tx.audit().arguments(request).await? {
        Some(_) => {
            let csrf = form_token(visit, Some(&session), FormKind::ShowArguments, id).expose().to_owned();
            Arguments::Kept { csrf }
        }
        None => Arguments::None,
    };
    let chrome = Chrome::new(issuer, visit).with(visit, &session, None);
    Ok(Some(RecordPage { chrome, id: request.to_string(), entries, arguments }))
}

async fn revealed_page(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<RecordPage, OwnError> {
    let request: RequestId = id.parse().map_err(|_| OwnError::NotThere)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(issuer, visit).await?;
    let session = auditor(&mut tx, visit).await?.ok_or(OwnError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::ShowArguments, id, form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    let entries = entries(&mut tx, visit.language, request).await?;
    let kept = tx.audit().arguments(request).await?.ok_or(OwnError::Ended)?;
    let kept = shown::json(&String::from_utf8_lossy(kept.expose()), ARGUMENTS_CHARS_MAX);
    // On record first: what was read cannot be unread.
    let mut entry = records::entry(AuthorizationAct::ArgumentsRead);
    entry.subject = Some(own::subject(&session));
    entry.detail = format!("`{request}`");
    records::append(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    let chrome = Chrome::new(issuer, visit).with(visit, &session, None);
    Ok(RecordPage { chrome, id: request.to_string(), entries, arguments: Arguments::Shown(kept) })
}

/// Every record of an exchange, in order. None at all: there is no such exchange.
async fn entries(tx: &mut Tx, language: Language, request: RequestId) -> Result<Vec<EntryBox>, OwnError> {
    let found = tx.audit().list(&AuditFilter { request: Some(request), ..AuditFilter::default() }).await?;
    if found.is_empty() {
        return Err(OwnError::NotThere);
    }
    let mut people = People::default();
    let mut boxes = Vec::new();
    for stored in found {
        let mut facts = facts(&stored.record.event);
        if let (Some(subject), ..) = parties(&stored.record.event) {
            let name = people.name(tx, subject).await?;
            facts.insert(0, ("user".to_owned(), name));
        }
        // A name beside each identifier.
        if let (_, Some(client), _) = parties(&stored.record.event) {
            let name = shown::client(tx, client).await?.name;
            if let Some(fact) = facts.iter_mut().find(|(member, _)| member == "client") {
                fact.1 = format!("{name} · {}", fact.1);
            }
        }
        boxes.push(EntryBox {
            seq: stored.seq,
            at: shown::second(stored.record.at),
            what: What::of(language, &stored.record.event),
            facts,
        });
    }
    Ok(boxes)
}

/// The members of a record, named as in the records: what is read here can be looked for there.
fn facts(event: &Event) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(members)) = serde_json::to_value(event) else { return Vec::new() };
    let plain = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Array(items) => {
            let items: Vec<String> =
                items.into_iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
            items.join(", ")
        }
        other => other.to_string(),
    };
    let members = members.into_iter().filter(|(name, _)| name != "kind");
    members.map(|(name, value)| (name, text(&plain(value)))).collect()
}

impl What {
    fn new(name: &str, word: &str, refused: bool) -> Self {
        Self { name: text(name), word: text(word), refused }
    }

    fn of(language: Language, event: &Event) -> Self {
        match event {
            Event::Act { act, on, .. } => Self::new(act, on, false),
            Event::Authorization(authorization) => {
                let act = language.say(words::act(authorization.act));
                Self::new(act, &authorization.detail, is_refusal(authorization.act))
            }
            Event::Decision(decision) => {
                let set = decision.set.map(|set| format!(" ({})", language.say(words::set(set)))).unwrap_or_default();
                let verdict = format!("{}{set}", language.say(words::verdict(decision.verdict)));
                Self::new(name_of(decision), &verdict, decision.verdict != Verdict::Permit)
            }
            Event::Outcome(outcome) => {
                let bad = match outcome.result {
                    OutcomeResult::Answered | OutcomeResult::Cancelled | OutcomeResult::Error => false,
                    OutcomeResult::Revoked
                    | OutcomeResult::Stopping
                    | OutcomeResult::Unconfirmed
                    | OutcomeResult::Unknown
                    | OutcomeResult::UpstreamFailed => true,
                };
                Self::new("", language.say(words::outcome(outcome.result)), bad)
            }
            Event::Rejection(rejection) => Self::new(&rejection.reason, &rejection.status.to_string(), true),
            Event::Child { act, detail, .. } => Self::new(act, detail, false),
            Event::ClockSet { from, to } => Self::new("clock_set", &format!("{from} → {to}"), true),
            Event::Refusals(refused) => Self::new(&refused.what, &format!("× {}", refused.count), true),
        }
    }
}

fn name_of(decision: &Decision) -> &str {
    decision.target.as_deref().unwrap_or(&decision.method)
}

fn is_refusal(act: AuthorizationAct) -> bool {
    matches!(
        act,
        AuthorizationAct::AccessRefused
            | AuthorizationAct::AuthorizationRefused
            | AuthorizationAct::ClientRefused
            | AuthorizationAct::CodeReplayed
            | AuthorizationAct::ConsentDenied
            | AuthorizationAct::LoginFailed
            | AuthorizationAct::RefreshReplayed
            | AuthorizationAct::TokenRefused
    )
}

/// Who is in a record: for whom, through which client, at which server.
fn parties(event: &Event) -> (Option<&Subject>, Option<&ClientId>, Option<&ServerName>) {
    match event {
        Event::Act { .. } | Event::ClockSet { .. } | Event::Refusals(_) => (None, None, None),
        Event::Authorization(it) => (it.subject.as_ref(), it.client.as_ref(), it.server.as_ref()),
        Event::Decision(it) => (Some(&it.subject), it.client.as_ref(), Some(&it.server)),
        Event::Outcome(it) => (None, None, Some(&it.server)),
        Event::Rejection(it) => (None, None, it.server.as_ref()),
        Event::Child { server, .. } => (None, None, Some(server)),
    }
}

fn text(text: &str) -> String {
    shown::exact(text, TEXT_CHARS_MAX)
}

/// Users that were looked up for one page, each once.
#[derive(Debug, Default)]
struct People(BTreeMap<Subject, String>);

impl People {
    async fn name(&mut self, tx: &mut Tx, subject: &Subject) -> Result<String, StoreError> {
        if let Some(known) = self.0.get(subject) {
            return Ok(known.clone());
        }
        let name = shown::person(tx, subject).await?;
        self.0.insert(subject.clone(), name.clone());
        Ok(name)
    }
}

impl Arguments {
    /// What is sent to ask for them.
    fn kept(&self) -> Option<&str> {
        match self {
            Self::Kept { csrf } => Some(csrf),
            Self::None | Self::Shown(_) => None,
        }
    }

    fn shown(&self) -> Option<&JsonText> {
        match self {
            Self::Shown(text) => Some(text),
            Self::Kept { .. } | Self::None => None,
        }
    }
}
