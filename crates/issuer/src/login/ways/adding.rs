//! One more account: the way to the provider, what waits for a yes, and the yes.

use std::collections::BTreeSet;

use sekisho_acts::ActError;
use sekisho_acts::identity::{Presented, link};
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::openid::ProviderName;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::secret::CsrfToken;
use sekisho_protocol::text::plain_text;
use sekisho_store::{PendingSignIn, SecretBytes, Tx};
use sekisho_web::error::PageError;
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};
use sekisho_web::{Visit, shown};
use serde::{Deserialize, Serialize};

use super::{TEXT_CHARS_MAX, proved_lately};
use crate::login::upstream::{self, KnownProvider, Person, UpstreamError, Wish};
use crate::pages::ConfirmBox;
use crate::{Issuer, records};

/// How long an account waits for a yes, in seconds.
const WAITING_SECONDS: u32 = 600;

/// Why nobody is sent to a provider.
pub(crate) enum DepartError {
    /// Nobody is signed in.
    SignIn,
    /// The person signed in too long ago.
    Stale(Box<Session>),
    /// The provider cannot be used.
    Upstream(UpstreamError),
}

impl<E: Into<UpstreamError>> From<E> for DepartError {
    fn from(error: E) -> Self {
        Self::Upstream(error.into())
    }
}

/// The URL at the provider to which a person goes who adds an account there.
pub(crate) async fn depart(issuer: &Issuer, visit: &Visit, known: &KnownProvider) -> Result<String, DepartError> {
    let session = {
        let mut tx = issuer.site.store.read().await?;
        session::current(&mut tx, visit).await?.ok_or(DepartError::SignIn)?
    };
    if !proved_lately(visit, &session) {
        return Err(DepartError::Stale(Box::new(session)));
    }
    let wish = Wish { place: None, pending: None, fresh_since: None, hint: None, adds_to: Some(session.user.id) };
    Ok(upstream::send(issuer, visit, known, wish).await?)
}

/// An account that waits for a yes, as it is sealed.
#[derive(Serialize, Deserialize)]
struct Waiting {
    user: UserId,
    issuer: String,
    subject: String,
    shown_name: Option<String>,
    groups: BTreeSet<String>,
}

/// What tells such a row from a sign-in: no provider has a name like this.
fn kind(provider: &ProviderName) -> String {
    format!("add:{provider}")
}

/// Keeps an account until the person says yes. The token belongs to this browser.
pub(crate) async fn keep(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    user: UserId,
    person: &Person,
) -> Result<CsrfToken, UpstreamError> {
    let waiting = Waiting {
        user,
        issuer: person.identity.issuer.clone(),
        subject: person.identity.subject.clone(),
        shown_name: person.shown_name.clone(),
        groups: person.reading.groups().map_err(Clone::clone)?.clone(),
    };
    let token = CsrfToken::generate(&*issuer.site.entropy);
    let row = PendingSignIn {
        digest: token.digest(),
        provider: kind(&known.parts.name),
        browser: visit.browser.token().digest(),
        pending: None,
        // Texts always serialise, so the default is never taken.
        kept: SecretBytes::new(serde_json::to_vec(&waiting).unwrap_or_default()),
        expires_at: after(visit.now, WAITING_SECONDS),
    };
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    tx.sign_ins().insert(&row).await?;
    tx.commit().await?;
    Ok(token)
}

