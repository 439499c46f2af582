//! Passwords: argon2id, on the blocking pool, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use sekisho_protocol::env::{Entropy, random};
use sekisho_protocol::secret::Password;
use sekisho_web::error::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::LoginError;

/// The cost of one hash: 19 MiB, two passes, one lane (OWASP's first choice for argon2id).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many passwords are hashed at the same time, so that a flood leaves room for everything else (ATK-96).
const AT_ONCE: usize = 2;

/// How many of these may be attempts of browsers that are not known: the slow lane of all strangers together. There is
/// always a place for somebody whose browser signed in before.
const STRANGERS_AT_ONCE: usize = 1;

/// How long a login waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// The longest password that is hashed, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// The hash with which the password of an unknown user is compared. It costs the same, and no password fits it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2VraXNoby1ub2JvZHktMQ$ZLh2nfXo0vOIVjgHzqKDVU3bmGXOyI6vbUzgYK5yD4k";

/// Why a password could not be hashed. Never because of what the password is.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The parameters or the output were refused by the library.
    #[error("the password could not be hashed")]
    Hash(#[source] argon2::password_hash::Error),
    /// The process is shutting down.
    #[error("the password was not hashed: the program is ending")]
    Pool(#[from] tokio::task::JoinError),
}

/// Hashes a password for keeping (argon2id, PHC string format). Runs on the blocking pool.
pub async fn hash_password(password: Password, entropy: &dyn Entropy) -> Result<String, HashError> {
    let salt: [u8; 16] = random(entropy);
    let hashing = move || {
        let hash = hasher().and_then(|hasher| hasher.hash_password_with_salt(password.expose().as_bytes(), &salt));
        hash.map(|hash| hash.to_string()).map_err(HashError::Hash)
    };
    tokio::task::spawn_blocking(hashing).await?
}

fn hasher() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(argon2::password_hash::Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The few places where passwords are hashed.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), strangers: Arc::new(Semaphore::new(STRANGERS_AT_ONCE)) }
    }

    /// Whether this is the password behind `kept`. Without one the same work is done, and the answer is no.
    /// `is_known`: the account signed in with this browser before.
    pub(crate) async fn verify(
        &self,
        password: Password,
        kept: Option<String>,
        is_known: bool,
    ) -> Result<bool, LoginError> {
        let turn = tokio::time::timeout(WAIT, self.turn(is_known)).await;
        let places = turn.map_err(|_| LoginError::Busy)??;
        let verifying = move || {
            let _places = places;
            let readable = password.expose().len() <= PASSWORD_BYTES_MAX;
            let bytes = if readable { password.expose().as_bytes() } else { b"" };
            let phc = kept.as_deref().unwrap_or(NOBODY);
            let fits = hasher().is_ok_and(|hasher| hasher.verify_password(bytes, phc).is_ok());
            fits && readable && kept.is_some()
        };
        tokio::task::spawn_blocking(verifying).await.map_err(|error| Fault::internal(HashError::Pool(error)).into())
    }

    /// Waits for a place; a stranger for one among strangers first.
    async fn turn(&self, is_known: bool) -> Result<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit), LoginError> {
        let stranger = if is_known { None } else { Some(Arc::clone(&self.strangers).acquire_owned()) };
        let stranger = match stranger {
            None => None,
            Some(waiting) => Some(waiting.await.map_err(|_| LoginError::Busy)?),
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| LoginError::Busy)?;
        Ok((stranger, place))
    }

    /// Hashes a password that a person chose in a browser.
    pub(crate) async fn hash(&self, password: Password, entropy: &dyn Entropy) -> Result<String, LoginError> {
        let turn = tokio::time::timeout(WAIT, self.places.acquire()).await;
        let _place = turn.map_err(|_| LoginError::Busy)?.map_err(|_| LoginError::Busy)?;
        hash_password(password, entropy).await.map_err(|error| Fault::internal(error).into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_protocol::env::SeededEntropy;
    use sekisho_protocol::secret::Password;

    use super::{NOBODY, PASSWORD_BYTES_MAX, Passwords, hash_password};

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_no_other() {
        let passwords = Passwords::new();
        let phc = hash_password(Password::from_outside("correct horse"), &SeededEntropy::default()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let verify = |text: &str, kept: Option<String>| passwords.verify(Password::from_outside(text), kept, false);
        assert!(verify("correct horse", Some(phc.clone())).await.unwrap());
        assert!(!verify("correct horse ", Some(phc.clone())).await.unwrap());
        assert!(!verify("", Some(phc.clone())).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(!verify("x", Some("not a hash".to_owned())).await.unwrap());
        assert!(!verify(&"x".repeat(PASSWORD_BYTES_MAX + 1), Some(phc)).await.unwrap());
    }

    /// Strangers take one place of the two at most, however many of them wait.
    #[tokio::test]
    async fn a_known_browser_has_a_place_whatever_strangers_do() {
        let passwords = Arc::new(Passwords::new());
        let stranger = passwords.turn(false).await.unwrap();
        let waiting = Arc::clone(&passwords);
        let waiting = tokio::spawn(async move { waiting.turn(false).await.map(drop) });
        tokio::task::yield_now().await;
        let known = passwords.turn(true).await.unwrap();
        assert!(!waiting.is_finished());
        drop((stranger, known));
        waiting.await.unwrap().unwrap();
    }

    /// ATK-96: what an unknown user is compared with costs the same as what a known one is.
    #[test]
    fn the_hash_for_nobody_can_be_read_and_costs_as_much() {
        let parsed = argon2::PasswordHash::new(NOBODY).unwrap();
        assert_eq!(parsed.params.to_string(), "m=19456,t=2,p=1");
    }
}
