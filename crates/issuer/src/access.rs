//! `/access/{id}`: what somebody may not do, asked of an owner; and what an owner says to it.
//!
//! A refusal names its request and nothing else, so the first page is found by that: from the record of the decision.
//! Once it is asked, the page has a name of its own, which the asker and the owners can open.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_policy::lending::{self, Hindrance, WantedTool};
use sekisho_protocol::audit::{Decision, Event, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ClientId, RequestId, ServerName, TaskId};
use sekisho_protocol::refusal::SetName;
use sekisho_store::{AccessRequest, AuditFilter, Loan, StoreError, Tx};

use crate::Issuer;
use crate::clients::plain_text;
use crate::error;
use crate::own::{self, OwnError};
use crate::pages::{self, Chrome, End};
use crate::parameters::Form;
use crate::place::Place;
use crate::session::{FormKind, Session, form_token};
use crate::shown::{self, ClientLine, JsonText, ServerLine};
use crate::text::Sentence;
use crate::visit::Visit;

mod change;

use change::{Changed, Draft};

/// How many open requests an owner's home page lists, the oldest first.
const ASKED_MAX: usize = 100;
/// The most characters of bounds that are shown.
const BOUNDS_CHARS_MAX: usize = 4000;

/// The page in each of its states.
#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    chrome: Chrome,
    id: String,
    ask: Asked,
    standing: Standing,
    /// Each is there when that can be done now, by who is signed in.
    asking: Option<AskForm>,
    answering: Option<AnswerForm>,
    take_back_csrf: Option<String>,
}

/// What is asked for.
struct Asked {
    initial: String,
    server_initial: String,
    person: String,
    client: ClientLine,
    server: ServerLine,
    server_name: String,
    tool: String,
    purpose: Option<String>,
    reason: String,
    /// What the rules that forbid it give as their reasons.
    rules: Vec<String>,
    bounds: Option<JsonText>,
    /// When an answer comes too late, or what was lent ends.
    until: String,
}

/// The form with which somebody asks.
struct AskForm {
    csrf: String,
    reason: String,
    problem: Option<Sentence>,
}

/// The form with which an owner answers.
struct AnswerForm {
    csrf: String,
    end: End,
    ends: [End; 3],
    bounds: String,
    problem: Option<Sentence>,
    /// What exactly is wrong with the bounds.
    detail: String,
    /// What a loan would not change.
    warning: Option<Warning>,
}

impl AnswerForm {
    /// Whether a loan could change anything.
    fn may_help(&self) -> bool {
        self.warning != Some(Warning::Forbidden)
    }
}

/// What an owner is warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warning {
    /// Rules forbid the tool.
    Forbidden,
    /// The tool is held back.
    Held,
}

impl Warning {
    fn words(&self) -> Sentence {
        match self {
            Self::Forbidden => Sentence::LendForbidden,
            Self::Held => Sentence::LendHeld,
        }
    }

    fn is_held(&self) -> bool {
        *self == Self::Held
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// An owner reads it and has to answer.
    Answering,
    /// It was refused, and nobody has been asked yet.
    Asking,
    /// Nobody answered in time, or the grant behind it has ended.
    Expired,
    /// It was refused by rules that forbid it, and no owner can lend it.
    Forbidden,
    /// The tool is new or has changed, and its user may use it once an owner accepts it.
    Held,
    /// It is lent.
    Lent,
    /// What was lent has ended.
    Over,
    /// An owner said no.
    Refused,
    /// It waits for an owner.
    Waiting,
}

impl Standing {
    fn of(asked: &AccessRequest, loan: Option<&Loan>, alive: bool, owner: bool, now: Timestamp) -> Self {
        match (asked.decided_at, loan) {
            (Some(_), _) if asked.loan.is_none() => Self::Refused,
            (Some(_), Some(loan)) if alive && loan.revoked_at.is_none() && now < loan.expires_at => Self::Lent,
            // A loan that is not even remembered any more has ended, too.
            (Some(_), _) => Self::Over,
            (None, _) if !alive || asked.expires_at <= now => Self::Expired,
            (None, _) if owner => Self::Answering,
            (None, _) => Self::Waiting,
        }
    }

