//! `/login`: the way in. The method is [`password`]; the session that comes of it is opened by `open`.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::secret::Password;
use sekisho_protocol::text::plain_text;
use sekisho_store::{SignInMethod, User};
use sekisho_web::Visit;
use sekisho_web::frame::{Chrome, SignedIn};
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, form_token, is_ours};
use sekisho_web::shown::display_name;

use crate::pages::{LoginPage, ProviderButton};
use crate::{Issuer, consent, records};

pub(crate) mod change;
mod failure;
mod known;
mod lanes;
mod open;
pub mod password;
pub mod password_rules;
pub(crate) mod sign_out;
pub mod upstream;
pub(crate) mod ways;

pub(crate) use failure::LoginError;
pub(crate) use open::open;

use lanes::Lanes;

/// The longest user name that is looked up, in characters.
const USERNAME_CHARS_MAX: usize = 128;

/// What a person typed, and for which page.
pub(crate) struct Input {
    pub(crate) username: String,
    pub(crate) password: Password,
    pub(crate) place: Option<Place>,
}

pub(crate) fn read(visit: &Visit, form: &Form) -> Result<Input, LoginError> {
    let form = form.parameters.as_ref().map_err(|_| LoginError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(LoginError::Malformed);
    }
    let place = form.one("request").map(str::parse::<Place>).transpose().map_err(|_| LoginError::Malformed)?;
    // ATK-10: a page of another origin cannot log a browser in, neither as its user nor as another one.
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
pub(crate) fn destination(place: Option<Place>) -> String {
    place.map_or_else(|| "/".to_owned(), Place::path)
}

/// One button for each identity provider.
fn buttons(issuer: &Issuer, visit: &Visit, place: Option<Place>) -> Vec<ProviderButton> {
    let query = place.map(|place| format!("?request={place}")).unwrap_or_default();
    let button = |(name, label): (&str, &str)| ProviderButton {
        path: visit.path(&issuer.site, &format!("/login/{name}{query}")),
        label: plain_text(label, USERNAME_CHARS_MAX),
    };
    issuer.upstream.labels().map(button).collect()
}

/// The page, and where its form may lead in the end: remembered consent answers the client without another page.
pub(crate) async fn login_page(
    issuer: &Issuer,
    visit: &Visit,
    place: Option<Place>,
    username: &str,
    problem: Option<Sentence>,
) -> (LoginPage, String) {
    // A request that cannot be shown is found out after the login; until then the page just does not name it.
    let known = match place {
        Some(Place::Consent(id)) => consent::find(issuer, visit, &id.to_string()).await.ok(),
        Some(
            Place::Access(_) | Place::Approval(_) | Place::Grant(_) | Place::Links | Place::Refused(_) | Place::Task(_),
        )
        | None => None,
    };
    let target = known.as_ref().and_then(|known| known.redirect.form_target()).unwrap_or_default();
    let page = LoginPage {
        chrome: Chrome::new(&issuer.site, visit),
        csrf: form_token(visit, None, FormKind::Login, &about(place)).expose().to_owned(),
        request: place.map(|place| place.to_string()),
        returns: !matches!(place, None | Some(Place::Consent(_))),
        client_name: known.map(|known| display_name(&known.client)),
        username: plain_text(username, USERNAME_CHARS_MAX),
        passwords: issuer.upstream.passwords,
        providers: buttons(issuer, visit, place),
        problem,
    };
    (page, target)
}

/// Checks the password and signs the browser in. Unknown, disabled and passwordless users cost the same time and get
/// the same words as a wrong password (ATK-96).
pub(crate) async fn log_in(issuer: &Issuer, visit: &Visit, input: &Input) -> Result<SignedIn, LoginError> {
    let (user, lanes) = {
        let mut tx = issuer.site.store.read().await?;
        let user = tx.users().find_by_name(&input.username).await?.filter(|user| !user.disabled);
        let browser = match &user {
            Some(user) => known::browser(issuer, &mut tx, visit, user.id).await?,
            None => None,
        };
        let lanes = Lanes::of(visit, &input.username, browser);
        // Looked at first, so that a flood does not write. What counts is the taking below.
        lanes.look(issuer, &mut tx, visit).await?;
        (user, lanes)
    };
    lanes.take(issuer, visit).await?;
    let kept = user.as_ref().and_then(|user| user.password.clone());
    let good = issuer.passwords.verify(input.password.clone(), kept, lanes.is_known()).await?;
    match user {
        Some(user) if good => succeed(issuer, visit, &user, &lanes).await,
        user => fail(issuer, visit, user.as_ref()).await,
    }
}

async fn succeed(issuer: &Issuer, visit: &Visit, user: &User, lanes: &Lanes) -> Result<SignedIn, LoginError> {
    let mut tx = issuer.site.store.begin().await?;
    lanes.forgive(&mut tx).await?;
    let signed_in = open(issuer, &mut tx, visit, user.id, SignInMethod::Password).await?;
    let entry = Act::new(Actor::User(user.id), ActKind::LoginSucceeded);
    records::append(issuer, &mut tx, visit, Act { subject: Some(Subject::User(user.id)), ..entry }).await?;
    tx.commit().await?;
    Ok(signed_in)
}

async fn fail(issuer: &Issuer, visit: &Visit, user: Option<&User>) -> Result<SignedIn, LoginError> {
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    let subject = user.map(|user| Subject::User(user.id));
    let entry = Act { subject, ..Act::new(Actor::Anonymous, ActKind::LoginFailed) };
    records::append_of_stranger(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    Err(LoginError::Wrong)
}
