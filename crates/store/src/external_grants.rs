//! Grants that tokens of external authorization servers brought: there is one for each user, client and server. It is
//! found again when it has ended, so that what was ended stays ended until its user lets the client in again.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, ServerName, UserId};
use sekisho_protocol::scope::ScopeSet;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::grants::{Grant, Grants, NewGrant, read};
use crate::sql::values;

/// From which external authorization server a grant came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantIssuer<'a> {
    /// The issuer identifier.
    pub issuer: &'a str,
    /// The subject of the identity that its tokens are about.
    pub subject: &'a str,
}

impl Grants<'_> {
    /// Stores a grant that a token of an external authorization server brought. Fails with [`StoreError::Conflict`] if
    /// there is one for its user, client and server, unless the client was let in again since that one ended.
    pub async fn insert_external(&mut self, new: &NewGrant, of: GrantIssuer<'_>) -> Result<(), StoreError> {
        self.insert(new).await?;
        self.tx
            .execute(
                "UPDATE grants SET issuer = $2, issuer_subject = $3 WHERE id = $1",
                values![new.id, of.issuer, of.subject],
            )
            .await?;
        Ok(())
    }

    /// Returns the grant that tokens of external authorization servers brought for this user, client and server, also
    /// if it has ended, unless the client was let in again since.
    pub async fn find_external(
        &mut self,
        subject: &Subject,
        client: &ClientId,
        server: &ServerName,
    ) -> Result<Option<Grant>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT * FROM grants WHERE subject = $1 AND client_id = $2 AND server = $3
                     AND issuer IS NOT NULL AND released_at IS NULL",
                values![subject, client, server],
            )
            .await?;
        row.map(read).transpose()
    }

    /// Changes the scopes of a grant that was not ended. Returns `false` if it was.
    pub async fn set_scopes(&mut self, id: GrantId, scopes: &ScopeSet) -> Result<bool, StoreError> {
        let set = self
            .tx
            .execute_one("UPDATE grants SET scopes = $2 WHERE id = $1 AND revoked_at IS NULL", values![id, scopes])
            .await?;
        if set {
            self.tx.changed(ChangeKind::Grant, id);
        }
        Ok(set)
    }

    /// Notes that the client of an ended grant is let in again: its next token makes a new grant. Returns `false` if it
    /// was noted before, or if the grant lives or is one of our own issuer.
    pub async fn release(&mut self, id: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        let released = self
            .tx
            .execute_one(
                "UPDATE grants SET released_at = $2
                 WHERE id = $1 AND issuer IS NOT NULL AND revoked_at IS NOT NULL AND released_at IS NULL",
                values![id, now],
            )
            .await?;
        if released {
            self.tx.changed(ChangeKind::Grant, id);
        }
        Ok(released)
    }

    /// Ends the grants that tokens about this identity brought to a user. Returns how many ended.
    pub async fn revoke_of_identity(
        &mut self,
        user: UserId,
        identity_subject: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT id FROM grants WHERE subject = $1 AND issuer_subject = $2 AND revoked_at IS NULL",
                values![&Subject::User(user), identity_subject],
            )
            .await?;
        let mut ended = 0;
        for row in rows {
            ended += u64::from(self.revoke(row.parse("id")?, reason, now).await?);
        }
        Ok(ended)
    }
}
