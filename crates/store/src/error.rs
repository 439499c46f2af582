//! What can go wrong with what is remembered, sorted by whose turn it is.

use crate::seal::SealError;

/// Why an operation on the store failed. "Not there" is never an error: that is `Ok(None)` or `Ok(false)`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row like this is there already, or it names another row that is not there (any more).
    #[error("the store refused `{what}`: it is there already, or refers to something that is gone")]
    Conflict {
        /// The constraint or the rule that refused.
        what: String,
    },
    /// A kept value cannot be read back: somebody else wrote to the database, or the file is damaged.
    #[error("the store holds something unreadable in `{what}`: restore a backup, or delete the row")]
    Corrupt {
        /// The column, or the database's own words.
        what: String,
    },
    /// There is no room for one more: the caller has as many of these as it may have at a time.
    #[error("there is no room for {what}")]
    Full {
        /// What there are too many of.
        what: &'static str,
    },
    /// The tables could not be brought to the version this program needs.
    #[error("the store's tables could not be brought up to date: use the newest program that has opened this store")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
    /// A sealed value could not be made or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The settings name no database that could be opened.
    #[error("the store's settings cannot be used: {what}")]
    Settings {
        /// What is wrong with them, and what to write instead.
        what: String,
    },
    /// The database refused a statement: a fault of this program.
    #[error("the database refused a statement")]
    Statement(#[source] Box<sqlx::Error>),
    /// The database cannot be reached, is too busy, or did not answer in time. Whoever asks must deny.
    #[error("the store is not available: {what}")]
    Unavailable {
        /// What was waited for, or the database's own words.
        what: String,
    },
}

impl StoreError {
    /// Whether the same operation may succeed later without anybody changing anything.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// A statement that comes after one that failed.
    pub(crate) fn over() -> Self {
        Self::Unavailable { what: "the transaction failed before".to_owned() }
    }

    pub(crate) fn timed_out(what: &'static str) -> Self {
        Self::Unavailable { what: format!("{what} took too long") }
    }
}

/// What the module of one database makes of a code of its own.
pub(crate) enum Code {
    /// The data are damaged.
    Corrupt,
    /// Nobody but us can be blamed.
    Ours,
    /// Busy, full, stopped, gone, or another transaction was in the way.
    Unavailable,
}
