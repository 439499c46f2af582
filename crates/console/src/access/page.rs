//! The page of access in each of its states.

use std::sync::Arc;

use askama::Template;
use sekisho_acts::reading::{self, Wanted};
use sekisho_policy::lending::Hindrance;
use sekisho_protocol::audit::Decision;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, RequestId, ServerName, TaskId};
use sekisho_protocol::text::plain_text;
use sekisho_store::{AccessRequest, Loan, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::choice::End;
use sekisho_web::error::PageError;
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, Session, form_token};
use sekisho_web::shown::{self, ClientLine, JsonText, ServerLine};

use super::form::AccessForm;
use super::found::{PageSubject, Refused, RequestAndLoan, find, may_answer, refused};
use crate::form_page::Filled;
use crate::{Console, own, task_line};

/// The most characters of bounds that are shown.
const BOUNDS_CHARS_MAX: usize = 4000;

/// The page in each of its states.
#[derive(Template)]
#[template(path = "access.html")]
pub(super) struct AccessPage {
    chrome: Chrome,
    id: String,
    ask: RequestFacts,
    standing: AccessState,
    /// Each of the three is there if the person who is signed in can do that now.
    asking: Option<AskForm>,
    answering: Option<AnswerForm>,
    take_back_csrf: Option<String>,
}

