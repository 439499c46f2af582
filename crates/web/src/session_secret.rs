//! What a browser shows to prove its session.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Entropy;
use sekisho_protocol::secret::{DoorToken, SessionToken};

use crate::settings::SiteSettings;

/// What a browser shows to be the one that is signed in: a cookie, and on plain http also the door in the path
/// (see [`crate::door`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSecret {
    cookie: SessionToken,
    door: Option<DoorToken>,
}

impl SessionSecret {
    /// A new one.
    pub fn generate(settings: &SiteSettings, entropy: &dyn Entropy) -> Self {
        let door = (!settings.is_https()).then(|| DoorToken::generate(entropy));
        Self { cookie: SessionToken::generate(entropy), door }
    }

    /// The one that a request shows. On plain http a cookie without a door shows nothing.
    pub fn shown(settings: &SiteSettings, cookie: SessionToken, door: Option<DoorToken>) -> Option<Self> {
        (settings.is_https() != door.is_some()).then_some(Self { cookie, door })
    }

    /// The part in the cookie.
    pub fn cookie(&self) -> &SessionToken {
        &self.cookie
    }

    /// The part in the path, on plain http.
    pub fn door(&self) -> Option<&DoorToken> {
        self.door.as_ref()
    }

    /// Under which the session is kept. It covers both parts, so that neither is worth anything alone (ATK-142).
    pub fn digest(&self) -> Digest {
        match &self.door {
            None => self.cookie.digest(),
            Some(door) => Digest::of_list(&[self.cookie.expose().as_bytes(), door.expose().as_bytes()]),
        }
    }
}
