//! One store over one database of either kind.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::env::Timestamp;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::task::AbortHandle;

use crate::changes::{self, CHANGES_KEPT, ChangeFeed, Cursor, FEED_LEN, FeedEvent};
use crate::error::StoreError;
use crate::postgres::PostgresDatabase;
use crate::seal::{Purpose, SealError, SealKey, Sealer, SecretBytes};
use crate::sql::values;
use crate::sqlite::SqliteDatabase;
use crate::tx::{Connection, Fault, Tx};
use crate::wait::{boxed, within};

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A PostgreSQL connection URL (`postgres://…`); it may hold a password.
    Postgres(String),
    /// A file, which is created if it does not exist. Its folder must exist.
    Sqlite(PathBuf),
}

impl Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(_) => f.write_str("Postgres(…)"),
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
        }
    }
}

impl std::str::FromStr for StoreUrl {
    type Err = StoreError;

    /// Reads `sqlite:PATH` or `postgres://…`.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(StoreError::Settings { what: "expected `sqlite:PATH` or `postgres://…`".to_owned() }),
        }
    }
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Where the database is.
    pub url: StoreUrl,
    /// The key that seals its secrets.
    pub seal_key: SealKey,
    /// The most transactions that read at a time; on PostgreSQL the most connections.
    pub readers_max: u32,
    /// The longest wait for a transaction to begin, and for any one statement. After that, the store counts as
    /// unavailable.
    pub acquire_timeout: Duration,
}

impl StoreSettings {
    /// Settings with the usual bounds: eight readers, two seconds.
    pub fn new(url: StoreUrl, seal_key: SealKey) -> Self {
        Self { url, seal_key, readers_max: 8, acquire_timeout: Duration::from_secs(2) }
    }
}

/// The store. Cheap to clone; all clones share one database.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    seal: Arc<Sealer>,
    limit: Duration,
    wake: Arc<Notify>,
    /// The single permit for strangers to write, and the places for those who wait for it.
    strangers: Strangers,
    /// Only the task that reads changes holds a strong reference, so that listeners notice when it ends.
    feed: broadcast::WeakSender<FeedEvent>,
    tasks: Vec<AbortHandle>,
}

struct Strangers {
    turn: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The most transactions of strangers that wait for their turn; more are refused at once. Each takes about 2 ms, so all
/// of them get their turn in time.
const STRANGERS_WAITING_MAX: usize = 512;

/// How long closing waits for connections to a database that does not answer.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The statement that removes some rows of a table by their key.
macro_rules! sweep {
    ($table:literal, $key:literal, $ended:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $ended,
            " LIMIT $2)"
        )
    };
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

enum Database {
    Postgres(PostgresDatabase),
    Sqlite(SqliteDatabase),
}

/// The setting that names the seal key, so that a wrong key file is noticed when the store is opened.
const SEAL_KEY_SETTING: &str = "store.seal_key";

/// How long authorization codes are kept after they were issued, in milliseconds, to recognise a replay.
const CODES_KEPT_MILLIS: i64 = 86_400_000;

/// The most rows that one transaction of the sweep deletes, so that others get a turn in between.
pub const SWEEP_ROWS: i64 = 1_000;

/// How long approvals are kept after they expired, in milliseconds.
const APPROVALS_KEPT_MILLIS: i64 = 86_400_000;

/// How long tasks, requests for access and loans are shown after their end, in milliseconds: 90 days.
const HISTORY_KEPT_MILLIS: i64 = 90 * 86_400_000;

/// The tables whose rows expire: the statement that deletes [`SWEEP_ROWS`] of them, and how long they are kept after
/// they expired, in milliseconds.
const ENDING: [(&str, i64); 14] = [
    (sweep!("pendings", "id", "expires_at <= $1"), 0),
    (sweep!("codes", "digest", "issued_at <= $1"), CODES_KEPT_MILLIS),
    (sweep!("browser_sessions", "digest", "expires_at <= $1"), 0),
    (sweep!("sign_ins", "digest", "expires_at <= $1"), 0),
    (sweep!("link_flows", "digest", "expires_at <= $1"), 0),
    (sweep!("setup_links", "digest", "expires_at <= $1"), 0),
    (sweep!("assertions", "digest", "expires_at <= $1"), crate::assertions::MARGIN_MILLIS),
    (sweep!("refresh_tokens", "digest", "expires_at <= $1"), 0),
    (sweep!("approvals", "id", "expires_at <= $1"), APPROVALS_KEPT_MILLIS),
    (sweep!("audit_arguments", "request", "expires_at <= $1"), 0),
    (sweep!("rounds", "digest", "expires_at <= $1"), 0),
    (sweep!("access_requests", "id", "expires_at <= $1"), HISTORY_KEPT_MILLIS),
    (sweep!("loans", "id", "expires_at <= $1"), HISTORY_KEPT_MILLIS),
    // A task that is over is kept while it is still the current one of a grant.
    (
        sweep!(
            "tasks",
            "id",
            "COALESCE(ended_at, ends_at) <= $1 AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.task = tasks.id)
                 AND NOT EXISTS (SELECT 1 FROM tasks inner_task WHERE inner_task.parent = tasks.id)"
        ),
        HISTORY_KEPT_MILLIS,
    ),
];

/// Deletes families whose last token was deleted by the sweep.
const EMPTY_FAMILIES: &str = sweep!(
    "refresh_families",
    "grant_id",
    "NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.grant_id = refresh_families.grant_id) AND $1 = 0"
);

/// Deletes old changes.
const OLD_CHANGES: &str = sweep!("changes", "seq", "seq <= (SELECT value FROM counters WHERE name = 'changes') - $1");

impl Store {
    /// Opens the database, migrates its tables, checks that the seal key belongs to it, and starts to read its changes.
    /// Must be called inside a Tokio runtime.
    pub async fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let limit = settings.acquire_timeout;
        let seal = Arc::new(Sealer::new(&settings.seal_key)?);
        let wake = Arc::new(Notify::new());
        let (sender, _) = broadcast::channel(FEED_LEN);
        let feed = sender.downgrade();
        let (database, tasks) = match &settings.url {
            StoreUrl::Postgres(url) => {
                let database = PostgresDatabase::open(url, settings.readers_max, limit).await?;
                let source = database.source();
                let cursor = Cursor::at(within(limit, "reading changes", source.head()).await?);
                let tail = tokio::spawn(changes::tail(source, cursor, Arc::clone(&wake), sender, limit));
                let listener = tokio::spawn(database.listener(Arc::clone(&wake)));
                (Database::Postgres(database), vec![tail.abort_handle(), listener.abort_handle()])
            }
            StoreUrl::Sqlite(path) => {
                let database = SqliteDatabase::open(path, settings.readers_max, limit).await?;
                let source = database.source();
                let cursor = Cursor::at(within(limit, "reading changes", source.head()).await?);
                let tail = tokio::spawn(changes::tail(source, cursor, Arc::clone(&wake), sender, limit));
                (Database::Sqlite(database), vec![tail.abort_handle()])
            }
        };
        let strangers = Strangers { turn: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(STRANGERS_WAITING_MAX) };
        let store = Self { inner: Arc::new(Inner { database, seal, limit, wake, strangers, feed, tasks }) };
        store.check_seal_key().await?;
        Ok(store)
    }

