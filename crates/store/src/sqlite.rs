//! The parts specific to SQLite: the file, one writing connection, readers, the reserve for a full disk, and noticing
//! commits of other processes.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite};

use crate::changes::{HEAD, POLL, Polled, Source};
use crate::error::{Code, StoreError};
use crate::reserve::Reserve;
use crate::session::Session;
use crate::sql::{Row, statement, values};

/// An open SQLite database.
pub(crate) struct SqliteDatabase {
    file: DatabaseFile,
    writer: SqlitePool,
    readers: SqlitePool,
    limit: Duration,
    reserve: Reserve,
}

/// The most bytes that the write-ahead log keeps when it restarts: a long reader may have made it grow.
const LOG_BYTES_KEPT: &str = "16777216";

impl SqliteDatabase {
    /// Opens the database; on a full disk, with space from the reserve.
    pub(crate) async fn open(path: &Path, readers_max: u32, limit: Duration) -> Result<Self, StoreError> {
        let reserve = Reserve::beside(path);
        match Self::open_in(path, readers_max, limit, reserve.clone()).await {
            Err(error @ StoreError::Unavailable { .. }) if reserve.give_up_some() => {
                tracing::warn!(%error, "the store could not be opened; trying again with the room kept for a full disk");
                Self::open_in(path, readers_max, limit, reserve).await
            }
            opened => opened,
        }
    }

    async fn open_in(path: &Path, readers_max: u32, limit: Duration, reserve: Reserve) -> Result<Self, StoreError> {
        let file = DatabaseFile::open(path)?;
        let options = SqliteConnectOptions::from_str("sqlite://")?
            .filename(path)
            .create_if_missing(false)
            .busy_timeout(limit)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("trusted_schema", "OFF")
            .pragma("journal_size_limit", LOG_BYTES_KEPT)
            .disable_statement_logging();
        // A single writing connection: SQLite has only one writer anyway, and waiting in our queue is fair.
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
        migrate(&writer).await?;
        // One more than requested, because the change feed keeps one.
        let readers =
            pool.max_connections(readers_max.saturating_add(1)).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { file, writer, readers, limit, reserve })
    }

    /// Begins a transaction that holds the write lock from its beginning, so it never has to be retried.
    pub(crate) async fn begin(&self) -> Result<Session<Sqlite>, StoreError> {
        self.file.check()?;
        Session::begin(&self.writer, "BEGIN IMMEDIATE", self.limit).await
    }

    pub(crate) async fn read(&self) -> Result<Session<Sqlite>, StoreError> {
        self.file.check()?;
        Session::begin(&self.readers, "BEGIN DEFERRED", self.limit).await
    }

    /// Fills the reserve for the time when the disk is full.
    pub(crate) fn keep_reserve(&self) -> Result<(), StoreError> {
        self.reserve
            .fill()
            .map_err(|error| StoreError::Unavailable { what: format!("keeping room on the disk: {error}") })
    }

    /// Gives up the reserve, and copies the log into the database, so that the next deletions can be written. Returns
    /// whether there was a reserve.
    pub(crate) async fn give_up_reserve(&self) -> Result<bool, StoreError> {
        if !self.reserve.give_up() {
            return Ok(false);
        }
        let mut connection = self.writer.acquire().await?;
        statement::<Sqlite>("PRAGMA wal_checkpoint(TRUNCATE)", values![]).fetch_all(&mut *connection).await?;
        Ok(true)
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn source(&self) -> SqliteSource {
        SqliteSource { file: self.file.clone(), readers: self.readers.clone(), watching: None }
    }
}

/// Migrates the database. SQLite has no lock for migrating: if two programs open a new file at once, one fails. It then
/// takes the write lock and applies what the other has left. A file that is up to date is opened without that lock,
/// even if somebody else holds it.
async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = writer.acquire().await?;
    let migrator = crate::migrations::sqlite();
    if migrator.run_direct(None, &mut *connection, false).await.is_ok() {
        return Ok(());
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator.run_direct(None, &mut *tx, false).await.map_err(crate::migrations::failed)?;
    Ok(tx.commit().await?)
}

