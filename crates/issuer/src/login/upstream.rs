//! Signing in at an identity provider: `GET /login/{provider}` sends the browser there, and it comes back to
//! `GET /login/{provider}/callback`.
//!
//! INVARIANT (the confused deputy): nobody is sent to a provider for a client that has not been shown to them in this
//! browser, what comes back counts once and only in the browser that was sent, and it makes a session and no grant. The grant
//! page alone makes a grant. For a person who is signed in and adds a way to sign in, it makes neither: it waits for that
//! person's yes (`ways.rs`).

use std::sync::Arc;
use std::time::Duration;

use sekisho_acts::identity::{self, Presented};
use sekisho_client::openid::sign_in::{SignIn, SignInWish, begin};
use sekisho_policy::rights::Rights;
use sekisho_protocol::audit::Actor;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{PendingId, UserId};
use sekisho_protocol::openid::SignOutThere;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::secret::CsrfToken;
use sekisho_store::{PendingSignIn, ProviderSession, SecretBytes, SignInMethod, StoreError};
use sekisho_web::Visit;
use sekisho_web::frame::SignedIn;
use sekisho_web::parameters::Parameters;
use sekisho_web::place::Place;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::open::open;
use crate::{Issuer, records};

pub(crate) mod backchannel;
pub(crate) mod failure;
mod person;
mod provider;

pub use failure::UpstreamError;
pub use person::{Asking, Person, person};
pub(crate) use provider::{KnownProvider, Upstream};
pub use provider::{LoginParts, ProviderParts};

/// How long a sign-in may take, in seconds.
const SIGN_IN_SECONDS: u32 = 600;
/// The longest hint of who is about to sign in, in characters.
pub(crate) const HINT_CHARS_MAX: usize = 256;
/// How far the clocks of a provider and this machine may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// How long a sign-in waits at most until other rights are in force.
const IN_FORCE: Duration = Duration::from_secs(2);
/// How often a sign-in is tried that met another one of the same person.
const ATTEMPTS_MAX: u32 = 3;

/// What is kept, sealed, until the browser comes back.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Where the person goes on.
    place: Option<String>,
    /// Since when they have to have proven who they are, in milliseconds since 1970.
    fresh_since: Option<i64>,
    /// The user to whom the account is to be added, in place of a sign-in.
    #[serde(default)]
    adds_to: Option<UserId>,
    /// What the answer is checked against.
    sign_in: Vec<u8>,
}

/// For what somebody signs in.
pub(crate) struct Wish {
    pub(crate) place: Option<Place>,
    pub(crate) pending: Option<PendingId>,
    pub(crate) fresh_since: Option<Timestamp>,
    pub(crate) hint: Option<String>,
    /// The user who is signed in and adds this account, in place of a sign-in.
    pub(crate) adds_to: Option<UserId>,
}

/// What came of an answer.
pub(crate) enum Finished {
    /// An account that its person may add to this user.
    Adds(UserId, Box<Person>),
    /// A session.
    SignedIn(SignedIn, Option<Place>),
}

/// Keeps the sign-in, and says where the browser goes.
pub(crate) async fn send(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    wish: Wish,
) -> Result<String, UpstreamError> {
    if !issuer.limits.may_authorize(visit.peer) {
        return Err(UpstreamError::Busy);
    }
    let parts = &known.parts;
    let described = issuer.upstream.described(known, visit.now).await?;
    let is_fresh = wish.fresh_since.is_some();
    let asked = SignInWish {
        redirect_uri: &parts.redirect_uri,
        scopes: &parts.scopes,
        prompt: if is_fresh { Some("login") } else { parts.prompt.as_deref() },
        // With it a provider has to say when the person proved who they are.
        max_age_seconds: parts.max_age_seconds.or(is_fresh.then_some(SIGN_IN_SECONDS)),
        acr_values: &parts.acr_values,
        login_hint: wish.hint.as_deref(),
    };
    let (url, sign_in) = begin(&described, &parts.registration, asked, visit.now, &*issuer.site.entropy)?;
    let kept = Kept {
        place: wish.place.map(|place| place.to_string()),
        fresh_since: wish.fresh_since.map(Timestamp::as_millisecond),
        adds_to: wish.adds_to,
        sign_in: sign_in.to_bytes().to_vec(),
    };
    let pending = PendingSignIn {
        digest: sign_in.state().digest(),
        provider: parts.name.to_string(),
        browser: visit.browser.token().digest(),
        pending: wish.pending,
        // Texts and numbers always serialise, so the default is never taken.
        kept: SecretBytes::new(serde_json::to_vec(&kept).unwrap_or_default()),
        expires_at: after(visit.now, SIGN_IN_SECONDS),
    };
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    tx.sign_ins().insert(&pending).await?;
    tx.commit().await?;
    Ok(url)
}