/// The request.
struct RequestFacts {
    initial: String,
    server_initial: String,
    person: String,
    client: ClientLine,
    server: ServerLine,
    server_name: String,
    tool: String,
    purpose: Option<String>,
    reason: String,
    /// The reasons of the rules that forbid it.
    rules: Vec<String>,
    bounds: Option<JsonText>,
    /// When the request expires, or when the loan ends.
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
    ends: [End; 4],
    bounds: String,
    problem: Option<Sentence>,
    /// What exactly is wrong with the bounds.
    detail: String,
    /// What would keep a loan from having an effect.
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

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessState {
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
    /// The loan has ended.
    Over,
    /// An owner said no.
    Refused,
    /// It waits for an owner.
    Waiting,
}

impl AccessState {
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

/// Makes the page of a refused call or of a request, for the person who is signed in.
pub(super) async fn page(
    console: &Console,
    visit: &Visit,
    id: &str,
    filled: &Filled<AccessForm>,
) -> Result<AccessPage, PageError> {
    let named = PageSubject::read(id)?;
    let mut tx = console.site.store.read().await?;
    let session = own::session(&mut tx, visit, named.place()).await?;
    match named {
        PageSubject::Call(call) => {
            let (refused, session) = refused(&mut tx, visit, call, session).await?;
            asking_page(PageParts { console, visit, session: &session, filled }, &mut tx, call, refused).await
        }
        PageSubject::Request(id) => {
            let (found, session) = find(&mut tx, visit, id, session).await?;
            request_page(PageParts { console, visit, session: &session, filled }, &mut tx, found).await
        }
    }
}

/// The parts that both pages are made of.
#[derive(Clone, Copy)]
struct PageParts<'a> {
    console: &'a Console,
    visit: &'a Visit,
    session: &'a Session,
    filled: &'a Filled<AccessForm>,
}

async fn asking_page(
    PageParts { console, visit, session, filled }: PageParts<'_>,
    tx: &mut Tx,
    call: RequestId,
    refused: Refused,
) -> Result<AccessPage, PageError> {
    let id = call.to_string();
    let Refused { decision, tool, .. } = refused;
    let client = decision.client.clone().ok_or(PageError::Ended)?;
    let wanted = Wanted { subject: &decision.subject, client: &client, server: &decision.server, tool: &tool };
    let (standing, rules) = asking(console, tx, &decision, wanted, visit.now).await?;
    let facts = Facts {
        person: session.user.name.clone(),
        client: &client,
        server: &decision.server,
        tool: &tool,
        task: decision.task,
    };
    Ok(AccessPage {
        chrome: Chrome::new(&console.site, visit).with(visit, session, Some(id.clone())),
        ask: RequestFacts { rules, ..asked(console, tx, facts).await? },
        asking: (standing == AccessState::Asking).then(|| AskForm {
            csrf: form_token(visit, Some(session), FormKind::AskAccess, &id).expose().to_owned(),
            reason: filled.form.reason.clone(),
            problem: filled.problem,
        }),
        standing,
        answering: None,
        take_back_csrf: None,
        id,
    })
}

/// Whether an owner can be asked for what was refused, and otherwise what forbids it.
async fn asking(
    console: &Console,
    tx: &mut Tx,
    decision: &Decision,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<(AccessState, Vec<String>), StoreError> {
    let rights = Arc::clone(&console.rights.borrow());
    // Rules forbade this very call. Other arguments may be permitted, but a loan would change nothing.
    if let Some(reasons) = rights.forbidding(&decision.because) {
        return Ok((AccessState::Forbidden, reasons));
    }
    Ok(match hindrance(console, tx, wanted, now).await? {
        Some(Hindrance::Forbidden { reasons, .. }) => (AccessState::Forbidden, reasons),
        Some(Hindrance::Held { permitted: true }) => (AccessState::Held, Vec::new()),
        // A user who may not use the tool is not told that it exists.
        Some(Hindrance::Held { permitted: false }) | None => (AccessState::Asking, Vec::new()),
    })
}

/// Returns what would keep a loan of a tool from having an effect.
async fn hindrance(
    console: &Console,
    tx: &mut Tx,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Option<Hindrance>, StoreError> {
    let (rights, servers) = (Arc::clone(&console.rights.borrow()), Arc::clone(&console.site.servers.borrow()));
    let configured = servers.find(wanted.server).and_then(|card| card.classes.get(wanted.tool).copied());
    reading::hindrance(tx, &rights, configured, wanted, now).await
}

async fn request_page(
    PageParts { console, visit, session, filled }: PageParts<'_>,
    tx: &mut Tx,
    found: RequestAndLoan,
) -> Result<AccessPage, PageError> {
    let (draft, id) = (&filled.form, found.asked.id.to_string());
    let owner = may_answer(session, &found.asked);
    let standing = AccessState::of(&found.asked, found.loan.as_ref(), found.alive, owner, visit.now);
    let token = |kind| form_token(visit, Some(session), kind, &id).expose().to_owned();
    let facts = Facts {
        person: shown::person(tx, &found.asked.subject).await?,
        client: &found.asked.client,
        server: &found.asked.server,
        tool: &found.asked.tool,
        task: found.asked.task,
    };
    let (warning, rules) = if standing == AccessState::Answering {
        let asked = &found.asked;
        let wanted =
            Wanted { subject: &asked.subject, client: &asked.client, server: &asked.server, tool: &asked.tool };
        match hindrance(console, tx, wanted, visit.now).await? {
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
        chrome: Chrome::new(&console.site, visit).with(visit, session, Some(id.clone())),
        ask: RequestFacts {
            reason: plain_text(&found.asked.reason, sekisho_store::ACCESS_REASON_CHARS_MAX),
            bounds: bounds.as_ref().map(|schema| shown::json(&schema.to_string(), BOUNDS_CHARS_MAX)),
            until: shown::moment(until),
            rules,
            ..asked(console, tx, facts).await?
        },
        standing,
        asking: None,
        answering: (standing == AccessState::Answering).then(|| AnswerForm {
            csrf: token(FormKind::AnswerAccess),
            end: draft.end,
            ends: AccessForm::ENDS,
            bounds: draft.bounds.clone(),
            problem: filled.problem,
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

async fn asked(console: &Console, tx: &mut Tx, facts: Facts<'_>) -> Result<RequestFacts, StoreError> {
    let client = shown::client(tx, facts.client).await?;
    let server = shown::server(&console.site, facts.server);
    let task = match facts.task {
        Some(id) => tx.tasks().find(id).await?,
        None => None,
    };
    Ok(RequestFacts {
        initial: shown::initial(&client.name),
        server_initial: shown::initial(&server.title),
        person: facts.person,
        server_name: facts.server.to_string(),
        tool: shown::exact(facts.tool, 256),
        purpose: task.map(|task| task_line::purpose(&task.definition)),
        reason: String::new(),
        rules: Vec::new(),
        bounds: None,
        until: String::new(),
        client,
        server,
    })
}
