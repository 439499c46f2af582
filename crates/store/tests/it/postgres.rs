//! A PostgreSQL for the tests: the one that `SEKISHO_TEST_POSTGRES` names, or a private one that is started here.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// A server that this process started. It ends with this process, because its standard input does.
struct Started {
    url: String,
    _process: Child,
}

static STARTED: OnceLock<Started> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The URL of a database that may be used to make others.
fn base_url() -> String {
    if let Some(url) = std::env::var_os("SEKISHO_TEST_POSTGRES") {
        return url.into_string().expect("SEKISHO_TEST_POSTGRES is a URL");
    }
    STARTED.get_or_init(start).url.clone()
}

fn start() -> Started {
    let mut process = Command::new("sh")
        .args(["-c", include_str!("postgres.sh")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    match line.trim().split_once(' ') {
        Some(("ready", home)) => {
            Started { url: format!("postgres:///postgres?host={home}&user=postgres"), _process: process }
        }
        _ => panic!("no PostgreSQL for the tests: {}. Or let SEKISHO_TEST_POSTGRES name one.", line.trim()),
    }
}

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    /// Its URL.
    pub(crate) url: String,
    name: String,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let base = base_url();
        let name = format!("sekisho_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        administer(&base, format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let (head, query) = base.split_once('?').unwrap_or((&base, ""));
        let server = head.rsplit_once('/').expect("a URL that names a database").0;
        Self { url: format!("{server}/{name}?{query}"), name }
    }

    /// The database that a test was given.
    pub(crate) fn at(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("a URL");
        Self { url: url.to_owned(), name: options.get_database().expect("a database").to_owned() }
    }

    pub(crate) async fn drop(self) {
        administer(&base_url(), format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    /// The socket of the server, for a proxy to stand in front of.
    pub(crate) fn socket(&self) -> PathBuf {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        let folder = options.get_socket().expect("a PostgreSQL that listens on a Unix socket").clone();
        folder.join(format!(".s.PGSQL.{}", options.get_port()))
    }

    /// The URL of this database as seen through a socket in another folder.
    pub(crate) fn url_through(&self, folder: &std::path::Path) -> String {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        format!("postgres:///{}?host={}&user={}", self.name, folder.display(), options.get_username())
    }
}

async fn administer(url: &str, sql: String) {
    let options: PgConnectOptions = url.parse().expect("SEKISHO_TEST_POSTGRES is a PostgreSQL URL");
    let mut connection = options.connect().await.expect("the PostgreSQL of the tests answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the tests may make databases there");
    connection.close().await.expect("closing");
}
