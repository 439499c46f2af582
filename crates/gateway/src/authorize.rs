//! Step 5: rights, need and grant judge the call, and a refusal becomes the one documented object.

use std::sync::Arc;

use sekisho_policy::decide::{Ask, Decision, Denial, Reason, StepUp, decide};
use sekisho_policy::model::{Authority, Call, Target, ToolState};
use sekisho_policy::permit::Permit;
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::Violation;
use sekisho_policy::task::{Outside, OutsideWhy};
use sekisho_protocol::audit::{Need, RuleId, Verdict, Why};
use sekisho_protocol::caller::{Basis, Caller, IssuedBy};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ApprovalId, GrantId, RequestId, ServerName, TaskId};
use sekisho_protocol::refusal::{Refusal, Remedy, RemedyKind, SetName};
use sekisho_protocol::scope::ScopeSet;

use crate::audit::Judgement;

/// A call that may go on, perhaps only after a person has approved it.
#[derive(Debug)]
pub(crate) enum Allowed {
    /// A person has to have approved the call first. Settling finds out whether one has.
    Ask(Box<Ask>),
    /// The call is permitted.
    Permit(Box<Permit>),
}

/// A call that is not permitted, with everything that its answer and its record need.
#[derive(Debug)]
pub(crate) enum Denied {
    /// The server is shown the account of the person who calls, and the person has to link one, or to link it anew.
    Account(AccountDenial),
    /// A person has to approve this very call, and is asked on the page of this approval.
    Approval { ask: AskedFor, approval: ApprovalId },
    /// A person would have to approve the call, but an anonymous caller has no page to be asked on.
    ApprovalAnonymous(AskedFor),
    /// The user has declined the call.
    Declined(AskedFor),
    /// Rights, a task or the end of the token refuse the call, or its arguments are not those that the tool takes.
    Policy(PolicyDenial),
    /// The token lacks scopes; `granted` holds those that it has. `issued_by` is `None` for an anonymous caller.
    StepUp { step_up: StepUp, granted: ScopeSet, task: Option<TaskId>, issued_by: Option<IssuedBy> },
    /// The call's task was spent or ended by other calls while the call was judged.
    Task { outside: Outside, over: bool },
    /// A person would have to approve the call, but it sends more beside its arguments than a page could show.
    TooLarge(AskedFor),
}

/// A call that needs an account of its user.
#[derive(Debug)]
pub(crate) struct AccountDenial {
    /// Whether the account was linked before and cannot be used any more.
    pub(crate) is_expired: bool,
    /// Whether there is a person who could link one.
    pub(crate) has_person: bool,
    /// Whether the person said that they do not want to.
    pub(crate) is_declined: bool,
    /// The vendor's name for people.
    pub(crate) vendor: String,
    /// The server, whose page links an account.
    pub(crate) server: ServerName,
    /// The call's relation to the declared tasks.
    pub(crate) need: Need,
    /// The task of the call.
    pub(crate) task: Option<TaskId>,
    /// The rules that give the user the right.
    pub(crate) because: Arc<[RuleId]>,
}

impl AccountDenial {
    fn text(&self) -> String {
        let vendor = &self.vendor;
        if !self.has_person {
            return format!("this server needs a person's account at {vendor}, and no person is signed in");
        }
        if self.is_declined {
            return format!(
                "the user did not want to link an account at {vendor}; do not make this call again unless the user asks for it"
            );
        }
        match self.is_expired {
            true => {
                format!("the user's account at {vendor} cannot be used any more: the user has to link it anew first")
            }
            false => format!("the user has to link an account at {vendor} first, because this server works with it"),
        }
    }
}

/// A refusal of the policy, with what its remedy depends on.
#[derive(Debug)]
pub(crate) struct PolicyDenial {
    denial: Denial,
    target: DeniedTarget,
    /// The caller's grant; an anonymous caller has none, and so no page to be sent to.
    grant: Option<GrantId>,
    task: Option<TaskId>,
}

