//! What the store does when the clock of the machine was wrong: what lasts for some time lasts as long as was promised,
//! by the time that really passed, and nobody has to sign in again for it.

use sekisho_protocol::env::Timestamp;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::values;
use crate::store::Store;

/// A step of the clock, as it is to be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// Since when moments were written by the clock that was wrong.
    pub since: Timestamp,
    /// What that clock said last.
    pub from: Timestamp,
    /// What the clock says in its place.
    pub to: Timestamp,
}

/// How far ahead a moment of creation may lie, in milliseconds: clocks of nodes differ.
const SKEW_MILLIS: i64 = 60_000;

/// Moves what was made while the wrong clock ran: when it was made, and when it ends.
macro_rules! moved {
    ($table:literal, $made:literal $(, $ends:literal)*) => {
        concat!(
            "UPDATE ", $table, " SET ", $made, " = ", $made, " + $3",
            $(", ", $ends, " = ", $ends, " + $3",)*
            " WHERE ", $made, " BETWEEN $1 AND $2"
        )
    };
}

/// Has what seems to be made in the future last from now on, as long as it was to last.
macro_rules! brought_back {
    ($table:literal, $made:literal $(, $ends:literal)*) => {
        concat!(
            "UPDATE ", $table, " SET ", $made, " = $1",
            $(", ", $ends, " = $1 + (", $ends, " - ", $made, ")",)*
            " WHERE ", $made, " > $1 + $2"
        )
    };
}

/// Both statements about everything that lasts, and the first about every other moment that is kept.
macro_rules! times {
    (lasting: $(($table:literal, $made:literal $(, $ends:literal)*)),* ; past: $(($past:literal, $column:literal)),* $(,)?) => {
        const MOVED: &[&str] = &[$(moved!($table, $made $(, $ends)*),)* $(moved!($past, $column),)*];
        const BROUGHT_BACK: &[&str] = &[$(brought_back!($table, $made $(, $ends)*),)*];
    };
}

times! {
    lasting:
        ("access_requests", "created_at", "expires_at"),
        ("approvals", "created_at", "expires_at"),
        ("browser_sessions", "created_at", "expires_at", "authenticated_at"),
        ("clients", "created_at", "expires_at"),
        ("codes", "issued_at", "expires_at"),
        ("grants", "created_at", "expires_at"),
        ("loans", "created_at", "expires_at"),
        ("pendings", "created_at", "expires_at"),
        ("refresh_tokens", "issued_at", "expires_at"),
        ("scim_tokens", "created_at", "expires_at"),
        ("signing_keys", "created_at", "active_from"),
        ("tasks", "created_at", "ends_at"),
        ("throttle", "failed_at");
    past:
        ("access_requests", "announced_at"),
        ("access_requests", "closed_at"),
        ("access_requests", "decided_at"),
        ("approvals", "closed_at"),
        ("approvals", "decided_at"),
        ("approvals", "used_at"),
        ("clients", "last_used_at"),
        ("codes", "used_at"),
        ("consents", "given_at"),
        ("grants", "last_used_at"),
        ("grants", "revoked_at"),
        ("identities", "created_at"),
        ("identities", "signed_in_at"),
        ("loans", "revoked_at"),
        ("pendings", "answered_at"),
        ("refresh_tokens", "used_at"),
        ("scim_groups", "changed_at"),
        ("scim_groups", "created_at"),
        ("scim_tokens", "last_used_at"),
        ("scim_tokens", "revoked_at"),
        ("scim_users", "changed_at"),
        ("scim_users", "created_at"),
        ("tasks", "ended_at"),
        ("users", "created_at"),
        ("users", "password_set_at"),
}

/// What ends and does not say when it was made: it was, if it ends later than what was made before could.
const MOVED_ENDS: [(&str, i64); 2] = [
    ("UPDATE setup_links SET expires_at = expires_at + $3 WHERE expires_at BETWEEN $1 AND $2", 30 * 60_000),
    ("UPDATE rounds SET expires_at = expires_at + $3 WHERE expires_at BETWEEN $1 AND $2", 10 * 60_000),
];

impl Store {
    /// Moves every moment that was written by the wrong clock, in one transaction: what was to last ten minutes lasts ten
    /// minutes, whatever the clock said meanwhile. Records stay as they were written. Every cache is emptied.
    pub async fn take_step(&self, step: ClockStep) -> Result<(), StoreError> {
        let (since, from) = (step.since.as_millisecond(), step.from.as_millisecond());
        let by = step.to.as_millisecond().saturating_sub(from);
        let mut tx = self.begin().await?;
        for sql in MOVED {
            tx.execute(sql, values![since, from, by]).await?;
        }
        for (sql, lasts) in MOVED_ENDS {
            tx.execute(sql, values![since.saturating_add(lasts), from.saturating_add(lasts), by]).await?;
        }
        tx.changed(ChangeKind::Key, "");
        tx.changed(ChangeKind::User, "");
        tx.commit().await
    }

    /// Has everything that seems to be made in the future last from now on, as long as it was to last: it was made by a
    /// clock that was ahead, and was set right while nobody looked. Says how many rows that were.
    pub async fn bring_back(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut rows = 0;
        for sql in BROUGHT_BACK {
            rows += tx.execute(sql, values![now, SKEW_MILLIS]).await?;
        }
        if rows > 0 {
            tx.changed(ChangeKind::Key, "");
            tx.changed(ChangeKind::User, "");
        }
        tx.commit().await?;
        Ok(rows)
    }
}
