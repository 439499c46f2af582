//! Step 5: rights, need and grant judge the call, and a refusal becomes the one documented object.

use std::sync::Arc;

use sekisho_policy::decide::{Ask, Decision, Denial, Reason, decide};
use sekisho_policy::model::{Authority, Call, Target, ToolStanding};
use sekisho_policy::permit::Permit;
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::Violation;
use sekisho_policy::task::{Outside, OutsideWhy};
use sekisho_protocol::audit::{Need, RuleId, Verdict};
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ApprovalId, RequestId, TaskId};
use sekisho_protocol::refusal::{Refusal, Remedy, RemedyKind, SetName};
use sekisho_protocol::scope::ScopeSet;

use crate::audit::Judgement;

/// A call that may go on, perhaps once a person has said yes.
#[derive(Debug)]
pub(crate) enum Allowed {
    /// A person has to have said yes to it: settling tells whether somebody has.
    Ask(Box<Ask>),
    /// It may.
    Permit(Box<Permit>),
}

/// A call that is not permitted, with everything that its answer and its record need.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) verdict: Verdict,
    /// The set that refuses; none does where the arguments are not those that the tool takes.
    pub(crate) set: Option<SetName>,
    /// Scopes that would be enough; only of a step-up.
    pub(crate) scopes: ScopeSet,
    /// What the client was granted already; only of a step-up.
    pub(crate) granted: ScopeSet,
    /// The call was about a job that is not the caller's: it is answered as the protocol answers for an unknown one.
    pub(crate) unknown_job: bool,
    /// How it is told.
    pub(crate) told: Told,
    /// The approval that is waited for; only of an ask.
    pub(crate) approval: Option<(Digest, ApprovalId)>,
    because: Arc<[RuleId]>,
    kind: RemedyKind,
    /// Where a person can take the way out, below the base URL.
    page: Option<String>,
    /// Whether there is a page to ask an owner on: for who has a grant, about a tool.
    pub(crate) askable: bool,
    need: Need,
    task: Option<TaskId>,
    reason: String,
    why: &'static str,
}

/// How a refusal is told to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// As an error, in a 403.
    Error,
    /// As the error with which 2025-11-25 asks for a page to be opened.
    Elicitation(ApprovalId),
    /// As the result with which 2026-07-28 does, and what the client brings back.
    InputRequired(String),
    /// As the result of the tool, which a model sees, and not as an error, which many clients hide.
    ToolError,
}

/// Judges one call.
pub(crate) fn authorize(
    rights: &Rights,
    caller: &Caller,
    authority: &Authority,
    call: &Call,
    now: Timestamp,
) -> Result<Allowed, Box<Denied>> {
    match decide(rights, caller, authority, call, now) {
        Decision::Permit(permit) => Ok(Allowed::Permit(Box::new(permit))),
        Decision::Ask(ask) if caller.grant.is_some() => Ok(Allowed::Ask(Box::new(ask))),
        Decision::Ask(ask) => Err(Box::new(Denied::by_nobody(&AskedFor::of(&ask, authority)))),
        Decision::StepUp(step) => Err(Box::new(Denied {
            verdict: Verdict::StepUp,
            set: Some(SetName::Grant),
            scopes: step.scopes,
            granted: caller.scopes.clone(),
            unknown_job: false,
            told: Told::Error,
            approval: None,
            because: step.because,
            kind: RemedyKind::StepUp,
            page: None,
            askable: false,
            need: step.need,
            task: authority.need.task(),
            reason: "this client was not granted what the call needs; ask the user to grant more".to_owned(),
            why: "scopes",
        })),
        Decision::Deny(denial) => Err(Box::new(Denied::by(denial, caller, authority, call))),
    }
}

