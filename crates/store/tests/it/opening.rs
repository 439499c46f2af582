//! Opening a store: an empty database, one that is up to date, one from a newer program; and the file itself.

use std::os::unix::fs::PermissionsExt as _;

use sekisho_store::{NewTask, Store, StoreError, StoreUrl, Taken, TaskPlace};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::harness::{Raw, World, on_both, on_postgres, on_sqlite, patient};
use crate::postgres::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_database_opens_again_with_everything_in_it() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        tx.settings().put("base_url", "https://sekisho.example").await.unwrap();
        tx.commit().await.unwrap();
        world.store.close().await;
        let store = world.another_store().await;
        let kept = store.read().await.unwrap().settings().get("base_url").await.unwrap();
        assert_eq!(kept.as_deref(), Some("https://sekisho.example"));
    })
    .await;
}

/// What a database of the first schema held is there after its migration, and works with what came later.
async fn opens_from_the_first_schema(url: StoreUrl) {
    let mut text = include_str!("../../migrations/0001_first.sql").to_owned();
    if matches!(url, StoreUrl::Sqlite(_)) {
        text = text.replace("BIGINT NOT NULL PRIMARY KEY", "INTEGER NOT NULL PRIMARY KEY");
    }
    let first = Migration::new(1, "first".into(), MigrationType::Simple, AssertSqlSafe(text).into_sql_str(), false);
    let migrator = Migrator::with_migrations(vec![first]);
    let mut raw = Raw::connect(&url).await;
    match &mut raw {
        Raw::Postgres(connection) => migrator.run_direct(None, connection, false).await.unwrap(),
        Raw::Sqlite(connection) => migrator.run_direct(None, connection, false).await.unwrap(),
    }
    raw.execute(
        r#"INSERT INTO users (id, name, name_folded, role, disabled, created_at, epoch)
               VALUES ('usr_00000000000000000000000000000001', 'ada', 'ada', 'owner', 0, 0, 0);
           INSERT INTO grants (id, subject, client_id, server, resource, scopes, path, task, epoch, created_at)
               VALUES ('grt_00000000000000000000000000000002', 'usr_00000000000000000000000000000001', 'cli_a',
                   'notes', 'https://sekisho.example/mcp/notes', 'mcp:read', '["cli_a"]',
                   'tsk_00000000000000000000000000000003', 4, 0);"#,
    )
    .await;
    drop(raw);
    let world = World::new(url).await;
    let grant = "grt_00000000000000000000000000000002".parse().unwrap();
    let mut tx = world.begin().await;
    let state = tx.grants().alive(grant).await.unwrap().unwrap();
    assert!(state.honours(4, world.now));
    // A task that nobody knew how to keep is one that is over: its grant can be resumed.
    assert_eq!((state.task.is_some(), state.tasks.len()), (true, 0));
    assert!(tx.tasks().resume(grant, world.now).await.unwrap());
    let kept = tx.grants().find(grant).await.unwrap().unwrap();
    assert_eq!((kept.epoch, kept.task), (5, None));
    let plain = world.task(&world.grant(kept.subject), Some(1));
    tx.tasks().begin(&NewTask { grant, place: TaskPlace::Current, ..plain.clone() }).await.unwrap();
    assert_eq!(tx.tasks().take(plain.id, world.now).await.unwrap(), Taken::Taken);
    tx.commit().await.unwrap();
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_first_schema_is_migrated_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    opens_from_the_first_schema(StoreUrl::Sqlite(folder.path().join("store.db"))).await;
    let database = TestDatabase::create().await;
    opens_from_the_first_schema(StoreUrl::Postgres(database.url.clone())).await;
    database.drop().await;
}

async fn open_by_many_at_once(url: StoreUrl) {
    let nodes: Vec<_> = (0..8).map(|_| tokio::spawn(Store::open(patient(url.clone())))).collect();
    for node in nodes {
        node.await.unwrap().unwrap().ping().await.unwrap();
    }
}

/// Several programs that start for the first time at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_opened_by_many_at_once_is_migrated_once() {
    let folder = tempfile::tempdir().unwrap();
    open_by_many_at_once(StoreUrl::Sqlite(folder.path().join("store.db"))).await;
    let database = TestDatabase::create().await;
    open_by_many_at_once(StoreUrl::Postgres(database.url.clone())).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_program_is_left_alone() {
    on_both(async |world| {
        world
            .raw()
            .await
            .execute(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 9999, 'newer', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
            )
            .await;
        let error = Store::open(patient(world.url.clone())).await.unwrap_err();
        assert!(matches!(error, StoreError::Migration(_)), "{error:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_file_and_its_companions_are_for_their_owner_only() {
    on_sqlite(async |world| {
        world.kept_user("ada").await;
        let StoreUrl::Sqlite(path) = &world.url else { panic!() };
        let modes = || {
            std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777)
            })
        };
        assert_eq!(modes().count(), 3);
        assert!(modes().all(|(_, mode)| mode == 0o600), "{:?}", modes().collect::<Vec<_>>());
        // A file that was opened to others is closed to them again.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        world.another_store().await.close().await;
        assert!(modes().all(|(_, mode)| mode == 0o600), "{:?}", modes().collect::<Vec<_>>());
    })
    .await;
}

/// A second store in the same process must not take away the locks of the first.
#[tokio::test(flavor = "multi_thread")]
async fn opening_a_file_again_leaves_the_locks_on_it() {
    on_sqlite(async |world| {
        let writing = world.begin().await;
        let settings = sekisho_store::StoreSettings {
            acquire_timeout: std::time::Duration::from_millis(300),
            ..patient(world.url.clone())
        };
        // It cannot write while we do; it can be opened, for there is nothing to migrate.
        let other = Store::open(settings).await.unwrap();
        assert!(other.begin().await.err().unwrap().is_unavailable());
        writing.rollback().await.unwrap();
        other.begin().await.unwrap().rollback().await.unwrap();
    })
    .await;
}

/// PostgreSQL: the password of the URL is in no message.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_a_password_is_not_printed() {
    on_postgres(async |world| {
        let url: StoreUrl = "postgres://ada:correct-horse@localhost/sekisho".parse().unwrap();
        assert!(!format!("{:?}", patient(url)).contains("horse"));
        assert!(!format!("{:?} {:?}", world.url, world.store).contains("host="));
        assert!(matches!("mysql://x".parse::<StoreUrl>(), Err(StoreError::Settings { .. })));
    })
    .await;
}
