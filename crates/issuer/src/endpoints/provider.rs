//! `/login/{provider}`, the way to an identity provider and back, and `/login/{provider}/backchannel`, which the provider
//! calls itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::place::Place;
use sekisho_web::visit::Browser;
use sekisho_web::{Visit, frame};
use serde_json::json;

use crate::authorize::Prompt;
use crate::login::upstream::{self, Finished, KnownProvider, UpstreamError, Wish, backchannel, failure};
use crate::login::ways::adding;
use crate::{Issuer, consent, error, records};

/// `GET /login/{provider}`.
pub(crate) async fn depart(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let known = match issuer.upstream.find(&name) {
        Ok(known) => known,
        Err(error) => return failure::page(&issuer.site, &visit, &name, &error),
    };
    let parameters = Parameters::read(query.as_deref().unwrap_or_default()).unwrap_or_default();
    let place = parameters.one("request").and_then(|id| id.parse::<Place>().ok());
    // Only our own sign-in page leads here: a page of another site does not choose for a person where they sign in.
    if is_led_here(&headers) || matches!(visit.browser, Browser::New(_)) {
        return frame::go(&issuer.site, &visit, &place.map_or_else(|| "/login".to_owned(), Place::login));
    }
    let mut wish = Wish { place, pending: None, fresh_since: None, hint: None, adds_to: None };
    wish.hint =
        parameters.one("login_hint").filter(|hint| hint.chars().count() <= upstream::HINT_CHARS_MAX).map(str::to_owned);
    if let Some(Place::Consent(id)) = place {
        match consent::find(&issuer, &visit, &id.to_string()).await {
            Ok(request) => {
                let is_login = Prompt::kept(&request.pending.prompt_flags).login;
                wish.pending = Some(id);
                wish.fresh_since = is_login.then_some(request.pending.created_at);
            }
            Err(error) => return error::consent(&issuer, &visit, &error),
        }
    }
    match upstream::send(&issuer, &visit, known, wish).await {
        Ok(url) => frame::see_other(&url),
        Err(error) => refuse(&issuer, &visit, known, &error).await,
    }
}

/// Whether a browser says that a page of another site led it here (Fetch Metadata).
pub(super) fn is_led_here(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| !matches!(site.as_bytes(), b"none" | b"same-origin"))
}

/// `GET /login/{provider}/callback`.
pub(crate) async fn arrive(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let known = match issuer.upstream.find(&name) {
        Ok(known) => known,
        Err(error) => return failure::page(&issuer.site, &visit, &name, &error),
    };
    match upstream::finish(&issuer, &visit, known, query.as_deref().unwrap_or_default()).await {
        Ok(Finished::SignedIn(signed_in, place)) => {
            let path = place.map_or_else(|| "/".to_owned(), Place::path);
            frame::signed_in_from_elsewhere(&issuer.site, &visit, &signed_in, &path)
        }
        Ok(Finished::Adds(user, person)) => match adding::keep(&issuer, &visit, known, user, &person).await {
            Ok(token) => frame::go(&issuer.site, &visit, &format!("/ways?add={}", token.expose())),
            Err(error) => refuse(&issuer, &visit, known, &error).await,
        },
        Err(error) => refuse(&issuer, &visit, known, &error).await,
    }
}

/// The page of a failed sign-in, and its record.
async fn refuse(issuer: &Issuer, visit: &Visit, known: &KnownProvider, error: &UpstreamError) -> Response {
    let detail = format!("at `{}`: {}", known.parts.name, error.sentence());
    records::refused(issuer, visit, Act { detail, ..Act::new(Actor::Anonymous, ActKind::LoginFailed) }).await;
    failure::page(&issuer.site, visit, &known.parts.label, error)
}

/// `POST /login/{provider}/backchannel`.
pub(crate) async fn log_out(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Response {
    let Ok(known) = issuer.upstream.find(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = match backchannel::end(&issuer, &visit, known, &form).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let status = error.status(&visit);
            let said = if status.is_server_error() { String::new() } else { error.to_string() };
            let detail = format!("a logout at `{name}`: {error}");
            let act = Act { detail, ..Act::new(Actor::Anonymous, ActKind::LoginFailed) };
            records::refused(&issuer, &visit, act).await;
            (status, Json(json!({ "error": "invalid_request", "error_description": said }))).into_response()
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
