//! Reads what is in force: the servers of the configuration file or of the store, and the people with their groups and
//! loans.

use sekisho_protocol::env::Timestamp;
use sekisho_store::{Store, StoreError};

use crate::config::{Configuration, ServerDefinition};
use crate::error::CommandError;
use crate::servers::{Defined, People};

/// Where the definitions of servers come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The configuration file.
    File,
    /// The store, where `run` keeps them.
    Store,
}

/// The servers in force.
pub(crate) async fn defined(
    store: &Store,
    source: &Source,
    configuration: &Configuration,
) -> Result<Vec<Defined>, CommandError> {
    match source {
        Source::File => configuration.servers.iter().map(|(name, definition)| of_file(name, definition)).collect(),
        Source::Store => of_store(store).await,
    }
}

fn of_file(name: &str, definition: &ServerDefinition) -> Result<Defined, CommandError> {
    let name = name.parse().map_err(|error| CommandError::usage(format!("{error}"), "see `sekisho check`"))?;
    Ok(Defined { name, definition: definition.clone(), secrets: Default::default(), classify_at_consent: false })
}

async fn of_store(store: &Store) -> Result<Vec<Defined>, CommandError> {
    let failed =
        |error: StoreError| CommandError::environment(format!("servers cannot be read: {error}"), "see the disk");
    let mut tx = store.read().await.map_err(failed)?;
    let mut all = Vec::new();
    for row in tx.servers().list().await.map_err(failed)? {
        let definition = serde_json::from_str(&row.definition).map_err(|error| {
            CommandError::environment(
                format!("server `{}` was kept by another version: {error}", row.name),
                format!("sekisho server remove {}", row.name),
            )
        })?;
        let mut secrets = std::collections::BTreeMap::new();
        for name in tx.credentials().list_names(&row.name).await.map_err(failed)? {
            if let Some(secret) = tx.credentials().find(&row.name, &name).await.map_err(failed)? {
                secrets.insert(name, secret);
            }
        }
        all.push(Defined { name: row.name, definition, secrets, classify_at_consent: true });
    }
    Ok(all)
}

/// Reads users, their groups at identity providers, and loans from the store.
pub(crate) async fn people(store: &Store, now: Timestamp) -> Result<People, CommandError> {
    let failed =
        |error: StoreError| CommandError::environment(format!("users cannot be read: {error}"), "see the disk");
    let mut tx = store.read().await.map_err(failed)?;
    let users = tx.users().list().await.map_err(failed)?;
    let memberships = tx.user_groups().all().await.map_err(failed)?;
    Ok(People { users, memberships, loans: tx.loans().list(now).await.map_err(failed)? })
}
