//! Signing out: here at once, and at the provider as its table in the configuration says (OpenID Connect RP-Initiated
//! Logout 1.0).
//!
//! INVARIANT: the session here ends first, whatever the provider does. An ID token leaves for the provider that issued it, in
//! the browser of its person, and for nobody else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_acts::session::{Which, end};
use sekisho_acts::{ActError, Performer};
use sekisho_client::openid::logout::{LogoutWish, logout_url};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::openid::SignOutThere;
use sekisho_protocol::secret::SubjectToken;
use sekisho_store::{ProviderSession, SignInMethod, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::error::{Fault, PageError};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::place::Place;
use sekisho_web::session::{self, FormKind, Session};
use serde::{Deserialize, Serialize};

use super::upstream::KnownProvider;
use crate::{Issuer, records};

/// How long a person who signs out waits for a provider that has to be asked what it is.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a person may take to sign out at the provider, in seconds.
const STATE_SECONDS: i64 = 600;
/// The longest `state` that is opened, in bytes. Ours are about 400.
const STATE_BYTES_MAX: usize = 1024;
/// What the seal of `state` is about, so that nothing else that is sealed can stand for it.
const ABOUT: &str = "signing out";

/// A browser that is signed out here.
pub(crate) struct SignedOut<'i> {
    /// The page to come back to.
    pub(crate) place: Option<Place>,
    /// What is left to do at the provider.
    pub(crate) there: Option<There<'i>>,
}

/// A provider at which the person is signed in still.
pub(crate) struct There<'i> {
    pub(crate) known: &'i KnownProvider,
    /// The URL at which the browser signs out there. `None`: the provider has no such page, or did not say in time.
    pub(crate) url: Result<String, NoWay>,
}

/// Why nobody can be sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The provider's metadata name no `end_session_endpoint`.
    NotOffered,
    /// The provider could not be asked.
    Unreachable,
}

/// What is sealed into `state`.
#[derive(Serialize, Deserialize)]
struct State {
    /// The digest of the browser's own secret.
    browser: String,
    place: Option<String>,
    /// In milliseconds since 1970.
    at: i64,
}

/// Ends the session, and says what is left to do.
pub(crate) async fn sign_out<'i>(issuer: &'i Issuer, visit: &Visit, form: &Form) -> Result<SignedOut<'i>, PageError> {
    let parameters = form.parameters.as_ref().map_err(|_| PageError::Forgery)?;
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = session::current(&mut tx, visit).await?;
    if !session::is_ours(visit, session.as_ref(), FormKind::Logout, "", parameters.one("csrf"))
        || parameters.repeated(&[]).is_some()
    {
        return Err(PageError::Forgery);
    }
    let place = parameters.one("request").and_then(|id| id.parse().ok());
    let Some(session) = session else { return Ok(SignedOut { place, there: None }) };
    let came_from = tx.provider_sessions().find(&session.row.digest).await?;
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    ended(end_session(&mut tx, &by, &session).await)?;
    tx.commit().await?;
    let known = came_from.as_ref().and_then(|from| provider_of(issuer, &session, from));
    let there = match (known, came_from) {
        (Some(known), Some(from)) => Some(There { known, url: way(issuer, visit, known, &from, place).await }),
        _ => None,
    };
    Ok(SignedOut { place, there })
}

async fn end_session(tx: &mut Tx, by: &Performer<'_>, session: &Session) -> Result<u64, ActError> {
    end(tx, by, session.user.id, Which::One(&session.row.digest)).await
}

/// A session that ended meanwhile is what was wanted.
fn ended(outcome: Result<u64, ActError>) -> Result<(), PageError> {
    match outcome {
        Ok(_) | Err(ActError::Absent { .. }) => Ok(()),
        Err(ActError::Store(error)) => Err(error.into()),
        Err(other) => Err(Fault::internal(other).into()),
    }
}

/// The provider at which this session began, if it is still the same, and if signing out here says something there.
fn provider_of<'i>(issuer: &'i Issuer, session: &Session, from: &ProviderSession) -> Option<&'i KnownProvider> {
    let SignInMethod::Provider(name) = &session.row.method else { return None };
    let known = issuer.upstream.find(name).ok()?;
    let parts = &known.parts;
    let is_same = parts.registration.issuer == from.identity.issuer;
    (is_same && parts.sign_out_there != SignOutThere::Never).then_some(known)
}

/// Where the browser signs out there.
async fn way(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    from: &ProviderSession,
    place: Option<Place>,
) -> Result<String, NoWay> {
    let asked = tokio::time::timeout(PATIENCE, issuer.upstream.lately_described(known, visit.now)).await;
    let described = asked.map_err(|_| NoWay::Unreachable)?.map_err(|_| NoWay::Unreachable)?;
    let state = state(issuer, visit, known, place).map_err(|_| NoWay::Unreachable)?;
    let text = from.id_token.as_ref().and_then(|token| std::str::from_utf8(token.expose()).ok());
    let id_token = text.map(SubjectToken::from_outside);
    let wish = LogoutWish {
        client: &known.parts.registration.client,
        id_token: id_token.as_ref(),
        post_logout_redirect_uri: Some(&known.parts.signed_out_uri),
        state: Some(&state),
    };
    logout_url(&described, wish).ok_or(NoWay::NotOffered)
}

fn state(issuer: &Issuer, visit: &Visit, known: &KnownProvider, place: Option<Place>) -> Result<String, StoreError> {
    let browser = visit.browser.token().digest().to_string();
    let state = State { browser, place: place.map(|place| place.to_string()), at: visit.now.as_millisecond() };
    // Texts and a number always serialise, so the default is never taken.
    let plain = serde_json::to_vec(&state).unwrap_or_default();
    let sealed = issuer.site.store.seal_state(&[ABOUT, known.parts.name.as_str()], &plain)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// A browser that comes back from a provider did not leave here a moment ago, or not to this provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSent;

/// Whether the browser comes back from a sign-out that was begun here, and to which page it goes on. It changes nothing, so it
/// may come back again.
pub(crate) fn came_back(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    query: &str,
) -> Result<Option<Place>, NotSent> {
    let parameters = Parameters::read(query).map_err(|_| NotSent)?;
    if parameters.repeated(&[]).is_some() {
        return Err(NotSent);
    }
    let shown = parameters.one("state").filter(|shown| shown.len() <= STATE_BYTES_MAX).ok_or(NotSent)?;
    let sealed = URL_SAFE_NO_PAD.decode(shown).map_err(|_| NotSent)?;
    let about = [ABOUT, known.parts.name.as_str()];
    let plain = issuer.site.store.open_state(&about, &sealed).map_err(|_| NotSent)?;
    let state: State = serde_json::from_slice(plain.expose()).map_err(|_| NotSent)?;
    let begun = Timestamp::from_millisecond(state.at).map_err(|_| NotSent)?;
    let is_young = (0..STATE_SECONDS).contains(&visit.now.duration_since(begun).as_secs());
    if !is_young || state.browser != visit.browser.token().digest().to_string() {
        return Err(NotSent);
    }
    Ok(state.place.and_then(|place| place.parse().ok()))
}
