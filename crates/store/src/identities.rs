//! Identities of users at identity providers.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::UserId;
use sekisho_protocol::openid::identity::Identity;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, values};
use crate::tx::Tx;

/// An identity at a provider, and its user here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The identity at the provider.
    pub identity: Identity,
    /// The user.
    pub user: UserId,
    /// Whether the user was made for this identity. Such a user has no password.
    pub made_user: bool,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it was last used.
    pub signed_in_at: Option<Timestamp>,
}

/// Identities of users at identity providers. See [`Tx::identities`].
pub struct Identities<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Identities<'_> {
    /// Links an identity to a user. Returns `false` if it is linked already, maybe to another user;
    /// [`Identities::find`] returns which. Of concurrent attempts to link one identity, one succeeds.
    pub async fn link(&mut self, linked: &LinkedIdentity) -> Result<bool, StoreError> {
        let inserted = self
            .tx
            .execute_one(
                "INSERT INTO identities (issuer, subject, user_id, made_user, created_at, signed_in_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (issuer, subject) DO NOTHING",
                values![
                    linked.identity.issuer.as_str(),
                    linked.identity.subject.as_str(),
                    linked.user,
                    linked.made_user,
                    linked.created_at,
                    linked.signed_in_at
                ],
            )
            .await?;
        if inserted {
            self.tx.changed(ChangeKind::User, linked.user);
        }
        Ok(inserted)
    }

    /// Returns the link of an identity to its user.
    pub async fn find(&mut self, identity: &Identity) -> Result<Option<LinkedIdentity>, StoreError> {
        self.tx
            .fetch_optional(
                "SELECT * FROM identities WHERE issuer = $1 AND subject = $2",
                values![identity.issuer.as_str(), identity.subject.as_str()],
            )
            .await?
            .map(read)
            .transpose()
    }

    /// Returns the identities of a user, sorted by issuer.
    pub async fn of_user(&mut self, user: UserId) -> Result<Vec<LinkedIdentity>, StoreError> {
        let rows = self
            .tx
            .fetch_all("SELECT * FROM identities WHERE user_id = $1 ORDER BY issuer, subject", values![user])
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Notes that an identity signed in, and returns its user, unless that user is disabled. This is one statement, so
    /// that nobody signs in while they are being disabled.
    pub async fn sign_in(&mut self, identity: &Identity, now: Timestamp) -> Result<Option<UserId>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE identities SET signed_in_at = $3 WHERE issuer = $1 AND subject = $2
                     AND EXISTS (SELECT 1 FROM users WHERE users.id = identities.user_id AND users.disabled = 0)
                 RETURNING user_id",
                values![identity.issuer.as_str(), identity.subject.as_str(), now],
            )
            .await?;
        row.map(|row| row.parse("user_id")).transpose()
    }

    /// Removes the link of a local user. Returns `false` if there is none, or if the user was made for it and could not
    /// sign in without it.
    pub async fn unlink(&mut self, identity: &Identity, user: UserId) -> Result<bool, StoreError> {
        let removed = self
            .tx
            .execute_one(
                "DELETE FROM identities WHERE issuer = $1 AND subject = $2 AND user_id = $3 AND made_user = 0",
                values![identity.issuer.as_str(), identity.subject.as_str(), user],
            )
            .await?;
        if removed {
            self.tx.changed(ChangeKind::User, user);
        }
        Ok(removed)
    }
}

fn read(row: Row) -> Result<LinkedIdentity, StoreError> {
    Ok(LinkedIdentity {
        identity: Identity { issuer: row.text("issuer")?, subject: row.text("subject")? },
        user: row.parse("user_id")?,
        made_user: row.flag("made_user")?,
        created_at: row.time("created_at")?,
        signed_in_at: row.time_opt("signed_in_at")?,
    })
}
