//! `/Users` (RFC 7644 §3).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_acts::scim::user::{self, ProvisionedUser};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::ids::UserId;
use sekisho_scim::error::ScimError;
use sekisho_scim::list::{is_known, may_change};
use sekisho_scim::patch::Patch;
use sekisho_scim::resource;
use sekisho_scim::schema::Kind;
use sekisho_store::{ScimGroupRow, ScimUserRow, Tx};
use serde_json::{Map, Value};

use super::answer::{self, CallError, document};
use super::entry::{Call, note_refusal};
use super::list::{Exact, Found, Query, ROWS_AT_ONCE, projection};
use super::provisioning::Provisioning;
use super::shown;

const KIND: Kind = Kind::User;

/// `GET /Users`.
pub(super) async fn list(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    let asked = Query::read(&call.parameters);
    answered(&state, &call, asked).await
}

/// `POST /Users/.search`: the same with what is asked for in the body, where no log of addresses shows it.
pub(super) async fn search(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    let asked = call.body().map_err(CallError::from).and_then(Query::search);
    answered(&state, &call, asked).await
}

async fn answered(state: &Provisioning, call: &Call, asked: Result<Query, CallError>) -> Response {
    let done = match asked {
        Ok(query) => listed(state, call, &query).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(body) => document(StatusCode::OK, &body),
        Err(error) => answer::refused(&call.visit, &error),
    }
}

/// `POST /Users`.
pub(super) async fn create(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    let done = created(&state, &call).await;
    told(&state, &call, StatusCode::CREATED, done).await
}

/// `GET /Users/{id}`.
pub(super) async fn show(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    match found(&state, &call, &id).await {
        Ok(found) if is_known(call.if_none_match().as_deref(), found.row.version) => {
            answer::unchanged(&shown::place_of_user(&state.base_url(), &found))
        }
        found => told(&state, &call, StatusCode::OK, found).await,
    }
}

/// `PUT /Users/{id}`.
pub(super) async fn replace(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    let done = changed(&state, &call, &id, |_, body| resource::read(KIND, body)).await;
    told(&state, &call, StatusCode::OK, done).await
}

/// `PATCH /Users/{id}`.
pub(super) async fn patch(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    let done = changed(&state, &call, &id, |said, body| Patch::read(body)?.apply(KIND, said)).await;
    told(&state, &call, StatusCode::OK, done).await
}

/// `DELETE /Users/{id}`.
pub(super) async fn remove(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    match removed(&state, &call, &id).await {
        Ok(()) => answer::removed(),
        Err(error) => refused(&state, &call, error).await,
    }
}

/// A refusal. One that keeps somebody in who should have left is on record.
async fn refused(state: &Provisioning, call: &Call, error: CallError) -> Response {
    if matches!(error, CallError::Refused(ScimError::Mutability(_))) {
        note_refusal(state, &call.visit, Actor::Provisioner, &error).await;
    }
    answer::refused(&call.visit, &error)
}

/// A user as an answer, with those attributes that are asked for.
async fn told(
    state: &Provisioning,
    call: &Call,
    status: StatusCode,
    done: Result<ProvisionedUser, CallError>,
) -> Response {
    let shown = async {
        let user = done?;
        let projection = projection(&call.parameters)?;
        let groups = match projection.wants(KIND, "groups") {
            true => groups(&mut state.site.store.read().await?, call, user.user.id).await?,
            false => Vec::new(),
        };
        let shown = projection.apply(KIND, &shown::user(&state.base_url(), &user, &groups));
        Ok(answer::resource(status, shown, &shown::place_of_user(&state.base_url(), &user)))
    };
    match shown.await {
        Ok(response) => response,
        Err(error) => refused(state, call, error).await,
    }
}

async fn groups(tx: &mut Tx, call: &Call, user: UserId) -> Result<Vec<ScimGroupRow>, CallError> {
    Ok(tx.scim_groups().of_user(&call.client.provider, user).await?)
}

async fn find(tx: &mut Tx, call: &Call, id: &str) -> Result<ProvisionedUser, CallError> {
    let id: UserId = id.parse().map_err(|_| ScimError::NotFound)?;
    Ok(user::find(tx, &call.client, id).await?.ok_or(ScimError::NotFound)?)
}

