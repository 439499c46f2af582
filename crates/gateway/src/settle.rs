//! Step 7: pays what a permit owes. It takes a `Permit` by value and returns `Cleared`, and nothing is forwarded
//! without a `Cleared`.
//!
//! A permit owes the record (durable before the effect, except for reads, whose record goes to the batch), the approval
//! of this very call, and one call of each budget. What needs the store is one transaction: either all of it is paid,
//! or nothing. What was taken is given back only if nothing was sent.

use std::sync::Arc;

use sekisho_policy::decide::Reason;
use sekisho_policy::model::Call;
use sekisho_policy::permit::{Owed, Permit};
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{RequestId, TaskId};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{StoreError, Taken, Tx};

use crate::audit::{Journal, JournalError, Judgement, Noted, OutcomePlace, decision};
use crate::route::Routed;

/// How long a client has to come back for a round that was given back, in seconds.
const ROUND_AGAIN_SECONDS: u32 = 600;

/// Proof that everything owed for a permitted call was paid. Not `Clone`; only [`settle`] makes one.
#[derive(Debug)]
pub(crate) struct Cleared {
    permit: Box<Permit>,
    request: RequestId,
}

impl Cleared {
    /// The caller that was permitted.
    pub(crate) fn caller(&self) -> &Caller {
        self.permit.caller()
    }

    /// The call that was permitted.
    pub(crate) fn call(&self) -> &Call {
        self.permit.call()
    }

    /// The id under which the records know the request.
    pub(crate) fn request(&self) -> RequestId {
        self.request
    }
}

/// Why a permit could not be settled. Nothing was taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// The record cannot be written, or the store does not answer.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The task's budget was used up by others meanwhile.
    #[error("the task's calls are used up")]
    Spent(TaskId),
    /// The task ended meanwhile.
    #[error("the task is finished")]
    Over(TaskId),
    /// The round that the call goes on with was used before, or has expired.
    #[error("this round of the call is over")]
    Round,
    /// There is no approval of this call to use up.
    #[error("nobody has approved this call")]
    Unapproved,
}

impl From<StoreError> for SettleError {
    fn from(error: StoreError) -> Self {
        Self::Journal(error.into())
    }
}

/// What was taken for a call, so that it can be given back if nothing of the call was sent.
#[derive(Debug, Default)]
pub(crate) struct Paid(Option<Box<(Caller, Owed)>>);

/// The result of settling.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The proof.
    pub(crate) cleared: Cleared,
    /// What was taken.
    pub(crate) paid: Paid,
    /// A place for the record of the outcome.
    pub(crate) place: OutcomePlace,
}

/// Pays what the permit owes, and reserves a place for the record of the outcome.
pub(crate) async fn settle(journal: &Journal, routed: &Routed, permit: Box<Permit>) -> Result<Settled, SettleError> {
    let (caller, owes) = (permit.caller(), permit.owes());
    let place = journal.place(routed.now, caller.grant()).await?;
    let judgement = Judgement {
        verdict: Verdict::Permit,
        set: None,
        need: permit.need(),
        task: permit.task(),
        why: None,
        observed: permit.observed().map(Reason::why),
        because: Arc::clone(permit.because()),
        scopes: ScopeSet::empty(),
    };
    let record = decision(routed, caller, permit.call(), judgement);
    let paid = if owes.is_record_only() && !journal.records_reads_first() {
        journal.write(record).await?;
        Paid::default()
    } else {
        // Boxed so that this branch does not enlarge the future of a read.
        if let Err(error) = Box::pin(pay_first(journal, caller, owes, record, routed.now)).await {
            // It may be on record all the same. Then the next start closes it.
            place.leave_open();
            return Err(error);
        }
        Paid::of(caller, owes)
    };
    Ok(Settled { cleared: Cleared { permit, request: routed.request }, paid, place })
}

/// Pays everything that is owed and writes the record, in one transaction, before anything happens.
async fn pay_first(
    journal: &Journal,
    caller: &Caller,
    owes: &Owed,
    record: Noted,
    now: Timestamp,
) -> Result<(), SettleError> {
    let mut tx = journal.begin().await?;
    pay(&mut tx, caller, owes, now).await?;
    Ok(journal.conclude(tx, record, now).await?)
}

/// Pays each thing by one conditional statement. If one cannot be paid, the rest is undone.
async fn pay(tx: &mut Tx, caller: &Caller, owes: &Owed, now: Timestamp) -> Result<(), SettleError> {
    if let Some(call) = &owes.approval {
        let grant = caller.grant().ok_or(SettleError::Unapproved)?;
        if !tx.approvals().consume(grant, call, now).await? {
            return Err(SettleError::Unapproved);
        }
    }
    if let Some(round) = &owes.round {
        let grant = caller.grant().ok_or(SettleError::Round)?;
        if !tx.rounds().consume(grant, round, now).await? {
            return Err(SettleError::Round);
        }
    }
    for task in &owes.budgets {
        match tx.tasks().take(*task, now).await? {
            Taken::Taken | Taken::Uncounted => {}
            Taken::Over => return Err(SettleError::Over(*task)),
            Taken::Spent => return Err(SettleError::Spent(*task)),
        }
    }
    Ok(())
}

impl Paid {
    fn of(caller: &Caller, owes: &Owed) -> Self {
        Self(owes.takes().then(|| Box::new((caller.clone(), owes.clone()))))
    }

    /// Gives back what was taken, because nothing was sent for it.
    pub(crate) async fn give_back(self, journal: &Journal, now: Timestamp) -> Result<(), SettleError> {
        let Some(taken) = self.0 else { return Ok(()) };
        let (caller, owes) = &*taken;
        let mut tx = journal.begin().await?;
        if let (Some(call), Some(grant)) = (&owes.approval, caller.grant()) {
            tx.approvals().unuse(grant, call, now).await?;
        }
        if let (Some(round), Some(grant)) = (&owes.round, caller.grant()) {
            tx.rounds().open(grant, round, after(now, ROUND_AGAIN_SECONDS), now).await?;
        }
        for task in &owes.budgets {
            tx.tasks().give_back(*task).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
impl Cleared {
    /// For the tests of forwarding, in which nothing is owed.
    pub(crate) fn for_test(permit: Permit, request: RequestId) -> Self {
        Self { permit: Box::new(permit), request }
    }
}