    /// The heading, and what happens now.
    fn words(self) -> (Sentence, Sentence) {
        match self {
            Self::Answering => (Sentence::AccessAnswerTitle, Sentence::AccessAnswerLead),
            Self::Asking => (Sentence::AccessTitle, Sentence::AccessLead),
            Self::Expired => (Sentence::ApprovalExpiredTitle, Sentence::AccessExpiredNow),
            Self::Forbidden => (Sentence::AccessForbiddenTitle, Sentence::AccessForbiddenNow),
            Self::Held => (Sentence::AccessHeldTitle, Sentence::AccessHeldNow),
            Self::Lent => (Sentence::LentTitle, Sentence::LentNow),
            Self::Over => (Sentence::LoanOverTitle, Sentence::LoanOverNow),
            Self::Refused => (Sentence::AccessRefusedTitle, Sentence::AccessRefusedNow),
            Self::Waiting => (Sentence::AccessWaitTitle, Sentence::AccessWaitNow),
        }
    }

    fn is_question(self) -> bool {
        matches!(self, Self::Answering | Self::Asking)
    }

    fn is_lent(self) -> bool {
        self == Self::Lent
    }
}

/// What a page is about, by the name in its address.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// A call that was refused.
    Call(RequestId),
    /// What was asked.
    Request(AccessRequestId),
}

impl Named {
    fn read(id: &str) -> Result<Self, OwnError> {
        let request = || id.parse().map(Self::Request);
        id.parse().map(Self::Call).or_else(|_| request()).map_err(|_| OwnError::NotThere)
    }

    fn place(self) -> Place {
        match self {
            Self::Call(id) => Place::Refused(id),
            Self::Request(id) => Place::Access(id),
        }
    }
}

/// `GET /access/{id}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    shown_with(&issuer, &visit, &id, &Draft::default(), None).await
}

/// `POST /access/{id}`: ask, lend, refuse, take back.
pub(crate) async fn change(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match change::change(&issuer, &visit, &id, &form).await {
        Ok(Changed::Not(draft, problem)) => shown_with(&issuer, &visit, &id, &draft, Some(problem)).await,
        Ok(Changed::Now(place)) => pages::go(&issuer, &visit, &place.path()),
        Err(error) => error::own(&issuer, &visit, &error),
    }
}

async fn shown_with(issuer: &Issuer, visit: &Visit, id: &str, draft: &Draft, problem: Option<Sentence>) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = async {
        let named = Named::read(id)?;
        let mut tx = issuer.store.read().await?;
        let session = own::session(&mut tx, visit, named.place()).await?;
        match named {
            Named::Call(id) => asking_page(issuer, &mut tx, visit, session, id, (draft, problem)).await,
            Named::Request(id) => request_page(issuer, &mut tx, visit, session, id, (draft, problem)).await,
        }
    };
    match page.await {
        Ok(page) => pages::page(visit, issuer, status, &page, ""),
        Err(error) => error::own(issuer, visit, &error),
    }
}

/// A call that rights refused.
#[derive(Debug)]
struct Refused {
    call: RequestId,
    decision: Decision,
    tool: String,
}

/// The refusal of this request, if it was of the one who is signed in.
async fn refused(
    tx: &mut Tx,
    visit: &Visit,
    call: RequestId,
    session: Session,
) -> Result<(Refused, Session), OwnError> {
    let subject = own::subject(&session);
    let filter = AuditFilter { request: Some(call), ..AuditFilter::default() };
    let found = tx.audit().list(&filter).await?.into_iter().find_map(|stored| match stored.record.event {
        Event::Decision(decision)
            if decision.subject == subject
                && decision.verdict == Verdict::Deny
                && decision.set == Some(SetName::Rights)
                && decision.method == "tools/call" =>
        {
            let tool = decision.target.clone()?;
            Some(Refused { call, decision: *decision, tool })
        }
        _ => None,
    });
    let (refused, session) = own::only(found, session, Place::Refused(call))?;
    let grant = match refused.decision.grant {
        Some(grant) => tx.grants().find(grant).await?,
        None => None,
    };
    match grant {
        Some(grant) if own::is_alive(tx, &grant, visit).await? => Ok((refused, session)),
        _ => Err(OwnError::Ended),
    }
}

