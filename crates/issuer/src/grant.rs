//! The life of a grant, as pure functions: pending → approved → exchanged, or denied, or expired; and then refresh
//! after refresh until it ends. What is stored says where in that life it stands; nothing here changes anything.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{CODE_FAILURES_MAX, Code, Grant, Pending, RefreshRow};

/// How far clocks of nodes may differ, in seconds. A time that is further ahead is not accepted (ATK-99).
const SKEW_SECONDS: u32 = 60;

/// The state of a request that waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestStanding {
    /// A person said yes or no.
    Answered,
    /// It was not answered in time.
    Expired,
    /// It can be answered, from this browser.
    Open,
    /// It was begun in another browser (ATK-81).
    OtherBrowser,
}

/// Returns the state of a request for a browser.
pub(crate) fn request_standing(pending: &Pending, browser: &Digest, now: Timestamp) -> RequestStanding {
    if pending.answered_at.is_some() {
        RequestStanding::Answered
    } else if pending.expires_at <= now || pending.created_at > after(now, SKEW_SECONDS) {
        RequestStanding::Expired
    } else if pending.browser.is_some_and(|bound| bound != *browser) {
        RequestStanding::OtherBrowser
    } else {
        RequestStanding::Open
    }
}

/// The state of a code for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeStanding {
    /// Too many wrong verifiers (ATK-21).
    Dead,
    /// Its minute is over.
    Expired,
    /// It was issued to another client (ATK-17). Nothing may follow from that (ATK-20).
    Foreign,
    /// It can become a grant.
    Redeemable,
    /// It became a grant before, and comes back from the client it belongs to (ATK-19).
    Replayed,
}

/// Returns the state of a code.
pub(crate) fn code_standing(code: &Code, client: &ClientId, now: Timestamp) -> CodeStanding {
    if code.client != *client {
        CodeStanding::Foreign
    } else if code.used_at.is_some() {
        CodeStanding::Replayed
    } else if code.failures >= CODE_FAILURES_MAX {
        CodeStanding::Dead
    } else if code.expires_at <= now || code.issued_at > after(now, SKEW_SECONDS) {
        CodeStanding::Expired
    } else {
        CodeStanding::Redeemable
    }
}

/// The state of a refresh token for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshStanding {
    /// Its time, or its grant's, is over.
    Ended,
    /// It was issued to another client (ATK-17).
    Foreign,
    /// It was used, and comes back in a way that is no retry (ATK-36).
    Replayed,
    /// It was used a moment ago, and its successor was not used: the client lost the answer.
    Retried,
    /// It was never used.
    Usable,
}

/// Returns the state of a refresh token. `successor_unused`: whether the token that followed it is still unused.
pub(crate) fn refresh_standing(
    row: &RefreshRow,
    grant: &Grant,
    client: &ClientId,
    successor_unused: bool,
    retry_seconds: u32,
    now: Timestamp,
) -> RefreshStanding {
    if grant.client != *client {
        return RefreshStanding::Foreign;
    }
    if grant.revoked_at.is_some() || grant.expires_at.is_some_and(|end| end <= now) {
        return RefreshStanding::Ended;
    }
    let Some(used_at) = row.used_at else {
        // One from the future was issued when the clock was ahead. It is used up like any other, and nobody has to sign in
        // again because a clock was wrong; how long it lasts, the store corrects (`Store::bring_back`).
        return if row.expires_at <= now { RefreshStanding::Ended } else { RefreshStanding::Usable };
    };
    // If the clock was set back, the token must not become usable again.
    let within = now < after(used_at, retry_seconds) && used_at <= after(now, retry_seconds);
    if within && successor_unused { RefreshStanding::Retried } else { RefreshStanding::Replayed }
}

/// Returns the scopes that a person's yes grants: those that were ticked, were asked for, and may be handed on by the
/// person (RS-39, AS-16).
pub(crate) fn approved_scopes<'t>(ticked: impl Iterator<Item = &'t str>, offered: &ScopeSet) -> ScopeSet {
    let ticked: Vec<&str> = ticked.collect();
    offered.iter().filter(|scope| ticked.contains(&scope.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests;
