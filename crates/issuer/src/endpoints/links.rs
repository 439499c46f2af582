//! `/links`, the accounts that people link for servers, and `/links/{server}`, the way to a vendor and back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, frame};
use serde_json::json;

use crate::Issuer;
use crate::links::failure;
use crate::links::flow::{self, Done, linkable};
use crate::links::page;

/// `GET /links`.
pub(crate) async fn list(State(issuer): State<Arc<Issuer>>, visit: Visit) -> Response {
    match page::all(&issuer, &visit).await {
        Ok(page) => frame::page(&visit, &issuer.site, StatusCode::OK, &page, ""),
        Err(error) => failure::page(&issuer, &visit, "", &error).await,
    }
}

/// `GET /links/{server}`.
pub(crate) async fn show(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let parameters = Parameters::read(query.as_deref().unwrap_or_default()).unwrap_or_default();
    shown(&issuer, &visit, &name, (parameters.one("confirm"), None)).await
}

async fn shown(
    issuer: &Issuer,
    visit: &Visit,
    name: &str,
    (confirm, problem): (Option<&str>, Option<Sentence>),
) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = async {
        let linkable = linkable(issuer, name)?;
        page::one(issuer, visit, &linkable, confirm, problem).await
    };
    match page.await {
        Ok(page) => frame::page(visit, &issuer.site, status, &page, ""),
        Err(error) => failure::page(issuer, visit, name, &error).await,
    }
}

/// `POST /links/{server}`: a pasted key, the yes to an account, or the end of a link.
pub(crate) async fn change(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Response {
    let done = async {
        let linkable = linkable(&issuer, &name)?;
        flow::change(&issuer, &visit, &linkable, &form).await
    };
    match done.await {
        Ok(Done::Changed) => frame::go(&issuer.site, &visit, &format!("/links/{name}")),
        Ok(Done::Found(path)) => frame::go(&issuer.site, &visit, &path),
        Ok(Done::NotAccepted) => shown(&issuer, &visit, &name, (None, Some(Sentence::KeyNotAccepted))).await,
        Err(error) => failure::page(&issuer, &visit, &name, &error).await,
    }
}

/// `GET /links/{server}/go`: to the vendor.
pub(crate) async fn depart(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    // Only our own page leads here: a page of another site does not begin a link for a person.
    if headers.get_all("sec-fetch-site").iter().any(|site| site.as_bytes() != b"same-origin") {
        return frame::go(&issuer.site, &visit, &format!("/links/{name}"));
    }
    let url = async {
        let linkable = linkable(&issuer, &name)?;
        flow::depart(&issuer, &visit, &linkable).await
    };
    match url.await {
        Ok(url) => frame::see_other(&url),
        Err(error) => failure::page(&issuer, &visit, &name, &error).await,
    }
}

/// `GET /links/{server}/callback`: back from the vendor.
pub(crate) async fn arrive(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let path = async {
        let linkable = linkable(&issuer, &name)?;
        flow::arrive(&issuer, &visit, &linkable, query.as_deref().unwrap_or_default()).await
    };
    match path.await {
        Ok(path) => frame::see_other(&path),
        Err(error) => failure::page(&issuer, &visit, &name, &error).await,
    }
}

/// `GET /links/client.json`: who the checkpoint is at vendors (draft-ietf-oauth-client-id-metadata-document).
pub(crate) async fn document(State(issuer): State<Arc<Issuer>>, visit: Visit) -> Response {
    let Some(client) = flow::document(&issuer) else {
        return failure::page(&issuer, &visit, "", &page::absent()).await;
    };
    let servers = Arc::clone(&issuer.site.servers.borrow());
    let linked = servers.iter().filter(|card| card.account.is_some());
    let redirects: Vec<String> =
        linked.map(|card| issuer.site.settings.url(&format!("/links/{}/callback", card.name))).collect();
    Json(json!({
        "client_id": client,
        "client_name": "Sekisho",
        "client_uri": issuer.site.settings.url("/"),
        "redirect_uris": redirects,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }))
    .into_response()
}
