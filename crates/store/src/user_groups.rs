//! The groups that identity providers put users into: by the claims of their last sign-in, and by SCIM.

use std::collections::BTreeSet;

use sekisho_protocol::ids::UserId;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, corrupt, values};
use crate::tx::Tx;

/// How a provider put a user into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupSource {
    /// By the claims of the last sign-in.
    Claims,
    /// By SCIM.
    Scim,
}

/// The membership of a user in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The user.
    pub user: UserId,
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The group's name in the policies.
    pub group: String,
    /// How the provider put the user into the group.
    pub source: GroupSource,
}

/// Selects memberships from both sources.
macro_rules! memberships {
    ($of_claims:literal, $of_scim:literal) => {
        concat!(
            "SELECT user_id, provider, name, 'claims' AS source FROM user_groups",
            $of_claims,
            " UNION ALL
             SELECT scim_members.user_id, scim_groups.provider, scim_groups.name, 'scim' AS source
             FROM scim_members JOIN scim_groups ON scim_groups.id = scim_members.group_id",
            $of_scim,
            " ORDER BY user_id, name, source"
        )
    };
}

/// Groups of providers. See [`Tx::user_groups`].
pub struct UserGroups<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl UserGroups<'_> {
    /// Replaces a user's groups from the previous sign-in by those in the claims of this one. Returns whether anything
    /// changed.
    pub async fn replace(
        &mut self,
        user: UserId,
        provider: &str,
        groups: &BTreeSet<String>,
    ) -> Result<bool, StoreError> {
        // Locks the user until the commit, so that concurrent sign-ins do not mix their groups.
        self.tx.execute("UPDATE users SET epoch = epoch WHERE id = $1", values![user]).await?;
        let rows = self
            .tx
            .fetch_all("SELECT name FROM user_groups WHERE user_id = $1 AND provider = $2", values![user, provider])
            .await?;
        let before: BTreeSet<String> = rows.iter().map(|row| row.text("name")).collect::<Result<_, _>>()?;
        for name in before.difference(groups) {
            self.tx
                .execute(
                    "DELETE FROM user_groups WHERE user_id = $1 AND provider = $2 AND name = $3",
                    values![user, provider, name.as_str()],
                )
                .await?;
        }
        for name in groups.difference(&before) {
            self.tx
                .execute(
                    "INSERT INTO user_groups (user_id, provider, name) VALUES ($1, $2, $3)",
                    values![user, provider, name.as_str()],
                )
                .await?;
        }
        let changed = before != *groups;
        if changed {
            self.tx.changed(ChangeKind::User, user);
        }
        Ok(changed)
    }

    /// Returns the groups of a user.
    pub async fn of_user(&mut self, user: UserId) -> Result<Vec<Membership>, StoreError> {
        let sql = memberships!(" WHERE user_id = $1", " WHERE scim_members.user_id = $1");
        self.tx.fetch_all(sql, values![user]).await?.iter().map(read).collect()
    }

    /// Returns all memberships, for the directory that policies use.
    pub async fn all(&mut self) -> Result<Vec<Membership>, StoreError> {
        self.tx.fetch_all(memberships!("", ""), values![]).await?.iter().map(read).collect()
    }

    /// Removes all memberships that come from claims of this provider, because it is not configured any more, or
    /// because SCIM provides the groups from now on.
    pub async fn forget(&mut self, provider: &str) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all("DELETE FROM user_groups WHERE provider = $1 RETURNING user_id", values![provider])
            .await?;
        for row in &rows {
            let user: UserId = row.parse("user_id")?;
            self.tx.changed(ChangeKind::User, user);
        }
        Ok(rows.len() as u64)
    }
}

fn read(row: &Row) -> Result<Membership, StoreError> {
    let source = match row.text("source")?.as_str() {
        "claims" => GroupSource::Claims,
        "scim" => GroupSource::Scim,
        _ => return Err(corrupt("source")),
    };
    Ok(Membership { user: row.parse("user_id")?, provider: row.text("provider")?, group: row.text("name")?, source })
}
