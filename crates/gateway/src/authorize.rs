//! Step 5: rights, need and grant judge the call, and a refusal becomes the one documented object.

use sekisho_policy::decide::{Decision, Reason, decide, need};
use sekisho_policy::model::{Call, Target};
use sekisho_policy::permit::Permit;
use sekisho_policy::rights::Rights;
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::refusal::{Refusal, Remedy, RemedyKind, SetName};
use sekisho_protocol::scope::ScopeSet;

use crate::audit::Judgement;

/// A call that is not permitted, with everything that its answer and its record need.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) verdict: Verdict,
    pub(crate) set: SetName,
    /// Scopes that would be enough; only of a step-up.
    pub(crate) scopes: ScopeSet,
    /// The call was about a job that is not the caller's: it is answered as the protocol answers for an unknown one.
    pub(crate) unknown_job: bool,
    because: Vec<String>,
    kind: RemedyKind,
    reason: &'static str,
}

/// Judges one call.
pub(crate) fn authorize(rights: &Rights, caller: &Caller, call: &Call, now: Timestamp) -> Result<Permit, Denied> {
    match decide(rights, caller, call, now) {
        Decision::Permit(permit) => Ok(permit),
        Decision::StepUp(step) => Err(Denied {
            verdict: Verdict::StepUp,
            set: SetName::Grant,
            scopes: step.scopes,
            unknown_job: false,
            because: vec![step.rule.0],
            kind: RemedyKind::StepUp,
            reason: "this client was not granted what the call needs; ask the user to grant more",
        }),
        Decision::Ask(approval) => Err(Denied {
            verdict: Verdict::Ask,
            set: SetName::Rights,
            scopes: ScopeSet::empty(),
            unknown_job: false,
            because: vec![approval.rule.0],
            kind: RemedyKind::Approve,
            reason: "a person has to approve this very call first",
        }),
        Decision::Deny(reason) => Err(Denied {
            verdict: Verdict::Deny,
            set: reason.set(),
            scopes: ScopeSet::empty(),
            unknown_job: reason == Reason::Rights && matches!(call.target, Target::Job { .. }),
            because: vec![format!("{reason:?}").to_lowercase()],
            kind: match reason {
                Reason::Expired => RemedyKind::None,
                Reason::OutsideTask => RemedyKind::WidenTask,
                Reason::Rights => RemedyKind::AskAccess,
            },
            reason: match reason {
                Reason::Expired => "the authority behind this call has ended",
                Reason::OutsideTask => "this call is not part of the declared task",
                // The same words whether the thing exists or not (RS-36).
                Reason::Rights => "there is no such thing here, or the user may not use it; an owner can allow it",
            },
        }),
    }
}

impl Denied {
    /// What the client is told: the same for a thing that is hidden and one that does not exist.
    pub(crate) fn refusal(&self, request: RequestId) -> Refusal {
        let scopes = (self.kind == RemedyKind::StepUp).then(|| self.scopes.clone());
        Refusal {
            set: self.set,
            reason: self.reason.to_owned(),
            remedy: Remedy { kind: self.kind, url: None, scopes },
            request,
        }
    }

    /// For the record.
    pub(crate) fn judgement(&self, caller: &Caller) -> Judgement {
        Judgement {
            verdict: self.verdict,
            set: Some(self.set),
            need: need(caller),
            because: self.because.clone(),
            scopes: self.scopes.clone(),
        }
    }
}
