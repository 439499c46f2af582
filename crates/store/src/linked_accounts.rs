//! Accounts that people linked for servers, with the tokens or keys that the servers are shown in their name.

use std::fmt::{self, Debug};

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, ServerName, UserId};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, values};
use crate::store::Store;
use crate::tx::Tx;

/// Whose account it is, and behind which server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The user.
    pub user: UserId,
    /// The server.
    pub server: ServerName,
}

impl AccountKey {
    /// The identifier under which changes are announced: `USER SERVER`.
    pub fn change(&self) -> String {
        format!("{} {}", self.user, self.server)
    }

    /// Reads what [`AccountKey::change`] wrote.
    pub fn read_change(id: &str) -> Option<Self> {
        let (user, server) = id.split_once(' ')?;
        Some(Self { user: user.parse().ok()?, server: server.parse().ok()? })
    }
}

/// An account that is to be linked.
#[derive(Debug)]
pub struct NewLinkedAccount<'a> {
    /// Whose account it becomes, and behind which server.
    pub key: &'a AccountKey,
    /// The vendor: the issuer identifier of its authorization server, or the name under which its keys are kept.
    pub issuer: &'a str,
    /// The account's name at the vendor, if the vendor told it.
    pub account: Option<&'a str>,
    /// The vendor's scopes, as the vendor writes them.
    pub scopes: Option<&'a str>,
    /// The key or the tokens. Stored sealed.
    pub secret: &'a SecretBytes,
    /// When the access token ends, if the vendor said so.
    pub token_expires_at: Option<Timestamp>,
}

/// A stored account. Its key or tokens are still sealed; [`Store::open_account`] opens them.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkedAccount {
    /// Whose account it is, and behind which server.
    pub key: AccountKey,
    /// The vendor.
    pub issuer: String,
    /// The account's name at the vendor, if the vendor told it.
    pub account: Option<String>,
    /// The vendor's scopes, as the vendor writes them.
    pub scopes: Option<String>,
    /// When the access token ends, if the vendor said so.
    pub token_expires_at: Option<Timestamp>,
    /// Grows with each new token, so that a holder of an older one notices.
    pub generation: i64,
    /// Why the account cannot be used any more, if it cannot: a sentence for its user.
    pub ended_reason: Option<String>,
    /// When the lease of the process that asks for the next token ends, if one asks.
    pub lease_ends_at: Option<Timestamp>,
    /// When the account was linked.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    sealed: Vec<u8>,
}

impl Debug for LinkedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LinkedAccount");
        shown.field("key", &self.key).field("issuer", &self.issuer).field("generation", &self.generation);
        shown.finish_non_exhaustive()
    }
}

/// The next token of an account.
#[derive(Debug)]
pub struct Renewed<'a> {
    /// The vendor of the account.
    pub issuer: &'a str,
    /// The vendor's scopes, as the vendor writes them.
    pub scopes: Option<&'a str>,
    /// The tokens. Stored sealed.
    pub secret: &'a SecretBytes,
    /// When the access token ends, if the vendor said so.
    pub token_expires_at: Option<Timestamp>,
}

impl Store {
    /// Opens the key or the tokens of an account. Asks no database.
    pub fn open_account(&self, account: &LinkedAccount) -> Result<SecretBytes, StoreError> {
        let (user, server) = (account.key.user.to_string(), account.key.server.as_str());
        let opened = self.sealer().open(Purpose::LinkedAccount, &[&user, server, &account.issuer], &account.sealed)?;
        Ok(SecretBytes::new(opened.to_vec()))
    }
}