impl Denied {
    fn by(denial: Denial, caller: &Caller, authority: &Authority, call: &Call) -> Self {
        let Denial { reason, because, need, forbidden, lent } = denial;
        let task = authority.need.task();
        let is_held = matches!(call.target, Target::Tool { standing: ToolStanding::Held, .. });
        let is_tool = matches!(call.target, Target::Tool { .. });
        let askable = reason == Reason::Rights && forbidden.is_none() && caller.grant.is_some() && is_tool;
        let grant_page = || caller.grant.map(|grant| format!("/grants/{grant}"));
        let (kind, page, text) = match &reason {
            // The caller's to mend: no person can help.
            Reason::Arguments(violation) => (RemedyKind::None, None, violation.to_string()),
            Reason::Expired => (RemedyKind::None, None, "the authority behind this call has ended".to_owned()),
            Reason::OutsideTask(outside) => {
                let known = outside.why != OutsideWhy::Unknown;
                let page = known.then(|| format!("/tasks/{}", outside.task));
                (RemedyKind::WidenTask, page, outside_text(outside))
            }
            Reason::Rights => match &forbidden {
                Some(forbidden) => (RemedyKind::None, None, forbidden.to_string()),
                None => (RemedyKind::AskAccess, None, rights_text(lent.as_deref(), askable)),
            },
            Reason::TaskRequired => (
                RemedyKind::WidenTask,
                grant_page(),
                "this call is only for a declared task, and none is; the user can begin one".to_owned(),
            ),
        };
        Self {
            verdict: Verdict::Deny,
            set: reason.set(),
            scopes: ScopeSet::empty(),
            granted: ScopeSet::empty(),
            unknown_job: reason == Reason::Rights && matches!(call.target, Target::Job { .. }),
            told: Told::Error,
            approval: None,
            because,
            kind,
            page,
            why: if is_held { "held_back" } else { reason.word() },
            askable,
            need,
            task,
            reason: text,
        }
    }

    /// A call whose task was spent or ended by others while it was judged.
    pub(crate) fn by_task(authority: &Authority, task: TaskId, over: bool) -> Self {
        let why = if over { OutsideWhy::Over } else { OutsideWhy::Spent };
        let bound = authority.need.tasks().find(|bound| bound.id == task);
        let purpose = bound.map(|bound| bound.definition.purpose.clone()).unwrap_or_default();
        let outside = Outside { task, purpose, why };
        Self {
            verdict: Verdict::Deny,
            set: Some(SetName::Need),
            scopes: ScopeSet::empty(),
            granted: ScopeSet::empty(),
            unknown_job: false,
            told: Told::Error,
            approval: None,
            because: Arc::default(),
            kind: RemedyKind::WidenTask,
            page: Some(format!("/tasks/{task}")),
            askable: false,
            need: Need::Outside,
            task: Some(task),
            reason: outside_text(&outside),
            why: if over { "task_finished" } else { "budget_spent" },
        }
    }

    /// A call that waits for a person.
    pub(crate) fn by_ask(ask: &AskedFor, approval: ApprovalId) -> Self {
        let reason = match &ask.reason {
            Some(reason) => format!("the user has to approve this very call first: {reason}"),
            None => "the user has to approve this very call first".to_owned(),
        };
        Self {
            verdict: Verdict::Ask,
            set: Some(SetName::Rights),
            scopes: ScopeSet::empty(),
            granted: ScopeSet::empty(),
            unknown_job: false,
            told: Told::Error,
            approval: Some((ask.call, approval)),
            because: [ask.rule.clone()].into(),
            kind: RemedyKind::Approve,
            page: Some(format!("/approvals/{approval}")),
            askable: false,
            need: ask.need,
            task: ask.task,
            reason,
            why: "approval",
        }
    }

    /// A call that its user said no to.
    pub(crate) fn by_decline(ask: &AskedFor) -> Self {
        Self {
            verdict: Verdict::Deny,
            set: Some(SetName::Rights),
            scopes: ScopeSet::empty(),
            granted: ScopeSet::empty(),
            unknown_job: false,
            told: Told::Error,
            approval: None,
            because: [ask.rule.clone()].into(),
            kind: RemedyKind::None,
            page: None,
            askable: false,
            need: ask.need,
            task: ask.task,
            reason: "the user declined this very call; do not make it again unless the user asks for it".to_owned(),
            why: "declined",
        }
    }

