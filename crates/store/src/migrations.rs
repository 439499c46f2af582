//! The tables, brought up to date when a store is opened: forward only, and no released file is ever edited.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::error::StoreError;

/// Number, name and text of every migration. One text serves both databases.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "three sets", include_str!("../migrations/0002_three_sets.sql")),
];

pub(crate) fn migrator() -> Migrator {
    let migrations = MIGRATIONS.into_iter().map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
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
