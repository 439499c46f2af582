//! Sign-ins at providers: browsers that were sent there, and the resulting sessions.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{PendingId, UserId};
use sekisho_protocol::openid::identity::Identity;

use crate::error::StoreError;
use crate::seal::{Purpose, SecretBytes};
use crate::sql::{Row, values};
use crate::tx::Tx;

/// A browser that was sent to a provider.
#[derive(Debug, Clone)]
pub struct PendingSignIn {
    /// The digest of `state`.
    pub digest: Digest,
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The digest of a secret that only this browser has.
    pub browser: Digest,
    /// The client's authorization request that it is for, if any.
    pub pending: Option<PendingId>,
    /// The values that the answer is checked against. Stored sealed.
    pub kept: SecretBytes,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The session at a provider that a browser session came from.
#[derive(Debug, Clone)]
pub struct ProviderSession {
    /// The browser session, by its digest.
    pub browser_session: Digest,
    /// The identity that signed in. `subject` is the `sub` of the ID token, which logout tokens name, not the profile's
    /// own subject.
    pub identity: Identity,
    /// The provider's name for the session, if it has one.
    pub sid: Option<String>,
    /// The ID token, for signing out there. Kept sealed, if it has at most [`ID_TOKEN_BYTES_MAX`] bytes.
    pub id_token: Option<SecretBytes>,
}

/// The longest ID token that is stored for signing out, in bytes: a longer one does not fit into a URL.
pub const ID_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Sign-ins at providers. See [`Tx::sign_ins`].
pub struct SignIns<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl SignIns<'_> {
    /// Stores a sign-in until the browser comes back.
    pub async fn insert(&mut self, sign_in: &PendingSignIn) -> Result<(), StoreError> {
        let row = sign_in.digest.to_string();
        let kept = self.tx.seal.seal(Purpose::SignIn, &[&row], sign_in.kept.expose())?;
        self.tx
            .execute(
                "INSERT INTO sign_ins (digest, provider, browser, pending, kept, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                values![
                    sign_in.digest,
                    sign_in.provider.as_str(),
                    sign_in.browser,
                    sign_in.pending.as_ref(),
                    kept,
                    sign_in.expires_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Takes the sign-in with this digest of `state`, once, for the browser that was sent and for this provider, before
    /// it expires (PX-09, ATK-81, ATK-83). Another browser cannot take it, and does not change it.
    pub async fn consume(
        &mut self,
        digest: &Digest,
        provider: &str,
        browser: &Digest,
        now: Timestamp,
    ) -> Result<Option<PendingSignIn>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "DELETE FROM sign_ins WHERE digest = $1 AND provider = $2 AND browser = $3 AND expires_at > $4
                 RETURNING *",
                values![digest, provider, browser, now],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Returns the sign-in that [`SignIns::consume`] would take, and leaves it.
    pub async fn find(
        &mut self,
        digest: &Digest,
        provider: &str,
        browser: &Digest,
        now: Timestamp,
    ) -> Result<Option<PendingSignIn>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT * FROM sign_ins WHERE digest = $1 AND provider = $2 AND browser = $3 AND expires_at > $4",
                values![digest, provider, browser, now],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    fn read(&self, row: &Row) -> Result<PendingSignIn, StoreError> {
        let digest: Digest = row.parse("digest")?;
        let kept = self.tx.seal.open(Purpose::SignIn, &[&digest.to_string()], &row.blob("kept")?)?;
        Ok(PendingSignIn {
            digest,
            provider: row.text("provider")?,
            browser: row.parse("browser")?,
            pending: row.parse_opt("pending")?,
            kept: SecretBytes::new(kept.to_vec()),
            expires_at: row.time("expires_at")?,
        })
    }
}

/// The sessions that a logout token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedOut<'a> {
    /// One session at the provider, and its person if the token names one as well.
    Session {
        /// The provider's name for the session.
        sid: &'a str,
        /// The `sub`, if the token has one.
        subject: Option<&'a str>,
    },
    /// All sessions of a person, by `sub`.
    Subject(&'a str),
}

/// Sessions at providers. See [`Tx::provider_sessions`].
pub struct ProviderSessions<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl ProviderSessions<'_> {
    /// Stores the session at a provider that a browser session came from. It is deleted with the browser session.
    pub async fn insert(&mut self, session: &ProviderSession) -> Result<(), StoreError> {
        let row = session.browser_session.to_string();
        let id_token = match &session.id_token {
            Some(token) if token.expose().len() <= ID_TOKEN_BYTES_MAX => {
                Some(self.tx.seal.seal(Purpose::ProviderSession, &[&row], token.expose())?)
            }
            _ => None,
        };
        self.tx
            .execute(
                "INSERT INTO provider_sessions (browser_session, issuer, subject, sid, id_token)
                 VALUES ($1, $2, $3, $4, $5)",
                values![
                    session.browser_session,
                    session.identity.issuer.as_str(),
                    session.identity.subject.as_str(),
                    session.sid.as_deref(),
                    id_token
                ],
            )
            .await?;
        Ok(())
    }

    /// Returns the session at a provider that a browser session came from. `None`: it came from none, or there is no
    /// such browser session.
    pub async fn find(&mut self, browser_session: &Digest) -> Result<Option<ProviderSession>, StoreError> {
        let row = self
            .tx
            .fetch_optional("SELECT * FROM provider_sessions WHERE browser_session = $1", values![browser_session])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let open = |sealed: Vec<u8>| {
            let opened = self.tx.seal.open(Purpose::ProviderSession, &[&browser_session.to_string()], &sealed)?;
            Ok::<_, StoreError>(SecretBytes::new(opened.to_vec()))
        };
        Ok(Some(ProviderSession {
            browser_session: *browser_session,
            identity: Identity { issuer: row.text("issuer")?, subject: row.text("subject")? },
            sid: row.text_opt("sid")?,
            id_token: row.blob_opt("id_token")?.map(open).transpose()?,
        }))
    }

    /// Ends every browser session that came from the sessions that a provider ended, and the grants that end with them.
    /// Returns the users, one for each ended session.
    pub async fn end(
        &mut self,
        issuer: &str,
        logged_out: LoggedOut<'_>,
        now: Timestamp,
    ) -> Result<Vec<UserId>, StoreError> {
        let rows = match logged_out {
            LoggedOut::Session { sid, subject } => {
                self.tx
                    .fetch_all(
                        "DELETE FROM browser_sessions WHERE digest IN (
                             SELECT browser_session FROM provider_sessions
                             WHERE issuer = $1 AND sid = $2 AND (CAST($3 AS TEXT) IS NULL OR subject = $3))
                         RETURNING digest, user_id",
                        values![issuer, sid, subject],
                    )
                    .await?
            }
            LoggedOut::Subject(subject) => {
                self.tx
                    .fetch_all(
                        "DELETE FROM browser_sessions WHERE digest IN (
                             SELECT browser_session FROM provider_sessions WHERE issuer = $1 AND subject = $2)
                         RETURNING digest, user_id",
                        values![issuer, subject],
                    )
                    .await?
            }
        };
        let mut users = Vec::new();
        for row in &rows {
            let digest: Digest = row.parse("digest")?;
            self.tx.grants().revoke_of_session(&digest, now).await?;
            users.push(row.parse("user_id")?);
        }
        Ok(users)
    }
}
