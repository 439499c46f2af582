//! One test body, run on both databases, each time with a fresh one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_store::{ChangeFeed, ChangeKind, FeedEvent, SealKey, Store, StoreError, StoreSettings, StoreUrl, Tx};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _, SqliteConnection};
use tokio::sync::Barrier;

use crate::postgres::TestDatabase;

/// What a test body is given.
pub(crate) struct World {
    /// The store.
    pub(crate) store: Store,
    /// Where its database is.
    pub(crate) url: StoreUrl,
    /// The moment at which the test begins.
    pub(crate) now: Timestamp,
    /// Where the test's identifiers come from.
    pub(crate) entropy: Arc<SeededEntropy>,
}

/// The seal key of every test's store.
pub(crate) fn seal_key() -> SealKey {
    SealKey::from_bytes([7; 32])
}

/// Settings that do not give up under the load of many tests. Those about giving up bring their own.
pub(crate) fn patient(url: StoreUrl) -> StoreSettings {
    StoreSettings { readers_max: 16, acquire_timeout: Duration::from_secs(30), ..StoreSettings::new(url, seal_key()) }
}

impl World {
    pub(crate) async fn new(url: StoreUrl) -> Self {
        let store = Store::open(patient(url.clone())).await.expect("the store opens");
        Self { store, url, now: ManualClock::default().now(), entropy: Arc::default() }
    }

    /// Another store on the same database, as another node or another process would open it.
    pub(crate) async fn another_store(&self) -> Store {
        Store::open(patient(self.url.clone())).await.expect("the store opens again")
    }

    /// The moment so many seconds after the test began.
    pub(crate) fn at(&self, seconds: u32) -> Timestamp {
        after(self.now, seconds)
    }

    /// A transaction that writes.
    pub(crate) async fn begin(&self) -> Tx {
        self.store.begin().await.expect("a transaction begins")
    }

    /// The database as somebody sees it who goes around the store.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(&self.url).await
    }
}

/// A connection beside the store.
pub(crate) enum Raw {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Raw {
    /// Connects to a database; a file is made if it is not there.
    pub(crate) async fn connect(url: &StoreUrl) -> Self {
        match url {
            StoreUrl::Postgres(url) => {
                let options: PgConnectOptions = url.parse().expect("a URL");
                Self::Postgres(options.connect().await.expect("connecting"))
            }
            StoreUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
                Self::Sqlite(options.connect().await.expect("connecting"))
            }
        }
    }

    pub(crate) async fn execute(&mut self, sql: &'static str) {
        match self {
            Self::Postgres(connection) => drop(sqlx::raw_sql(sql).execute(connection).await.expect(sql)),
            Self::Sqlite(connection) => drop(sqlx::raw_sql(sql).execute(connection).await.expect(sql)),
        }
    }

    /// The same for a statement with bytes in it.
    pub(crate) async fn execute_with(&mut self, sql: &'static str, bytes: Vec<u8>) {
        match self {
            Self::Postgres(connection) => drop(sqlx::query(sql).bind(bytes).execute(connection).await.expect(sql)),
            Self::Sqlite(connection) => drop(sqlx::query(sql).bind(bytes).execute(connection).await.expect(sql)),
        }
    }

    /// Waits until a statement of this database waits for a row. On SQLite whoever is to write waits before its first
    /// statement, so there is nothing to wait for.
    pub(crate) async fn until_somebody_waits(&mut self) {
        let Self::Postgres(connection) = self else { return };
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query(waiting).fetch_all(&mut *connection).await.expect(waiting).is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// The column `found`, of bytes, of every row.
    pub(crate) async fn blobs(&mut self, sql: &'static str) -> Vec<Vec<u8>> {
        match self {
            Self::Postgres(connection) => {
                let rows = sqlx::query(sql).fetch_all(connection).await.expect(sql);
                rows.iter().map(|row| row.get("found")).collect()
            }
            Self::Sqlite(connection) => {
                let rows = sqlx::query(sql).fetch_all(connection).await.expect(sql);
                rows.iter().map(|row| row.get("found")).collect()
            }
        }
    }
}

/// Runs `body` on SQLite in a temporary file.
pub(crate) async fn on_sqlite<F: Future<Output = ()>>(body: impl FnOnce(World) -> F) {
    eprintln!("on SQLite:");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("store.db");
    body(World::new(StoreUrl::Sqlite(path)).await).await;
}

/// Runs `body` on a PostgreSQL database of its own.
pub(crate) async fn on_postgres<F: Future<Output = ()>>(body: impl FnOnce(World) -> F) {
    eprintln!("on PostgreSQL:");
    let database = TestDatabase::create().await;
    body(World::new(StoreUrl::Postgres(database.url.clone())).await).await;
    database.drop().await;
}

/// Runs `body` on each database. Both must be there: nothing is skipped.
pub(crate) async fn on_both<F: Future<Output = ()>>(body: impl Fn(World) -> F) {
    on_sqlite(&body).await;
    on_postgres(&body).await;
}

/// How many contend in a race.
pub(crate) const CONTENDERS: u32 = 64;

/// Lets [`CONTENDERS`] tasks do the same thing at the same moment, half of them through a second store on the same
/// database, each in a transaction that is committed if it succeeds. Gives what they found.
pub(crate) async fn race<T, F>(world: &World, act: impl Fn(Store, u32) -> F) -> Vec<Result<T, StoreError>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let stores = [world.store.clone(), world.another_store().await];
    let line = Arc::new(Barrier::new(CONTENDERS as usize));
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|number| {
            let work = act(stores[(number % 2) as usize].clone(), number);
            let line = Arc::clone(&line);
            tokio::spawn(async move {
                line.wait().await;
                work.await
            })
        })
        .collect();
    let mut found = Vec::new();
    for contender in contenders {
        found.push(contender.await.expect("a contender does not panic"));
    }
    found
}

/// How many contenders won.
pub(crate) fn winners(found: Vec<Result<bool, StoreError>>) -> usize {
    found.into_iter().map(|result| result.expect("a contender is answered")).filter(|won| *won).count()
}

/// What doing something in a transaction announces, in the order of the feed.
pub(crate) async fn announced(world: &World, act: impl AsyncFnOnce(&mut Tx)) -> Vec<(ChangeKind, String)> {
    let mut feed = world.store.changes();
    let mut told = Vec::new();
    mark(world, "before").await;
    let mut tx = world.begin().await;
    act(&mut tx).await;
    tx.commit().await.expect("committing");
    mark(world, "after").await;
    loop {
        let FeedEvent::Change(change) = next(&mut feed).await else { panic!("a gap") };
        match (change.kind, change.id.as_str()) {
            // The feed may first have told of earlier changes.
            (ChangeKind::Setting, "before") => told.clear(),
            (ChangeKind::Setting, "after") => return told,
            (kind, _) => told.push((kind, change.id)),
        }
    }
}

async fn mark(world: &World, name: &str) {
    let mut tx = world.begin().await;
    tx.settings().put(name, "mark").await.expect("marking");
    tx.commit().await.expect("committing");
}

/// The next event, which must not take long.
pub(crate) async fn next(feed: &mut ChangeFeed) -> FeedEvent {
    tokio::time::timeout(Duration::from_secs(10), feed.next()).await.expect("an event within ten seconds")
}