/// The opened file, to notice if it is replaced or deleted.
///
/// A deleted file could still be written to, and everything acknowledged since would be lost with the process.
#[derive(Clone)]
struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl DatabaseFile {
    /// Finds or creates the file, for its owner only. SQLite gives its companion files the same mode.
    fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |what: &str, error: std::io::Error| StoreError::Settings {
            what: format!("`{}` {what}: {error}", path.display()),
        };
        // An existing file must not be opened here: closing it again would drop the locks that SQLite holds on it
        // for this process.
        let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match created {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mode = std::fs::metadata(path).map_err(|error| fault("cannot be examined", error))?.mode();
                if mode & 0o077 != 0 {
                    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                        .map_err(|error| fault("is open to others and that cannot be changed", error))?;
                }
            }
            Err(error) => return Err(fault("cannot be created", error)),
        }
        let metadata = std::fs::metadata(path).map_err(|error| fault("cannot be examined", error))?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    fn check(&self) -> Result<(), StoreError> {
        let same =
            std::fs::metadata(&self.path).is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if same {
            Ok(())
        } else {
            Err(StoreError::Unavailable { what: format!("`{}` was removed or replaced", self.path.display()) })
        }
    }
}

/// Reads changes on a connection of its own, whose `data_version` changes with every commit of another connection.
pub(crate) struct SqliteSource {
    file: DatabaseFile,
    readers: SqlitePool,
    watching: Option<Watching>,
}

struct Watching {
    connection: PoolConnection<Sqlite>,
    /// The `data_version`, which is only valid for this connection.
    version: Option<i64>,
}

impl SqliteSource {
    /// Returns the number of the last change.
    pub(crate) async fn head(&self) -> Result<i64, StoreError> {
        let row = statement::<Sqlite>(HEAD, values![]).fetch_one(&self.readers).await?;
        Row::from(row).int("head")
    }
}

impl Source for SqliteSource {
    const INTERVAL: Duration = Duration::from_millis(100);

    async fn poll(&mut self, place: i64) -> Result<Option<Polled>, StoreError> {
        self.file.check()?;
        // Taken out while it is used: if the poll fails or is cancelled, the next one starts with a new connection.
        let mut watching = match self.watching.take() {
            Some(watching) => watching,
            None => Watching { connection: self.readers.acquire().await?, version: None },
        };
        match watching.poll(place).await {
            Ok(polled) => {
                self.watching = Some(watching);
                Ok(polled)
            }
            Err(error) => {
                watching.connection.close_on_drop();
                Err(error)
            }
        }
    }
}

impl Watching {
    async fn poll(&mut self, place: i64) -> Result<Option<Polled>, StoreError> {
        let row = statement::<Sqlite>("PRAGMA data_version", values![]).fetch_one(&mut *self.connection).await?;
        let version = Row::from(row).int("data_version")?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let rows = statement::<Sqlite>(POLL, values![place]).fetch_all(&mut *self.connection).await?;
        let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
        let polled = Polled::read(&rows)?;
        // After a full page there may be more changes, so poll again whatever the version is.
        self.version = (polled.changes.len() < crate::changes::POLL_ROWS).then_some(version);
        Ok(Some(polled))
    }
}

/// Classifies a result code, whose low byte is the primary code (sqlite.org/rescode.html).
pub(crate) fn classify(code: &str) -> Code {
    match code.parse::<i32>().map(|code| code & 0xff) {
        // CORRUPT, NOTADB
        Ok(11 | 26) => Code::Corrupt,
        // PERM, BUSY, LOCKED, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        Ok(3 | 5 | 6 | 8 | 9 | 10 | 13 | 14 | 15) => Code::Unavailable,
        _ => Code::Ours,
    }
}
