//! The life of a grant, stage by stage.

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, PendingId};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{CODE_FAILURES_MAX, Code, Conditions, Grant, Pending, RefreshRow, SecretKey};

use super::{
    CodeStanding, RefreshStanding, RequestStanding, approved_scopes, code_standing, refresh_standing, request_standing,
};

fn now() -> Timestamp {
    ManualClock::default().now()
}

fn before(seconds: i64) -> Timestamp {
    now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap()
}

fn pending() -> Pending {
    Pending {
        id: PendingId::generate(now(), &SeededEntropy::default()),
        client: ClientId::parse("c").unwrap(),
        redirect_uri: "https://c.example/cb".to_owned(),
        state: None,
        challenge: String::new(),
        resource: String::new(),
        server: "notes".parse().unwrap(),
        scopes: ScopeSet::empty(),
        task: None,
        prompt_flags: String::new(),
        browser: None,
        user: None,
        created_at: now(),
        expires_at: after(now(), 600),
        answered_at: None,
    }
}

/// ATK-81, ATK-99, PX-09: a request can be answered once, in time, and in the browser where it was begun.
#[test]
fn a_request_is_open_in_one_browser_until_it_is_answered_or_too_old() {
    let [own, other] = [Digest::of(b"own"), Digest::of(b"other")];
    let standing = |change: fn(&mut Pending)| {
        let mut pending = pending();
        change(&mut pending);
        request_standing(&pending, &Digest::of(b"own"), now())
    };
    assert_eq!(standing(|_| {}), RequestStanding::Open);
    assert_eq!(standing(|p| p.answered_at = Some(p.created_at)), RequestStanding::Answered);
    assert_eq!(standing(|p| p.expires_at = p.created_at), RequestStanding::Expired);
    assert_eq!(standing(|p| p.browser = Some(Digest::of(b"own"))), RequestStanding::Open);
    assert_eq!(standing(|p| p.browser = Some(Digest::of(b"other"))), RequestStanding::OtherBrowser);
    let set_back = before(3600);
    assert_eq!(request_standing(&pending(), &own, set_back), RequestStanding::Expired);
    assert_ne!(own, other);
}

fn code() -> Code {
    Code {
        digest: Digest::of(b"code"),
        client: ClientId::parse("c").unwrap(),
        redirect_uri: String::new(),
        challenge: String::new(),
        subject: Subject::Anonymous,
        server: "notes".parse().unwrap(),
        resource: String::new(),
        scopes: ScopeSet::empty(),
        path: ActorPath::direct(ClientId::parse("c").unwrap()),
        conditions: Conditions::default(),
        issued_at: now(),
        expires_at: after(now(), 60),
        used_at: None,
        grant: None,
        failures: 0,
    }
}

/// AS-21, ATK-17, ATK-20, ATK-21, ATK-99: in this order, so that nothing follows from a code in foreign hands.
#[test]
fn a_code_stands_as_its_row_says() {
    let own = ClientId::parse("c").unwrap();
    let other = ClientId::parse("d").unwrap();
    let standing = |client: &ClientId, at: Timestamp, change: fn(&mut Code)| {
        let mut code = code();
        change(&mut code);
        code_standing(&code, client, at)
    };
    assert_eq!(standing(&own, now(), |_| {}), CodeStanding::Redeemable);
    assert_eq!(standing(&other, now(), |_| {}), CodeStanding::Foreign);
    assert_eq!(standing(&other, now(), |c| c.used_at = Some(c.issued_at)), CodeStanding::Foreign);
    assert_eq!(standing(&own, now(), |c| c.used_at = Some(c.issued_at)), CodeStanding::Replayed);
    // A replay is one also after the code's minute: its grant may live for weeks.
    assert_eq!(standing(&own, after(now(), 3600), |c| c.used_at = Some(c.issued_at)), CodeStanding::Replayed);
    assert_eq!(standing(&own, after(now(), 59), |_| {}), CodeStanding::Redeemable);
    assert_eq!(standing(&own, after(now(), 60), |_| {}), CodeStanding::Expired);
    assert_eq!(standing(&own, before(3600), |_| {}), CodeStanding::Expired);
    assert_eq!(standing(&own, now(), |c| c.failures = CODE_FAILURES_MAX - 1), CodeStanding::Redeemable);
    assert_eq!(standing(&own, now(), |c| c.failures = CODE_FAILURES_MAX), CodeStanding::Dead);
}