async fn asking_page(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: Session,
    call: RequestId,
    (draft, problem): (&Draft, Option<Sentence>),
) -> Result<AccessPage, OwnError> {
    let (refused, session) = refused(tx, visit, call, session).await?;
    let id = call.to_string();
    let Refused { decision, tool, .. } = refused;
    let client = decision.client.clone().ok_or(OwnError::Ended)?;
    let (standing, rules) = asking(issuer, tx, &decision, (&client, &tool), visit.now).await?;
    let facts = Facts {
        person: session.user.name.clone(),
        client: &client,
        server: &decision.server,
        tool: &tool,
        task: decision.task,
    };
    Ok(AccessPage {
        chrome: Chrome::new(issuer, visit).with(visit, &session, Some(id.clone())),
        ask: Asked { rules, ..asked(issuer, tx, facts).await? },
        asking: (standing == Standing::Asking).then(|| AskForm {
            csrf: form_token(visit, Some(&session), FormKind::AskAccess, &id).expose().to_owned(),
            reason: draft.reason.clone(),
            problem,
        }),
        standing,
        answering: None,
        take_back_csrf: None,
        id,
    })
}

/// Whether an owner can be asked for what was refused, and otherwise what forbids it.
async fn asking(
    issuer: &Issuer,
    tx: &mut Tx,
    decision: &Decision,
    (client, tool): (&ClientId, &str),
    now: Timestamp,
) -> Result<(Standing, Vec<String>), StoreError> {
    let rights = Arc::clone(&issuer.rights.borrow());
    // The rules that forbade this very call: other arguments may be another matter, and a loan is none.
    if let Some(reasons) = rights.forbidding(&decision.because) {
        return Ok((Standing::Forbidden, reasons));
    }
    Ok(match hindrance(issuer, tx, (&decision.subject, client, &decision.server, tool), now).await? {
        Some(Hindrance::Forbidden { reasons, .. }) => (Standing::Forbidden, reasons),
        Some(Hindrance::Held { permitted: true }) => (Standing::Held, Vec::new()),
        // Who may not use it anyway is not told that it is there.
        Some(Hindrance::Held { permitted: false }) | None => (Standing::Asking, Vec::new()),
    })
}

/// What stands in the way of lending a tool for use by a client.
async fn hindrance(
    issuer: &Issuer,
    tx: &mut Tx,
    (subject, client, server, tool): (&Subject, &ClientId, &ServerName, &str),
    now: Timestamp,
) -> Result<Option<Hindrance>, StoreError> {
    let known = tx.catalogue().find(server, tool).await?;
    let class = issuer.servers.borrow().find(server).and_then(|card| card.classes.get(tool).copied());
    let held = known.as_ref().is_some_and(Tool::is_held);
    let class = class.or(known.and_then(|tool| tool.class));
    let rights = Arc::clone(&issuer.rights.borrow());
    Ok(lending::hindrance(&rights, (subject, client), WantedTool { server, name: tool, class, held }, now))
}

/// What was asked, with what came of it, for the one who asked and for owners.
struct Found {
    asked: AccessRequest,
    loan: Option<Loan>,
    /// The grant behind it is good for anything.
    alive: bool,
}

async fn find(tx: &mut Tx, visit: &Visit, id: AccessRequestId, session: Session) -> Result<(Found, Session), OwnError> {
    let subject = own::subject(&session);
    let found = tx.access_requests().find(id).await?;
    let found = found.filter(|asked| session.user.role.administers() || asked.subject == subject);
    let (asked, session) = own::only(found, session, Place::Access(id))?;
    let loan = match asked.loan {
        Some(loan) => tx.loans().find(loan).await?,
        None => None,
    };
    let alive = match tx.grants().find(asked.grant).await? {
        Some(grant) => own::is_alive(tx, &grant, visit).await?,
        None => false,
    };
    Ok((Found { asked, loan, alive }, session))
}

/// Whether this is somebody who answers such requests: an owner; or an administrator, if it is not the administrator's own.
fn may_answer(session: &Session, asked: &AccessRequest) -> bool {
    let role = session.user.role;
    role.owns() || (role.administers() && asked.subject != own::subject(session))
}

