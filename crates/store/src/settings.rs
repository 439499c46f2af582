//! Settings of this instance that are chosen once and then stay: the base URL, the node's identifier.

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::values;
use crate::tx::Tx;

/// Settings by name. See [`Tx::settings`].
pub struct Settings<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Settings<'_> {
    /// Returns the value of a setting.
    pub async fn get(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.tx.fetch_optional("SELECT value FROM settings WHERE name = $1", values![name]).await?;
        row.map(|row| row.text("value")).transpose()
    }

    /// Sets a setting, replacing an older value.
    pub async fn put(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO settings (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                values![name, value],
            )
            .await?;
        self.tx.changed(ChangeKind::Setting, name);
        Ok(())
    }

    /// Sets a setting that is not set yet. Of concurrent writers one wins, and only that one gets `true`.
    pub async fn put_new(&mut self, name: &str, value: &str) -> Result<bool, StoreError> {
        let won = self
            .tx
            .execute_one(
                "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                values![name, value],
            )
            .await?;
        if won {
            self.tx.changed(ChangeKind::Setting, name);
        }
        Ok(won)
    }
}
