//! The data of provisioning clients about users and groups (SCIM, RFC 7643), by provider; stored beside the users
//! themselves.

use std::collections::BTreeSet;

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ScimGroupId, UserId};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// The data of a provisioning client about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimUserRow {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The user.
    pub user: UserId,
    /// `userName`, in lower case: unique at the provider, whatever the case of its letters (RFC 7643 §4.1.1).
    pub user_name_folded: String,
    /// `externalId`. Unique at the provider.
    pub external_id: Option<String>,
    /// The attributes as JSON, without those that are kept elsewhere.
    pub attributes: String,
    /// The version, which grows with every change: the ETag.
    pub version: i64,
    /// When the provider made it.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// A group of a provisioning client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimGroupRow {
    /// Its identifier.
    pub id: ScimGroupId,
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// `displayName`.
    pub display_name: String,
    /// Its name in the policies. Unique.
    pub name: String,
    /// `externalId`. Unique at the provider.
    pub external_id: Option<String>,
    /// The version, which grows with every change, also of members: the ETag.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Users of provisioning clients. See [`Tx::scim_users`].
pub struct ScimUsers<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl ScimUsers<'_> {
    /// Stores the data about a user. Fails with [`StoreError::Conflict`] if another user of the provider has the same
    /// `userName` or `externalId`.
    pub async fn insert(&mut self, row: &ScimUserRow) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO scim_users (provider, user_id, user_name_folded, external_id, attributes, version, created_at,
                     changed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    row.provider.as_str(),
                    row.user,
                    row.user_name_folded.as_str(),
                    row.external_id.as_deref(),
                    row.attributes.as_str(),
                    row.version,
                    row.created_at,
                    row.changed_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Changes the data about a user if its version is still that of `row`, and increments the version. Returns `false`
    /// if somebody else changed it first (RFC 7644 §3.14), or there is no such user.
    pub async fn update(&mut self, row: &ScimUserRow) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "UPDATE scim_users SET user_name_folded = $4, external_id = $5, attributes = $6, version = version + 1,
                     changed_at = $7
                 WHERE provider = $1 AND user_id = $2 AND version = $3",
                values![
                    row.provider.as_str(),
                    row.user,
                    row.version,
                    row.user_name_folded.as_str(),
                    row.external_id.as_deref(),
                    row.attributes.as_str(),
                    row.changed_at
                ],
            )
            .await
    }

    /// Returns this provider's data about a user.
    pub async fn find(&mut self, provider: &str, user: UserId) -> Result<Option<ScimUserRow>, StoreError> {
        self.tx
            .fetch_optional("SELECT * FROM scim_users WHERE provider = $1 AND user_id = $2", values![provider, user])
            .await?
            .map(read_user)
            .transpose()
    }

    /// Returns the user with this `externalId` at this provider.
    pub async fn find_external(
        &mut self,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<ScimUserRow>, StoreError> {
        self.tx
            .fetch_optional(
                "SELECT * FROM scim_users WHERE provider = $1 AND external_id = $2",
                values![provider, external_id],
            )
            .await?
            .map(read_user)
            .transpose()
    }

    /// The user of this `userName`, in lower case.
    pub async fn find_name(&mut self, provider: &str, folded: &str) -> Result<Option<ScimUserRow>, StoreError> {
        self.tx
            .fetch_optional(
                "SELECT * FROM scim_users WHERE provider = $1 AND user_name_folded = $2",
                values![provider, folded],
            )
            .await?
            .map(read_user)
            .transpose()
    }

    /// How many users this provider provisions.
    pub async fn count(&mut self, provider: &str) -> Result<u64, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT COUNT(*) AS users FROM scim_users WHERE provider = $1", values![provider])
            .await?;
        row.map_or(Ok(0), |row| row.count("users"))
    }

    /// Some users of this provider, in the order of their identifiers, without the first `skip`.
    pub async fn page(&mut self, provider: &str, skip: i64, limit: i64) -> Result<Vec<ScimUserRow>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM scim_users WHERE provider = $1 ORDER BY user_id LIMIT $2 OFFSET $3",
                values![provider, limit, skip],
            )
            .await?;
        rows.into_iter().map(read_user).collect()
    }

    /// Returns the users of this provider after one of them, sorted by identifier.
    pub async fn list(
        &mut self,
        provider: &str,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<ScimUserRow>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM scim_users WHERE provider = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
                values![provider, after, limit],
            )
            .await?;
        rows.into_iter().map(read_user).collect()
    }

    /// Deletes this provider's data about a user, and removes the user from its groups. Returns `false` if there is
    /// none.
    pub async fn remove(&mut self, provider: &str, user: UserId) -> Result<bool, StoreError> {
        self.tx
            .execute(
                "DELETE FROM scim_members WHERE user_id = $1
                     AND group_id IN (SELECT id FROM scim_groups WHERE provider = $2)",
                values![user, provider],
            )
            .await?;
        let removed = self
            .tx
            .execute_one("DELETE FROM scim_users WHERE provider = $1 AND user_id = $2", values![provider, user])
            .await?;
        if removed {
            self.tx.changed(ChangeKind::User, user);
        }
        Ok(removed)
    }
}

