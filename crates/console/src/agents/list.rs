//! The living grants of the person who is signed in, for the home page.

use sekisho_protocol::ids::GrantId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::Task;
use sekisho_store::{GrantFilter, StoreError, TaskFilter, Tx};
use sekisho_web::Visit;
use sekisho_web::choice::ScopeLine;
use sekisho_web::language::Language;
use sekisho_web::session::{FormKind, Session, form_token};
use sekisho_web::shown::{self, ClientLine, ServerLine};

use crate::task_line::TaskLine;
use crate::{Console, own};

/// How many grants the home page lists, the newest first.
const GRANTS_MAX: usize = 100;

/// One living grant on the home page.
pub(crate) struct GrantLine {
    pub(crate) id: String,
    pub(crate) client: ClientLine,
    pub(crate) server: ServerLine,
    pub(crate) scopes: Vec<ScopeLine>,
    pub(crate) tasks: Vec<TaskLine>,
    pub(crate) since: String,
    pub(crate) last_used: Option<String>,
    pub(crate) ends: Option<String>,
    pub(crate) csrf: String,
}

/// The scopes in words. A scope that another one includes is left out.
pub(crate) fn scope_lines(language: Language, scopes: &ScopeSet) -> Vec<ScopeLine> {
    let is_included = |scope: &&_| {
        !scopes.iter().any(|other| other != *scope && sekisho_protocol::scope::Scope::includes(other, scope))
    };
    scopes.iter().filter(is_included).map(|scope| ScopeLine::new(language, scope)).collect()
}

/// The living grants of the person who is signed in (ATK-14: they can be listed and ended).
pub(crate) async fn grant_lines(
    console: &Console,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
) -> Result<Vec<GrantLine>, StoreError> {
    let subject = own::subject(session);
    let mut grants =
        tx.grants().list(&GrantFilter { subject: Some(subject.clone()), ..GrantFilter::default() }).await?;
    let ids: Vec<GrantId> = grants.iter().map(|grant| grant.id).collect();
    let alive = tx.grants().alive_among(&ids, visit.now).await?;
    grants.retain(|grant| alive.contains(&grant.id));
    grants.reverse();
    grants.truncate(GRANTS_MAX);
    let running = TaskFilter { subject: Some(subject), ..TaskFilter::default() };
    let running = tx.tasks().list(&running, visit.now).await?;
    let mut clients = shown::Clients::default();
    let mut lines = Vec::new();
    for grant in grants {
        let mut tasks: Vec<Task> = running.iter().filter(|task| task.grant == grant.id).cloned().collect();
        // A task that is over still holds the grant until a person resumes it.
        if let Some(current) = grant.task
            && !tasks.iter().any(|task| task.id == current)
        {
            tasks.extend(tx.tasks().find(current).await?);
        }
        let id = grant.id.to_string();
        lines.push(GrantLine {
            client: clients.find(tx, &grant.client).await?,
            server: shown::server(&console.site, &grant.server),
            scopes: scope_lines(visit.language, &grant.scopes),
            tasks: tasks.iter().map(|task| TaskLine::new(task, &grant, visit.now)).collect(),
            since: shown::moment(grant.created_at),
            last_used: grant.last_used_at.map(shown::moment),
            ends: grant.expires_at.map(shown::moment),
            csrf: form_token(visit, Some(session), FormKind::EndGrant, &id).expose().to_owned(),
            id,
        });
    }
    Ok(lines)
}