async fn request_page(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: Session,
    id: AccessRequestId,
    (draft, problem): (&Draft, Option<Sentence>),
) -> Result<AccessPage, OwnError> {
    let (found, session) = find(tx, visit, id, session).await?;
    let id = id.to_string();
    let owner = may_answer(&session, &found.asked);
    let standing = Standing::of(&found.asked, found.loan.as_ref(), found.alive, owner, visit.now);
    let token = |kind| form_token(visit, Some(&session), kind, &id).expose().to_owned();
    let facts = Facts {
        person: shown::person(tx, &found.asked.subject).await?,
        client: &found.asked.client,
        server: &found.asked.server,
        tool: &found.asked.tool,
        task: found.asked.task,
    };
    let (warning, rules) = if standing == Standing::Answering {
        let asked = &found.asked;
        let hindrance = hindrance(issuer, tx, (&asked.subject, &asked.client, &asked.server, &asked.tool), visit.now);
        match hindrance.await? {
            Some(Hindrance::Forbidden { reasons, .. }) => (Some(Warning::Forbidden), reasons),
            Some(Hindrance::Held { .. }) => (Some(Warning::Held), Vec::new()),
            None => (None, Vec::new()),
        }
    } else {
        (None, Vec::new())
    };
    let bounds = found.loan.as_ref().map_or(&found.asked.bounds, |loan| &loan.bounds);
    let until = found.loan.as_ref().map_or(found.asked.expires_at, |loan| loan.expires_at);
    Ok(AccessPage {
        chrome: Chrome::new(issuer, visit).with(visit, &session, Some(id.clone())),
        ask: Asked {
            reason: plain_text(&found.asked.reason, sekisho_store::ACCESS_REASON_CHARS_MAX),
            bounds: bounds.as_ref().map(|schema| shown::json(&schema.to_string(), BOUNDS_CHARS_MAX)),
            until: shown::moment(until),
            rules,
            ..asked(issuer, tx, facts).await?
        },
        standing,
        asking: None,
        answering: (standing == Standing::Answering).then(|| AnswerForm {
            csrf: token(FormKind::AnswerAccess),
            end: draft.end,
            ends: Draft::ENDS,
            bounds: draft.bounds.clone(),
            problem,
            detail: draft.detail.clone(),
            warning,
        }),
        take_back_csrf: (standing.is_lent() && owner).then(|| token(FormKind::TakeBack)),
        id,
    })
}

struct Facts<'a> {
    person: String,
    client: &'a ClientId,
    server: &'a ServerName,
    tool: &'a str,
    task: Option<TaskId>,
}

async fn asked(issuer: &Issuer, tx: &mut Tx, facts: Facts<'_>) -> Result<Asked, StoreError> {
    let client = shown::client(tx, facts.client).await?;
    let server = shown::server(issuer, facts.server);
    let task = match facts.task {
        Some(id) => tx.tasks().find(id).await?,
        None => None,
    };
    Ok(Asked {
        initial: shown::initial(&client.name),
        server_initial: shown::initial(&server.title),
        person: facts.person,
        server_name: facts.server.to_string(),
        tool: shown::exact(facts.tool, 256),
        purpose: task.map(|task| crate::agents::purpose(&task.definition)),
        reason: String::new(),
        rules: Vec::new(),
        bounds: None,
        until: String::new(),
        client,
        server,
    })
}

/// One request on an owner's home page.
pub(crate) struct AskedLine {
    pub(crate) id: String,
    pub(crate) person: String,
    pub(crate) server: String,
    pub(crate) tool: String,
}

/// What waits for an owner; nothing for anybody else.
pub(crate) async fn asked_lines(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
) -> Result<Vec<AskedLine>, StoreError> {
    if !session.user.role.administers() {
        return Ok(Vec::new());
    }
    let mut open = tx.access_requests().open(visit.now).await?;
    open.retain(|asked| may_answer(session, asked));
    open.truncate(ASKED_MAX);
    let mut lines = Vec::new();
    for asked in open {
        lines.push(AskedLine {
            id: asked.id.to_string(),
            person: shown::person(tx, &asked.subject).await?,
            server: shown::server(issuer, &asked.server).title,
            tool: shown::exact(&asked.tool, 80),
        });
    }
    Ok(lines)
}
