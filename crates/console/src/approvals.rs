//! `/approvals/{id}`: one exact call that waits for a person's yes, and the answer.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_acts::ActError;
use sekisho_acts::approval::{self, Answer};
use sekisho_acts::reading::is_alive;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ApprovalId;
use sekisho_protocol::text::plain_text;
use sekisho_store::{Approval, SecretBytes, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::error::{self, PageError};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::shown::{self, ClientLine, JsonText, ServerLine};

use crate::{Console, own};

/// The most characters of the arguments that are shown.
const ARGUMENTS_CHARS_MAX: usize = 4000;

/// One call, and the state of its approval.
#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage {
    chrome: Chrome,
    csrf: String,
    id: String,
    standing: ApprovalState,
    ask: ApprovalFacts,
}

/// The facts of the call.
struct ApprovalFacts {
    initial: String,
    server_initial: String,
    client: ClientLine,
    server: ServerLine,
    tool: String,
    /// `None`: they were not kept.
    arguments: Option<JsonText>,
    /// What the call sends beside its arguments, if anything.
    beside: Option<JsonText>,
    rule: String,
    reason: String,
    purpose: Option<TaskLink>,
    expires: String,
    minutes_left: i64,
}

/// The task of a call.
struct TaskLink {
    id: String,
    purpose: String,
}

/// The state of an approval for the person who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApprovalState {
    /// It was given and not used yet.
    Approved,
    /// It was declined.
    Declined,
    /// The grant behind the call is not alive.
    Ended,
    /// Nobody answered in time, or nobody used the yes.
    Expired,
    /// It waits for an answer.
    Open,
    /// The call was made.
    Used,
}

impl ApprovalState {
    fn of(approval: &Approval, alive: bool, now: Timestamp) -> Self {
        if approval.used_at.is_some() {
            Self::Used
        } else if approval.approved == Some(false) {
            Self::Declined
        } else if !alive {
            Self::Ended
        } else if approval.expires_at <= now {
            Self::Expired
        } else if approval.approved == Some(true) {
            Self::Approved
        } else {
            Self::Open
        }
    }

    /// The heading, and what happens now.
    fn words(self) -> (Sentence, Sentence) {
        match self {
            Self::Approved => (Sentence::ApprovedTitle, Sentence::ApprovedNow),
            Self::Declined => (Sentence::DeclinedTitle, Sentence::DeclinedNow),
            Self::Ended => (Sentence::ApprovalEndedTitle, Sentence::ApprovalEndedNow),
            Self::Expired => (Sentence::ApprovalExpiredTitle, Sentence::ApprovalExpiredNow),
            Self::Open => (Sentence::ApprovalTitle, Sentence::ApprovalLead),
            Self::Used => (Sentence::ApprovalUsedTitle, Sentence::ApprovalUsedNow),
        }
    }

    fn is_open(self) -> bool {
        self == Self::Open
    }

    fn is_approved(self) -> bool {
        self == Self::Approved
    }
}

/// `GET /approvals/{id}`.
pub(crate) async fn show(State(console): State<Arc<Console>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_as(&console, &visit, &id, StatusCode::OK).await
}

async fn shown_as(console: &Console, visit: &Visit, id: &str, status: StatusCode) -> Response {
    match approval_page(console, visit, id).await {
        Ok(page) => frame::page(visit, &console.site, status, &page, ""),
        Err(error) => error::page(&console.site, visit, &error),
    }
}

/// `POST /approvals/{id}`: yes or no, once.
pub(crate) async fn answer(
    State(console): State<Arc<Console>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match decide(&console, &visit, &id, &form).await {
        Ok(Decided::Now(place)) => frame::go(&console.site, &visit, &place.path()),
        Ok(Decided::Before) => shown_as(&console, &visit, &id, StatusCode::GONE).await,
        Err(error) => error::page(&console.site, &visit, &error),
    }
}

