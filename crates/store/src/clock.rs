//! Corrects stored times after the machine's clock was wrong: everything that lasts for some time ends after that much
//! real time, so that nobody has to sign in again.

use sekisho_protocol::env::Timestamp;

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::values;
use crate::store::Store;

/// A step of the clock, by which stored times are corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// Since when the wrong clock was used.
    pub since: Timestamp,
    /// The last time that the wrong clock showed.
    pub from: Timestamp,
    /// The right time at that moment.
    pub to: Timestamp,
}

/// How far in the future a creation time may be, in milliseconds: clocks of nodes differ.
const SKEW_MILLIS: i64 = 60_000;

/// Moves the creation and end times of rows that were made while the clock was wrong.
macro_rules! moved {
    ($table:literal, $made:literal $(, $ends:literal)*) => {
        concat!(
            "UPDATE ", $table, " SET ", $made, " = ", $made, " + $3",
            $(", ", $ends, " = ", $ends, " + $3",)*
            " WHERE ", $made, " BETWEEN $1 AND $2"
        )
    };
}

/// Moves rows that seem to be made in the future, so that they last from now on, as long as intended.
macro_rules! brought_back {
    ($table:literal, $made:literal $(, $ends:literal)*) => {
        concat!(
            "UPDATE ", $table, " SET ", $made, " = $1",
            $(", ", $ends, " = $1 + (", $ends, " - ", $made, ")",)*
            " WHERE ", $made, " > $1 + $2"
        )
    };
}

/// Makes both statements for every table with an end, and the first one for every other stored time.
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
        ("catalogues", "announced_at"),
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

/// Statements for tables with an end but no creation time: a row was made by the wrong clock if it ends later than any
/// row made before could.
const MOVED_ENDS: [(&str, i64); 2] = [
    ("UPDATE setup_links SET expires_at = expires_at + $3 WHERE expires_at BETWEEN $1 AND $2", 30 * 60_000),
    ("UPDATE rounds SET expires_at = expires_at + $3 WHERE expires_at BETWEEN $1 AND $2", 10 * 60_000),
];

impl Store {
    /// Moves every time that was written by the wrong clock, in one transaction: what should last ten minutes lasts ten
    /// minutes, whatever the clock said meanwhile. Records stay as they were written. Every cache is cleared.
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

    /// Moves every row that seems to be made in the future, so that it lasts from now on, as long as intended: a clock
    /// that was ahead made it, and was corrected while no instance ran. Returns the number of rows.
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
