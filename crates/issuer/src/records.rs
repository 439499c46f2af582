//! What the issuer puts on record: every login, consent, registration, token, revocation and refusal.

use sekisho_protocol::audit::{Authorization, AuthorizationAct, Event, Record};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{StoreError, Tx};

use crate::Issuer;
use crate::visit::Visit;

/// An entry of which only the act is known; whoever makes it fills in the rest.
pub(crate) fn entry(act: AuthorizationAct) -> Authorization {
    Authorization {
        act,
        subject: None,
        client: None,
        server: None,
        grant: None,
        scopes: ScopeSet::empty(),
        detail: String::new(),
    }
}

/// Puts an entry on record in the transaction of its effect. It comes last in a transaction: the head of the
/// chain is where writers of one node wait for each other.
pub(crate) async fn append(issuer: &Issuer, tx: &mut Tx, visit: &Visit, what: Authorization) -> Result<(), StoreError> {
    let record = Record { at: visit.now, request: visit.request, event: Event::Authorization(bounded(what)) };
    tx.audit().append(issuer.node, &[record], visit.now).await.map(drop)
}

/// The same for what a stranger did. Beyond a steady rate it is counted, by kind and address, and the sums are recorded
/// (ATK-172).
pub(crate) async fn append_of_stranger(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    what: Authorization,
) -> Result<(), StoreError> {
    if issuer.refusals.admit(what.act.as_str(), visit.peer) { append(issuer, tx, visit, what).await } else { Ok(()) }
}

/// Puts a refusal on record that has no effect to share a transaction with, or counts it. The refusal stands whether or not
/// that succeeds.
pub(crate) async fn refused(issuer: &Issuer, visit: &Visit, what: Authorization) {
    let kind = what.act.as_str();
    if !issuer.refusals.admit(kind, visit.peer) {
        return;
    }
    let written = async {
        let mut tx = issuer.store.begin_for_stranger().await?;
        append(issuer, &mut tx, visit, what).await?;
        tx.commit().await
    };
    if let Err(error) = written.await {
        issuer.refusals.count(kind, visit.peer);
        tracing::debug!(request = %visit.request, error = &error as &dyn std::error::Error, "a refusal is only counted");
    }
}

/// Counts a refusal that is not judged any further because too many came.
pub(crate) fn count(issuer: &Issuer, visit: &Visit, act: AuthorizationAct) {
    issuer.refusals.count(act.as_str(), visit.peer);
    tracing::debug!(request = %visit.request, peer = ?visit.peer, act = act.as_str(), "throttled");
}

/// The same entry with a detail of bounded length: it may quote what came from outside.
fn bounded(mut what: Authorization) -> Authorization {
    if what.detail.len() > 300 {
        what.detail = what.detail.chars().take(300).collect();
    }
    what
}