fn grant() -> Grant {
    Grant {
        id: GrantId::generate(now(), &SeededEntropy::default()),
        subject: Subject::Anonymous,
        client: ClientId::parse("c").unwrap(),
        server: "notes".parse().unwrap(),
        resource: String::new(),
        scopes: ScopeSet::empty(),
        path: ActorPath::direct(ClientId::parse("c").unwrap()),
        parent: None,
        task: None,
        epoch: 0,
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        issuer: None,
        released_at: None,
    }
}

fn row(used_at: Option<Timestamp>) -> RefreshRow {
    RefreshRow {
        digest: Digest::of(b"token"),
        grant: grant().id,
        family_key: SecretKey::from_bytes([7; 32]),
        generation: 0,
        issued_at: now(),
        expires_at: after(now(), 1000),
        used_at,
        successor: None,
    }
}

/// AS-13, ATK-17, ATK-36, ATK-99: a retry is one only within its seconds, in either direction of the clock, and only
/// while nothing was done with what it would return.
#[test]
fn a_refresh_token_stands_as_its_row_and_grant_say() {
    let own = ClientId::parse("c").unwrap();
    let other = ClientId::parse("d").unwrap();
    let at = |row: &RefreshRow, unused: bool, when: Timestamp| refresh_standing(row, &grant(), &own, unused, 30, when);
    let fresh = row(None);
    assert_eq!(at(&fresh, false, now()), RefreshStanding::Usable);
    assert_eq!(at(&fresh, false, after(now(), 1000)), RefreshStanding::Ended);
    // Issued by a clock that was ahead: nobody has to sign in again for that.
    assert_eq!(at(&fresh, false, before(3600)), RefreshStanding::Usable);
    assert_eq!(refresh_standing(&fresh, &grant(), &other, false, 30, now()), RefreshStanding::Foreign);
    let used = row(Some(now()));
    assert_eq!(refresh_standing(&used, &grant(), &other, true, 30, now()), RefreshStanding::Foreign);
    assert_eq!(at(&used, true, now()), RefreshStanding::Retried);
    assert_eq!(at(&used, true, after(now(), 29)), RefreshStanding::Retried);
    assert_eq!(at(&used, true, after(now(), 30)), RefreshStanding::Replayed);
    assert_eq!(at(&used, false, after(now(), 1)), RefreshStanding::Replayed);
    assert_eq!(at(&used, true, before(3600)), RefreshStanding::Replayed);
    let ended = |change: fn(&mut Grant)| {
        let mut grant = grant();
        change(&mut grant);
        refresh_standing(&fresh, &grant, &own, false, 30, now())
    };
    assert_eq!(ended(|grant| grant.revoked_at = Some(grant.created_at)), RefreshStanding::Ended);
    assert_eq!(ended(|grant| grant.expires_at = Some(grant.created_at)), RefreshStanding::Ended);
}

/// RS-39, AS-16: a form grants what was offered and ticked, whatever else it says.
#[test]
fn nothing_is_granted_that_was_not_offered_and_ticked() {
    let offered: ScopeSet = "mcp:read mcp:write".parse().unwrap();
    let granted = |ticked: &[&str]| approved_scopes(ticked.iter().copied(), &offered).to_string();
    assert_eq!(granted(&["mcp:read", "mcp:write"]), "mcp:read mcp:write");
    assert_eq!(granted(&["mcp:read", "mcp:destructive", "tool:x", "admin"]), "mcp:read");
    assert_eq!(granted(&[]), "");
}
