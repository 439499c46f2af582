//! Errors of the store, sorted by what the caller has to do.

use crate::seal::SealError;

/// Why an operation on the store failed. A missing row is not an error, but `Ok(None)` or `Ok(false)`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row exists already, or refers to another row that does not exist (any more).
    #[error("the store refused `{what}`: it is there already, or refers to something that is gone")]
    Conflict {
        /// The constraint or the rule that was violated.
        what: String,
    },
    /// A stored value cannot be read: somebody else wrote to the database, or the file is damaged.
    #[error("the store holds something unreadable in `{what}`: restore a backup, or delete the row")]
    Corrupt {
        /// The column, or the database's message.
        what: String,
    },
    /// There are as many of these as are allowed at a time.
    #[error("there is no room for {what}")]
    Full {
        /// The thing that there are too many of.
        what: &'static str,
    },
    /// The tables could not be migrated to the version that this program needs.
    #[error("the store's tables could not be brought up to date: use the newest program that has opened this store")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
    /// A sealed value could not be made or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The settings do not name a database that can be opened.
    #[error("the store's settings cannot be used: {what}")]
    Settings {
        /// What is wrong with the settings, and what to write instead.
        what: String,
    },
    /// The database refused a statement, which is a bug in this program.
    #[error("the database refused a statement")]
    Statement(#[source] Box<sqlx::Error>),
    /// The database cannot be reached, is too busy, or did not answer in time. The caller must deny access.
    #[error("the store is not available: {what}")]
    Unavailable {
        /// What was waited for, or the database's message.
        what: String,
    },
}

impl StoreError {
    /// Returns whether the same operation may succeed later without any change.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Returns the error for a statement after a failed one.
    pub(crate) fn over() -> Self {
        Self::Unavailable { what: "the transaction failed before".to_owned() }
    }

    pub(crate) fn timed_out(what: &'static str) -> Self {
        Self::Unavailable { what: format!("{what} took too long") }
    }
}

/// The meaning of a database's own error code.
pub(crate) enum Code {
    /// The data are damaged.
    Corrupt,
    /// A bug in this program.
    Ours,
    /// The database is busy, full, stopped or gone, or another transaction was in the way.
    Unavailable,
}
