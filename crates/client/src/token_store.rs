//! What a client stores between two runs: tokens by server, registrations by issuer (CL-06, CL-18, CL-38), and facts
//! that only a person can remove ([`Pin`]).

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::resource::ResourceId;

use crate::registration::Registration;
use crate::token::Tokens;

mod file;

pub use file::{FileStore, StoreKey};

/// A store for tokens and registrations.
pub trait TokenStore: Send + Sync + Debug {
    /// Returns the tokens for the server at this URL.
    fn tokens(&self, server: &ResourceId) -> Result<Option<Tokens>, StoreError>;

    /// Stores tokens, and replaces earlier ones for that server.
    fn keep_tokens(&self, server: &ResourceId, tokens: &Tokens) -> Result<(), StoreError>;

    /// Deletes the tokens for a server.
    fn forget_tokens(&self, server: &ResourceId) -> Result<(), StoreError>;

    /// Returns all stored tokens, with their servers.
    fn all_tokens(&self) -> Result<Vec<(ResourceId, Tokens)>, StoreError>;

    /// Returns our registration at an issuer (RFC 7591).
    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError>;

    /// Stores a registration, and replaces an earlier one at that issuer.
    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError>;

    /// Deletes a registration, because the issuer does not know us any more.
    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError>;

    /// Pins this to `issuer`, unless it is pinned already. Returns the issuer to which it is pinned.
    fn pin(&self, pin: Pin<'_>, issuer: &str) -> Result<String, StoreError>;

    /// Returns the issuer to which this is pinned.
    fn pinned(&self, pin: Pin<'_>) -> Result<Option<String>, StoreError>;

    /// Removes a pin; only for a person's command. Returns whether there was one.
    fn unpin(&self, pin: Pin<'_>) -> Result<bool, StoreError>;

    /// Waits for this program's turn: of all programs that share the store, one at a time has it.
    fn turn<'a>(&'a self, at: At<'a>, wait: Wait) -> BoxFuture<'a, Result<Turn, StoreError>>;

    /// Whether a program is waiting for a person who logs in to this server.
    fn is_visited(&self, server: &ResourceId) -> Result<bool, StoreError>;
}

/// A fact that belongs to one issuer. No response of a server can change or remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pin<'a> {
    /// A client identifier that was given to us (CL-19).
    Client(&'a ClientId),
    /// An issuer that has sent `iss` in an answer (RFC 9207).
    Iss(&'a str),
    /// The path of a redirect URI that was given to us (RFC 9700 §4.4.2).
    Redirect(&'a str),
}

impl Pin<'_> {
    /// Returns the kind and the name of the fact.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Client(client) => ("client", client.as_str()),
            Self::Iss(issuer) => ("iss", issuer),
            Self::Redirect(path) => ("redirect", path),
        }
    }
}

/// What programs take turns at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At<'a> {
    /// Registering at an issuer.
    Issuer(&'a str),
    /// Logging in to a server, or refreshing its tokens.
    Server(&'a ResourceId),
    /// Waiting for a person who logs in to a server. The program already has its turn at that server.
    Visit(&'a ResourceId),
}

/// How long a program waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Waits even if another program is waiting for a person.
    ForPeople,
    /// Waits only for exchanges of other programs. If one of them is waiting for a person, that is an error at once.
    ForPrograms,
}

/// This program's turn. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<std::fs::File>,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not one of this store, or was sealed under another key.
    #[error("`{path}` cannot be opened with this key: remove it, and log in again")]
    Broken {
        /// The file.
        path: String,
    },
    /// Another program has kept its turn for too long.
    #[error("another program has been logging in to `{resource}` for {seconds} seconds: finish there, or end it")]
    Busy {
        /// The resource.
        resource: String,
        /// How many seconds were waited.
        seconds: u64,
    },
    /// Another program is waiting for a person who logs in.
    #[error(
        "a login to `{resource}` has begun in another program and is not finished: finish it there, then try again"
    )]
    Unfinished {
        /// The resource.
        resource: String,
    },
    /// The file system returned an error.
    #[error("`{path}` cannot be used")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A store in memory, which is empty after a restart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tokens: Mutex<Vec<(ResourceId, Tokens)>>,
    registrations: Mutex<Vec<Registration>>,
    pins: Mutex<HashMap<(&'static str, String), String>>,
}

fn locked<T>(kept: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(pin: Pin<'_>) -> (&'static str, String) {
    let (kind, name) = pin.parts();
    (kind, name.to_owned())
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

    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError> {
        self.forget_registration(&registration.issuer)?;
        locked(&self.registrations).push(registration.clone());
        Ok(())
    }

    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError> {
        locked(&self.registrations).retain(|kept| kept.issuer != issuer);
        Ok(())
    }

    fn pin(&self, pin: Pin<'_>, issuer: &str) -> Result<String, StoreError> {
        Ok(locked(&self.pins).entry(named(pin)).or_insert_with(|| issuer.to_owned()).clone())
    }

    fn pinned(&self, pin: Pin<'_>) -> Result<Option<String>, StoreError> {
        Ok(locked(&self.pins).get(&named(pin)).cloned())
    }

    fn unpin(&self, pin: Pin<'_>) -> Result<bool, StoreError> {
        Ok(locked(&self.pins).remove(&named(pin)).is_some())
    }

    /// Always succeeds at once: no other program uses this store.
    fn turn<'a>(&'a self, _: At<'a>, _: Wait) -> BoxFuture<'a, Result<Turn, StoreError>> {
        Box::pin(async { Ok(Turn { _lock: None }) })
    }

    fn is_visited(&self, _: &ResourceId) -> Result<bool, StoreError> {
        Ok(false)
    }
}