    /// A call that sends more beside its arguments than a person could be shown.
    pub(crate) fn by_size(ask: &AskedFor) -> Self {
        Self {
            reason: "the user has to approve this very call first, and what it sends beside its arguments is too large to be shown: make it again with less in `_meta`".to_owned(),
            why: "too_large_to_approve",
            ..Self::by_decline(ask)
        }
    }

    /// A call that a person would have to approve, of a caller who is nobody in particular: there is no page to ask on.
    fn by_nobody(ask: &AskedFor) -> Self {
        Self {
            reason: "a person has to approve this very call first, and nobody is signed in who could".to_owned(),
            why: "approval",
            ..Self::by_decline(ask)
        }
    }

    /// What the client is told: the same for a thing that is hidden and one that does not exist.
    pub(crate) fn refusal(&self, request: RequestId, base_url: &str) -> Refusal {
        let scopes = (self.kind == RemedyKind::StepUp).then(|| self.scopes.clone());
        // Of all that was refused only its request is named: the same for what is hidden and what does not exist.
        let ask = self.askable.then(|| format!("{base_url}/access/{request}"));
        let url = self.page.as_ref().map(|page| format!("{base_url}{page}")).or(ask);
        // Arguments that the tool does not take are told without a set; see `is_invalid`.
        let set = self.set.unwrap_or(SetName::Rights);
        Refusal { set, reason: self.reason.clone(), remedy: Remedy { kind: self.kind, url, scopes }, request }
    }

    /// Whether its user said no to it.
    pub(crate) fn is_declined(&self) -> bool {
        self.why == "declined"
    }

    /// Whether the arguments are not those that the tool takes, so that the call is to be made anew.
    pub(crate) fn is_invalid(&self) -> bool {
        self.set.is_none()
    }

    /// What is wrong with such a call.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// For the record.
    pub(crate) fn judgement(&self) -> Judgement {
        Judgement {
            verdict: self.verdict,
            set: self.set,
            need: self.need,
            task: self.task,
            why: Some(self.why),
            observed: None,
            because: Arc::clone(&self.because),
            scopes: self.scopes.clone(),
        }
    }
}

/// What is left of a question to a person once its permit has gone to be settled.
#[derive(Debug)]
pub(crate) struct AskedFor {
    pub(crate) call: Digest,
    pub(crate) rule: RuleId,
    pub(crate) reason: Option<String>,
    pub(crate) need: Need,
    pub(crate) task: Option<TaskId>,
}

impl AskedFor {
    /// A question to a person is inside the declared tasks, or it would not be one.
    pub(crate) fn of(ask: &Ask, authority: &Authority) -> Self {
        Self {
            call: ask.call,
            rule: ask.rule.clone(),
            reason: ask.reason.clone(),
            need: authority.need.word(true),
            task: authority.need.task(),
        }
    }
}

/// What somebody is told of what rights refuse: the same words whether the thing exists or not (RS-36), unless it was lent
/// to them within bounds that the arguments do not keep. The link leads to a page that tells the user more.
fn rights_text(lent: Option<&Violation>, askable: bool) -> String {
    let text = lent.map_or_else(
        || "there is no such thing here, or the user may not use it".to_owned(),
        |violation| violation.of_bounds("what an owner lent"),
    );
    if askable { format!("{text}; the user can see at the link what can be done") } else { text }
}

fn outside_text(outside: &Outside) -> String {
    let task = if outside.purpose.is_empty() { "task".to_owned() } else { format!("task “{}”", outside.purpose) };
    match &outside.why {
        OutsideWhy::Arguments(violation) => {
            format!("{}; the user can widen it", violation.of_bounds(&format!("the {task}")))
        }
        OutsideWhy::NotNamed => format!("this call is not part of the {task}; the user can widen it"),
        OutsideWhy::Over => format!("the {task} is finished; the user can resume what was granted, or begin another"),
        OutsideWhy::Spent => format!("the {task} has used up its calls; the user can give it more"),
        OutsideWhy::Unknown => "the task behind this token is not known any more; ask for a new token".to_owned(),
    }
}

#[cfg(test)]
mod tests;
