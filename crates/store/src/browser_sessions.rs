//! Signed-in browsers.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::UserId;

use crate::error::StoreError;
use crate::seal::{Purpose, SealError, SecretKey};
use crate::sql::{Row, values};
use crate::tx::Tx;

/// How somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInMethod {
    /// With a link that an operator made.
    Link,
    /// With a password.
    Password,
    /// At this provider, by its name in the configuration.
    Provider(String),
    /// The session is older than this column.
    Unknown,
}

impl SignInMethod {
    /// Before the name of a provider in the column.
    const PROVIDER: &str = "provider:";

    fn to_text(&self) -> String {
        match self {
            Self::Link => "link".to_owned(),
            Self::Password => "password".to_owned(),
            Self::Provider(name) => format!("{}{name}", Self::PROVIDER),
            Self::Unknown => String::new(),
        }
    }

    fn of_text(text: &str) -> Self {
        match (text, text.strip_prefix(Self::PROVIDER)) {
            ("link", _) => Self::Link,
            ("password", _) => Self::Password,
            (_, Some(name)) => Self::Provider(name.to_owned()),
            (_, None) => Self::Unknown,
        }
    }
}

/// A browser in which a user is signed in.
#[derive(Debug, Clone)]
pub struct BrowserSession {
    /// The digest of the session's secret.
    pub digest: Digest,
    /// The user who is signed in.
    pub user: UserId,
    /// The key of the CSRF tokens of this session's forms.
    pub csrf: SecretKey,
    /// When the session began.
    pub created_at: Timestamp,
    /// When the session ends.
    pub expires_at: Timestamp,
    /// When the user last proved who they are.
    pub authenticated_at: Timestamp,
    /// How they proved it.
    pub method: SignInMethod,
    /// What the browser calls itself, in a few words for people. Empty if it does not say.
    pub browser: String,
    /// When a page was last opened in it, to a few minutes.
    pub seen_at: Timestamp,
}

/// A user who is signed in somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInUser {
    /// The user.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// In how many browsers.
    pub sessions: u64,
    /// When the last page was opened in one of them.
    pub seen_at: Timestamp,
}

/// The most sessions, and the most users, that a list shows.
const LISTED_MAX: i64 = 200;

