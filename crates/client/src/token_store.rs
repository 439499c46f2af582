//! What a client remembers between two runs: tokens by resource, registrations by issuer (CL-06, CL-18, CL-38).

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sekisho_protocol::resource::ResourceId;

use crate::registration::Registration;
use crate::token::Tokens;

mod file;

pub use file::{FileStore, StoreKey};

/// Where tokens and registrations are kept.
pub trait TokenStore: Send + Sync + Debug {
    /// What is held for the server at this URL.
    fn tokens(&self, server: &ResourceId) -> Result<Option<Tokens>, StoreError>;

    /// Keeps it, in place of what was held for that server.
    fn keep_tokens(&self, server: &ResourceId, tokens: &Tokens) -> Result<(), StoreError>;

    /// Forgets what is held for a server.
    fn forget_tokens(&self, server: &ResourceId) -> Result<(), StoreError>;

    /// Everything that is held, by server.
    fn all_tokens(&self) -> Result<Vec<(ResourceId, Tokens)>, StoreError>;

    /// How an issuer knows us.
    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError>;

    /// All issuers that know us.
    fn registrations(&self) -> Result<Vec<Registration>, StoreError>;

    /// Keeps it, in place of what the issuer knew before.
    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError>;

    /// Forgets it: the issuer does not know us any more.
    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError>;

    /// Waits for our turn: of all programs that share the store, one at a time logs in or refreshes for a resource.
    fn turn<'a>(&'a self, resource: &'a ResourceId) -> BoxFuture<'a, Result<Turn, StoreError>>;
}

/// Our turn; over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<std::fs::File>,
}

/// Why nothing is remembered.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something else lies there, or it was sealed under another key.
    #[error("`{path}` cannot be opened with this key: remove it, and log in again")]
    Broken {
        /// The file.
        path: String,
    },
    /// Another program has had its turn for too long.
    #[error("another program has been logging in to `{resource}` for {seconds} seconds: finish there, or end it")]
    Busy {
        /// The resource.
        resource: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The file system said no.
    #[error("`{path}` cannot be used")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tokens: Mutex<Vec<(ResourceId, Tokens)>>,
    registrations: Mutex<Vec<Registration>>,
}

fn locked<T>(list: &Mutex<Vec<T>>) -> std::sync::MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TokenStore for MemoryStore {
    fn tokens(&self, server: &ResourceId) -> Result<Option<Tokens>, StoreError> {
        Ok(locked(&self.tokens).iter().find(|(of, _)| of == server).map(|(_, tokens)| tokens.clone()))
    }

    fn keep_tokens(&self, server: &ResourceId, tokens: &Tokens) -> Result<(), StoreError> {
        self.forget_tokens(server)?;
        locked(&self.tokens).push((server.clone(), tokens.clone()));
        Ok(())
    }

    fn forget_tokens(&self, server: &ResourceId) -> Result<(), StoreError> {
        locked(&self.tokens).retain(|(of, _)| of != server);
        Ok(())
    }

    fn all_tokens(&self) -> Result<Vec<(ResourceId, Tokens)>, StoreError> {
        Ok(locked(&self.tokens).clone())
    }

    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError> {
        Ok(locked(&self.registrations).iter().find(|kept| kept.issuer == issuer).cloned())
    }

    fn registrations(&self) -> Result<Vec<Registration>, StoreError> {
        Ok(locked(&self.registrations).clone())
    }

    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError> {
        self.forget_registration(&registration.issuer)?;
        locked(&self.registrations).push(registration.clone());
        Ok(())
    }

    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError> {
        locked(&self.registrations).retain(|kept| kept.issuer != issuer);
        Ok(())
    }

    /// Nobody else has this store.
    fn turn<'a>(&'a self, _: &'a ResourceId) -> BoxFuture<'a, Result<Turn, StoreError>> {
        Box::pin(async { Ok(Turn { _lock: None }) })
    }
}
