//! The forms of the page of a task: widen it, finish it, or go on without it.

use sekisho_acts::{ActError, task};
use sekisho_protocol::ids::TaskId;
use sekisho_store::Tx;
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::session::{self, FormKind, Session, is_ours};

use super::found::{TaskAndGrant, about_widen, addable, find};
use super::widening_form::WideningForm;
use crate::form_page::{Changed, Submission};
use crate::task_problem::sentence;
use crate::{Console, offer, own};

/// Does what the pressed button says.
pub(super) async fn change(
    console: &Console,
    visit: &Visit,
    id: &str,
    form: &Form,
) -> Result<Changed<WideningForm>, PageError> {
    let id: TaskId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &["tool", "unbound"])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let (found, session) = find(&mut tx, visit, id).await?;
    let ours = |kind| is_ours(visit, Some(&session), kind, &id.to_string(), form.one("csrf"));
    let by = own::performer(console, visit, &session);
    let changed = match form.one("act") {
        Some("widen") => {
            let sent = Submission { console, visit, form };
            widen(sent, &mut tx, found, &session).await?
        }
        Some("finish") if ours(FormKind::FinishTask) => {
            task::finish(&mut tx, &by, id).await.map_err(own::page_error)?;
            Changed::Now(Place::Task(id))
        }
        Some("resume") if ours(FormKind::ResumeTask) => {
            let grant = found.grant.id;
            // The page showed that this task is over. Another task may hold the grant by now, and it must not be ended.
            task::resume(&mut tx, &by, grant, Some(id)).await.map_err(own::page_error)?;
            Changed::Now(Place::Grant(grant))
        }
        Some("finish" | "resume") => return Err(PageError::Forgery),
        _ => return Err(PageError::Malformed),
    };
    if matches!(changed, Changed::Now(_)) {
        tx.commit().await?;
    }
    Ok(changed)
}

async fn widen(
    Submission { console, visit, form }: Submission<'_>,
    tx: &mut Tx,
    found: TaskAndGrant,
    session: &Session,
) -> Result<Changed<WideningForm>, PageError> {
    let TaskAndGrant { task: shown, grant } = found;
    let addable = addable(&shown, offer::tools(console, tx, &grant, visit.now).await?);
    if !is_ours(visit, Some(session), FormKind::WidenTask, &about_widen(&shown, &addable), form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let wish = WideningForm::read(form);
    let more = match wish.more(&shown, &addable) {
        Ok(more) => more,
        Err(problem) => return Ok(Changed::problem(wish, problem)),
    };
    match task::widen(tx, &own::performer(console, visit, session), shown.id, &more).await {
        Ok(()) => Ok(Changed::Now(Place::Task(shown.id))),
        Err(ActError::Invalid(problem)) => match sentence(&problem) {
            Some(sentence) => Ok(Changed::problem(wish, sentence)),
            None => Err(PageError::Malformed),
        },
        Err(error) => Err(own::page_error(error)),
    }
}
