//! A store that is down is known to be down within two seconds. The bound here is twice that, for busy machines.

use std::path::PathBuf;
use std::time::Duration;

use sekisho_store::{FeedEvent, Store, StoreError, StoreSettings, StoreUrl};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{next, on_both, on_postgres, on_sqlite, seal_key};
use crate::postgres::TestDatabase;

/// Settings as a program has them.
fn usual(url: StoreUrl) -> StoreSettings {
    StoreSettings::new(url, seal_key())
}

/// Asserts that reading, writing and pinging all say soon that the store is not available.
async fn assert_down(store: &Store) {
    let began = tokio::time::Instant::now();
    let (read, begun, pinged) = tokio::join!(read(store), store.begin(), store.ping());
    let took = began.elapsed();
    assert!(read.unwrap_err().is_unavailable());
    assert!(begun.err().unwrap().is_unavailable());
    assert!(pinged.unwrap_err().is_unavailable());
    assert!(took < Duration::from_secs(4), "{took:?}");
}

async fn read(store: &Store) -> Result<Option<String>, StoreError> {
    store.read().await?.settings().get("name").await
}

async fn put(store: &Store, name: &str) {
    let mut tx = store.begin().await.unwrap();
    tx.settings().put(name, "value").await.unwrap();
    tx.commit().await.unwrap();
}

/// Waits until the feed says that it can no longer be trusted.
async fn assert_feed_says_so(feed: &mut sekisho_store::ChangeFeed) {
    let began = tokio::time::Instant::now();
    while next(feed).await != FeedEvent::Unavailable {}
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_was_removed_is_not_written_to() {
    on_sqlite(async |world| {
        let store = Store::open(usual(world.url.clone())).await.unwrap();
        let mut feed = store.changes();
        let StoreUrl::Sqlite(path) = &world.url else { panic!() };
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).unwrap();
        assert_down(&store).await;
        assert_feed_says_so(&mut feed).await;
        // Another file in its place is not it either.
        std::fs::copy(&aside, path).unwrap();
        assert_down(&store).await;
        std::fs::rename(&aside, path).unwrap();
        assert_eq!(next(&mut feed).await, FeedEvent::Gap);
        put(&store, "back").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_somebody_keeps_locked_is_not_waited_for() {
    on_sqlite(async |world| {
        let store = Store::open(usual(world.url.clone())).await.unwrap();
        let mut raw = world.raw().await;
        raw.execute("BEGIN IMMEDIATE").await;
        let began = tokio::time::Instant::now();
        assert!(store.begin().await.err().unwrap().is_unavailable());
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        // Reading goes on.
        store.ping().await.unwrap();
        raw.execute("ROLLBACK").await;
        put(&store, "free").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_does_not_end_makes_the_others_give_up() {
    on_both(async |world| {
        let store = Store::open(usual(world.url.clone())).await.unwrap();
        let mut first = store.begin().await.unwrap();
        first.settings().put("name", "first").await.unwrap();
        let began = tokio::time::Instant::now();
        let second = async {
            let mut second = store.begin().await?;
            second.settings().put("name", "second").await?;
            second.commit().await
        };
        assert!(second.await.unwrap_err().is_unavailable());
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        first.commit().await.unwrap();
        assert_eq!(read(&store).await.unwrap().as_deref(), Some("first"));
    })
    .await;
}

/// The state of the connection between a store and PostgreSQL in these tests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    Open,
    /// Connections end and none is accepted, as if the server had been stopped.
    Cut,
    /// Connections stay and nothing comes through any more, as if its machine had been unplugged.
    Silent,
}

struct Proxy {
    folder: tempfile::TempDir,
    line: watch::Sender<Line>,
    task: JoinHandle<()>,
}

impl Proxy {
    fn start(server: PathBuf) -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let socket = folder.path().join(".s.PGSQL.5432");
        let (line, watched) = watch::channel(Line::Open);
        Self { task: tokio::spawn(serve(socket, server, watched)), folder, line }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: PathBuf, server: PathBuf, mut line: watch::Receiver<Line>) {
    loop {
        line.wait_for(|line| *line != Line::Cut).await.unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let mut cut = line.clone();
        tokio::select! {
            _ = cut.wait_for(|line| *line == Line::Cut) => {}
            () = async {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    tokio::spawn(pass(client, server.clone(), line.clone()));
                }
            } => {}
        }
        drop(listener);
        std::fs::remove_file(&socket).unwrap();
    }
}

async fn pass(mut client: UnixStream, server: PathBuf, mut line: watch::Receiver<Line>) {
    let mut server = UnixStream::connect(server).await.unwrap();
    loop {
        let state = *line.borrow_and_update();
        match state {
            Line::Open => tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => return,
                changed = line.changed() => if changed.is_err() { return },
            },
            Line::Cut => return,
            Line::Silent => {
                if line.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn goes_down_and_comes_back(how: Line) {
    on_postgres(async |world| {
        let StoreUrl::Postgres(url) = &world.url else { panic!() };
        let database = TestDatabase::at(url);
        let proxy = Proxy::start(database.socket());
        let socket = proxy.folder.path().join(".s.PGSQL.5432");
        while !socket.exists() {
            tokio::task::yield_now().await;
        }
        let store = Store::open(usual(StoreUrl::Postgres(database.url_through(proxy.folder.path())))).await.unwrap();
        let mut feed = store.changes();
        put(&store, "before").await;
        let mut open = store.begin().await.unwrap();

        proxy.line.send(how).unwrap();
        let began = tokio::time::Instant::now();
        assert!(open.settings().put("during", "value").await.unwrap_err().is_unavailable());
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(open);
        assert_down(&store).await;
        assert_feed_says_so(&mut feed).await;

        // A connection through which half a conversation went is of no use later: cut them before coming back.
        proxy.line.send(Line::Cut).unwrap();
        tokio::task::yield_now().await;
        proxy.line.send(Line::Open).unwrap();
        assert_eq!(next(&mut feed).await, FeedEvent::Gap);
        put(&store, "after").await;
        loop {
            if matches!(next(&mut feed).await, FeedEvent::Change(change) if change.id == "after") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_stopped_is_known_to_be_down() {
    goes_down_and_comes_back(Line::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_says_nothing_any_more_is_known_to_be_down() {
    goes_down_and_comes_back(Line::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let began = tokio::time::Instant::now();
    let url = format!("postgres:///none?host={}&user=none", folder.path().display());
    let error = Store::open(usual(StoreUrl::Postgres(url))).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let path = folder.path().join("missing").join("store.db");
    let error = Store::open(usual(StoreUrl::Sqlite(path))).await.unwrap_err();
    assert!(matches!(error, StoreError::Settings { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// A reader of the store cannot write, whatever it calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reads_cannot_write() {
    on_both(async |world| {
        let mut tx = world.store.read().await.unwrap();
        assert!(tx.settings().put("name", "value").await.is_err());
        drop(tx);
        assert_eq!(read(&world.store).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reads_sees_one_moment_throughout() {
    on_both(async |world| {
        let mut tx = world.store.read().await.unwrap();
        assert_eq!(tx.settings().get("name").await.unwrap(), None);
        put(&world.store, "name").await;
        assert_eq!(tx.settings().get("name").await.unwrap(), None);
        tx.rollback().await.unwrap();
        assert_eq!(read(&world.store).await.unwrap().as_deref(), Some("value"));
    })
    .await;
}
