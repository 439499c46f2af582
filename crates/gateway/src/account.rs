//! A call that needs an account of its user: when the user is asked to link one, what a client is told, and how the call
//! goes on afterwards.

use std::sync::Arc;
use std::time::Duration;

use sekisho_policy::decide::StepUp;
use sekisho_policy::model::{Call, Target};
use sekisho_policy::permit::Permit;
use sekisho_protocol::audit::{Need, RuleId};
use sekisho_protocol::caller::{Caller, Subject};
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_store::AccountKey;
use tokio::time::Instant;

use crate::Gateway;
use crate::accounts::link_question;
use crate::asking;
use crate::authorize::{AccountDenial, Denied, Told};
use crate::call::CallRequest;
use crate::credential::{AccountNeed, NoCredential, no_account};
use crate::fault::Fault;
use crate::forward::ForwardError;
use crate::rounds::Brought;
use crate::route::Routed;

/// How long a client that came back waits for a person who has not linked an account yet (product §4, Ask).
const WAIT: Duration = Duration::from_secs(20);
/// How long to wait before looking again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was decided about a call before its credential was looked for.
struct Judged {
    need: Need,
    task: Option<TaskId>,
    because: Arc<[RuleId]>,
}

/// What is decided about a call's account before the call is judged.
#[derive(Debug)]
pub(crate) enum First {
    /// The call is judged next.
    Judge,
    /// The call is read again, because its user has linked an account meanwhile, and the tools can be asked for now.
    Read,
    /// The call is refused: its user would not link an account, or the tools of the upstream are not known, and only
    /// people with accounts are told them.
    Refuse(Box<Denied>),
}

/// Decides what the missing account of a call means before the call is judged. Waits for a person whose client came
/// back.
pub(crate) async fn first(gateway: &Gateway, routed: &Routed, caller: &Caller, asked: &CallRequest) -> First {
    if !routed.route.upstream.source().is_of_the_person() {
        return First::Judge;
    }
    let brought = match asked.brought {
        Some(Brought::Account { declined, .. }) => Some(declined),
        Some(Brought::Answer { .. } | Brought::Round(_)) | None => None,
    };
    let is_ours = matches!(asked.call.target, Target::Checkpoint { .. });
    let is_unlisted = || !gateway.catalogues.was_listed(routed.server());
    if brought.is_none() && (is_ours || !is_unlisted()) {
        return First::Judge;
    }
    let need = Box::pin(asking::need(gateway, routed, caller)).await;
    let judged = || Judged { need: Need::Undeclared, task: None, because: Arc::default() };
    let refuse = |need| First::Refuse(Box::new(denial(routed, caller, judged(), need)));
    match (brought, need) {
        (_, None) => First::Judge,
        (Some(true), Some(need @ (AccountNeed::Link | AccountNeed::LinkAnew(_)))) => {
            let denied = match denial(routed, caller, judged(), need) {
                Denied::Account(denial) => Denied::Account(AccountDenial { is_declined: true, ..denial }),
                other => other,
            };
            First::Refuse(Box::new(denied))
        }
        (Some(false), Some(AccountNeed::Link | AccountNeed::LinkAnew(_))) => {
            match Box::pin(wait(gateway, routed, caller)).await {
                None => First::Read,
                Some(need) if is_unlisted() => refuse(need),
                Some(_) => First::Judge,
            }
        }
        (_, Some(need)) if is_unlisted() => refuse(need),
        (_, Some(_)) => First::Judge,
    }
}

/// Waits until the user has linked an account, for at most [`WAIT`]. Returns what is still needed.
async fn wait(gateway: &Gateway, routed: &Routed, caller: &Caller) -> Option<AccountNeed> {
    let end = Instant::now() + WAIT;
    loop {
        let need = asking::need(gateway, routed, caller).await?;
        let next = Instant::now() + LOOK_EVERY;
        if next >= end {
            return Some(need);
        }
        // A gateway that stops does not wait for a person.
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = gateway.stopped.cancelled() => return Some(need),
        }
    }
}

/// The refusal of a permitted call whose user has to do something first.
pub(crate) fn denied(routed: &Routed, permit: &Permit, asked: &CallRequest, need: AccountNeed) -> Box<Denied> {
    let judged = Judged { need: permit.need(), task: permit.task(), because: Arc::clone(permit.because()) };
    let mut denied = denial(routed, permit.caller(), judged, need);
    if let (Denied::Account(denial), Some(Brought::Account { declined: true, .. })) = (&mut denied, asked.brought) {
        denial.is_declined = true;
    }
    Box::new(denied)
}

/// What a forwarded call is told whose upstream refused the account; any other fault stays as it is.
pub(crate) fn refused(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    asked: &CallRequest,
    fault: Fault,
    told: impl FnOnce(&Gateway, &Routed, &Caller, &CallRequest, &Denied) -> Told,
) -> Fault {
    let Fault::Forward(ForwardError::Account(error)) = fault else { return fault };
    match no_account(error.clone()) {
        NoCredential::Failed(_) => Fault::Forward(ForwardError::Account(error)),
        NoCredential::Person(need) => {
            let judged = Judged { need: Need::Undeclared, task: None, because: Arc::default() };
            let denied = Box::new(denial(routed, caller, judged, need));
            let told = told(gateway, routed, caller, asked, &denied);
            Fault::Denied { denied, told }
        }
    }
}

fn denial(routed: &Routed, caller: &Caller, judged: Judged, need: AccountNeed) -> Denied {
    let Judged { need: judged_need, task, because } = judged;
    let (is_expired, has_person) = match need {
        AccountNeed::Grant => {
            let scopes = caller.scopes.without(&Scope::offline_access());
            let scopes: ScopeSet = scopes.union(&std::iter::once(Scope::account()).collect());
            let step_up = StepUp { scopes, because, need: judged_need };
            let issued_by = caller.issued_by().cloned();
            return Denied::StepUp { step_up, granted: caller.scopes.clone(), task, issued_by };
        }
        AccountNeed::Link => (false, true),
        AccountNeed::LinkAnew(_) => (true, true),
        AccountNeed::User => (false, false),
    };
    let vendor = routed.card().account.as_ref().map(|rule| rule.vendor.clone()).unwrap_or_default();
    Denied::Account(AccountDenial {
        is_expired,
        has_person,
        is_declined: false,
        vendor,
        server: routed.server().clone(),
        need: judged_need,
        task,
        because,
    })
}

/// The name of the question with which this refusal asks its user, if it asks.
pub(crate) fn question(caller: &Caller, call: &Call, denied: &Denied) -> Option<String> {
    let asks = matches!(denied, Denied::Account(denial) if denial.has_person && !denial.is_declined);
    match caller.subject() {
        Subject::User(user) if asks => Some(link_question(&AccountKey { user: *user, server: call.server.clone() })),
        _ => None,
    }
}
