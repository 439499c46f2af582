//! A transaction, which gives access to the tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Postgres, Sqlite};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::seal::Sealer;
use crate::session::Session;
use crate::sql::{Row, Value, corrupt, statement, values};
use crate::wait::{boxed, within};

/// Either database's transaction.
pub(crate) enum Connection {
    Postgres(Session<Postgres>),
    Sqlite(Session<Sqlite>),
}

/// A transaction. Its writes take effect when [`Tx::commit`] has returned; dropping it rolls them back.
///
/// After an error it cannot be used any more: on PostgreSQL every further statement fails. Drop it and deny access.
///
/// From [`crate::Store::begin`] it writes; from [`crate::Store::read`] it sees one snapshot and must not write.
pub struct Tx {
    pub(crate) connection: Connection,
    pub(crate) seal: Arc<Sealer>,
    pub(crate) limit: Duration,
    pub(crate) wake: Arc<Notify>,
    pub(crate) changed: BTreeSet<(ChangeKind, String)>,
    pub(crate) fault: Fault,
    /// Whether a statement changed anything.
    pub(crate) wrote: bool,
    /// The permit of strangers, if the transaction is for one.
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// The effect of a failed statement on its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A row existed already, or was missing. PostgreSQL then rolls back the whole transaction, SQLite only the
    /// statement.
    Conflict,
    /// No statement has failed.
    None,
    /// A statement failed for another reason. The database may have rolled the transaction back already; a further
    /// statement would then be a transaction of its own.
    Other,
}

impl Tx {
    /// Commits everything or nothing, and announces changes of what may be cached.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let changed = std::mem::take(&mut self.changed);
        let announces = !changed.is_empty();
        if announces {
            write_changes(&mut self, changed).await?;
        }
        self.check_usable()?;
        let Self { connection, wake, turn: _turn, .. } = self;
        match connection {
            Connection::Postgres(session) => session.commit().await?,
            Connection::Sqlite(session) => session.commit().await?,
        }
        if announces {
            wake.notify_one();
        }
        Ok(())
    }

    /// Rolls everything back, and waits until that is done.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.connection {
            Connection::Postgres(session) => session.rollback().await,
            Connection::Sqlite(session) => session.rollback().await,
        }
    }

    /// Returns whether there is anything to commit.
    pub fn has_written(&self) -> bool {
        self.wrote
    }

    /// Checks that everything so far happened inside the transaction. This does not rely on `COMMIT`, which PostgreSQL
    /// answers with success even if it has rolled everything back.
    fn check_usable(&self) -> Result<(), StoreError> {
        match (self.fault, &self.connection) {
            (Fault::None, _) | (Fault::Conflict, Connection::Sqlite(_)) => Ok(()),
            (Fault::Conflict | Fault::Other, _) => Err(StoreError::over()),
        }
    }

    /// Notes the outcome of a statement.
    fn noted<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        match &outcome {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => self.fault = Fault::Conflict,
            Err(_) => {
                self.fault = Fault::Other;
                match &mut self.connection {
                    Connection::Postgres(session) => session.replace(),
                    Connection::Sqlite(session) => session.replace(),
                }
            }
        }
        outcome
    }

    /// Notes that cached copies of this thing are stale after the commit.
    pub(crate) fn changed(&mut self, kind: ChangeKind, id: impl ToString) {
        self.changed.insert((kind, id.to_string()));
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        self.check_usable()?;
        let outcome = match &mut self.connection {
            Connection::Postgres(session) => {
                let work = boxed(statement::<Postgres>(sql, values).execute(session.connection()?));
                within(self.limit, "a statement", work).await.map(|done| done.rows_affected())
            }
            Connection::Sqlite(session) => {
                let work = boxed(statement::<Sqlite>(sql, values).execute(session.connection()?));
                within(self.limit, "a statement", work).await.map(|done| done.rows_affected())
            }
        };
        self.wrote |= outcome.as_ref().is_ok_and(|rows| *rows > 0);
        self.noted(outcome)
    }

    /// Runs a statement that changes at most one row, and returns whether it did.
    pub(crate) async fn execute_one(&mut self, sql: &'static str, values: Vec<Value>) -> Result<bool, StoreError> {
        Ok(self.execute(sql, values).await? > 0)
    }

    /// Returns all rows of a query, which has to limit their number itself.
    pub(crate) async fn fetch_all(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.check_usable()?;
        let outcome = match &mut self.connection {
            Connection::Postgres(session) => {
                let work = boxed(statement::<Postgres>(sql, values).fetch_all(session.connection()?));
                within(self.limit, "a statement", work).await.map(|rows| rows.into_iter().map(Row::from).collect())
            }
            Connection::Sqlite(session) => {
                let work = boxed(statement::<Sqlite>(sql, values).fetch_all(session.connection()?));
                within(self.limit, "a statement", work).await.map(|rows| rows.into_iter().map(Row::from).collect())
            }
        };
        let outcome: Result<Vec<Row>, StoreError> = outcome;
        self.wrote |= !sql.starts_with("SELECT") && outcome.as_ref().is_ok_and(|rows| !rows.is_empty());
        self.noted(outcome)
    }

    /// Returns the only row of a query, if there is one. The statement always runs to its end.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("changed", &self.changed).finish_non_exhaustive()
    }
}