/// Returns the approval if the person who is signed in is asked for it, and whether its grant is alive.
async fn find(tx: &mut Tx, visit: &Visit, id: ApprovalId) -> Result<(Approval, bool, Session), PageError> {
    let place = Place::Approval(id);
    let session = own::session(tx, visit, place).await?;
    let subject = own::subject(&session);
    let found = tx.approvals().find(id).await?.filter(|approval| approval.subject == subject);
    let (approval, session) = own::only(found, session, place)?;
    let alive = is_alive(tx, approval.grant, visit.now).await?;
    Ok((approval, alive, session))
}

async fn approval_page(console: &Console, visit: &Visit, id: &str) -> Result<ApprovalPage, PageError> {
    let id: ApprovalId = id.parse().map_err(|_| PageError::NotThere)?;
    let mut tx = console.site.store.read().await?;
    let (approval, alive, session) = find(&mut tx, visit, id).await?;
    Ok(ApprovalPage {
        chrome: Chrome::new(&console.site, visit).with(visit, &session, Some(id.to_string())),
        csrf: form_token(visit, Some(&session), FormKind::Approval, &about(&approval)).expose().to_owned(),
        id: id.to_string(),
        standing: ApprovalState::of(&approval, alive, visit.now),
        ask: asked(console, &mut tx, visit, &approval).await?,
    })
}

async fn asked(
    console: &Console,
    tx: &mut Tx,
    visit: &Visit,
    approval: &Approval,
) -> Result<ApprovalFacts, StoreError> {
    let client = shown::client(tx, &approval.client).await?;
    let server = shown::server(&console.site, &approval.server);
    let task = match approval.task {
        Some(id) => tx.tasks().find(id).await?,
        None => None,
    };
    let text = |kept: &Option<SecretBytes>| {
        let text = kept.as_ref().map(|kept| String::from_utf8_lossy(kept.expose()).into_owned());
        text.map(|text| shown::json(&text, ARGUMENTS_CHARS_MAX))
    };
    let left_out = usize::try_from(approval.arguments_left_out).unwrap_or(usize::MAX);
    let cut = |shown: JsonText| JsonText { left_out: shown.left_out.saturating_add(left_out), ..shown };
    Ok(ApprovalFacts {
        initial: shown::initial(&client.name),
        server_initial: shown::initial(&server.title),
        tool: shown::exact(&approval.tool, 256),
        arguments: text(&approval.arguments).map(cut),
        beside: text(&approval.beside),
        rule: plain_text(&approval.rule, 80),
        reason: plain_text(approval.reason.as_deref().unwrap_or_default(), 300),
        purpose: task.map(|task| TaskLink {
            id: task.id.to_string(),
            purpose: plain_text(&task.definition.purpose, sekisho_protocol::task::TaskDefinition::PURPOSE_CHARS_MAX),
        }),
        expires: shown::moment(approval.expires_at),
        minutes_left: shown::minutes_until(approval.expires_at, visit.now),
        client,
        server,
    })
}

/// What the form is about: this approval of this very call, so that a person approves what the page showed.
fn about(approval: &Approval) -> String {
    format!("{} {}", approval.id, approval.digest)
}

/// The result of an answer.
enum Decided {
    /// It was answered before, or it is too late.
    Before,
    /// This was the answer.
    Now(Place),
}

async fn decide(console: &Console, visit: &Visit, id: &str, form: &Form) -> Result<Decided, PageError> {
    let id: ApprovalId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &[])?;
    let answer = match form.one("decision") {
        Some("approve") => Answer::Approve,
        Some("decline") => Answer::Decline,
        _ => return Err(PageError::Malformed),
    };
    let mut tx = session::begin(&console.site, visit).await?;
    let (approval, _, session) = find(&mut tx, visit, id).await?;
    if !is_ours(visit, Some(&session), FormKind::Approval, &about(&approval), form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let by = own::performer(console, visit, &session);
    match approval::answer(&mut tx, &by, &own::subject(&session), id, answer).await {
        Ok(_) => {
            tx.commit().await?;
            Ok(Decided::Now(Place::Approval(id)))
        }
        Err(ActError::Absent { .. }) => Ok(Decided::Before),
        Err(error) => Err(own::page_error(error)),
    }
}
