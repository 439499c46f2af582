//! Questions of a caller about calls of its own, answered within what a caller may know.
//!
//! A caller is a user through a client. It is not told what that user does through another client, nor which rules decide, nor
//! whether something exists that the user may not use (RS-36).

use sekisho_policy::advise::{Advice, Proposal};
use sekisho_protocol::audit::{Decision, Event, Verdict, Why};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{RequestId, ServerName};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{AuditFilter, Store, StoreError};

use super::explain::{Explained, Question, explain};
use super::history::{Whose, advise};
use crate::ActError;
use crate::reading::Classes;

/// Why a caller's question about a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OwnQuestionError {
    /// The question could not be answered, for a reason that the caller is not told.
    #[error(transparent)]
    Act(#[from] ActError),
    /// No tool of the server is known yet.
    #[error("nothing is known of the tools of `{0}` yet: list them there first")]
    NoTools(ServerName),
    /// The caller does not act for a user.
    #[error("only calls for a user can be explained here")]
    NoUser,
    /// The user was removed.
    #[error("there is no such user any more")]
    UserGone,
}

impl From<StoreError> for OwnQuestionError {
    fn from(error: StoreError) -> Self {
        Self::Act(error.into())
    }
}

/// What a caller may know of a decision on a call of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnDecision {
    /// The server.
    pub server: ServerName,
    /// The method that was called.
    pub method: String,
    /// The tool, the resource or the prompt.
    pub target: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// Which of the three sets refused.
    pub set: Option<SetName>,
    /// The reason, in a sentence.
    pub reason: String,
    /// What can be done about it.
    pub remedy: Option<OwnRemedy>,
}

/// What a caller, or its user, can do about a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnRemedy {
    /// The user opens this page: a path of the checkpoint.
    Page(String),
    /// The client asks for these scopes.
    Scopes(ScopeSet),
}

/// What was decided on a call of the caller's own. A call of another caller is as unknown as one that never was.
pub async fn own_decision(
    store: &Store,
    whose: Whose<'_>,
    request: RequestId,
) -> Result<Option<OwnDecision>, StoreError> {
    let mut tx = store.read().await?;
    let filter = AuditFilter { request: Some(request), ..AuditFilter::default() };
    // The last one: a call that waited for a person is judged twice.
    let mut decisions = tx.audit().list(&filter).await?.into_iter().filter_map(|stored| match stored.record.event {
        Event::Decision(decision) => Some(*decision),
        _ => None,
    });
    let own = decisions.next_back().filter(|decision: &Decision| whose.made(decision));
    Ok(own.map(|decision| {
        let (reason, remedy) = reason(&decision, request);
        let Decision { server, method, target, verdict, set, .. } = decision;
        OwnDecision { server, method: method.into_owned(), target, verdict, set, reason, remedy }
    }))
}

/// The reason of a decision as its caller may know it, and what can be done about it.
fn reason(decision: &Decision, request: RequestId) -> (String, Option<OwnRemedy>) {
    let task = || match (decision.task, decision.grant) {
        (Some(task), _) => Some(OwnRemedy::Page(format!("/tasks/{task}"))),
        (None, Some(grant)) => Some(OwnRemedy::Page(format!("/grants/{grant}"))),
        (None, None) => None,
    };
    match (decision.verdict, decision.set) {
        (Verdict::Permit, _) => ("it passed all three sets".to_owned(), None),
        (Verdict::StepUp, _) => (
            format!("the grant refused: this client was not granted {}; ask the user to grant more", decision.scopes),
            Some(OwnRemedy::Scopes(decision.scopes.clone())),
        ),
        (Verdict::Ask, _) => {
            ("a rule wants the user's yes to this very call; the refusal named the page".to_owned(), None)
        }
        (Verdict::Deny, Some(SetName::Grant)) => {
            ("the authority behind the call had ended; log in again".to_owned(), None)
        }
        (Verdict::Deny, Some(SetName::Need)) => {
            let said = match decision.why {
                Some(Why::ArgumentOutsideTask) => "an argument was outside the bounds of the task",
                Some(Why::BudgetSpent) => "the calls of the task are used up",
                Some(Why::TaskFinished) => "the task is finished",
                Some(Why::TaskRequired) => "the call is only for a declared task, and none was",
                _ => "the call is not part of the task",
            };
            (format!("the task (need) refused: {said}; only the user can widen it"), task())
        }
        (Verdict::Deny, Some(SetName::Rights) | None) if decision.why == Some(Why::Declined) => {
            ("the user said no to this very call; do not make it again unless the user asks".to_owned(), None)
        }
        (Verdict::Deny, None) if decision.why == Some(Why::ArgumentsInvalid) => {
            ("the arguments were not those that the tool takes: see its input schema".to_owned(), None)
        }
        // The same words whether the thing exists or not, is held back or not (RS-36).
        (Verdict::Deny, Some(SetName::Rights) | None) => (
            "the user's rights refused: there is no such thing here, or the user may not use it, or a rule forbids the \
             call; the user can see at the link what can be done"
                .to_owned(),
            Some(OwnRemedy::Page(format!("/access/{request}"))),
        ),
    }
}