    /// Checks the seal key: a store can only be opened with the key that it was first opened with.
    async fn check_seal_key(&self) -> Result<(), StoreError> {
        let name = self.inner.seal.key_name();
        let kept = self.read().await?.settings().get(SEAL_KEY_SETTING).await?;
        let kept = match kept {
            Some(kept) => kept,
            None => self.keep_seal_key(&name).await?,
        };
        if kept == name { Ok(()) } else { Err(SealError::OtherKey.into()) }
    }

    async fn keep_seal_key(&self, name: &str) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            values![SEAL_KEY_SETTING, name],
        )
        .await?;
        let kept = tx.settings().get(SEAL_KEY_SETTING).await?.unwrap_or_default();
        tx.commit().await?;
        Ok(kept)
    }

    /// Begins a transaction that writes.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let connecting = boxed(async {
            Ok::<_, StoreError>(match &self.inner.database {
                Database::Postgres(database) => Connection::Postgres(database.begin().await?),
                Database::Sqlite(database) => Connection::Sqlite(database.begin().await?),
            })
        });
        let connection = within(self.inner.limit, "waiting for the database", connecting);
        Ok(self.transaction(connection.await?))
    }

    /// Begins a transaction that writes for somebody without any proven authority: a failed login, an authorization
    /// request, a registration. Only one such transaction runs at a time, so whatever strangers send, everybody else
    /// waits for at most one of them.
    pub async fn begin_for_stranger(&self) -> Result<Tx, StoreError> {
        let Strangers { turn, waiting } = &self.inner.strangers;
        let full = |_| StoreError::Unavailable { what: "too many strangers wait for the database".to_owned() };
        let place = waiting.try_acquire().map_err(full)?;
        let coming = async { Arc::clone(turn).acquire_owned().await.map_err(|_| StoreError::over()) };
        let turn = within(self.inner.limit, "waiting for the database", coming).await?;
        drop(place);
        let tx = self.begin().await?;
        Ok(Tx { turn: Some(turn), ..tx })
    }

    /// Begins a transaction that only reads, from one snapshot.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let connecting = boxed(async {
            Ok::<_, StoreError>(match &self.inner.database {
                Database::Postgres(database) => Connection::Postgres(database.read().await?),
                Database::Sqlite(database) => Connection::Sqlite(database.read().await?),
            })
        });
        let connection = within(self.inner.limit, "waiting for the database", connecting);
        Ok(self.transaction(connection.await?))
    }

    fn transaction(&self, connection: Connection) -> Tx {
        Tx {
            connection,
            seal: Arc::clone(&self.inner.seal),
            limit: self.inner.limit,
            wake: Arc::clone(&self.inner.wake),
            changed: BTreeSet::new(),
            fault: Fault::None,
            wrote: false,
            turn: None,
        }
    }

    /// Seals a text that a client will send back unread. `about` names what it is for; it can only be opened with the
    /// same `about`.
    pub fn seal_state(&self, about: &[&str], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.inner.seal.seal(Purpose::RequestState, about, plain)?)
    }

    /// Opens a text that [`Store::seal_state`] sealed with the same `about`. Anything else fails with
    /// [`StoreError::Seal`].
    pub fn open_state(&self, about: &[&str], sealed: &[u8]) -> Result<SecretBytes, StoreError> {
        Ok(SecretBytes::new(self.inner.seal.open(Purpose::RequestState, about, sealed)?.to_vec()))
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.inner.seal
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        tx.fetch_optional("SELECT value FROM counters WHERE name = 'changes'", values![]).await?;
        tx.rollback().await
    }

    /// Checks that the database accepts writes: writes one row, which is on the disk when this returns.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "INSERT INTO counters (name, value) VALUES ('probe', 1)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1",
            values![],
        )
        .await?;
        tx.commit().await
    }

    /// Reserves some disk space for the time when the disk is full, if the database is a file.
    pub fn keep_reserve(&self) -> Result<(), StoreError> {
        match &self.inner.database {
            Database::Postgres(_) => Ok(()),
            Database::Sqlite(database) => database.keep_reserve(),
        }
    }

    /// Gives up the reserved disk space, so that rows can be deleted on a full disk. Returns whether there was any.
    pub async fn give_up_reserve(&self) -> Result<bool, StoreError> {
        match &self.inner.database {
            Database::Postgres(_) => Ok(false),
            Database::Sqlite(database) => {
                within(self.inner.limit, "making room on the disk", database.give_up_reserve()).await
            }
        }
    }

    /// Subscribes to changes. It gets everything that is committed after this call, so fill a cache only afterwards.
    pub fn changes(&self) -> ChangeFeed {
        match self.inner.feed.upgrade() {
            Some(feed) => ChangeFeed::new(feed.subscribe()),
            // Closed: a receiver without a sender reports that at once.
            None => ChangeFeed::new(broadcast::channel(1).1),
        }
    }

    /// Deletes expired rows. Returns how many.
    ///
    /// Answered and expired authorization requests, codes of more than a day, ended sessions and links, failures
    /// long past, assertions that cannot come back, expired refresh tokens, clients that were never used, approvals
    /// a day after they expired, tasks, requests for access and loans 90 days after their end, and changes beyond the
    /// newest [`CHANGES_KEPT`].
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
        for (sql, kept_millis) in ENDING {
            swept += self.drain(sql, now.as_millisecond().saturating_sub(kept_millis)).await?;
        }
        self.drain(EMPTY_FAMILIES, 0).await?;
        loop {
            let mut tx = self.begin().await?;
            let clients = tx.clients().delete_expired(now).await?;
            let failures = tx.throttle().sweep(now).await?;
            tx.commit().await?;
            swept += clients + failures;
            if clients.max(failures) < SWEEP_ROWS.unsigned_abs() {
                break;
            }
        }
        Ok(swept + self.prune_changes(CHANGES_KEPT).await?)
    }

    /// Deletes all but the newest `keep` changes. A node that is further behind gets a gap.
    pub async fn prune_changes(&self, keep: i64) -> Result<u64, StoreError> {
        self.drain(OLD_CHANGES, keep).await
    }

    /// Runs a statement of the sweep until it deletes nothing more.
    async fn drain(&self, sql: &'static str, parameter: i64) -> Result<u64, StoreError> {
        let mut drained = 0;
        loop {
            let mut tx = self.begin().await?;
            let rows = tx.execute(sql, values![parameter, SWEEP_ROWS]).await?;
            tx.commit().await?;
            drained += rows;
            if rows < SWEEP_ROWS.unsigned_abs() {
                return Ok(drained);
            }
        }
    }

    /// Stops reading changes and closes every connection, waiting a limited time for open transactions.
    pub async fn close(&self) {
        self.inner.tasks.iter().for_each(AbortHandle::abort);
        let closing = async {
            match &self.inner.database {
                Database::Postgres(database) => database.close().await,
                Database::Sqlite(database) => database.close().await,
            }
        };
        if tokio::time::timeout(CLOSE_WAIT, closing).await.is_err() {
            tracing::warn!("the store was left open: a connection did not end");
        }
    }
}

impl Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.inner.database {
            Database::Postgres(_) => "Store(postgres)",
            Database::Sqlite(_) => "Store(sqlite)",
        })
    }
}
