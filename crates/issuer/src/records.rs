//! What the issuer puts on record: every login, consent, registration, token, revocation and refusal.

use sekisho_acts::Performer;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_store::{StoreError, Tx};
use sekisho_web::Visit;

use crate::Issuer;

/// Who acts in a request, when, and under which name it is recorded.
pub(crate) fn performer<'i>(issuer: &'i Issuer, visit: &Visit, actor: Actor) -> Performer<'i> {
    let site = &issuer.site;
    Performer { actor, node: site.node, request: visit.request, now: visit.now, entropy: &*site.entropy }
}

/// Puts an act on record in the transaction of its effect.
pub(crate) async fn append(issuer: &Issuer, tx: &mut Tx, visit: &Visit, act: Act) -> Result<(), StoreError> {
    performer(issuer, visit, act.actor).record(tx, act).await
}

/// The same for what a stranger did. Beyond a steady rate it is counted, by kind and address, and the sums are recorded
/// (ATK-172).
pub(crate) async fn append_of_stranger(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    what: Act,
) -> Result<(), StoreError> {
    if issuer.refusals.admit(what.act.as_str(), visit.peer) { append(issuer, tx, visit, what).await } else { Ok(()) }
}

/// Puts a refusal on record that has no effect to share a transaction with, or counts it. The refusal stands whether or not
/// that succeeds.
pub(crate) async fn refused(issuer: &Issuer, visit: &Visit, what: Act) {
    let kind = what.act.as_str();
    if !issuer.refusals.admit(kind, visit.peer) {
        return;
    }
    let written = async {
        let mut tx = issuer.site.store.begin_for_stranger().await?;
        append(issuer, &mut tx, visit, what).await?;
        tx.commit().await
    };
    if let Err(error) = written.await {
        issuer.refusals.count(kind, visit.peer);
        tracing::debug!(request = %visit.request, error = &error as &dyn std::error::Error, "a refusal is only counted");
    }
}

/// Counts a refusal that is not judged any further because too many came.
pub(crate) fn count(issuer: &Issuer, visit: &Visit, act: ActKind) {
    issuer.refusals.count(act.as_str(), visit.peer);
    tracing::debug!(request = %visit.request, peer = ?visit.peer, act = act.as_str(), "throttled");
}