/// Accounts that people linked for servers. See [`Tx::linked_accounts`].
pub struct LinkedAccounts<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl LinkedAccounts<'_> {
    /// Links an account. It replaces the one that this user had linked for the server. A process that is asking for a
    /// token of the replaced account cannot store it any more.
    pub async fn put(&mut self, new: &NewLinkedAccount<'_>, now: Timestamp) -> Result<(), StoreError> {
        let sealed = self.seal(new.key, new.issuer, new.secret)?;
        self.tx
            .execute(
                "INSERT INTO linked_accounts (user_id, server, issuer, account, scopes, secret, token_expires_at,
                     generation, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)
                 ON CONFLICT (user_id, server) DO UPDATE SET issuer = excluded.issuer, account = excluded.account,
                     scopes = excluded.scopes, secret = excluded.secret, token_expires_at = excluded.token_expires_at,
                     generation = linked_accounts.generation + 1, ended_reason = NULL, lease = NULL,
                     lease_ends_at = NULL, created_at = excluded.created_at, last_used_at = NULL",
                values![
                    new.key.user,
                    &new.key.server,
                    new.issuer,
                    new.account,
                    new.scopes,
                    sealed,
                    new.token_expires_at,
                    now
                ],
            )
            .await?;
        self.changed(new.key);
        Ok(())
    }

    /// Returns the account that a user linked for a server.
    pub async fn find(&mut self, key: &AccountKey) -> Result<Option<LinkedAccount>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT * FROM linked_accounts WHERE user_id = $1 AND server = $2",
                values![key.user, &key.server],
            )
            .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Returns the accounts of a user, or of everybody, by server and user.
    pub async fn list(&mut self, user: Option<UserId>) -> Result<Vec<LinkedAccount>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM linked_accounts WHERE CAST($1 AS TEXT) IS NULL OR user_id = $1 ORDER BY server, user_id",
                values![user.as_ref()],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// Takes the turn to ask for the next token of an account: `true` for one process at a time, and only for the
    /// holder of the newest token. A lease is named `NODE RANDOM`; it ends by itself, in case the process dies.
    pub async fn lease(
        &mut self,
        key: &AccountKey,
        generation: i64,
        (lease, ends_at): (&str, Timestamp),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE linked_accounts SET lease = $4, lease_ends_at = $5
                 WHERE user_id = $1 AND server = $2 AND generation = $3 AND ended_reason IS NULL
                     AND (lease IS NULL OR lease_ends_at <= $6)",
                values![key.user, &key.server, generation, lease, ends_at, now],
            )
            .await
    }

    /// Stores the next token, and ends the lease under which it was asked for. Returns `false` if the lease has passed
    /// to another process, or the account was linked anew or removed meanwhile.
    pub async fn renew(&mut self, key: &AccountKey, lease: &str, renewed: &Renewed<'_>) -> Result<bool, StoreError> {
        let sealed = self.seal(key, renewed.issuer, renewed.secret)?;
        let stored = self
            .tx
            .execute_one(
                "UPDATE linked_accounts SET secret = $5, token_expires_at = $6, scopes = COALESCE($7, scopes),
                     generation = generation + 1, lease = NULL, lease_ends_at = NULL
                 WHERE user_id = $1 AND server = $2 AND lease = $3 AND issuer = $4",
                values![key.user, &key.server, lease, renewed.issuer, sealed, renewed.token_expires_at, renewed.scopes],
            )
            .await?;
        if stored {
            self.changed(key);
        }
        Ok(stored)
    }

    /// Ends a lease without a new token.
    pub async fn release(&mut self, key: &AccountKey, lease: &str) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE linked_accounts SET lease = NULL, lease_ends_at = NULL
                 WHERE user_id = $1 AND server = $2 AND lease = $3",
                values![key.user, &key.server, lease],
            )
            .await
    }

    /// Notes that an account cannot be used any more, and why. Returns `true` once, and only for the newest token.
    pub async fn end(&mut self, key: &AccountKey, generation: i64, reason: &str) -> Result<bool, StoreError> {
        let ended = self
            .tx
            .execute_one(
                "UPDATE linked_accounts SET ended_reason = $4, lease = NULL, lease_ends_at = NULL
                 WHERE user_id = $1 AND server = $2 AND generation = $3 AND ended_reason IS NULL",
                values![key.user, &key.server, generation, reason],
            )
            .await?;
        if ended {
            self.changed(key);
        }
        Ok(ended)
    }

    /// Removes an account and returns it. `None`: there is none.
    pub async fn remove(&mut self, key: &AccountKey) -> Result<Option<LinkedAccount>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "DELETE FROM linked_accounts WHERE user_id = $1 AND server = $2 RETURNING *",
                values![key.user, &key.server],
            )
            .await?;
        let removed = row.map(|row| read(&row)).transpose()?;
        if removed.is_some() {
            self.changed(key);
        }
        Ok(removed)
    }

    /// Ends the leases of a node that was started anew: its process that held them is gone.
    pub async fn release_of_node(&mut self, node: NodeId) -> Result<u64, StoreError> {
        self.tx
            .execute(
                "UPDATE linked_accounts SET lease = NULL, lease_ends_at = NULL WHERE lease LIKE $1",
                values![format!("{node} %")],
            )
            .await
    }

    /// Notes when an account was used. Announces no change.
    pub async fn touch(&mut self, key: &AccountKey, at: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE linked_accounts SET last_used_at = $3 WHERE user_id = $1 AND server = $2
                     AND created_at <= $3 AND (last_used_at IS NULL OR last_used_at < $3)",
                values![key.user, &key.server, at],
            )
            .await
            .map(drop)
    }

    fn seal(&self, key: &AccountKey, issuer: &str, secret: &SecretBytes) -> Result<Vec<u8>, StoreError> {
        let user = key.user.to_string();
        Ok(self.tx.seal.seal(Purpose::LinkedAccount, &[&user, key.server.as_str(), issuer], secret.expose())?)
    }

    fn changed(&mut self, key: &AccountKey) {
        self.tx.changed(ChangeKind::LinkedAccount, key.change());
    }
}

fn read(row: &Row) -> Result<LinkedAccount, StoreError> {
    Ok(LinkedAccount {
        key: AccountKey { user: row.parse("user_id")?, server: row.parse("server")? },
        issuer: row.text("issuer")?,
        account: row.text_opt("account")?,
        scopes: row.text_opt("scopes")?,
        token_expires_at: row.time_opt("token_expires_at")?,
        generation: row.int("generation")?,
        ended_reason: row.text_opt("ended_reason")?,
        lease_ends_at: row.time_opt("lease_ends_at")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        sealed: row.blob("secret")?,
    })
}
