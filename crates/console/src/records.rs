//! `/records` and `/records/{request}`: what happened. Only owners and auditors see these pages.
//!
//! The pages only read. Arguments that were kept are shown when they are asked for, and who asked is on record before
//! they are.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::audit::{Decision, Event, OutcomeResult, Record, Verdict};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::server::ServerCard;
use sekisho_store::{AuditFilter, AuditOrder, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::language::Language;
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::shown::{self, JsonText};

use crate::{Console, home, own};

mod parties;
mod search;
mod words;

use parties::{People, parties};
use search::{Names, Search, Since};

/// The most records on one page.
const PAGE_MAX: u32 = 100;
/// The most pages of records that are read for one page of a search. If they hold too little, a link continues the
/// search.
const SCANNED_PAGES_MAX: usize = 50;
/// The most characters of arguments that are shown.
const ARGUMENTS_CHARS_MAX: usize = 20_000;
/// The most characters of one text of a record that are shown.
const TEXT_CHARS_MAX: usize = 300;

/// What happened lately, the newest first.
#[derive(Template)]
#[template(path = "records.html")]
struct RecordsPage {
    chrome: Chrome,
    lines: Vec<ExchangeLine>,
    /// What was looked for.
    search: Search,
    /// The servers to choose from.
    servers: Vec<(String, String, bool)>,
    /// The query of the page with older records, if there may be any.
    older: Option<String>,
}

/// One exchange in one line.
#[derive(Debug)]
struct ExchangeLine {
    id: String,
    at: String,
    what: What,
    who: String,
    /// The server and the client.
    around: String,
}

/// What an exchange was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct What {
    /// The tool, the method, the act.
    name: String,
    /// The result, in a word of the records.
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
pub(crate) async fn list(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    let page = records_page(&console, &visit, query.as_deref().unwrap_or_default()).await;
    home::page_or_home(&console, &visit, page)
}

/// `GET /records/{request}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    let page = record_page(&console, &visit, &id).await;
    home::page_or_home(&console, &visit, page)
}

