//! Secrets for upstreams, sealed: they are sent again and again, so a digest is not enough.

use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::seal::{Purpose, SealError};
use crate::sql::values;
use crate::tx::Tx;

/// Secrets for upstreams, by server and name. See [`Tx::credentials`].
pub struct Credentials<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Credentials<'_> {
    /// Stores a secret, replacing an older one.
    pub async fn put(&mut self, server: &ServerName, name: &str, secret: &UpstreamSecret) -> Result<(), StoreError> {
        let sealed =
            self.tx.seal.seal(Purpose::UpstreamCredential, &[server.as_str(), name], secret.expose().as_bytes())?;
        self.tx
            .execute(
                "INSERT INTO credentials (server, name, secret) VALUES ($1, $2, $3)
                 ON CONFLICT (server, name) DO UPDATE SET secret = excluded.secret",
                values![server, name, sealed],
            )
            .await?;
        self.tx.changed(ChangeKind::Server, server);
        Ok(())
    }

    /// Returns the secret of this name.
    pub async fn find(&mut self, server: &ServerName, name: &str) -> Result<Option<UpstreamSecret>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT secret FROM credentials WHERE server = $1 AND name = $2", values![server, name])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let opened = self.tx.seal.open(Purpose::UpstreamCredential, &[server.as_str(), name], &row.blob("secret")?)?;
        let text = std::str::from_utf8(&opened).map_err(|_| SealError::Broken)?;
        Ok(Some(UpstreamSecret::from_outside(text)))
    }

    /// Returns the names of a server's secrets.
    pub async fn list_names(&mut self, server: &ServerName) -> Result<Vec<String>, StoreError> {
        let rows =
            self.tx.fetch_all("SELECT name FROM credentials WHERE server = $1 ORDER BY name", values![server]).await?;
        rows.iter().map(|row| row.text("name")).collect()
    }

    /// Deletes a secret. Returns `false` if there is none.
    pub async fn remove(&mut self, server: &ServerName, name: &str) -> Result<bool, StoreError> {
        let removed = self
            .tx
            .execute_one("DELETE FROM credentials WHERE server = $1 AND name = $2", values![server, name])
            .await?;
        if removed {
            self.tx.changed(ChangeKind::Server, server);
        }
        Ok(removed)
    }
}
