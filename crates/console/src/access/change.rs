//! The forms of the pages of access: a user asks an owner; an owner lends, refuses, or takes back.

use sekisho_acts::access::{self, Ask, Lend};
use sekisho_acts::{ActError, Invalid};
use sekisho_protocol::ids::{AccessRequestId, RequestId};
use sekisho_protocol::text::plain_text;
use sekisho_store::Tx;
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, is_ours};

use super::form::AccessForm;
use super::found::{PageSubject, find, may_answer, refused};
use crate::form_page::{Changed, Submission};
use crate::{Console, own};

/// The most characters of the text that says what is wrong with bounds.
const DETAIL_CHARS_MAX: usize = 300;

/// Does what the pressed button says.
pub(super) async fn change(
    console: &Console,
    visit: &Visit,
    id: &str,
    form: &Form,
) -> Result<Changed<AccessForm>, PageError> {
    let named = PageSubject::read(id)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    let kind = match (named, form.one("decision")) {
        (PageSubject::Call(_), Some("ask")) => FormKind::AskAccess,
        (PageSubject::Request(_), Some("lend" | "refuse")) => FormKind::AnswerAccess,
        (PageSubject::Request(_), Some("take-back")) => FormKind::TakeBack,
        _ => return Err(PageError::Malformed),
    };
    if !is_ours(visit, Some(&session), kind, id, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let sent = Submission { console, visit, form };
    let changed = match named {
        PageSubject::Call(call) => ask(sent, &mut tx, call, session).await?,
        PageSubject::Request(id) => answer(sent, &mut tx, id, session).await?,
    };
    if matches!(changed, Changed::Now(_)) {
        tx.commit().await?;
    }
    Ok(changed)
}

async fn ask(
    Submission { console, visit, form }: Submission<'_>,
    tx: &mut Tx,
    call: RequestId,
    session: Session,
) -> Result<Changed<AccessForm>, PageError> {
    let by = own::performer(console, visit, &session);
    let (refused, _) = refused(tx, visit, call, session).await?;
    let draft = AccessForm::read(form);
    let Some(grant) = refused.decision.grant else { return Err(PageError::Ended) };
    let (task, reason) = (refused.decision.task, draft.reason.clone());
    match access::ask(tx, &by, Ask { grant, task, tool: refused.tool, reason, bounds: None }).await {
        Ok(asked) => Ok(Changed::Now(Place::Access(asked.id))),
        Err(ActError::Invalid(Invalid::Reason)) => Ok(Changed::problem(draft, Sentence::ProblemReason)),
        Err(ActError::Invalid(Invalid::ManyRequests)) => Ok(Changed::problem(draft, Sentence::ProblemManyRequests)),
        Err(error) => Err(own::page_error(error)),
    }
}

async fn answer(
    Submission { console, visit, form }: Submission<'_>,
    tx: &mut Tx,
    id: AccessRequestId,
    session: Session,
) -> Result<Changed<AccessForm>, PageError> {
    let by = own::performer(console, visit, &session);
    let (found, session) = find(tx, visit, id, session).await?;
    // The user who asked may look at the page. Only others may answer.
    if !may_answer(&session, &found.asked) {
        return Err(PageError::NotYours { place: Place::Access(id), session: Box::new(session) });
    }
    let done = match form.one("decision") {
        Some("lend") => {
            let mut draft = AccessForm::read(form);
            let bounds = Some(draft.bounds.as_str()).filter(|bounds| !bounds.is_empty());
            let lend = Lend { seconds: draft.end.seconds().unwrap_or(60 * 60), bounds };
            match access::lend(tx, &by, id, lend).await {
                Err(ActError::Invalid(problem @ (Invalid::Bounds(_) | Invalid::BoundsLength))) => {
                    draft.detail = plain_text(&problem.to_string(), DETAIL_CHARS_MAX);
                    return Ok(Changed::problem(draft, Sentence::ProblemBounds));
                }
                other => other.map(|_| ()),
            }
        }
        Some("refuse") => access::refuse(tx, &by, id).await,
        _ => access::take_back(tx, &by, found.asked.loan.ok_or(PageError::Ended)?).await,
    };
    done.map_err(own::page_error)?;
    Ok(Changed::Now(Place::Access(id)))
}
