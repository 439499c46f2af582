//! Local users.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::role::Role;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A local user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The identifier.
    pub id: UserId,
    /// The name to log in with. Unique, ignoring case.
    pub name: String,
    /// The hash of the password in PHC form; `None` until one is set.
    pub password: Option<String>,
    /// The user's role in running the checkpoint.
    pub role: Role,
    /// Whether this user may do nothing at all.
    pub disabled: bool,
    /// When the user was made.
    pub created_at: Timestamp,
    /// Grows whenever the user is disabled or enabled.
    pub epoch: i64,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password's hash allows guessing the password, so it stays out of logs too.
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// Local users. See [`Tx::users`].
pub struct Users<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Users<'_> {
    /// Adds a user. Fails with [`StoreError::Conflict`] if the name exists.
    pub async fn insert(&mut self, user: &User) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO users (id, name, name_folded, password, role, disabled, created_at, epoch)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    user.id,
                    user.name.as_str(),
                    folded(&user.name),
                    user.password.as_deref(),
                    user.role.as_str(),
                    user.disabled,
                    user.created_at,
                    user.epoch
                ],
            )
            .await?;
        self.tx.changed(ChangeKind::User, user.id);
        Ok(())
    }

    /// Returns the user of this identifier.
    pub async fn find(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM users WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns the user of this name, ignoring case.
    pub async fn find_by_name(&mut self, name: &str) -> Result<Option<User>, StoreError> {
        let row = self.tx.fetch_optional("SELECT * FROM users WHERE name_folded = $1", values![folded(name)]).await?;
        row.map(read).transpose()
    }

    /// Returns every user, sorted by name.
    pub async fn list(&mut self) -> Result<Vec<User>, StoreError> {
        self.tx.fetch_all("SELECT * FROM users ORDER BY name_folded", values![]).await?.into_iter().map(read).collect()
    }

    /// Gives a user another name. `false`: no such user. A name that another user has is [`StoreError::Conflict`].
    pub async fn rename(&mut self, id: UserId, name: &str) -> Result<bool, StoreError> {
        let renamed = self
            .tx
            .execute_one("UPDATE users SET name = $2, name_folded = $3 WHERE id = $1", values![id, name, folded(name)])
            .await?;
        if renamed {
            self.tx.changed(ChangeKind::User, id);
        }
        Ok(renamed)
    }

    /// Sets the hash of the password (PHC form). Returns `false` if there is no such user, or if the user was made for
    /// an identity at a provider: such a user signs in only there, because a password would still work after the
    /// provider removed them.
    pub async fn set_password(&mut self, id: UserId, phc: &str, now: Timestamp) -> Result<bool, StoreError> {
        let set = self
            .tx
            .execute_one(
                "UPDATE users SET password = $2, password_set_at = $3 WHERE id = $1 AND NOT EXISTS (
                     SELECT 1 FROM identities WHERE identities.user_id = users.id AND identities.made_user = 1)",
                values![id, phc, now],
            )
            .await?;
        if set {
            self.tx.changed(ChangeKind::User, id);
        }
        Ok(set)
    }

    /// Returns when the password was set. `None`: no password, or no such user.
    pub async fn password_set_at(&mut self, id: UserId) -> Result<Option<Timestamp>, StoreError> {
        let row = self.tx.fetch_optional("SELECT password_set_at FROM users WHERE id = $1", values![id]).await?;
        row.map_or(Ok(None), |row| row.time_opt("password_set_at"))
    }

    /// Disables or enables a user. Returns `false` if there is no such user, or if this is the last owner who may sign
    /// in, who cannot be disabled.
    ///
    /// No grant is revoked, but every grant's epoch grows, so tokens made before stay invalid after the user is enabled
    /// again. Loans to a disabled user are not in force.
    pub async fn set_disabled(&mut self, id: UserId, disabled: bool) -> Result<bool, StoreError> {
        self.hold_owners().await?;
        let set = self
            .tx
            .execute_one(
                "UPDATE users SET disabled = $2, epoch = epoch + 1
                 WHERE id = $1 AND ($2 = 0 OR disabled = 1 OR role <> 'owner' OR EXISTS (
                     SELECT 1 FROM users other WHERE other.id <> $1 AND other.role = 'owner' AND other.disabled = 0))",
                values![id, disabled],
            )
            .await?;
        if set {
            let subject = Subject::User(id);
            self.tx.execute("UPDATE grants SET epoch = epoch + 1 WHERE subject = $1", values![&subject]).await?;
            self.tx.loans().announce_of_subject(&subject).await?;
            self.tx.changed(ChangeKind::User, id);
        }
        Ok(set)
    }

    /// Deletes a user with sessions and setup links; the name is free again, and records keep the identifier. Returns
    /// `false` if there is no such user, or if this is the last owner who may sign in. End the user's grants first.
    pub async fn remove(&mut self, id: UserId) -> Result<bool, StoreError> {
        self.hold_owners().await?;
        let removed = self
            .tx
            .execute_one(
                "DELETE FROM users
                 WHERE id = $1 AND (disabled = 1 OR role <> 'owner' OR EXISTS (
                     SELECT 1 FROM users other WHERE other.id <> $1 AND other.role = 'owner' AND other.disabled = 0))",
                values![id],
            )
            .await?;
        if removed {
            self.tx.changed(ChangeKind::User, id);
        }
        Ok(removed)
    }

    /// Changes the role of a user. Returns `false` if there is no such user, or if this is the last owner who may sign
    /// in.
    pub async fn set_role(&mut self, id: UserId, role: Role) -> Result<bool, StoreError> {
        self.hold_owners().await?;
        let set = self
            .tx
            .execute_one(
                "UPDATE users SET role = $2 WHERE id = $1 AND ($2 = 'owner' OR role <> 'owner' OR disabled = 1 OR EXISTS (
                     SELECT 1 FROM users other WHERE other.id <> $1 AND other.role = 'owner' AND other.disabled = 0))",
                values![id, role.as_str()],
            )
            .await?;
        if set {
            self.tx.changed(ChangeKind::User, id);
        }
        Ok(set)
    }

    /// Locks all owners until this transaction ends. The next statement then sees what other transactions did to
    /// owners, also on PostgreSQL, where two statements that begin together do not see each other's changes.
    async fn hold_owners(&mut self) -> Result<(), StoreError> {
        self.tx.execute("UPDATE counters SET value = value + 1 WHERE name = 'owners'", values![]).await?;
        Ok(())
    }

    /// Locks a user until this transaction ends, so that nothing else changes by which ways the user signs in. Returns
    /// `false` if there is no such user.
    pub async fn hold(&mut self, id: UserId) -> Result<bool, StoreError> {
        self.tx.execute_one("UPDATE users SET epoch = epoch WHERE id = $1", values![id]).await
    }

    /// Returns how many owners may log in.
    pub async fn owners_count(&mut self) -> Result<u64, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT COUNT(*) AS owners FROM users WHERE role = 'owner' AND disabled = 0", values![])
            .await?;
        row.map_or(Ok(0), |row| row.count("owners"))
    }
}

/// Returns the form of a name by which two names are compared.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn read(row: Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.parse("id")?,
        name: row.text("name")?,
        password: row.text_opt("password")?,
        role: row.parse("role")?,
        disabled: row.flag("disabled")?,
        created_at: row.time("created_at")?,
        epoch: row.int("epoch")?,
    })
}
