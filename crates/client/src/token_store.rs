//! What a client keeps between two runs: tokens by server, registrations by issuer (CL-06, CL-18, CL-38), and facts that
//! only a person removes ([`Pin`]).

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

    /// Our registration at an issuer (RFC 7591).
    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError>;

    /// Keeps it, in place of what the issuer knew before.
    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError>;

    /// Forgets it: the issuer does not know us any more.
    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError>;

    /// Pins this to `issuer`, if it is not pinned yet. The issuer to which it is pinned.
    fn pin(&self, pin: Pin<'_>, issuer: &str) -> Result<String, StoreError>;

    /// The issuer to which this is pinned.
    fn pinned(&self, pin: Pin<'_>) -> Result<Option<String>, StoreError>;

    /// Removes a pin; only for a command of a person. Whether there was one.
    fn unpin(&self, pin: Pin<'_>) -> Result<bool, StoreError>;

    /// Waits for our turn: of all programs that share the store, one at a time has it.
    fn turn<'a>(&'a self, at: At<'a>, wait: Wait) -> BoxFuture<'a, Result<Turn, StoreError>>;

    /// Whether a program waits for a person who logs in to this server.
    fn is_visited(&self, server: &ResourceId) -> Result<bool, StoreError>;
}

/// A fact that belongs to one issuer. No answer of a server changes or removes it.
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
    /// Its kind and its name.
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
    /// Waiting for a person who logs in to a server. The program has its turn at that server already.
    Visit(&'a ResourceId),
}

/// How long a program waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Also while another program waits for a person.
    ForPeople,
    /// Only while other programs exchange something. If one waits for a person, that is an error at once.
    ForPrograms,
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
    /// Another program waits for a person who logs in.
    #[error(
        "a login to `{resource}` has begun in another program and is not finished: finish it there, then try again"
    )]
    Unfinished {
        /// The resource.
        resource: String,
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

    /// No other program uses this store.
    fn turn<'a>(&'a self, _: At<'a>, _: Wait) -> BoxFuture<'a, Result<Turn, StoreError>> {
        Box::pin(async { Ok(Turn { _lock: None }) })
    }

    fn is_visited(&self, _: &ResourceId) -> Result<bool, StoreError> {
        Ok(false)
    }
}
