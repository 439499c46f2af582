//! `/login`: a person proves who they are. An upstream identity provider would stand beside [`local`].

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::audit::{Authorization, AuthorizationAct};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::secret::{Password, SessionToken};
use sekisho_store::{StoreError, User};

use crate::clients::{display_name, plain_text};
use crate::error::{self, Fault};
use crate::pages::{self, Chrome, LoginPage};
use crate::parameters::{Form, Parameters};
use crate::place::Place;
use crate::session::{self, FormKind, form_token, is_ours};
use crate::text::Sentence;
use crate::visit::Visit;
use crate::{Issuer, consent, records};

pub mod local;

/// The longest user name that is looked up, in characters.
const USERNAME_CHARS_MAX: usize = 128;

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("too many log in at once")]
    Busy,
    #[error("the form did not come from this browser's page")]
    Forgery,
    #[error("the form cannot be read")]
    Malformed,
    #[error("too many failed attempts for this account or from this address")]
    Throttled,
    #[error("the user name or the password is wrong")]
    Wrong,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// What a person typed, and for which page.
struct Input {
    username: String,
    password: Password,
    place: Option<Place>,
}

/// `GET /login`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::read(query.as_deref().unwrap_or_default()).unwrap_or_default();
    let place = parameters.one("request").and_then(|id| id.parse().ok());
    let (page, target) = login_page(&issuer, &visit, place, "", None).await;
    pages::page(&visit, &issuer, StatusCode::OK, &page, &target)
}

/// `POST /login`.
pub(crate) async fn submit(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    let input = match read(&visit, &form) {
        Ok(input) => input,
        Err(error) => return error::login(&issuer, &visit, &error),
    };
    let (problem, status) = match log_in(&issuer, &visit, &input).await {
        Ok(token) => return pages::signed_in(&issuer, &token, &destination(input.place)),
        Err(LoginError::Wrong) => (Sentence::LoginFailed, StatusCode::UNAUTHORIZED),
        Err(LoginError::Throttled) => (Sentence::LoginThrottled, StatusCode::TOO_MANY_REQUESTS),
        Err(error) => return error::login(&issuer, &visit, &error),
    };
    let (page, target) = login_page(&issuer, &visit, input.place, &input.username, Some(problem)).await;
    pages::page(&visit, &issuer, status, &page, &target)
}

fn read(visit: &Visit, form: &Form) -> Result<Input, LoginError> {
    let form = form.parameters.as_ref().map_err(|_| LoginError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(LoginError::Malformed);
    }
    let place = form.one("request").map(str::parse::<Place>).transpose().map_err(|_| LoginError::Malformed)?;
    // ATK-10: nobody is logged in by somebody else's page, least of all as somebody else.
    if !is_ours(visit, None, FormKind::Login, &about(place), form.one("csrf")) {
        return Err(LoginError::Forgery);
    }
    Ok(Input {
        username: form.one("username").unwrap_or_default().chars().take(USERNAME_CHARS_MAX).collect(),
        password: Password::from_outside(form.one("password").unwrap_or_default()),
        place,
    })
}

fn about(place: Option<Place>) -> String {
    place.map(|place| place.to_string()).unwrap_or_default()
}

/// Only ever a page of ours: no URL is taken from outside.
fn destination(place: Option<Place>) -> String {
    place.map_or_else(|| "/".to_owned(), Place::path)
}

/// The page, and where its form may lead in the end: remembered consent answers the client without another page.
async fn login_page(
    issuer: &Issuer,
    visit: &Visit,
    place: Option<Place>,
    username: &str,
    problem: Option<Sentence>,
) -> (LoginPage, String) {
    // A request that cannot be shown is found out after the login; until then the page just does not name it.
    let known = match place {
        Some(Place::Consent(id)) => consent::find(issuer, visit, &id.to_string()).await.ok(),
        Some(Place::Access(_) | Place::Approval(_) | Place::Grant(_) | Place::Refused(_) | Place::Task(_)) | None => {
            None
        }
    };
    let target = known.as_ref().and_then(|known| known.redirect.form_target()).unwrap_or_default();
    let page = LoginPage {
        chrome: Chrome::new(issuer, visit),
        csrf: form_token(visit, None, FormKind::Login, &about(place)).expose().to_owned(),
        request: place.map(|place| place.to_string()),
        returns: !matches!(place, None | Some(Place::Consent(_))),
        client_name: known.map(|known| display_name(&known.client)),
        username: plain_text(username, USERNAME_CHARS_MAX),
        problem,
    };
    (page, target)
}

/// Checks the password and signs the browser in. Unknown, disabled and passwordless users cost the same time and get
/// the same words as a wrong password (ATK-96).
async fn log_in(issuer: &Issuer, visit: &Visit, input: &Input) -> Result<SessionToken, LoginError> {
    let keys = throttle_keys(visit, &input.username);
    let user = {
        let mut tx = issuer.store.read().await?;
        for key in &keys {
            if tx.throttle().blocked_until(key, visit.now).await?.is_some() {
                records::count(issuer, visit, AuthorizationAct::LoginFailed);
                return Err(LoginError::Throttled);
            }
        }
        tx.users().find_by_name(&input.username).await?
    };
    let user = user.filter(|user| !user.disabled);
    let kept = user.as_ref().and_then(|user| user.password.clone());
    let good = issuer.passwords.verify(input.password.clone(), kept).await?;
    match user {
        Some(user) if good => succeed(issuer, visit, &user, &keys).await,
        user => fail(issuer, visit, user.as_ref(), &keys).await,
    }
}

/// Failures are counted per account and per address: back-off, never a lock.
fn throttle_keys(visit: &Visit, username: &str) -> Vec<String> {
    let mut keys = vec![format!("login account {}", username.to_lowercase())];
    keys.extend(visit.peer.map(|peer| format!("login address {peer}")));
    keys
}

async fn succeed(issuer: &Issuer, visit: &Visit, user: &User, keys: &[String]) -> Result<SessionToken, LoginError> {
    let mut tx = issuer.store.begin().await?;
    // The account's failures are forgiven, the address's are not: it may be guessing at other accounts.
    for account in keys.iter().take(1) {
        tx.throttle().clear(account).await?;
    }
    let token = session::open(issuer, &mut tx, visit, user.id).await?;
    let entry = records::entry(AuthorizationAct::LoginSucceeded);
    records::append(issuer, &mut tx, visit, Authorization { subject: Some(Subject::User(user.id)), ..entry }).await?;
    tx.commit().await?;
    Ok(token)
}

async fn fail(
    issuer: &Issuer,
    visit: &Visit,
    user: Option<&User>,
    keys: &[String],
) -> Result<SessionToken, LoginError> {
    let mut tx = issuer.store.begin_for_stranger().await?;
    for key in keys {
        tx.throttle().fail(key, visit.now).await?;
    }
    let subject = user.map(|user| Subject::User(user.id));
    let entry = Authorization { subject, ..records::entry(AuthorizationAct::LoginFailed) };
    records::append_of_stranger(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    Err(LoginError::Wrong)
}
