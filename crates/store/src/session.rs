//! The connection of one transaction, and its return to the pool afterwards.
//!
//! INVARIANT: a connection goes back to its pool only after the database has confirmed that the transaction ended. If
//! `COMMIT` or `ROLLBACK` fails, or is not answered in time, the connection is closed and the pool opens another one.
//! The driver's own `Transaction` does not do this: after a full disk or an I/O error SQLite has ended the transaction by
//! itself, the driver's `ROLLBACK` then fails, the driver goes on counting an open transaction on that connection, and
//! every later `BEGIN` on it is refused.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Executor, Pool, Postgres, Sqlite};

use crate::error::StoreError;
use crate::wait::{boxed, within};

/// The difference between the two databases that matters here.
pub(crate) trait Kind: Database {
    /// The longest wait for a connection to close. Until it is closed, its place in the pool stays taken.
    const CLOSE_WAIT: Duration;
}

impl Kind for Postgres {
    /// A server that cannot be reached does not answer the closing message.
    const CLOSE_WAIT: Duration = Duration::from_secs(2);
}

impl Kind for Sqlite {
    /// A disk that does not answer blocks the connection's thread. Another connection would only block another thread
    /// on the same disk.
    const CLOSE_WAIT: Duration = Duration::MAX;
}

/// A connection inside a transaction. Dropping it rolls the transaction back in the background.
pub(crate) struct Session<D: Kind>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// `None` once the transaction has ended.
    connection: Option<PoolConnection<D>>,
    limit: Duration,
}

impl<D: Kind> Session<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// Takes a connection and begins a transaction on it.
    pub(crate) async fn begin(pool: &Pool<D>, begin: &'static str, limit: Duration) -> Result<Self, StoreError> {
        let connection = pool.acquire().await?;
        // From here on, a cancelled future drops the session, which rolls back.
        let mut session = Self { connection: Some(connection), limit };
        match sqlx::raw_sql(begin).execute(session.connection()?).await {
            Ok(_) => Ok(session),
            Err(error) => {
                session.replace();
                Err(error.into())
            }
        }
    }

    /// Returns the connection, for a statement.
    pub(crate) fn connection(&mut self) -> Result<&mut D::Connection, StoreError> {
        self.connection.as_deref_mut().ok_or_else(StoreError::over)
    }

    /// Commits. After an error, it is not known whether the transaction was committed.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT", "committing").await
    }

    /// Rolls back, and waits until that is done.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK", "rolling back").await
    }

    async fn end(mut self, statement: &'static str, what: &'static str) -> Result<(), StoreError> {
        let limit = self.limit;
        let ended = within(limit, what, boxed(sqlx::raw_sql(statement).execute(self.connection()?))).await;
        match ended {
            Ok(_) => {
                self.give_back();
                Ok(())
            }
            Err(error) => {
                self.replace();
                Err(error)
            }
        }
    }

    /// Closes the connection, whatever state it is in.
    pub(crate) fn replace(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(close(connection));
        }
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(give_back(connection, self.limit));
        }
    }
}

impl<D: Kind> Drop for Session<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let limit = self.limit;
        tokio::spawn(async move {
            // A cancelled statement is finished first, because a connection answers in order.
            let undone =
                within(limit, "rolling back", boxed(sqlx::raw_sql("ROLLBACK").execute(&mut *connection))).await;
            match undone {
                Ok(_) => give_back(connection, limit).await,
                Err(_) => close(connection).await,
            }
        });
    }
}

/// Returns a connection to its pool. The driver pings the database first; a connection that does not answer in time is
/// dropped.
async fn give_back<D: Kind>(mut connection: PoolConnection<D>, limit: Duration) {
    let _ = tokio::time::timeout(limit, connection.return_to_pool()).await;
}

async fn close<D: Kind>(connection: PoolConnection<D>) {
    let closed = tokio::time::timeout(D::CLOSE_WAIT, connection.close()).await;
    tracing::debug!(?closed, "a connection whose transaction did not end as it should was closed");
}
