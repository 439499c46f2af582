//! One account less. Every session of the user ends with it, and nobody loses their last way in.

use sekisho_acts::identity::{OpenWays, Unlink, unlink};
use sekisho_acts::{ActError, Invalid};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::openid::ProviderName;
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::parameters::Form;
use sekisho_web::session::{self, FormKind, Session, is_ours};

use super::{handle, issuers, providers_of};
use crate::{Issuer, records};

/// What became of the wish.
pub(crate) enum Removed {
    /// The account is removed, and the person is signed out everywhere.
    Done,
    /// It stays: the person would have no way in without it.
    LastWay(Box<Session>),
}

/// Removes the account that the form names.
pub(crate) async fn remove(issuer: &Issuer, visit: &Visit, form: &Form) -> Result<Removed, PageError> {
    let form = form.parameters.as_ref().map_err(|_| PageError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(PageError::Malformed);
    }
    let way = form.one("way").ok_or(PageError::Malformed)?;
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
    if !is_ours(visit, Some(&session), FormKind::UnlinkIdentity, way, form.one("csrf")) {
        return Err(PageError::Forgery);
    }
    let all = tx.identities().of_user(session.user.id).await?;
    let linked = all.iter().find(|linked| handle(&linked.identity) == way).ok_or(PageError::Ended)?;
    let providers: Vec<&ProviderName> =
        providers_of(issuer, &linked.identity).into_iter().map(|known| &known.parts.name).collect();
    let issuers = issuers(issuer);
    let wish = Unlink {
        user: session.user.id,
        providers: &providers,
        identity: &linked.identity,
        open: OpenWays { passwords: issuer.upstream.passwords, issuers: &issuers },
    };
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    match unlink(&mut tx, &by, wish).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Removed::Done)
        }
        Err(ActError::Invalid(Invalid::OnlyWayIn(_))) => Ok(Removed::LastWay(Box::new(session))),
        Err(ActError::Store(error)) => Err(error.into()),
        Err(ActError::Absent { .. } | ActError::Exists { .. } | ActError::Invalid(_) | ActError::NotAllowed(_)) => {
            Err(PageError::Ended)
        }
    }
}
