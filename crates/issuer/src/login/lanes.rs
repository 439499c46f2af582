//! How often a login may be tried.

use sekisho_protocol::audit::ActKind;
use sekisho_store::{Lane, StoreError, Tx};
use sekisho_web::Visit;

use super::failure::LoginError;
use crate::{Issuer, limits, records};

/// Which waits an attempt has to keep.
///
/// A browser that the account signed in with before has a lane of its own. All others are strangers: slowed down by account
/// and address together, and far more gently by account alone and by address alone, so that nobody elsewhere, and no one
/// behind the same proxy, can shut an account or a whole office out.
pub(super) struct Lanes(Vec<(String, Lane)>);

impl Lanes {
    pub(super) fn of(visit: &Visit, username: &str, browser: Option<String>) -> Self {
        if let Some(browser) = browser {
            return Self(vec![(format!("login browser {browser}"), limits::LOGINS_BY_BROWSER)]);
        }
        let account = username.to_lowercase();
        let address = visit.peer.map(|peer| limits::network(peer).to_string()).unwrap_or_default();
        // In one order for all, so that two attempts never wait for each other.
        let mut lanes = vec![
            (format!("login account {account} address {address}"), limits::LOGINS_BY_ACCOUNT_AND_ADDRESS),
            (format!("login account {account}"), limits::LOGINS_BY_ACCOUNT),
        ];
        if !address.is_empty() {
            lanes.push((format!("login address {address}"), limits::LOGINS_BY_ADDRESS));
        }
        Self(lanes)
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether a lane is closed at this moment; nothing is counted.
    pub(super) async fn look(&self, issuer: &Issuer, tx: &mut Tx, visit: &Visit) -> Result<(), LoginError> {
        for (key, lane) in &self.0 {
            if tx.throttle().is_blocked(key, *lane, visit.now).await? {
                return Err(throttled(issuer, visit));
            }
        }
        Ok(())
    }

    /// Counts an attempt as failed before anything is known of it, in every lane or in none.
    pub(super) async fn take(&self, issuer: &Issuer, visit: &Visit) -> Result<(), LoginError> {
        let mut tx = issuer.site.store.begin_for_stranger().await?;
        for (key, lane) in &self.0 {
            if !tx.throttle().take(key, *lane, visit.now).await? {
                tx.rollback().await?;
                return Err(throttled(issuer, visit));
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgives what failed in the narrowest lane after a success. In the others only this attempt is taken back, because
    /// others may be guessing in them.
    pub(super) async fn forgive(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for (place, (key, _)) in self.0.iter().enumerate() {
            if place == 0 {
                tx.throttle().clear(key).await?;
            } else {
                tx.throttle().give_back(key).await?;
            }
        }
        Ok(())
    }
}

/// The failures are on record one by one; the attempts of a flood are counted.
fn throttled(issuer: &Issuer, visit: &Visit) -> LoginError {
    tracing::debug!(request = %visit.request, peer = ?visit.peer, "a login was throttled");
    records::count(issuer, visit, ActKind::LoginFailed);
    LoginError::Throttled
}
