//! `/`: what this is; for who is signed in, what is protected here and which applications were let in.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::audit::{Authorization, AuthorizationAct};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;
use sekisho_store::{Grant, GrantFilter, StoreError, Tx};

use crate::clients::{display_name, plain_text};
use crate::error::{self, Fault};
use crate::pages::{self, Chrome, GrantLine, HomePage, ServerLine};
use crate::parameters::Form;
use crate::session::{self, FormKind, Session, form_token, is_ours};
use crate::visit::Visit;
use crate::{Issuer, records};

/// How many grants the page lists, the newest first.
const GRANTS_MAX: usize = 100;

/// Why a page about oneself cannot be shown, or a grant not ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    #[error("the form did not come from this browser's page")]
    Forgery,
    #[error("there is no such grant of this user")]
    NotYours,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for HomeError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// `GET /`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit) -> Response {
    match home_page(&issuer, &visit).await {
        Ok(page) => pages::page(&visit, &issuer, StatusCode::OK, &page, ""),
        Err(error) => error::home(&issuer, &visit, &error),
    }
}

async fn home_page(issuer: &Issuer, visit: &Visit) -> Result<HomePage, HomeError> {
    let chrome = Chrome::new(issuer, visit);
    let mut tx = issuer.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else {
        return Ok(HomePage { chrome, servers: Vec::new(), grants: Vec::new() });
    };
    let grants = grant_lines(&mut tx, visit, &session).await?;
    let servers = Arc::clone(&issuer.servers.borrow());
    let line = |card: &sekisho_protocol::server::ServerCard| ServerLine {
        title: plain_text(&card.title, 80),
        url: card.resource.as_str().to_owned(),
    };
    Ok(HomePage { chrome: chrome.with(visit, &session, None), servers: servers.iter().map(line).collect(), grants })
}

/// The living grants of whoever is signed in (ATK-14: they can be listed and ended).
async fn grant_lines(tx: &mut Tx, visit: &Visit, session: &Session) -> Result<Vec<GrantLine>, StoreError> {
    let filter = GrantFilter { subject: Some(Subject::User(session.user.id)), ..GrantFilter::default() };
    let mut grants = tx.grants().list(&filter).await?;
    grants.retain(|grant| is_alive(grant, visit.now));
    grants.reverse();
    grants.truncate(GRANTS_MAX);
    let mut names = BTreeMap::new();
    for grant in &grants {
        if !names.contains_key(&grant.client) {
            let stored = tx.clients().find(&grant.client).await?;
            let name =
                stored.map_or_else(|| plain_text(grant.client.as_str(), 80), |stored| display_name(&stored.client));
            names.insert(grant.client.clone(), name);
        }
    }
    let line = |grant: Grant| {
        let id = grant.id.to_string();
        GrantLine {
            client: names.get(&grant.client).cloned().unwrap_or_default(),
            server: grant.server.to_string(),
            scopes: grant.scopes.to_string(),
            since: grant.created_at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            csrf: form_token(visit, Some(session), FormKind::EndGrant, &id).expose().to_owned(),
            id,
        }
    };
    Ok(grants.into_iter().map(line).collect())
}

fn is_alive(grant: &Grant, now: Timestamp) -> bool {
    grant.revoked_at.is_none() && grant.expires_at.is_none_or(|end| end > now)
}

/// `POST /grants/{id}/end`: whoever gave a grant takes it back.
pub(crate) async fn end_grant(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match end(&issuer, &visit, &id, &form).await {
        Ok(()) => pages::go(&issuer, "/"),
        Err(error) => error::home(&issuer, &visit, &error),
    }
}

async fn end(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<(), HomeError> {
    let form = form.parameters.as_ref().map_err(|_| HomeError::Forgery)?;
    let grant: GrantId = id.parse().map_err(|_| HomeError::NotYours)?;
    let mut tx = issuer.store.begin().await?;
    let session = session::current(&mut tx, visit).await?.ok_or(HomeError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::EndGrant, id, form.one("csrf")) || form.repeated(&[]).is_some() {
        return Err(HomeError::Forgery);
    }
    let subject = Subject::User(session.user.id);
    let found = tx.grants().find(grant).await?.filter(|grant| grant.subject == subject).ok_or(HomeError::NotYours)?;
    if tx.grants().revoke(grant, "ended by its user", visit.now).await? {
        let entry = records::entry(AuthorizationAct::GrantRevoked);
        let entry =
            Authorization { client: Some(found.client), server: Some(found.server), grant: Some(grant), ..entry };
        records::append(issuer, &mut tx, visit, Authorization { subject: Some(subject), ..entry }).await?;
    }
    tx.commit().await?;
    Ok(())
}