/// A call that the caller could make.
#[derive(Debug, Clone)]
pub struct PossibleCall {
    /// The server.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// The arguments, as JSON. Without: the question is about the tool.
    pub arguments: Option<String>,
}

/// What the three sets would say to a call of the caller's, as far as it may know.
#[derive(Debug, Clone)]
pub enum Outlook {
    /// The user's rights would refuse. Nothing else is told, because the answers of the other sets would show whether
    /// the tool exists.
    RightsRefuse,
    /// What each set says.
    Sets(Box<SetsOutlook>),
}

/// What each set would say to a call.
#[derive(Debug, Clone)]
pub struct SetsOutlook {
    /// What would be decided.
    pub decision: Verdict,
    /// The set that would refuse.
    pub set: Option<SetName>,
    /// Whether the call is inside the rights.
    pub in_rights: bool,
    /// Whether the call is inside the grant.
    pub in_grant: bool,
    /// The scopes that the call needs.
    pub needed: ScopeSet,
    /// Whether anything is granted to this client at that server.
    pub is_granted: bool,
    /// Whether a task was declared.
    pub task_declared: bool,
    /// Whether the call is inside the declared task.
    pub in_task: bool,
    /// Why it is outside the declared task.
    pub outside_task: Option<String>,
    /// Whether a rule wants a declared task.
    pub task_required: bool,
    /// Why the arguments are not those that the tool takes.
    pub invalid: Option<String>,
    /// Whether the server only observes at the moment, and would refuse otherwise.
    pub observed: bool,
}

/// What the three sets would say to a call by the caller. `classes` are those of the configuration.
pub async fn outlook(
    store: &Store,
    classes: &Classes,
    whose: Whose<'_>,
    call: PossibleCall,
    now: Timestamp,
) -> Result<Outlook, OwnQuestionError> {
    let Subject::User(user) = whose.subject else { return Err(OwnQuestionError::NoUser) };
    let user = {
        let mut tx = store.read().await?;
        if tx.catalogue().list(&call.server).await?.is_empty() {
            return Err(OwnQuestionError::NoTools(call.server));
        }
        tx.users().find(*user).await?.ok_or(OwnQuestionError::UserGone)?.name
    };
    let PossibleCall { server, tool, arguments } = call;
    let of_server = classes.get(&server).cloned().unwrap_or_default();
    let question = Question { user, client: Some(whose.client.clone()), server, tool, arguments };
    let explained = explain(store, whose.rights, &of_server, &question, now).await?;
    Ok(Outlook::of(explained))
}

impl Outlook {
    fn of(explained: Explained) -> Self {
        let Explained { explanation: of, grant, .. } = explained;
        if !of.rights.inside && of.decision == Verdict::Deny {
            return Self::RightsRefuse;
        }
        Self::Sets(Box::new(SetsOutlook {
            decision: of.decision,
            set: of.set,
            in_rights: of.rights.inside,
            in_grant: of.grant.inside,
            needed: of.grant.needed,
            is_granted: grant.is_some(),
            task_declared: of.need.declared,
            in_task: of.need.inside,
            outside_task: of.need.why,
            task_required: of.rights.task_required.is_some(),
            invalid: of.invalid,
            observed: of.observed.is_some(),
        }))
    }
}

/// What could be narrower of the caller's own grants. Advice on rules is left out: rules are the owners' business, and what
/// they say of other users with them.
pub async fn own_advice(
    store: &Store,
    classes: &Classes,
    whose: Whose<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Advice>, ActError> {
    let mut advice = advise(store, classes, since, now, Some(whose)).await?;
    advice.retain(|advice| !matches!(advice.proposal, Proposal::Policy(_)));
    Ok(advice)
}