/// The kind of thing that a refused call was about, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeniedTarget {
    HeldTool,
    Job,
    Other,
    Tool,
}

impl DeniedTarget {
    fn of(target: &Target) -> Self {
        match target {
            Target::Checkpoint { .. } | Target::Prompt { .. } | Target::Resource { .. } | Target::Server => Self::Other,
            Target::Job { .. } => Self::Job,
            Target::Tool { standing: ToolState::Held, .. } => Self::HeldTool,
            Target::Tool { .. } => Self::Tool,
        }
    }
}

/// How a refusal is told to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// As an error, with status 403.
    Error,
    /// As the error with which 2025-11-25 asks for a page to be opened. Holds the name of the question.
    Elicitation(String),
    /// As the result with which 2026-07-28 asks for a page to be opened. Holds the state that the client brings back.
    InputRequired(String),
    /// As a result of the tool: a model sees it, while many clients hide an error from the model.
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
        Decision::Ask(ask) => match &caller.basis {
            Basis::Grant(_) => Ok(Allowed::Ask(Box::new(ask))),
            Basis::Open => Err(Box::new(Denied::ApprovalAnonymous(AskedFor::of(&ask, authority)))),
        },
        Decision::StepUp(step_up) => {
            let (granted, task) = (caller.scopes.clone(), authority.need.task());
            let issued_by = caller.issued_by().cloned();
            Err(Box::new(Denied::StepUp { step_up, granted, task, issued_by }))
        }
        Decision::Deny(denial) => Err(Box::new(Denied::Policy(PolicyDenial {
            denial,
            target: DeniedTarget::of(&call.target),
            grant: caller.grant(),
            task: authority.need.task(),
        }))),
    }
}

impl PolicyDenial {
    /// Whether there is a page on which an owner can be asked: only for a caller with a grant, about a tool.
    fn is_askable(&self) -> bool {
        let is_tool = matches!(self.target, DeniedTarget::HeldTool | DeniedTarget::Tool);
        let is_open = self.denial.reason == Reason::Rights && self.denial.forbidden.is_none();
        is_open && is_tool && self.grant.is_some()
    }

    fn why(&self) -> Why {
        if self.target == DeniedTarget::HeldTool { Why::HeldBack } else { self.denial.reason.why() }
    }

    /// The kind of remedy, and the page below the base URL where a person finds it.
    fn remedy(&self) -> (RemedyKind, Option<String>) {
        match &self.denial.reason {
            // The caller has to send other arguments, or a new token; no person can help.
            Reason::Arguments(_) | Reason::Expired => (RemedyKind::None, None),
            Reason::OutsideTask(outside) => {
                let known = outside.why != OutsideWhy::Unknown;
                (RemedyKind::WidenTask, known.then(|| format!("/tasks/{}", outside.task)))
            }
            Reason::Rights if self.denial.forbidden.is_some() => (RemedyKind::None, None),
            Reason::Rights => (RemedyKind::AskAccess, None),
            Reason::TaskRequired => (RemedyKind::WidenTask, self.grant.map(|grant| format!("/grants/{grant}"))),
        }
    }

    fn text(&self) -> String {
        match &self.denial.reason {
            Reason::Arguments(violation) => violation.to_string(),
            Reason::Expired => "the authority behind this call has ended".to_owned(),
            Reason::OutsideTask(outside) => outside_text(outside),
            Reason::Rights => match &self.denial.forbidden {
                Some(forbidden) => forbidden.to_string(),
                // The words are the same whether the thing exists or not (RS-36).
                None => rights_text(self.denial.lent.as_deref(), self.is_askable()),
            },
            Reason::TaskRequired => {
                "this call is only for a declared task, and none is; the user can begin one".to_owned()
            }
        }
    }
}

