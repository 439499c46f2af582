//! The gateway's own questions to an upstream that is shown the account of the person who calls. They are asked with the
//! account of the caller for whose request the answer is needed, and with nobody else's.

use std::sync::Arc;

use sekisho_protocol::caller::Caller;

use crate::Gateway;
use crate::credential::{AccountNeed, Credential, NoCredential, account, no_account};
use crate::forward::{ForwardError, Spoken};
use crate::route::Routed;

/// Returns what the upstream is shown with a question for this caller. `None`: the checkpoint's own credential.
pub(crate) async fn credential(gateway: &Gateway, routed: &Routed, caller: &Caller) -> Option<Credential> {
    let source = routed.route.upstream.source();
    Credential::for_question(source, &gateway.accounts, caller, routed.card(), routed.now).await
}

/// Returns which revisions the upstream speaks. One that says so only to people with accounts, while this caller has
/// none, is taken to speak the caller's: the caller is asked for an account before anything is sent.
pub(crate) async fn spoken(gateway: &Gateway, routed: &Routed, caller: &Caller) -> Result<Arc<Spoken>, ForwardError> {
    let upstream = &routed.route.upstream;
    if !upstream.source().is_of_the_person() {
        return gateway.upstreams.revisions(upstream.name(), None).await;
    }
    if let Some(known) = gateway.upstreams.known_revisions(upstream.name()) {
        return Ok(known);
    }
    // Boxed so that these rare questions do not enlarge the future of every call.
    let asking = Box::pin(credential(gateway, routed, caller)).await;
    match Box::pin(gateway.upstreams.revisions(upstream.name(), asking.as_ref())).await {
        Err(ForwardError::WantsOwnCredential { .. } | ForwardError::Account(_)) => Ok(Arc::new(Spoken::assumed())),
        answered => answered,
    }
}

/// Returns what a person has to do before an upstream can be asked about its tools for this caller, if anything.
pub(crate) async fn need(gateway: &Gateway, routed: &Routed, caller: &Caller) -> Option<AccountNeed> {
    if !routed.route.upstream.source().is_of_the_person() {
        return None;
    }
    let (key, rule) = match account(caller, routed.card()) {
        Ok(account) => account,
        Err(need) => return Some(need),
    };
    match gateway.accounts.state(&key, &rule).await.map_err(no_account) {
        Err(NoCredential::Person(need)) => Some(need),
        Ok(()) | Err(NoCredential::Failed(_)) => None,
    }
}
