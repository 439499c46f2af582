//! What a provisioning client finds out before it begins (RFC 7644 §4), and addresses at which there is nothing.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_scim::discovery as documents;
use sekisho_scim::error::ScimError;
use sekisho_scim::list::Page;
use sekisho_scim::schema;
use serde_json::{Map, Value};

use super::answer::{CallError, document, refused};
use super::entry::{Call, Known};
use super::provisioning::Provisioning;

/// `GET /ServiceProviderConfig`.
pub(super) async fn service_provider_config(State(state): State<Arc<Provisioning>>, _: Call) -> Response {
    document(StatusCode::OK, &documents::service_provider_config(&state.base_url()))
}

/// `GET /ResourceTypes`.
pub(super) async fn resource_types(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    all(&call, documents::resource_types(&state.base_url()))
}

/// `GET /ResourceTypes/{id}`.
pub(super) async fn resource_type(
    State(state): State<Arc<Provisioning>>,
    Path(id): Path<String>,
    call: Call,
) -> Response {
    one(&call, documents::resource_types(&state.base_url()), &id)
}

/// `GET /Schemas`.
pub(super) async fn schemas(State(state): State<Arc<Provisioning>>, call: Call) -> Response {
    all(&call, schema::documents(&state.base_url()))
}

/// `GET /Schemas/{id}`.
pub(super) async fn schema(State(state): State<Arc<Provisioning>>, Path(id): Path<String>, call: Call) -> Response {
    one(&call, schema::documents(&state.base_url()), &id)
}

/// `/Bulk` and `/Me`, of which `ServiceProviderConfig` says that they are not there, and a search of users and groups at once.
pub(super) async fn not_supported(client: Known) -> Response {
    refused(&client.visit, &CallError::NotSupported("this is not supported: see ServiceProviderConfig"))
}

/// Every other address.
pub(super) async fn not_there(client: Known) -> Response {
    refused(&client.visit, &ScimError::NotFound.into())
}

/// Another method than an address has.
pub(super) async fn method_not_allowed(client: Known) -> Response {
    refused(&client.visit, &CallError::Method)
}

/// RFC 7644 §4: these lists cannot be filtered, so that nobody takes what is left out for what is not supported.
fn all(call: &Call, found: Vec<Value>) -> Response {
    if call.parameters.one("filter").is_some() {
        return refused(&call.visit, &ScimError::InvalidFilter("this list has none").into());
    }
    let found: Vec<Map<String, Value>> = found.into_iter().filter_map(|one| one.as_object().cloned()).collect();
    let page = Page { start: 1, count: found.len() };
    document(StatusCode::OK, &page.response(found.len(), found))
}

fn one(call: &Call, found: Vec<Value>, id: &str) -> Response {
    match found.iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id)) {
        Some(found) => document(StatusCode::OK, found),
        None => refused(&call.visit, &ScimError::NotFound.into()),
    }
}