/// Signed-in browsers. See [`Tx::browser_sessions`].
pub struct BrowserSessions<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl BrowserSessions<'_> {
    /// Stores a session.
    pub async fn insert(&mut self, session: &BrowserSession) -> Result<(), StoreError> {
        let csrf = self.tx.seal.seal(Purpose::BrowserSession, &[&session.digest.to_string()], session.csrf.expose())?;
        self.tx
            .execute(
                "INSERT INTO browser_sessions
                     (digest, user_id, csrf, created_at, expires_at, authenticated_at, method, browser, seen_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                values![
                    session.digest,
                    session.user,
                    csrf,
                    session.created_at,
                    session.expires_at,
                    session.authenticated_at,
                    session.method.to_text().as_str(),
                    session.browser.as_str(),
                    session.seen_at
                ],
            )
            .await?;
        Ok(())
    }

    /// Notes that a page was opened in this session, unless that was noted within the last `seconds`.
    pub async fn note_seen(&mut self, digest: &Digest, now: Timestamp, seconds: u32) -> Result<bool, StoreError> {
        let before = now.as_millisecond().saturating_sub(i64::from(seconds) * 1000);
        self.tx
            .execute_one(
                "UPDATE browser_sessions SET seen_at = $2 WHERE digest = $1 AND seen_at <= $3",
                values![digest, now, before],
            )
            .await
    }

    /// Returns the sessions of a user that have not ended, the last used first, at most 200.
    pub async fn of_user(&mut self, user: UserId, now: Timestamp) -> Result<Vec<BrowserSession>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM browser_sessions WHERE user_id = $1 AND expires_at > $2
                 ORDER BY seen_at DESC, digest LIMIT $3",
                values![user, now, LISTED_MAX],
            )
            .await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Returns who is signed in, the last seen first, at most 200 users.
    pub async fn users(&mut self, now: Timestamp) -> Result<Vec<SignedInUser>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT users.id AS id, users.name AS name, COUNT(*) AS sessions, MAX(browser_sessions.seen_at) AS seen_at
                 FROM browser_sessions JOIN users ON users.id = browser_sessions.user_id
                 WHERE expires_at > $1 AND users.disabled = 0
                 GROUP BY users.id, users.name ORDER BY MAX(browser_sessions.seen_at) DESC, users.id LIMIT $2",
                values![now, LISTED_MAX],
            )
            .await?;
        let read = |row: Row| {
            Ok(SignedInUser {
                user: row.parse("id")?,
                name: row.text("name")?,
                sessions: row.count("sessions")?,
                seen_at: row.time("seen_at")?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the session of this digest, unless it has ended or its user is disabled.
    pub async fn find(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "SELECT browser_sessions.* FROM browser_sessions JOIN users ON users.id = browser_sessions.user_id
                 WHERE digest = $1 AND expires_at > $2 AND users.disabled = 0",
                values![digest, now],
            )
            .await?;
        row.map(|row| self.read(&row)).transpose()
    }

    /// Locks a session until this transaction ends, so that nobody ends it meanwhile. Returns when it ends, or `None`
    /// if it has ended.
    pub async fn hold(&mut self, digest: &Digest, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                "UPDATE browser_sessions SET expires_at = expires_at WHERE digest = $1 AND expires_at > $2
                 RETURNING expires_at",
                values![digest, now],
            )
            .await?;
        row.map(|row| row.time("expires_at")).transpose()
    }

    /// Ends a session, and the grants that end with it. Returns `false` if there is no such session.
    pub async fn delete(&mut self, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        let deleted = self.tx.execute_one("DELETE FROM browser_sessions WHERE digest = $1", values![digest]).await?;
        self.tx.grants().revoke_of_session(digest, now).await?;
        Ok(deleted)
    }

    /// Ends a session because the browser was signed in again. If the user is the same, grants that would end with the
    /// old session end with the new one instead; otherwise they end now.
    pub async fn renew(&mut self, old: &Digest, new: &BrowserSession, now: Timestamp) -> Result<(), StoreError> {
        let same = self
            .tx
            .execute_one("DELETE FROM browser_sessions WHERE digest = $1 AND user_id = $2", values![old, new.user])
            .await?;
        if !same {
            self.delete(old, now).await?;
            return Ok(());
        }
        self.tx.execute("UPDATE grants SET session = $2 WHERE session = $1", values![old, new.digest]).await?;
        Ok(())
    }

    /// Ends every session of a user, and the grants that end with them. Returns how many sessions there were.
    pub async fn delete_of_user(&mut self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all("DELETE FROM browser_sessions WHERE user_id = $1 RETURNING digest", values![user])
            .await?;
        self.end_grants(&rows, now).await
    }

    /// Ends one session of a user, and the grants that end with it. Returns how many sessions that were: 0 if the session
    /// has ended, or is another user's.
    pub async fn delete_one_of_user(
        &mut self,
        user: UserId,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "DELETE FROM browser_sessions WHERE user_id = $1 AND digest = $2 RETURNING digest",
                values![user, digest],
            )
            .await?;
        self.end_grants(&rows, now).await
    }

    /// Ends every session of a user but one, and the grants that end with them. Returns how many sessions that were.
    pub async fn delete_others_of_user(
        &mut self,
        user: UserId,
        stays: &Digest,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "DELETE FROM browser_sessions WHERE user_id = $1 AND digest <> $2 RETURNING digest",
                values![user, stays],
            )
            .await?;
        self.end_grants(&rows, now).await
    }

    /// Ends the grants that end with these sessions. Returns how many sessions they are.
    async fn end_grants(&mut self, rows: &[Row], now: Timestamp) -> Result<u64, StoreError> {
        for row in rows {
            let digest: Digest = row.parse("digest")?;
            self.tx.grants().revoke_of_session(&digest, now).await?;
        }
        Ok(rows.len() as u64)
    }

    fn read(&self, row: &Row) -> Result<BrowserSession, StoreError> {
        let digest: Digest = row.parse("digest")?;
        let opened = self.tx.seal.open(Purpose::BrowserSession, &[&digest.to_string()], &row.blob("csrf")?)?;
        let csrf = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Broken)?;
        Ok(BrowserSession {
            digest,
            user: row.parse("user_id")?,
            csrf: SecretKey::from_bytes(csrf),
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
            authenticated_at: row.time("authenticated_at")?,
            method: SignInMethod::of_text(&row.text("method")?),
            browser: row.text("browser")?,
            seen_at: row.time("seen_at")?,
        })
    }
}