/// Takes the sign-in, asks the provider, and signs the browser in, unless the account is to be added to a user.
pub(crate) async fn finish(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    query: &str,
) -> Result<Finished, UpstreamError> {
    let (sign_in, kept) = take(issuer, visit, known, query).await?;
    let parts = &known.parts;
    let described = issuer.upstream.described(known, visit.now).await?;
    let asking = Asking {
        http: &*issuer.upstream.http,
        keys: &issuer.upstream.keys,
        parts,
        described: &described,
        entropy: &*issuer.site.entropy,
    };
    let back = format!("{}?{query}", parts.redirect_uri.as_str());
    let person = person(asking, &sign_in, &back, visit.now).await?;
    person.reading.groups().map_err(Clone::clone)?;
    if let Some(since) = kept.fresh_since {
        let proven = person.id_token.authenticated_at.map(Timestamp::as_millisecond);
        if proven.is_none_or(|at| at.saturating_add(LEEWAY_SECONDS * 1000) < since) {
            return Err(UpstreamError::OldProof);
        }
    }
    if let Some(user) = kept.adds_to {
        return Ok(Finished::Adds(user, Box::new(person)));
    }
    let place = kept.place.as_deref().and_then(|place| place.parse().ok());
    Ok(Finished::SignedIn(enter(issuer, visit, known, &person).await?, place))
}

/// The sign-in that this answer belongs to: of this browser and this provider, once.
async fn take(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    query: &str,
) -> Result<(SignIn, Kept), UpstreamError> {
    let parameters = Parameters::read(query).unwrap_or_default();
    // An answer that says something twice is none, and takes nothing.
    if parameters.repeated(&[]).is_some() {
        return Err(UpstreamError::Gone);
    }
    let state = parameters.one("state").and_then(|state| CsrfToken::parse(state).ok()).ok_or(UpstreamError::Gone)?;
    let browser = visit.browser.token().digest();
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    let taken = tx.sign_ins().consume(&state.digest(), known.parts.name.as_str(), &browser, visit.now).await?;
    let taken = taken.ok_or(UpstreamError::Gone)?;
    tx.commit().await?;
    let kept: Kept = serde_json::from_slice(taken.kept.expose()).map_err(|_| UpstreamError::Gone)?;
    let sign_in = SignIn::from_bytes(&kept.sign_in).ok_or(UpstreamError::Gone)?;
    Ok((sign_in, kept))
}

/// Makes the session, with the user and the groups, in one transaction.
async fn enter(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    person: &Person,
) -> Result<SignedIn, UpstreamError> {
    let groups = person.reading.groups().map_err(Clone::clone)?;
    let presented = Presented {
        provider: &known.parts.name,
        identity: &person.identity,
        shown_name: person.shown_name.as_deref(),
        groups,
    };
    let by = records::performer(issuer, visit, Actor::Anonymous);
    let mut attempt = 1;
    loop {
        let mut tx = issuer.site.store.begin().await?;
        let mut rights = issuer.rights.clone();
        rights.mark_unchanged();
        let entered = match identity::sign_in(&mut tx, &by, presented).await {
            Ok(entered) => entered,
            Err(error) if attempt < ATTEMPTS_MAX && UpstreamError::met_another(&error) => {
                tx.rollback().await?;
                attempt += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let method = SignInMethod::Provider(known.parts.name.to_string());
        let signed_in = open(issuer, &mut tx, visit, entered.user, method).await?;
        let session = ProviderSession {
            browser_session: signed_in.session.digest(),
            identity: Identity { issuer: person.identity.issuer.clone(), subject: person.id_token.subject.clone() },
            sid: person.id_token.session.clone(),
            id_token: kept_token(known, person),
        };
        tx.provider_sessions().insert(&session).await?;
        let committed: Result<(), StoreError> = tx.commit().await;
        committed?;
        if entered.changed {
            wait_until_in_force(&mut rights).await;
        }
        return Ok(signed_in);
    }
}

/// Waits until changed rights are in force, because the next page shows what may be handed on. The change is made either way.
pub(crate) async fn wait_until_in_force(rights: &mut watch::Receiver<Arc<Rights>>) {
    let _ = tokio::time::timeout(IN_FORCE, rights.changed()).await;
}

/// The ID token, where people are signed out there: it says who.
fn kept_token(known: &KnownProvider, person: &Person) -> Option<SecretBytes> {
    let is_used = known.parts.sign_out_there != SignOutThere::Never;
    is_used.then(|| SecretBytes::new(person.id_token_text.expose().as_bytes().to_vec()))
}
