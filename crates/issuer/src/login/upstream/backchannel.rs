//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): a provider says that a person or a session
//! is signed out there.

use http::StatusCode;
use sekisho_acts::identity::{self, LogOut};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::digest::Digest;
use sekisho_store::{LoggedOut, StoreError};
use sekisho_token::{LogoutToken, LogoutTokenError, LogoutTokenExpectation, PublicKeys, verify_logout_token};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::Form;

use super::failure::UpstreamError;
use super::provider::KnownProvider;
use crate::{Issuer, records};

/// Why nobody was signed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogoutError {
    #[error("too many logout tokens come from this address")]
    Busy,
    #[error("`logout_token` is missing, or there twice")]
    Malformed,
    #[error("the keys of the provider: {0}")]
    Keys(UpstreamError),
    #[error("the logout token was used before (`jti`)")]
    Replayed,
    #[error("the logout token: {0}")]
    Token(#[from] LogoutTokenError),
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for LogoutError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl LogoutError {
    /// §2.8: what is wrong with the request is 400; what may succeed later is not.
    pub(crate) fn status(&self, visit: &Visit) -> StatusCode {
        match self {
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Keys(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Malformed | Self::Replayed | Self::Token(_) => StatusCode::BAD_REQUEST,
            Self::Internal(fault) => fault.status(visit),
        }
    }
}

/// Signs out whom the logout token names.
pub(crate) async fn end(issuer: &Issuer, visit: &Visit, known: &KnownProvider, form: &Form) -> Result<(), LogoutError> {
    if !issuer.limits.may_authorize(visit.peer) {
        return Err(LogoutError::Busy);
    }
    let form = form.parameters.as_ref().map_err(|_| LogoutError::Malformed)?;
    let text = form.one("logout_token").filter(|_| form.repeated(&[]).is_none()).ok_or(LogoutError::Malformed)?;
    let token = believe(issuer, visit, known, text).await?;
    let parts = &known.parts;
    let logged_out = match (&token.session, &token.subject) {
        (Some(sid), subject) => LoggedOut::Session { sid, subject: subject.as_deref() },
        (None, Some(subject)) => LoggedOut::Subject(subject),
        (None, None) => return Err(LogoutTokenError::NobodyNamed.into()),
    };
    let wish = LogOut {
        provider: &parts.name,
        issuer: &parts.registration.issuer,
        logged_out,
        with_grants: parts.logout_ends_grants,
    };
    let by = records::performer(issuer, visit, Actor::Checkpoint);
    let mut tx = issuer.site.store.begin().await?;
    // Once on all nodes (§2.6, 7), in the transaction of its effect.
    let once = format!("logout at {}", parts.registration.issuer);
    if !tx.assertions().take(&once, &Digest::of(token.jti.as_bytes()), token.exp, visit.now).await? {
        return Err(LogoutError::Replayed);
    }
    identity::log_out(&mut tx, &by, wish).await.map_err(Fault::internal)?;
    tx.commit().await?;
    Ok(())
}

async fn believe(
    issuer: &Issuer,
    visit: &Visit,
    known: &KnownProvider,
    text: &str,
) -> Result<LogoutToken, LogoutError> {
    let described = issuer.upstream.lately_described(known, visit.now).await.map_err(LogoutError::Keys)?;
    let expect = LogoutTokenExpectation {
        issuer: described.issuer(),
        client: &known.parts.registration.client,
        algorithm: known.parts.algorithm,
        now: visit.now,
    };
    let check = |keys: &str| -> Result<LogoutToken, LogoutError> {
        let keys = PublicKeys::parse(keys).map_err(|error| LogoutError::Keys(error.into()))?;
        Ok(verify_logout_token(&keys, text, &expect)?)
    };
    let lacks_key = |error: &LogoutError| matches!(error, LogoutError::Token(error) if error.lacks_key());
    let checked = issuer.upstream.keys.check(&described.keys, visit.now, check, lacks_key).await;
    checked.map_err(|error| LogoutError::Keys(error.into()))?
}
