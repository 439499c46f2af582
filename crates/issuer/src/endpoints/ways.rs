//! `/ways`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use sekisho_web::error::PageError;
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, Session};
use sekisho_web::{Visit, door, error, frame};

use super::provider::is_led_here;
use crate::Issuer;
use crate::login::upstream::{UpstreamError, failure};
use crate::login::ways::adding::{self, Answered, DepartError};
use crate::login::ways::removing::{self, Removed};
use crate::login::{self, ways};
use crate::pages::WaysPage;

/// `GET /ways`; with `add`, an account that waits for a yes.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    match found(&issuer, &visit, query.as_deref().unwrap_or_default()).await {
        Ok(Some(page)) => frame::page(&visit, &issuer.site, StatusCode::OK, &page, ""),
        Ok(None) => sign_in(&issuer, &visit).await,
        Err(error) => error::page(&issuer.site, &visit, &error),
    }
}

async fn found(issuer: &Issuer, visit: &Visit, query: &str) -> Result<Option<WaysPage>, PageError> {
    let parameters = Parameters::read(query).map_err(|_| PageError::Malformed)?;
    if parameters.repeated(&[]).is_some() {
        return Err(PageError::Malformed);
    }
    let mut tx = issuer.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else { return Ok(None) };
    let mut page = ways::page(issuer, &mut tx, visit, &session, None).await?;
    if let Some(token) = parameters.one("add") {
        match adding::confirm_box(issuer, &mut tx, visit, &session, token).await? {
            Ok(confirm) => page.confirm = Some(confirm),
            Err(notice) => page.notice = Some(notice),
        }
    }
    Ok(Some(page))
}

/// The way to sign in. The browser may be signed in behind a door, so the page of the sign-in looks for one.
async fn sign_in(issuer: &Issuer, visit: &Visit) -> Response {
    if issuer.site.settings.is_https() {
        return frame::go(&issuer.site, visit, "/login");
    }
    let (mut page, target) = login::login_page(issuer, visit, None, "", None).await;
    page.chrome.entry = door::entry(&issuer.site, visit, &visit.target);
    frame::entry_page(visit, &issuer.site, &page, &target)
}

/// `GET /ways/{provider}/add`: only our own page leads there.
pub(crate) async fn depart(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let known = match issuer.upstream.find(&name) {
        Ok(known) => known,
        Err(error) => return failure::page(&issuer.site, &visit, &name, &error),
    };
    if is_led_here(&headers) {
        return frame::go(&issuer.site, &visit, "/ways");
    }
    match adding::depart(&issuer, &visit, known).await {
        Ok(url) => frame::see_other(&url),
        Err(DepartError::SignIn) => sign_in(&issuer, &visit).await,
        Err(DepartError::Stale(session)) => {
            noticed(&issuer, &visit, &session, (StatusCode::FORBIDDEN, Sentence::WayStale, "")).await
        }
        Err(DepartError::Upstream(error)) => failed(&issuer, &visit, &known.parts.label, &error),
    }
}

fn failed(issuer: &Issuer, visit: &Visit, label: &str, error: &UpstreamError) -> Response {
    failure::page(&issuer.site, visit, label, error)
}

/// The page with something to say above the list.
async fn noticed(
    issuer: &Issuer,
    visit: &Visit,
    session: &Session,
    (status, what, label): (StatusCode, Sentence, &str),
) -> Response {
    let page = async {
        let mut tx = issuer.site.store.read().await?;
        ways::page(issuer, &mut tx, visit, session, Some(ways::Notice { what, label })).await
    };
    match page.await {
        Ok(page) => frame::page(visit, &issuer.site, status, &page, ""),
        Err(error) => error::page(&issuer.site, visit, &error),
    }
}

/// `POST /ways/add`: the answer of the person.
pub(crate) async fn add(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match adding::answer(&issuer, &visit, &form).await {
        Ok(Answered::Done) => frame::go(&issuer.site, &visit, "/ways"),
        Ok(Answered::Not(session, what, label)) => {
            noticed(&issuer, &visit, &session, (StatusCode::CONFLICT, what, &label)).await
        }
        Err(error) => error::page(&issuer.site, &visit, &error),
    }
}

/// `POST /ways/remove`.
pub(crate) async fn remove(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match removing::remove(&issuer, &visit, &form).await {
        Ok(Removed::Done) => frame::signed_out(&issuer.site, &visit, "/login"),
        Ok(Removed::LastWay(session)) => {
            noticed(&issuer, &visit, &session, (StatusCode::CONFLICT, Sentence::WayLast, "")).await
        }
        Err(error) => error::page(&issuer.site, &visit, &error),
    }
}
