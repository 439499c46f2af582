//! The tables, brought up to date when a store is opened: forward only, and no released file is ever edited.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::error::StoreError;

/// Number, name and text of every migration. One text serves both databases.
const MIGRATIONS: [(i64, &str, &str); 10] = [
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "three sets", include_str!("../migrations/0002_three_sets.sql")),
    (3, "accounts", include_str!("../migrations/0003_accounts.sql")),
    (4, "step-ups", include_str!("../migrations/0004_step_up.sql")),
    (5, "company", include_str!("../migrations/0005_company.sql")),
    (6, "first seen", include_str!("../migrations/0006_first_seen.sql")),
    (7, "announced tools", include_str!("../migrations/0007_announced_tools.sql")),
    (8, "ways in", include_str!("../migrations/0008_ways_in.sql")),
    (9, "external grants", include_str!("../migrations/0009_external_grants.sql")),
    (10, "linked accounts", include_str!("../migrations/0010_linked_accounts.sql")),
];

/// The primary key of a table whose rows are appended in order.
const NUMBERED: &str = "BIGINT NOT NULL PRIMARY KEY";
/// The same in SQLite, where only this type makes the key the row's own place, without an index beside the table
/// (sqlite.org/lang_createtable.html#rowid).
const NUMBERED_SQLITE: &str = "INTEGER NOT NULL PRIMARY KEY";

pub(crate) fn postgres() -> Migrator {
    migrator(|sql| sql.into_sql_str())
}

pub(crate) fn sqlite() -> Migrator {
    // Safe: all of the SQL is from constants.
    migrator(|sql| AssertSqlSafe(sql.replace(NUMBERED, NUMBERED_SQLITE)).into_sql_str())
}

fn migrator(text: impl Fn(&'static str) -> SqlStr) -> Migrator {
    let migrations = MIGRATIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}

pub(crate) fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match StoreError::from(error) {
            unavailable @ StoreError::Unavailable { .. } => unavailable,
            other => StoreError::Migration(Box::new(MigrateError::Source(Box::new(other)))),
        },
        other => StoreError::Migration(Box::new(other)),
    }
}
