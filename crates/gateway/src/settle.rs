//! Step 7: what a permit owes is paid. `Permit` goes in by value and `Cleared` comes out, and nothing is forwarded
//! without one.
//!
//! What is owed today is the record: durable before the effect for anything but reads, handed to the batch for
//! reads. Approvals and budgets are taken here, in the same transaction, when there are any.

use sekisho_policy::decide::need;
use sekisho_policy::model::Call;
use sekisho_policy::permit::Permit;
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::scope::ScopeSet;

use crate::audit::{Journal, JournalError, Judgement, OutcomePlace, decision};
use crate::route::Routed;

/// Proof that what was owed for a permitted call was paid. Not `Clone`; only [`settle`] makes one.
#[derive(Debug)]
pub(crate) struct Cleared {
    caller: Caller,
    call: Call,
    request: RequestId,
}

impl Cleared {
    /// Who was permitted.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What was permitted.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Under which id the records know it.
    pub(crate) fn request(&self) -> RequestId {
        self.request
    }
}

/// Pays what the permit owes, and keeps a place for the record of the outcome.
pub(crate) async fn settle(
    journal: &Journal,
    routed: &Routed,
    permit: Permit,
) -> Result<(Cleared, OutcomePlace), JournalError> {
    let place = journal.place().await?;
    let owes = permit.owes();
    let (caller, call, because) = permit.into_parts();
    let judgement = Judgement {
        verdict: Verdict::Permit,
        set: None,
        need: need(&caller),
        because: because.into_iter().map(|rule| rule.0).collect(),
        scopes: ScopeSet::empty(),
    };
    let record = decision(routed.now, routed.request, &caller, &call, judgement);
    if owes.record_first {
        journal.write_first(record, routed.now).await?;
    } else {
        journal.write(record).await?;
    }
    Ok((Cleared { caller, call, request: routed.request }, place))
}

#[cfg(test)]
impl Cleared {
    /// For the tests of forwarding, which decide nothing.
    pub(crate) fn for_test(caller: Caller, call: Call, request: RequestId) -> Self {
        Self { caller, call, request }
    }
}
