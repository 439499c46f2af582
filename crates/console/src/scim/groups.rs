//! `/Groups` (RFC 7644 §3).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_acts::scim::group::{self, ProvisionedGroup};
use sekisho_protocol::ids::ScimGroupId;
use sekisho_scim::error::ScimError;
use sekisho_scim::list::{is_known, may_change};
use sekisho_scim::patch::Patch;
use sekisho_scim::resource;
use sekisho_scim::schema::Kind;
use sekisho_store::Tx;
use serde_json::{Map, Value};

use super::answer::{self, CallError, document};
use super::entry::Call;
use super::list::{Found, Query, ROWS_AT_ONCE, projection};
use super::provisioning::Provisioning;
use super::shown;

const KIND: Kind = Kind::Group;

/// `GET /Groups`.
pub(super) async fn list(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    let asked = Query::read(&call.parameters);
    answered(&state, &call, asked).await
}

/// `POST /Groups/.search`: the same with what is asked for in the body, where no log of addresses shows it.
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

/// `POST /Groups`.
pub(super) async fn create(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    let done = created(&state, &call).await;
    told(&state, &call, StatusCode::CREATED, done)
}

/// `GET /Groups/{id}`.
pub(super) async fn show(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    match found(&state, &call, &id).await {
        Ok(found) if is_known(call.if_none_match().as_deref(), found.row.version) => {
            answer::unchanged(&shown::place_of_group(&state.base_url(), &found.row))
        }
        found => told(&state, &call, StatusCode::OK, found),
    }
}

/// `PUT /Groups/{id}`.
pub(super) async fn replace(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    let done = changed(&state, &call, &id, |_, body| resource::read(KIND, body)).await;
    told(&state, &call, StatusCode::OK, done)
}

/// `PATCH /Groups/{id}`. The answer has no body, because a group may have 10,000 members and a change concerns a few (§3.5.2).
pub(super) async fn patch(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    let done = changed(&state, &call, &id, |said, body| Patch::read(body)?.apply(KIND, said)).await;
    match done {
        Ok(group) if call.parameters.one("attributes").is_none() => {
            answer::changed(&shown::place_of_group(&state.base_url(), &group.row))
        }
        done => told(&state, &call, StatusCode::OK, done),
    }
}

/// `DELETE /Groups/{id}`.
pub(super) async fn remove(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    match removed(&state, &call, &id).await {
        Ok(()) => answer::removed(),
        Err(error) => answer::refused(&call.visit, &error),
    }
}

/// A group as an answer, with those attributes that are asked for.
fn told(state: &Provisioning, call: &Call, status: StatusCode, done: Result<ProvisionedGroup, CallError>) -> Response {
    let base_url = state.base_url();
    let shown = done.and_then(|group| {
        let shown = projection(&call.parameters)?.apply(KIND, &shown::group(&base_url, &group));
        Ok(answer::resource(status, shown, &shown::place_of_group(&base_url, &group.row)))
    });
    shown.unwrap_or_else(|error| answer::refused(&call.visit, &error))
}

async fn find(tx: &mut Tx, call: &Call, id: &str) -> Result<ProvisionedGroup, CallError> {
    let id: ScimGroupId = id.parse().map_err(|_| ScimError::NotFound)?;
    Ok(group::find(tx, &call.client, id).await?.ok_or(ScimError::NotFound)?)
}

async fn found(state: &Provisioning, call: &Call, id: &str) -> Result<ProvisionedGroup, CallError> {
    find(&mut state.site.store.read().await?, call, id).await
}

async fn created(state: &Provisioning, call: &Call) -> Result<ProvisionedGroup, CallError> {
    let wanted = resource::read(KIND, call.body()?)?;
    let mut tx = call.begin(state).await?;
    let id = group::create(&mut tx, &call.performer(state), &call.client, &wanted).await?;
    let group = find(&mut tx, call, &id.to_string()).await?;
    tx.commit().await?;
    Ok(group)
}

/// Makes something else of a group, in one transaction.
async fn changed(
    state: &Provisioning,
    call: &Call,
    id: &str,
    change: impl FnOnce(&Map<String, Value>, &Value) -> Result<Map<String, Value>, ScimError>,
) -> Result<ProvisionedGroup, CallError> {
    let body = call.body()?;
    let mut tx = call.begin(state).await?;
    let before = find(&mut tx, call, id).await?;
    may_change(call.if_match().as_deref(), before.row.version)?;
    let after = change(&before.said(), body)?;
    group::change(&mut tx, &call.performer(state), &call.client, &before, &after).await?;
    let group = find(&mut tx, call, id).await?;
    tx.commit().await?;
    Ok(group)
}

async fn removed(state: &Provisioning, call: &Call, id: &str) -> Result<(), CallError> {
    let mut tx = call.begin(state).await?;
    let before = find(&mut tx, call, id).await?;
    may_change(call.if_match().as_deref(), before.row.version)?;
    group::remove(&mut tx, &call.performer(state), &call.client, &before).await?;
    Ok(tx.commit().await?)
}

async fn listed(state: &Provisioning, call: &Call, query: &Query) -> Result<Value, CallError> {
    let with_members = query.asks_for("members") || query.projection.wants(KIND, "members");
    let mut tx = state.site.store.read().await?;
    let (mut found, mut after) = (Found::new(query.page), None);
    loop {
        let rows = tx.scim_groups().list(&call.client.provider, after, ROWS_AT_ONCE).await?;
        let Some(last) = rows.last() else { return Ok(found.response()) };
        after = Some(last.id);
        for row in rows {
            let members = if with_members { tx.scim_groups().members(row.id).await? } else { BTreeSet::new() };
            found.look(KIND, query, &shown::group(&state.base_url(), &ProvisionedGroup { row, members }))?;
        }
    }
}