macro_rules! nouns {
    ($($(#[$doc:meta])* $method:ident => $module:ident::$noun:ident;)*) => {
        impl Tx {
            $(
                $(#[$doc])*
                pub fn $method(&mut self) -> crate::$module::$noun<'_> {
                    crate::$module::$noun { tx: self }
                }
            )*
        }
    };
}
nouns! {
    /// Requests for access.
    access_requests => access_requests::AccessRequests;
    /// Approvals of single calls.
    approvals => approvals::Approvals;
    /// Used client assertions.
    assertions => assertions::Assertions;
    /// The records.
    audit => audit::Audit;
    /// Signed-in browsers.
    browser_sessions => browser_sessions::BrowserSessions;
    /// The known tools of servers.
    catalogue => catalogue::Catalogue;
    /// OAuth clients.
    clients => clients::Clients;
    /// Authorization codes.
    codes => codes::Codes;
    /// Secrets for upstreams, sealed.
    credentials => credentials::Credentials;
    /// Grants.
    grants => grants::Grants;
    /// Identities of users at identity providers.
    identities => identities::Identities;
    /// Signing keys, sealed.
    keys => keys::Keys;
    /// Accounts that people linked for servers.
    linked_accounts => linked_accounts::LinkedAccounts;
    /// Links that are not made yet.
    link_flows => link_flows::LinkFlows;
    /// Loans.
    loans => loans::Loans;
    /// Authorization requests that nobody has answered yet.
    pendings => pendings::Pendings;
    /// Sessions at providers from which browser sessions came.
    provider_sessions => sign_ins::ProviderSessions;
    /// Refresh tokens and their families.
    refresh_tokens => refresh_tokens::RefreshTokens;
    /// Rounds of calls that wait for an answer.
    rounds => rounds::Rounds;
    /// Groups of provisioning clients.
    scim_groups => scim_resources::ScimGroups;
    /// Tokens of provisioning clients.
    scim_tokens => scim_tokens::ScimTokens;
    /// Users of provisioning clients.
    scim_users => scim_resources::ScimUsers;
    /// Servers that were added while running.
    servers => servers::Servers;
    /// Settings of this instance.
    settings => settings::Settings;
    /// Links for setting a first password.
    setup_links => setup_links::SetupLinks;
    /// Browsers that were sent to a provider.
    sign_ins => sign_ins::SignIns;
    /// Tasks.
    tasks => tasks::Tasks;
    /// Failed attempts to log in.
    throttle => throttle::Throttle;
    /// Groups that the claims of providers name.
    user_groups => user_groups::UserGroups;
    /// Local users.
    users => users::Users;
}

/// Writes what a transaction changed, as the last thing before its commit.
async fn write_changes(tx: &mut Tx, changed: BTreeSet<(ChangeKind, String)>) -> Result<(), StoreError> {
    let count = i64::try_from(changed.len()).unwrap_or(i64::MAX);
    // INVARIANT: nothing but the commit follows, so that the row is locked for a short time, and no transaction
    // that holds it waits for another row.
    let row = tx
        .fetch_optional("UPDATE counters SET value = value + $1 WHERE name = 'changes' RETURNING value", values![count])
        .await?;
    let head = row.ok_or_else(|| corrupt("counters"))?.int("value")?;
    for ((kind, id), place) in changed.into_iter().zip(1..) {
        let seq = head - count + place;
        tx.execute("INSERT INTO changes (seq, kind, id) VALUES ($1, $2, $3)", values![seq, kind.as_str(), id]).await?;
    }
    if let Connection::Postgres(_) = tx.connection {
        tx.execute(crate::postgres::NOTIFY, values![]).await?;
    }
    Ok(())
}