/// The box that asks for a yes, if this account waits for this person in this browser; and else what to say.
pub(crate) async fn confirm_box(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
    token: &str,
) -> Result<Result<ConfirmBox, (Sentence, String)>, PageError> {
    let gone = || (Sentence::WayGone, String::new());
    let Ok(parsed) = CsrfToken::parse(token) else { return Ok(Err(gone())) };
    let browser = visit.browser.token().digest();
    for known in &issuer.upstream.providers {
        let kind = kind(&known.parts.name);
        let Some(row) = tx.sign_ins().find(&parsed.digest(), &kind, &browser, visit.now).await? else { continue };
        let Some(waiting) = read(&row).filter(|waiting| waiting.user == session.user.id) else {
            return Ok(Err(gone()));
        };
        if let Some(linked) = tx.identities().find(&identity(&waiting)).await? {
            let what = if linked.user == session.user.id { Sentence::WayOwn } else { Sentence::WayTaken };
            return Ok(Err((what, known.parts.label.clone())));
        }
        return Ok(Ok(ConfirmBox {
            csrf: form_token(visit, Some(session), FormKind::LinkIdentity, token).expose().to_owned(),
            token: token.to_owned(),
            provider: known.parts.name.to_string(),
            label: plain_text(&known.parts.label, TEXT_CHARS_MAX),
            shown_name: waiting.shown_name.map(|name| plain_text(&name, TEXT_CHARS_MAX)),
            subject: shown::exact(&waiting.subject, TEXT_CHARS_MAX),
            user: session.user.name.clone(),
        }));
    }
    Ok(Err(gone()))
}

fn read(row: &PendingSignIn) -> Option<Waiting> {
    serde_json::from_slice(row.kept.expose()).ok()
}

fn identity(waiting: &Waiting) -> Identity {
    Identity { issuer: waiting.issuer.clone(), subject: waiting.subject.clone() }
}

/// What became of an answer.
pub(crate) enum Answered {
    /// The account was added, or the person said no.
    Done,
    /// It was not added.
    Not(Box<Session>, Sentence, String),
}

/// Takes the answer of the person: with a yes, the account is added.
pub(crate) async fn answer(issuer: &Issuer, visit: &Visit, form: &Form) -> Result<Answered, PageError> {
    let form = form.parameters.as_ref().map_err(|_| PageError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(PageError::Malformed);
    }
    let token = form.one("add").ok_or(PageError::Malformed)?;
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::LinkIdentity, token, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let known = form.one("provider").and_then(|name| issuer.upstream.find(name).ok()).ok_or(PageError::Malformed)?;
    let digest = CsrfToken::parse(token).map_err(|_| PageError::Malformed)?.digest();
    let browser = visit.browser.token().digest();
    let row = tx.sign_ins().consume(&digest, &kind(&known.parts.name), &browser, visit.now).await?;
    let waiting = row.as_ref().and_then(read).filter(|waiting| waiting.user == session.user.id);
    let waiting = waiting.ok_or(PageError::Ended)?;
    match form.one("decision") {
        Some("yes") => {}
        Some("no") => {
            tx.commit().await?;
            return Ok(Answered::Done);
        }
        _ => return Err(PageError::Malformed),
    }
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    let identity = identity(&waiting);
    let presented = Presented {
        provider: &known.parts.name,
        identity: &identity,
        shown_name: waiting.shown_name.as_deref(),
        groups: &waiting.groups,
    };
    let mut rights = issuer.rights.clone();
    rights.mark_unchanged();
    match link(&mut tx, &by, presented).await {
        Ok(()) => tx.commit().await?,
        Err(ActError::Exists { .. }) => {
            drop(tx);
            taken(issuer, visit, known, &session).await;
            return Ok(Answered::Not(Box::new(session), Sentence::WayTaken, known.parts.label.clone()));
        }
        Err(ActError::Store(error)) => return Err(error.into()),
        Err(ActError::Invalid(_) | ActError::NotAllowed(_) | ActError::Absent { .. }) => return Err(PageError::Ended),
    }
    upstream::wait_until_in_force(&mut rights).await;
    Ok(Answered::Done)
}

/// Puts on record that somebody tried to add an account that another user has.
async fn taken(issuer: &Issuer, visit: &Visit, known: &KnownProvider, session: &Session) {
    let user = session.user.id;
    let detail = format!("an account at `{}` was not added: another user signs in with it", known.parts.name);
    let act = Act { subject: Some(Subject::User(user)), detail, ..Act::new(Actor::User(user), ActKind::LoginFailed) };
    records::refused(issuer, visit, act).await;
}