impl Denied {
    /// Returns the refusal of a call whose task was spent or ended by other calls while it was judged.
    pub(crate) fn by_task(authority: &Authority, task: TaskId, over: bool) -> Self {
        let why = if over { OutsideWhy::Over } else { OutsideWhy::Spent };
        let bound = authority.need.tasks().find(|bound| bound.id == task);
        let purpose = bound.map(|bound| bound.definition.purpose.clone()).unwrap_or_default();
        Self::Task { outside: Outside { task, purpose, why }, over }
    }

    /// Returns what was decided, as one word.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Approval { .. } => Verdict::Ask,
            Self::Account(denial) if denial.has_person && !denial.is_declined => Verdict::Ask,
            Self::Account(_)
            | Self::ApprovalAnonymous(_)
            | Self::Declined(_)
            | Self::Policy(_)
            | Self::Task { .. }
            | Self::TooLarge(_) => Verdict::Deny,
            Self::StepUp { .. } => Verdict::StepUp,
        }
    }

    /// Returns the set that refuses. There is none if the arguments are not those that the tool takes.
    fn set(&self) -> Option<SetName> {
        match self {
            Self::Account(_)
            | Self::Approval { .. }
            | Self::ApprovalAnonymous(_)
            | Self::Declined(_)
            | Self::TooLarge(_) => Some(SetName::Rights),
            Self::Policy(policy) => policy.denial.reason.set(),
            Self::StepUp { .. } => Some(SetName::Grant),
            Self::Task { .. } => Some(SetName::Need),
        }
    }

    /// Returns the reason, as one word for the records.
    pub(crate) fn why(&self) -> Why {
        match self {
            Self::Account(denial) if denial.is_expired => Why::AccountExpired,
            Self::Account(_) => Why::AccountMissing,
            Self::Approval { .. } | Self::ApprovalAnonymous(_) => Why::Approval,
            Self::Declined(_) => Why::Declined,
            Self::Policy(policy) => policy.why(),
            Self::StepUp { .. } => Why::Scopes,
            Self::Task { over: true, .. } => Why::TaskFinished,
            Self::Task { over: false, .. } => Why::BudgetSpent,
            Self::TooLarge(_) => Why::TooLargeToApprove,
        }
    }

    /// Returns the reason, in words for the client.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Account(denial) => denial.text(),
            Self::Approval { ask: AskedFor { reason: Some(reason), .. }, .. } => {
                format!("the user has to approve this very call first: {reason}")
            }
            Self::Approval { .. } => "the user has to approve this very call first".to_owned(),
            Self::ApprovalAnonymous(_) => {
                "a person has to approve this very call first, and nobody is signed in who could".to_owned()
            }
            Self::Declined(_) => {
                "the user declined this very call; do not make it again unless the user asks for it".to_owned()
            }
            Self::Policy(policy) => policy.text(),
            Self::StepUp { .. } => {
                "this client was not granted what the call needs; ask the user to grant more".to_owned()
            }
            Self::Task { outside, .. } => outside_text(outside),
            Self::TooLarge(_) => {
                "the user has to approve this very call first, and what it sends beside its arguments \
                is too large to be shown: make it again with less in `_meta`"
                    .to_owned()
            }
        }
    }

    /// The kind of remedy, and the page below the base URL where a person finds it.
    fn remedy(&self) -> (RemedyKind, Option<String>) {
        match self {
            Self::Account(denial) if denial.has_person && !denial.is_declined => {
                (RemedyKind::LinkAccount, Some(format!("/links/{}", denial.server)))
            }
            Self::Account(_) => (RemedyKind::None, None),
            Self::Approval { approval, .. } => (RemedyKind::Approve, Some(format!("/approvals/{approval}"))),
            Self::ApprovalAnonymous(_) | Self::Declined(_) | Self::TooLarge(_) => (RemedyKind::None, None),
            Self::Policy(policy) => policy.remedy(),
            Self::StepUp { .. } => (RemedyKind::StepUp, None),
            Self::Task { outside, .. } => (RemedyKind::WidenTask, Some(format!("/tasks/{}", outside.task))),
        }
    }

    /// Whether there is a page on which an owner can be asked.
    pub(crate) fn is_askable(&self) -> bool {
        match self {
            Self::Policy(policy) => policy.is_askable(),
            Self::Account(_)
            | Self::Approval { .. }
            | Self::ApprovalAnonymous(_)
            | Self::Declined(_)
            | Self::StepUp { .. }
            | Self::Task { .. }
            | Self::TooLarge(_) => false,
        }
    }

    /// Whether the call was about a job that is not the caller's. It is answered as the protocol has an unknown job
    /// answered.
    pub(crate) fn is_unknown_job(&self) -> bool {
        match self {
            Self::Policy(policy) => policy.denial.reason == Reason::Rights && policy.target == DeniedTarget::Job,
            Self::Account(_)
            | Self::Approval { .. }
            | Self::ApprovalAnonymous(_)
            | Self::Declined(_)
            | Self::StepUp { .. }
            | Self::Task { .. }
            | Self::TooLarge(_) => false,
        }
    }

    /// Whether the arguments are not those that the tool takes, so that the call has to be repeated with others.
    pub(crate) fn is_invalid(&self) -> bool {
        self.set().is_none()
    }

    /// Returns what the client is told. It is the same for a thing that is hidden and one that does not exist.
    pub(crate) fn refusal(&self, request: RequestId, base_url: &str) -> Refusal {
        let (kind, page) = self.remedy();
        let scopes = match self {
            Self::StepUp { step_up, .. } => Some(step_up.scopes.clone()),
            Self::Account(_)
            | Self::Approval { .. }
            | Self::ApprovalAnonymous(_)
            | Self::Declined(_)
            | Self::Policy(_)
            | Self::Task { .. }
            | Self::TooLarge(_) => None,
        };
        // The page is found by the request alone, so the URL is the same for a thing that is hidden and one that does
        // not exist.
        let ask = self.is_askable().then(|| format!("{base_url}/access/{request}"));
        let url = page.map(|page| format!("{base_url}{page}")).or(ask);
        // A refusal because of such arguments is told without a set; see `is_invalid`.
        let set = self.set().unwrap_or(SetName::Rights);
        Refusal { set, reason: self.text(), remedy: Remedy { kind, url, scopes }, request }
    }

    /// Returns the judgement for the record.
    pub(crate) fn judgement(&self) -> Judgement {
        let (need, task, because, scopes) = match self {
            Self::Account(denial) => (denial.need, denial.task, Arc::clone(&denial.because), ScopeSet::empty()),
            Self::Approval { ask, .. } | Self::ApprovalAnonymous(ask) | Self::Declined(ask) | Self::TooLarge(ask) => {
                (ask.need, ask.task, [ask.rule.clone()].into(), ScopeSet::empty())
            }
            Self::Policy(PolicyDenial { denial, task, .. }) => {
                (denial.need, *task, Arc::clone(&denial.because), ScopeSet::empty())
            }
            Self::StepUp { step_up, task, .. } => {
                (step_up.need, *task, Arc::clone(&step_up.because), step_up.scopes.clone())
            }
            Self::Task { outside, .. } => (Need::Outside, Some(outside.task), Arc::default(), ScopeSet::empty()),
        };
        let (verdict, set, why) = (self.verdict(), self.set(), Some(self.why()));
        Judgement { verdict, set, need, task, why, observed: None, because, scopes }
    }
}

/// A question to a person, kept after its permit was handed over to be settled.
#[derive(Debug)]
pub(crate) struct AskedFor {
    pub(crate) call: Digest,
    pub(crate) rule: RuleId,
    pub(crate) reason: Option<String>,
    pub(crate) need: Need,
    pub(crate) task: Option<TaskId>,
}

impl AskedFor {
    /// Describes the question. The call is inside the declared tasks, otherwise nobody would be asked.
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

/// Returns what the caller is told when rights refuse. The words are the same whether the thing exists or not (RS-36),
/// unless it was lent to the caller within bounds that the arguments do not keep. The link leads to a page that tells
/// the user more.
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