/// Groups of provisioning clients. See [`Tx::scim_groups`].
pub struct ScimGroups<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl ScimGroups<'_> {
    /// The most members of one group.
    pub const MEMBERS_MAX: usize = 10_000;

    /// Stores a group without members. Fails with [`StoreError::Conflict`] if another group has the same name or
    /// `externalId`.
    pub async fn insert(&mut self, group: &ScimGroupRow) -> Result<(), StoreError> {
        self.tx
            .execute(
                "INSERT INTO scim_groups (id, provider, display_name, name, external_id, version, created_at, changed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    group.id,
                    group.provider.as_str(),
                    group.display_name.as_str(),
                    group.name.as_str(),
                    group.external_id.as_deref(),
                    group.version,
                    group.created_at,
                    group.changed_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Changes a group if its version is still that of `group`, and increments the version. All members are announced if
    /// the group has another name, because for the policies that is another group. Returns `false` if somebody else
    /// changed it first, or it does not exist.
    pub async fn update(&mut self, group: &ScimGroupRow) -> Result<bool, StoreError> {
        let before = self.find(&group.provider, group.id).await?;
        let updated = self
            .tx
            .execute_one(
                "UPDATE scim_groups SET display_name = $4, name = $5, external_id = $6, version = version + 1, changed_at = $7
                 WHERE id = $1 AND provider = $2 AND version = $3",
                values![
                    group.id,
                    group.provider.as_str(),
                    group.version,
                    group.display_name.as_str(),
                    group.name.as_str(),
                    group.external_id.as_deref(),
                    group.changed_at
                ],
            )
            .await?;
        if updated && before.is_none_or(|before| before.name != group.name) {
            for user in self.members(group.id).await? {
                self.tx.changed(ChangeKind::User, user);
            }
        }
        Ok(updated)
    }

    /// Returns the group of this identifier, if it belongs to this provider.
    pub async fn find(&mut self, provider: &str, id: ScimGroupId) -> Result<Option<ScimGroupRow>, StoreError> {
        self.tx
            .fetch_optional("SELECT * FROM scim_groups WHERE id = $1 AND provider = $2", values![id, provider])
            .await?
            .map(read_group)
            .transpose()
    }

    /// The groups of this provider that a user is in.
    pub async fn of_user(&mut self, provider: &str, user: UserId) -> Result<Vec<ScimGroupRow>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT scim_groups.* FROM scim_groups JOIN scim_members ON scim_members.group_id = scim_groups.id
                 WHERE scim_groups.provider = $1 AND scim_members.user_id = $2 ORDER BY scim_groups.id",
                values![provider, user],
            )
            .await?;
        rows.into_iter().map(read_group).collect()
    }

    /// Returns the groups of this provider after one of them, sorted by identifier.
    pub async fn list(
        &mut self,
        provider: &str,
        after: Option<ScimGroupId>,
        limit: i64,
    ) -> Result<Vec<ScimGroupRow>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM scim_groups WHERE provider = $1 AND id > $2 ORDER BY id LIMIT $3",
                values![provider, after, limit],
            )
            .await?;
        rows.into_iter().map(read_group).collect()
    }

    /// Returns the members of a group.
    pub async fn members(&mut self, id: ScimGroupId) -> Result<BTreeSet<UserId>, StoreError> {
        let rows = self.tx.fetch_all("SELECT user_id FROM scim_members WHERE group_id = $1", values![id]).await?;
        rows.iter().map(|row| row.parse("user_id")).collect()
    }

    /// Sets the members of a group, writing only the differences. Returns who was added or removed, or `None` without
    /// any change if one of `members` is not a user of the provider.
    ///
    /// Use it with [`ScimGroups::update`] in one transaction: its version check protects the group against concurrent
    /// changes.
    pub async fn set_members(
        &mut self,
        group: &ScimGroupRow,
        members: &BTreeSet<UserId>,
    ) -> Result<Option<BTreeSet<UserId>>, StoreError> {
        let before = self.members(group.id).await?;
        for user in members.difference(&before) {
            let known = self.tx.scim_users().find(&group.provider, *user).await?;
            if known.is_none() {
                return Ok(None);
            }
        }
        for user in members.difference(&before) {
            self.tx
                .execute("INSERT INTO scim_members (group_id, user_id) VALUES ($1, $2)", values![group.id, user])
                .await?;
        }
        for user in before.difference(members) {
            self.tx
                .execute("DELETE FROM scim_members WHERE group_id = $1 AND user_id = $2", values![group.id, user])
                .await?;
        }
        let moved: BTreeSet<UserId> = before.symmetric_difference(members).copied().collect();
        for user in &moved {
            self.tx.changed(ChangeKind::User, user);
        }
        Ok(Some(moved))
    }

    /// Deletes a group with its memberships. Returns `false` if this provider has no such group.
    pub async fn remove(&mut self, provider: &str, id: ScimGroupId) -> Result<bool, StoreError> {
        let members = self.members(id).await?;
        let removed = self
            .tx
            .execute_one("DELETE FROM scim_groups WHERE id = $1 AND provider = $2", values![id, provider])
            .await?;
        if removed {
            for user in members {
                self.tx.changed(ChangeKind::User, user);
            }
        }
        Ok(removed)
    }
}

fn read_user(row: Row) -> Result<ScimUserRow, StoreError> {
    Ok(ScimUserRow {
        provider: row.text("provider")?,
        user: row.parse("user_id")?,
        user_name_folded: row.text("user_name_folded")?,
        external_id: row.text_opt("external_id")?,
        attributes: row.text("attributes")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}

fn read_group(row: Row) -> Result<ScimGroupRow, StoreError> {
    Ok(ScimGroupRow {
        id: row.parse("id")?,
        provider: row.text("provider")?,
        display_name: row.text("display_name")?,
        name: row.text("name")?,
        external_id: row.text_opt("external_id")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}