async fn found(state: &Provisioning, call: &Call, id: &str) -> Result<ProvisionedUser, CallError> {
    find(&mut state.site.store.read().await?, call, id).await
}

async fn created(state: &Provisioning, call: &Call) -> Result<ProvisionedUser, CallError> {
    let wanted = resource::read(KIND, call.body()?)?;
    let mut tx = call.begin(state).await?;
    let id = user::create(&mut tx, &call.performer(state), &call.client, wanted).await?;
    let user = find(&mut tx, call, &id.to_string()).await?;
    tx.commit().await?;
    Ok(user)
}

/// Makes something else of a user, in one transaction.
async fn changed(
    state: &Provisioning,
    call: &Call,
    id: &str,
    change: impl FnOnce(&Map<String, Value>, &Value) -> Result<Map<String, Value>, ScimError>,
) -> Result<ProvisionedUser, CallError> {
    let body = call.body()?;
    let mut tx = call.begin(state).await?;
    let before = find(&mut tx, call, id).await?;
    may_change(call.if_match().as_deref(), before.row.version)?;
    let after = change(&before.said, body)?;
    user::change(&mut tx, &call.performer(state), &call.client, &before, after).await?;
    let user = find(&mut tx, call, id).await?;
    tx.commit().await?;
    Ok(user)
}

async fn removed(state: &Provisioning, call: &Call, id: &str) -> Result<(), CallError> {
    let mut tx = call.begin(state).await?;
    let before = find(&mut tx, call, id).await?;
    may_change(call.if_match().as_deref(), before.row.version)?;
    user::remove(&mut tx, &call.performer(state), &call.client, &before).await?;
    Ok(tx.commit().await?)
}

async fn listed(state: &Provisioning, call: &Call, query: &Query) -> Result<Value, CallError> {
    let provider = call.client.provider.as_str();
    let mut tx = state.site.store.read().await?;
    if query.filter.is_none() {
        return all(state, call, &mut tx, query).await;
    }
    let mut found = Found::new(query.page);
    if let Some(exact) = query.exact() {
        let row = match exact {
            Exact::ExternalId(id) => tx.scim_users().find_external(provider, &id).await?,
            Exact::Id(id) => match id.parse() {
                Ok(id) => tx.scim_users().find(provider, id).await?,
                Err(_) => None,
            },
            Exact::UserName(folded) => tx.scim_users().find_name(provider, &folded).await?,
        };
        if let Some(row) = row {
            let shown = shown_row(state, call, &mut tx, query, row).await?;
            found.look(KIND, query, &shown)?;
        }
        return Ok(found.response());
    }
    let mut after = None;
    loop {
        let rows = tx.scim_users().list(provider, after, ROWS_AT_ONCE).await?;
        let Some(last) = rows.last() else { return Ok(found.response()) };
        after = Some(last.user);
        for row in rows {
            let shown = shown_row(state, call, &mut tx, query, row).await?;
            found.look(KIND, query, &shown)?;
        }
    }
}

/// A page of all users: no other page is read.
async fn all(state: &Provisioning, call: &Call, tx: &mut Tx, query: &Query) -> Result<Value, CallError> {
    let provider = call.client.provider.as_str();
    let total = usize::try_from(tx.scim_users().count(provider).await?).unwrap_or(usize::MAX);
    let bounded = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (skip, limit) = (bounded(query.page.start - 1), bounded(query.page.count));
    let mut resources = Vec::new();
    for row in tx.scim_users().page(provider, skip, limit).await? {
        let shown = shown_row(state, call, tx, query, row).await?;
        resources.push(query.projection.apply(KIND, &shown));
    }
    Ok(query.page.response(total, resources))
}

/// A row as a document, with its groups where somebody asks for them.
async fn shown_row(
    state: &Provisioning,
    call: &Call,
    tx: &mut Tx,
    query: &Query,
    row: ScimUserRow,
) -> Result<Map<String, Value>, CallError> {
    let user = user::read(tx, row).await?;
    let wanted = query.asks_for("groups") || query.projection.wants(KIND, "groups");
    let groups = if wanted { groups(tx, call, user.user.id).await? } else { Vec::new() };
    Ok(shown::user(&state.base_url(), &user, &groups))
}
