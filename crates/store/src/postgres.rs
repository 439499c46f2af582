//! The parts specific to PostgreSQL: limits set at the server, snapshots, and notifications.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Postgres};
use tokio::sync::Notify;

use crate::changes::{HEAD, POLL, Polled, Source};
use crate::error::{Code, StoreError};
use crate::session::Session;
use crate::sql::{Row, statement, values};

/// Where commits are announced. The channel belongs to the database, so instances do not hear each other.
const CHANNEL: &str = "sekisho_changes";

/// Announces a commit when it happens.
pub(crate) const NOTIFY: &str = "SELECT pg_notify('sekisho_changes', '')";

/// An open PostgreSQL database.
pub(crate) struct PostgresDatabase {
    pool: PgPool,
    listening: PgPool,
    limit: Duration,
}

impl PostgresDatabase {
    pub(crate) async fn open(url: &str, connections_max: u32, limit: Duration) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?.application_name("sekisho").disable_statement_logging();
        migrate(&options, limit).await?;
        let millis = limit.as_millis().to_string();
        let options = options.options([
            ("statement_timeout", millis.as_str()),
            ("lock_timeout", millis.as_str()),
            // A node that hangs inside a transaction must not hold its locks for ever.
            ("idle_in_transaction_session_timeout", "30000"),
        ]);
        let pool = PgPoolOptions::new().acquire_timeout(limit);
        let listening =
            pool.clone().max_connections(1).max_lifetime(None).idle_timeout(None).connect_lazy_with(options.clone());
        // One more than requested, because reading the change feed needs a connection now and then.
        let pool = pool.max_connections(connections_max.saturating_add(1)).connect_with(options).await?;
        Ok(Self { pool, listening, limit })
    }

    pub(crate) async fn begin(&self) -> Result<Session<Postgres>, StoreError> {
        Session::begin(&self.pool, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", self.limit).await
    }

    pub(crate) async fn read(&self) -> Result<Session<Postgres>, StoreError> {
        Session::begin(&self.pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", self.limit).await
    }

    pub(crate) async fn close(&self) {
        self.listening.close().await;
        self.pool.close().await;
    }

    pub(crate) fn source(&self) -> PostgresSource {
        PostgresSource { pool: self.pool.clone() }
    }

    /// Passes announcements on as hints until the task is aborted.
    pub(crate) fn listener(&self, wake: Arc<Notify>) -> impl Future<Output = ()> + Send + 'static {
        let listening = self.listening.clone();
        async move {
            loop {
                if let Err(error) = listen(&listening, &wake).await {
                    tracing::debug!(%error, "not hearing of changes at once; polling goes on");
                }
                if listening.is_closed() {
                    return;
                }
                tokio::time::sleep(PostgresSource::INTERVAL).await;
            }
        }
    }
}

async fn listen(listening: &PgPool, wake: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(listening).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // A first poll finds what was announced before we listened.
        wake.notify_one();
        listener.recv().await?;
    }
}

/// Migrates on a connection without a statement timeout, because a node that migrates makes the others wait.
async fn migrate(options: &PgConnectOptions, limit: Duration) -> Result<(), StoreError> {
    let mut connection = crate::wait::within(limit, "connecting", options.connect()).await?;
    crate::migrations::postgres().run_direct(None, &mut connection, false).await.map_err(crate::migrations::failed)?;
    Ok(connection.close().await?)
}

/// Reads changes through the pool, independently of announcements.
pub(crate) struct PostgresSource {
    pool: PgPool,
}

impl PostgresSource {
    /// Returns the number of the last change.
    pub(crate) async fn head(&self) -> Result<i64, StoreError> {
        let row = statement::<Postgres>(HEAD, values![]).fetch_one(&self.pool).await?;
        Row::from(row).int("head")
    }
}

impl Source for PostgresSource {
    const INTERVAL: Duration = Duration::from_millis(500);

    async fn poll(&mut self, place: i64) -> Result<Option<Polled>, StoreError> {
        let rows = statement::<Postgres>(POLL, values![place]).fetch_all(&self.pool).await?;
        let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
        Polled::read(&rows).map(Some)
    }
}

/// Classifies an SQLSTATE (PostgreSQL documentation, appendix A), whose first two characters are its class.
pub(crate) fn classify(code: &str) -> Code {
    match code {
        // read_only_sql_transaction: a standby after a failover. query_canceled: our own statement_timeout.
        "25006" | "57014" | "55P03" => Code::Unavailable,
        // Connection, authorization, transaction rollback (deadlock), resources, operator intervention, system error.
        _ if ["08", "28", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Code::Unavailable,
        _ if code.starts_with("XX") => Code::Corrupt,
        _ => Code::Ours,
    }
}
