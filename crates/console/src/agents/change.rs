//! The forms of the page of a grant: end it, or begin a task on it.

use sekisho_acts::grant::{self, Whose};
use sekisho_acts::task::{self, Begin, KnownTools, may_begin};
use sekisho_acts::{ActError, external, reading};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::task::TaskOrigin;
use sekisho_store::TaskPlace;
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::session::{self, FormKind, is_ours};

use super::found::{about_begin, find};
use super::task_form::TaskForm;
use crate::form_page::Changed;
use crate::task_problem::sentence;
use crate::{Console, offer, own};

/// Begins a task to which everything that the client does is held from now on.
pub(super) async fn begin(
    console: &Console,
    visit: &Visit,
    id: &str,
    form: &Form,
) -> Result<Changed<TaskForm>, PageError> {
    let id: GrantId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &["tool"])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let (grant, session) = find(&mut tx, visit, id).await?;
    let tools = offer::tools(console, &mut tx, &grant, visit.now).await?;
    if !is_ours(visit, Some(&session), FormKind::BeginTask, &about_begin(&grant, &tools), form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    if !reading::is_alive(&mut tx, id, visit.now).await? || !may_begin(&mut tx, &grant, visit.now).await? {
        return Err(PageError::Ended);
    }
    let draft = TaskForm::read(form)?;
    let definition = match draft.definition(&tools) {
        Ok(definition) => definition,
        Err(problem) => return Ok(Changed::problem(draft, problem)),
    };
    let by = own::performer(console, visit, &session);
    let begin = Begin {
        grant: id,
        definition,
        origin: TaskOrigin::Person,
        parent: None,
        place: TaskPlace::Current,
        tools: KnownTools::All,
    };
    match task::begin(&mut tx, &by, begin).await {
        Ok(task) => {
            tx.commit().await?;
            Ok(Changed::Now(Place::Task(task)))
        }
        Err(ActError::Invalid(problem)) => match sentence(&problem) {
            Some(sentence) => Ok(Changed::problem(draft, sentence)),
            None => Err(PageError::Malformed),
        },
        Err(error) => Err(own::page_error(error)),
    }
}

/// Ends a grant.
pub(super) async fn end(console: &Console, visit: &Visit, id: &str, form: &Form) -> Result<(), PageError> {
    let grant: GrantId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::EndGrant, id, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let (_, session) = find(&mut tx, visit, grant).await?;
    match grant::revoke(&mut tx, &own::performer(console, visit, &session), grant).await {
        Ok(()) => Ok(tx.commit().await?),
        // It has ended meanwhile, and that was the aim.
        Err(ActError::Absent { .. }) => Ok(()),
        Err(error) => Err(own::page_error(error)),
    }
}

/// Lets the client of an ended grant in again.
pub(super) async fn release(console: &Console, visit: &Visit, id: &str, form: &Form) -> Result<GrantId, PageError> {
    let grant: GrantId = id.parse().map_err(|_| PageError::NotThere)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::ReleaseGrant, id, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let (_, session) = find(&mut tx, visit, grant).await?;
    match external::release(&mut tx, &own::performer(console, visit, &session), grant).await {
        Ok(()) => tx.commit().await?,
        // Let in meanwhile, which is what was wanted.
        Err(ActError::Absent { .. }) => {}
        Err(error) => return Err(own::page_error(error)),
    }
    Ok(grant)
}

/// Ends every grant of the person who is signed in.
pub(super) async fn end_all(console: &Console, visit: &Visit, form: &Form) -> Result<(), PageError> {
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(&console.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::EndAllGrants, "", form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let by = own::performer(console, visit, &session);
    grant::revoke_all(&mut tx, &by, Whose::Own).await.map_err(own::page_error)?;
    Ok(tx.commit().await?)
}