/// `POST /records/{request}`: shows the arguments, too.
pub(crate) async fn reveal(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match revealed_page(&console, &visit, &id, &form).await {
        Ok(page) => frame::page(&visit, &console.site, StatusCode::OK, &page, ""),
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// Returns the session of an auditor. `None`: nobody is signed in. Other people get the answer that there is no such
/// page.
async fn auditor(tx: &mut Tx, visit: &Visit) -> Result<Option<Session>, PageError> {
    match session::current(tx, visit).await? {
        Some(session) if session.user.role.audits() => Ok(Some(session)),
        Some(_) => Err(PageError::NotThere),
        None => Ok(None),
    }
}

async fn records_page(console: &Console, visit: &Visit, query: &str) -> Result<Option<RecordsPage>, PageError> {
    let parameters = Parameters::read(query).map_err(|_| PageError::Malformed)?;
    let mut tx = console.site.store.read().await?;
    let Some(session) = auditor(&mut tx, visit).await? else { return Ok(None) };
    if parameters.repeated(&[]).is_some() {
        return Err(PageError::Malformed);
    }
    let mut before = parameters.one("before").map(str::parse).transpose().map_err(|_| PageError::NotThere)?;
    let search = Search::read(&parameters)?;
    let mut names = Names::default();
    let (mut lines, mut older) = (Vec::new(), None);
    for _ in 0..if search.is_all() { 1 } else { SCANNED_PAGES_MAX } {
        let (exchanges, is_full) = page_before(&mut tx, before, search.from(visit.now)).await?;
        before = exchanges.last().map(|exchange| exchange.request).filter(|_| is_full);
        older = before;
        for exchange in exchanges {
            if search.is_all() || search.fits(&mut tx, &mut names, &exchange.records).await? {
                lines.push(line(console, visit.language, &mut tx, &mut names.people, &exchange).await?);
            }
        }
        if before.is_none() || lines.len() * 2 >= PAGE_MAX as usize {
            break;
        }
    }
    let servers = Arc::clone(&console.site.servers.borrow());
    let server = |card: &ServerCard| {
        (
            card.name.to_string(),
            shown::server(&console.site, &card.name).title,
            search.server.as_ref() == Some(&card.name),
        )
    };
    let servers = servers.iter().map(server).collect();
    let older = older.map(|request| search.before(request));
    let chrome = Chrome::new(&console.site, visit).with(visit, &session, None);
    Ok(Some(RecordsPage { chrome, lines, search, servers, older }))
}

/// The records of one request, the newest first.
struct Exchange {
    request: RequestId,
    records: Vec<Record>,
}

/// The exchanges of one page, the newest first, each whole; and whether there may be older ones.
async fn page_before(
    tx: &mut Tx,
    before: Option<RequestId>,
    since: Option<Timestamp>,
) -> Result<(Vec<Exchange>, bool), StoreError> {
    let filter =
        AuditFilter { before, since, order: AuditOrder::NewestFirst, limit: PAGE_MAX, ..AuditFilter::default() };
    let found = tx.audit().list(&filter).await?;
    let is_full = found.len() >= PAGE_MAX as usize;
    let mut exchanges: Vec<Exchange> = Vec::new();
    for stored in found {
        match exchanges.last_mut() {
            Some(last) if last.request == stored.record.request => last.records.push(stored.record),
            _ => exchanges.push(Exchange { request: stored.record.request, records: vec![stored.record] }),
        }
    }
    // The last one may go on beyond the page: the next page begins with it.
    if is_full && exchanges.len() > 1 {
        exchanges.pop();
    }
    Ok((exchanges, is_full))
}

/// Makes one line of an exchange. What was asked comes from its oldest record, and the result from its newest.
async fn line(
    console: &Console,
    language: Language,
    tx: &mut Tx,
    people: &mut People,
    Exchange { request, records }: &Exchange,
) -> Result<ExchangeLine, StoreError> {
    let at = records.last().map(|record| shown::moment(record.at)).unwrap_or_default();
    let mut told: Vec<What> = Vec::new();
    let (mut who, mut around) = (String::new(), Vec::new());
    for record in records.iter().rev() {
        told.push(What::of(language, &record.event));
        let (subject, client, server) = parties(&record.event);
        if who.is_empty() {
            who = people.actor(tx, language, &record.event).await?.unwrap_or_default();
        }
        if let (Some(subject), true) = (subject, who.is_empty()) {
            who = people.name(tx, subject).await?;
        }
        if around.is_empty() {
            if let Some(server) = server {
                around.push(shown::server(&console.site, server).title);
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

async fn record_page(console: &Console, visit: &Visit, id: &str) -> Result<Option<RecordPage>, PageError> {
    let request: RequestId = id.parse().map_err(|_| PageError::NotThere)?;
    let mut tx = console.site.store.read().await?;
    let Some(session) = auditor(&mut tx, visit).await? else { return Ok(None) };
    let entries = entries(&mut tx, visit.language, request).await?;
    let arguments = match tx.audit().arguments(request).await? {
        Some(_) => {
            let csrf = form_token(visit, Some(&session), FormKind::ShowArguments, id).expose().to_owned();
            Arguments::Kept { csrf }
        }
        None => Arguments::None,
    };
    let chrome = Chrome::new(&console.site, visit).with(visit, &session, None);
    Ok(Some(RecordPage { chrome, id: request.to_string(), entries, arguments }))
}

async fn revealed_page(console: &Console, visit: &Visit, id: &str, form: &Form) -> Result<RecordPage, PageError> {
    let request: RequestId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = auditor(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::ShowArguments, id, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let entries = entries(&mut tx, visit.language, request).await?;
    // The reading is recorded in the same transaction, before anything is shown.
    let by = own::performer(console, visit, &session);
    let kept = sekisho_acts::records::arguments(&mut tx, &by, request).await.map_err(own::page_error)?;
    let kept = kept.ok_or(PageError::Ended)?;
    let kept = shown::json(&String::from_utf8_lossy(kept.expose()), ARGUMENTS_CHARS_MAX);
    tx.commit().await?;
    let chrome = Chrome::new(&console.site, visit).with(visit, &session, None);
    Ok(RecordPage { chrome, id: request.to_string(), entries, arguments: Arguments::Shown(kept) })
}

/// Returns every record of an exchange, in order. If there is none, there is no such exchange.
async fn entries(tx: &mut Tx, language: Language, request: RequestId) -> Result<Vec<EntryBox>, PageError> {
    let found = tx.audit().list(&AuditFilter { request: Some(request), ..AuditFilter::default() }).await?;
    if found.is_empty() {
        return Err(PageError::NotThere);
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
            Event::Act(act) => {
                // The marks around names are for the command line.
                let detail = act.detail.replace('`', "");
                Self::new(language.say(words::act(act.act)), &detail, act.act.is_refusal())
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
            Event::Rejection(rejection) => {
                let word = format!("{} · {}", rejection.reason, rejection.status);
                Self::new(language.say(Sentence::EventRejection), &word, true)
            }
            Event::Child { act, detail, .. } => {
                Self::new(language.say(Sentence::EventChild), &format!("{act} · {detail}"), false)
            }
            Event::ClockSet { from, to } => {
                Self::new(language.say(Sentence::EventClockSet), &format!("{from} → {to}"), true)
            }
            Event::Refusals(refused) => {
                let word = format!("{} × {}", refused.what, refused.count);
                Self::new(language.say(Sentence::EventRefusals), &word, true)
            }
        }
    }
}

fn name_of(decision: &Decision) -> &str {
    decision.target.as_deref().unwrap_or(&decision.method)
}

fn text(text: &str) -> String {
    shown::exact(text, TEXT_CHARS_MAX)
}

impl Arguments {
    /// The token of the form that asks for them.
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
