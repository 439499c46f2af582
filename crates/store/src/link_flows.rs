//! Links that are not made yet: a browser that was sent to a vendor, and then an account that waits for the person's
//! yes. Each step is taken once, by the browser and the session that began it (ATK-81, ATK-82).

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ServerName, UserId};

use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, corrupt, values};
use crate::tx::Tx;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkStep {
    /// The vendor has answered; the person has to confirm the account.
    Confirm,
    /// The browser was sent to the vendor.
    Sent,
}

impl LinkStep {
    fn number(self) -> i64 {
        match self {
            Self::Confirm => 1,
            Self::Sent => 0,
        }
    }
}

/// A link that is not made yet.
#[derive(Debug, Clone)]
pub struct LinkFlow {
    /// The digest of the secret that takes this step: `state` at the vendor, or the value in our own form.
    pub digest: Digest,
    /// How far it has come.
    pub step: LinkStep,
    /// The user who began it.
    pub user: UserId,
    /// The server that the account is for.
    pub server: ServerName,
    /// The digest of a secret that only this browser has.
    pub browser: Digest,
    /// The digest of the browser session in which it was begun.
    pub session: Digest,
    /// What the next step needs. Stored sealed.
    pub kept: SecretBytes,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Who takes the next step of a link.
#[derive(Debug, Clone, Copy)]
pub struct LinkTaker<'a> {
    /// The digest of the secret that takes it.
    pub digest: &'a Digest,
    /// The step.
    pub step: LinkStep,
    /// The server whose page it is.
    pub server: &'a ServerName,
    /// The browser.
    pub browser: &'a Digest,
    /// The browser session, if the step is taken on a page of somebody who is signed in.
    pub session: Option<&'a Digest>,
}

/// Links that are not made yet. See [`Tx::link_flows`].
pub struct LinkFlows<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl LinkFlows<'_> {
    /// Stores the next step of a link.
    pub async fn insert(&mut self, flow: &LinkFlow) -> Result<(), StoreError> {
        let row = flow.digest.to_string();
        let kept = self.tx.seal.seal(Purpose::LinkFlow, &[&row], flow.kept.expose())?;
        self.tx
            .execute(
                "INSERT INTO link_flows (digest, step, user_id, server, browser, session, kept, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    flow.digest,
                    flow.step.number(),
                    flow.user,
                    &flow.server,
                    flow.browser,
                    flow.session,
                    kept,
                    flow.expires_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Reads a step that waits for the person's yes, for the page that asks. Takes nothing.
    pub async fn find(&mut self, taker: LinkTaker<'_>, now: Timestamp) -> Result<Option<LinkFlow>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT * FROM link_flows
                 WHERE digest = $1 AND step = $2 AND server = $3 AND browser = $4 AND expires_at > $5
                     AND (CAST($6 AS TEXT) IS NULL OR session = $6)",
                values![taker.digest, taker.step.number(), taker.server, taker.browser, now, taker.session],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Takes a step, once, for the browser that began it and the server's own page, before it expires. Anybody else
    /// takes nothing and changes nothing.
    pub async fn consume(&mut self, taker: LinkTaker<'_>, now: Timestamp) -> Result<Option<LinkFlow>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "DELETE FROM link_flows
                 WHERE digest = $1 AND step = $2 AND server = $3 AND browser = $4 AND expires_at > $5
                     AND (CAST($6 AS TEXT) IS NULL OR session = $6)
                     AND EXISTS (SELECT 1 FROM browser_sessions
                                 WHERE browser_sessions.digest = link_flows.session
                                     AND browser_sessions.user_id = link_flows.user_id
                                     AND browser_sessions.expires_at > $5)
                     AND EXISTS (SELECT 1 FROM users WHERE users.id = link_flows.user_id AND users.disabled = 0)
                 RETURNING *",
                values![taker.digest, taker.step.number(), taker.server, taker.browser, now, taker.session],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    fn read(&self, row: &Row) -> Result<LinkFlow, StoreError> {
        let digest: Digest = row.parse("digest")?;
        let kept = self.tx.seal.open(Purpose::LinkFlow, &[&digest.to_string()], &row.blob("kept")?)?;
        let step = match row.int("step")? {
            0 => LinkStep::Sent,
            1 => LinkStep::Confirm,
            _ => return Err(corrupt("link_flows.step")),
        };
        Ok(LinkFlow {
            digest,
            step,
            user: row.parse("user_id")?,
            server: row.parse("server")?,
            browser: row.parse("browser")?,
            session: row.parse("session")?,
            kept: SecretBytes::new(kept.to_vec()),
            expires_at: row.time("expires_at")?,
        })
    }
}
