//! Signed-in browsers, and the tokens that tie a form to the browser and the request it was made for.

use aws_lc_rs::hmac;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::UserId;
use sekisho_protocol::secret::CsrfToken;
use sekisho_store::{BrowserSession, SecretKey, SignInMethod, StoreError, Tx, User};

pub use crate::session_secret::SessionSecret;
use crate::site::Site;
use crate::visit::{Source, Visit};

/// A signed-in browser and whose it is.
#[derive(Debug)]
pub struct Session {
    /// The user.
    pub user: User,
    /// The session as it is stored.
    pub row: BrowserSession,
}

/// Returns the session of a visit, if somebody is signed in.
pub async fn current(tx: &mut Tx, visit: &Visit) -> Result<Option<Session>, StoreError> {
    let Some(secret) = &visit.session else { return Ok(None) };
    let Some(row) = tx.browser_sessions().find(&secret.digest(), visit.now).await? else { return Ok(None) };
    // A session from the future means that the clock was set back: it does not count (ATK-99).
    if row.created_at > after(visit.now, 60) {
        return Ok(None);
    }
    let user = tx.users().find(row.user).await?;
    let session = user.filter(|user| !user.disabled).map(|user| Session { user, row });
    if let Some(session) = &session {
        visit.recognition.recognize();
        visit.seen.note(&session.row, visit.now);
    }
    Ok(session)
}

/// Begins a transaction in which a page changes something. A browser that is not signed in can change little or nothing, so
/// it waits in the queue of strangers.
pub async fn begin(site: &Site, visit: &Visit) -> Result<Tx, StoreError> {
    let mut tx = site.store.read().await?;
    let signed_in = current(&mut tx, visit).await?.is_some();
    drop(tx);
    if signed_in { site.store.begin().await } else { site.store.begin_for_stranger().await }
}

/// Signs a browser in with a new session, which replaces any session that it had before (ATK-10: no fixation). `method`: how
/// the user proved who they are.
pub async fn open(
    site: &Site,
    tx: &mut Tx,
    visit: &Visit,
    user: UserId,
    method: SignInMethod,
) -> Result<SessionSecret, StoreError> {
    let secret = SessionSecret::generate(&site.settings, &*site.entropy);
    let row = BrowserSession {
        digest: secret.digest(),
        user,
        csrf: SecretKey::generate(&*site.entropy),
        created_at: visit.now,
        expires_at: after(visit.now, site.settings.session_ttl_seconds),
        authenticated_at: visit.now,
        method,
        browser: visit.browser_name.clone(),
        seen_at: visit.now,
    };
    if let Some(old) = &visit.session {
        tx.browser_sessions().renew(&old.digest(), &row, visit.now).await?;
    }
    tx.browser_sessions().insert(&row).await?;
    Ok(secret)
}

/// What a form is for. A value made for one form is worthless in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormKind {
    /// Accept tools that are held back.
    AcceptTools,
    /// Lend or refuse access that was asked for.
    AnswerAccess,
    /// Approve or decline one call.
    Approval,
    /// Ask an owner for access.
    AskAccess,
    /// Begin a task.
    BeginTask,
    /// Continue or cancel a client's request, before signing in.
    Client,
    /// Link the account that the page shows.
    ConfirmLink,
    /// End every grant.
    EndAllGrants,
    /// End a grant.
    EndGrant,
    /// End sessions of a person.
    EndSessions,
    /// End a task.
    FinishTask,
    /// Approve or deny what a client asks for.
    Grant,
    /// Paste a key of an account.
    LinkAccount,
    /// Add an account at an identity provider as a way to sign in.
    LinkIdentity,
    /// Sign in.
    Login,
    /// Sign out.
    Logout,
    /// Change the password.
    Password,
    /// Let the client of an ended grant in again.
    ReleaseGrant,
    /// Continue without a task after it ended.
    ResumeTask,
    /// Choose a password by a setup link.
    Setup,
    /// Show the arguments of a recorded call.
    ShowArguments,
    /// Revoke a loan.
    TakeBack,
    /// Remove a linked account.
    UnlinkAccount,
    /// Remove an account at an identity provider as a way to sign in.
    UnlinkIdentity,
    /// Widen a task.
    WidenTask,
}

impl FormKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::AcceptTools => "accept-tools",
            Self::AnswerAccess => "answer-access",
            Self::Approval => "approval",
            Self::AskAccess => "ask-access",
            Self::BeginTask => "begin-task",
            Self::Client => "client",
            Self::ConfirmLink => "confirm-link",
            Self::EndAllGrants => "end-all-grants",
            Self::EndGrant => "end-grant",
            Self::EndSessions => "end-sessions",
            Self::FinishTask => "finish-task",
            Self::Grant => "grant",
            Self::LinkAccount => "link-account",
            Self::LinkIdentity => "link-identity",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Password => "password",
            Self::ReleaseGrant => "release-grant",
            Self::ResumeTask => "resume-task",
            Self::Setup => "setup",
            Self::ShowArguments => "show-arguments",
            Self::TakeBack => "take-back",
            Self::UnlinkAccount => "unlink-account",
            Self::UnlinkIdentity => "unlink-identity",
            Self::WidenTask => "widen-task",
        }
    }
}

/// Returns the hidden token of a form: a keyed digest over the browser's cookie, the session, the kind of form and its
/// subject (PX-04: double submit, not a look-up). A stolen token works in no other browser, session, form or request.
pub fn form_token(visit: &Visit, session: Option<&Session>, kind: FormKind, about: &str) -> CsrfToken {
    let browser = visit.browser.token().expose().as_bytes();
    let key = match session {
        Some(session) => hmac::Key::new(hmac::HMAC_SHA256, session.row.csrf.expose()),
        None => hmac::Key::new(hmac::HMAC_SHA256, browser),
    };
    let what = Digest::of_list(&[browser, kind.as_str().as_bytes(), about.as_bytes()]);
    let tag = hmac::sign(&key, what.as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    CsrfToken::from_key(bytes)
}

/// Returns whether a form came from this browser, this session and a page of ours made for exactly this subject
/// (ATK-10).
pub fn is_ours(visit: &Visit, session: Option<&Session>, kind: FormKind, about: &str, shown: Option<&str>) -> bool {
    let expected = form_token(visit, session, kind, about);
    visit.source == Source::Ours && shown.is_some_and(|shown| CsrfToken::from_outside(shown) == expected)
}

/// Returns whether the person signed in at or after `moment`.
pub fn is_fresh(session: &Session, moment: Timestamp) -> bool {
    session.row.authenticated_at >= moment
}
