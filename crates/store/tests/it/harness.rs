//! One test body, run on both databases, each time with a fresh one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_store::{ChangeFeed, FeedEvent, SealKey, Store, StoreError, StoreSettings, StoreUrl, Tx};
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
    async fn new(url: StoreUrl) -> Self {
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
        match &self.url {
            StoreUrl::Postgres(url) => {
                let options: PgConnectOptions = url.parse().expect("a URL");
                Raw::Postgres(options.connect().await.expect("connecting"))
            }
            StoreUrl::Sqlite(path) => {
                Raw::Sqlite(SqliteConnectOptions::new().filename(path).connect().await.expect("connecting"))
            }
        }
    }
}

/// A connection beside the store.
pub(crate) enum Raw {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Raw {
    pub(crate) async fn execute(&mut self, sql: &'static str) {
        match self {
            Self::Postgres(connection) => drop(sqlx::raw_sql(sql).execute(connection).await.expect(sql)),
            Self::Sqlite(connection) => drop(sqlx::raw_sql(sql).execute(connection).await.expect(sql)),
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

/// Does something in transactions of its own until it is not in another's way: of two transactions that wait for each
/// other PostgreSQL ends one, which has then done nothing. `false`: a rule refused.
pub(crate) async fn try_until_done(
    store: &Store,
    act: impl AsyncFn(&mut Tx) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    loop {
        let mut tx = store.begin().await?;
        match act(&mut tx).await {
            Ok(done) => return tx.commit().await.map(|()| done),
            Err(StoreError::Conflict { .. }) => return Ok(false),
            Err(StoreError::Unavailable { .. }) => {}
            Err(other) => return Err(other),
        }
    }
}

/// What a transaction announces, by kind and identifier, in the order of the feed. It must announce something.
pub(crate) async fn announced(feed: &mut ChangeFeed, tx: Tx) -> Vec<(ChangeKind, String)> {
    tx.commit().await.expect("committing");
    let mut told = Vec::new();
    // Whatever was committed before is told first; the last transaction's changes come together.
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(700), feed.next()).await {
        let FeedEvent::Change(change) = event else { panic!("{event:?}") };
        told.push((change.kind, change.id));
    }
    told
}

/// The next event, which must not take long.
pub(crate) async fn next(feed: &mut ChangeFeed) -> FeedEvent {
    tokio::time::timeout(Duration::from_secs(10), feed.next()).await.expect("an event within ten seconds")
}
