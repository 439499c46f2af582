//! Browsers in which an account has signed in before (the device cookies of OWASP's "Slow Down Online Guessing Attacks
//! with Device Cookies"). What strangers try against the account does not slow such a browser down.
//!
//! The cookie is sealed by the store's key, so nothing is kept here. It does not sign in: it says which wait an attempt has
//! to keep. A thief of the cookie gets a few guesses, counted apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_protocol::env::{Timestamp, random};
use sekisho_protocol::ids::UserId;
use sekisho_store::{StoreError, Tx};
use sekisho_web::Visit;
use serde::{Deserialize, Serialize};

use crate::Issuer;

/// What the seal is about, so that nothing else that is sealed can stand for it.
const ABOUT: [&str; 1] = ["known browser"];

/// The longest cookie that is opened, in bytes. Ours are about 150.
const COOKIE_BYTES_MAX: usize = 512;

/// What is sealed.
#[derive(Debug, Serialize, Deserialize)]
struct KnownBrowser {
    user: UserId,
    /// Tells this browser from others of the same account.
    browser: String,
    /// When the account signed in, in milliseconds since 1970.
    at: i64,
}

/// The value of the cookie for a browser in which this user signs in now.
pub(super) fn seal(issuer: &Issuer, user: UserId, now: Timestamp) -> Result<String, StoreError> {
    let browser = URL_SAFE_NO_PAD.encode(random::<16>(&*issuer.site.entropy));
    let known = KnownBrowser { user, browser, at: now.as_millisecond() };
    // Texts and a number always serialise, so the default is never taken.
    let plain = serde_json::to_vec(&known).unwrap_or_default();
    Ok(URL_SAFE_NO_PAD.encode(issuer.site.store.seal_state(&ABOUT, &plain)?))
}

/// What tells this browser from others, if this user signed in here since the password was set. A new password makes
/// strangers of all browsers.
pub(super) async fn browser(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    user: UserId,
) -> Result<Option<String>, StoreError> {
    let shown = visit.known.as_deref().filter(|shown| shown.len() <= COOKIE_BYTES_MAX);
    let sealed = shown.and_then(|shown| URL_SAFE_NO_PAD.decode(shown).ok());
    let opened = sealed.and_then(|sealed| issuer.site.store.open_state(&ABOUT, &sealed).ok());
    let known = opened.and_then(|plain| serde_json::from_slice::<KnownBrowser>(plain.expose()).ok());
    let Some(known) = known.filter(|known| known.user == user) else { return Ok(None) };
    let set_at = tx.users().password_set_at(user).await?;
    Ok(set_at.is_none_or(|set_at| known.at >= set_at.as_millisecond()).then_some(known.browser))
}
