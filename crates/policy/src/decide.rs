//! The decision: rights, then need, then grant. The first one that refuses is the one that is told.
//!
//! Rights come first so that a caller without rights does not learn what exists. The grant comes last because its
//! refusal (a step-up) names scopes.

use std::fmt;
use std::sync::Arc;

use sekisho_protocol::audit;
use sekisho_protocol::caller::{Caller, Principal};
use sekisho_protocol::canonical;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::scope::ScopeSet;

use crate::case::Case;
use crate::model::{Authority, Call, Target, ToolState};
use crate::permit::{Owed, Permit};
use crate::rights::{Answer, Rights, RuleId};
use crate::schema::Violation;
use crate::task::{Outside, WhichArguments};

pub use crate::reason::Reason;

/// The decision on one call.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// A person has to approve this very call first: the permit owes an approval, and is worth nothing without it.
    Ask(Ask),
    /// The call is refused.
    Deny(Denial),
    /// The call is permitted.
    Permit(Permit),
    /// The token lacks scopes. All scopes that the call needs are named.
    StepUp(StepUp),
}

/// A permit that needs a person's approval.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// The permit, which settling exchanges for an approval.
    pub permit: Permit,
    /// What the person approves: a digest of user, client, server, tool, canonical arguments, and what is sent beside
    /// them.
    pub call: Digest,
    /// The rule that requires the approval.
    pub rule: RuleId,
    /// The reason that the rule gives.
    pub reason: Option<String>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: Reason,
    /// The rules that led to it; for owners and records.
    pub because: Arc<[RuleId]>,
    /// The call's relation to the declared tasks; not checked if rights refuse.
    pub need: audit::Need,
    /// What forbids the call, if the caller may make it with other arguments and so may know of it. `None` if the
    /// refusal must not tell whether the thing exists (RS-36).
    pub forbidden: Option<Forbidden>,
    /// The bound that the arguments do not keep, if an owner lent the tool to this caller within bounds and nothing
    /// else forbids the call. `None` in the same case as for `forbidden`.
    pub lent: Option<Box<Violation>>,
}

/// What is told of a call that rules forbid with these arguments. No loan helps, because a rule that forbids beats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The reasons that the rules give.
    pub reasons: Vec<String>,
    /// Arguments in a form that a rule cannot compare, which is why the rule forbids them.
    pub unread: Vec<String>,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a rule forbids this call")?;
        if !self.reasons.is_empty() {
            write!(formatter, ": {}", self.reasons.join("; "))?;
        }
        for argument in &self.unread {
            write!(formatter, "; it cannot compare the argument `{argument}` in this form")?;
        }
        formatter.write_str("; nobody can lend it")
    }
}

/// The scopes a call needs and the token lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// All scopes that the operation needs (RS-20), not only the missing ones.
    pub scopes: ScopeSet,
    /// The rules that give the user the right.
    pub because: Arc<[RuleId]>,
    /// The call's relation to the declared tasks.
    pub need: audit::Need,
}

/// Somebody who could make a call: a caller, or a candidate in a question of what would follow.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The subject, and the clients on the path.
    pub principal: Principal<'a>,
    /// The scopes that were granted.
    pub scopes: &'a ScopeSet,
    /// When the authority expires.
    pub ends: Timestamp,
}

impl<'a> Candidate<'a> {
    /// Returns the case that this candidate makes this call.
    pub(crate) fn case(&self, authority: &'a Authority, call: &'a Call) -> Case<'a> {
        Case { principal: self.principal, authority, call }
    }
}

impl<'a> From<&'a Caller> for Candidate<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self { principal: caller.principal(), scopes: &caller.scopes, ends: caller.ends() }
    }
}

/// Decides on one call. Every input has an answer, and what is unknown is refused.
pub fn decide(rights: &Rights, caller: &Caller, authority: &Authority, call: &Call, now: Timestamp) -> Decision {
    let (passed, ask) = match judge(rights, caller.into(), authority, call, now) {
        Judgement::Ask(passed, ask) => (passed, Some(ask)),
        Judgement::Deny(denial) => return Decision::Deny(denial),
        Judgement::Permit(passed) => (passed, None),
        Judgement::StepUp(step_up) => return Decision::StepUp(step_up),
    };
    let Passed { because, need, owes, observed } = passed;
    let task = authority.need.task();
    let permit = Permit { caller: caller.clone(), call: call.clone(), because, need, task, owes, observed };
    match ask {
        Some(Approval { call, rule, reason }) => Decision::Ask(Ask { permit, call, rule, reason }),
        None => Decision::Permit(permit),
    }
}

/// A decision that proves nothing, because it may be about somebody who did not call.
pub(crate) enum Judgement {
    Ask(Passed, Approval),
    Deny(Denial),
    Permit(Passed),
    StepUp(StepUp),
}

/// The parts of a permit beside its caller and its call.
pub(crate) struct Passed {
    because: Arc<[RuleId]>,
    need: audit::Need,
    owes: Owed,
    pub(crate) observed: Option<Reason>,
}

/// The approval that a permit waits for.
pub(crate) struct Approval {
    call: Digest,
    rule: RuleId,
    reason: Option<String>,
}

/// Returns the judgement on this candidate. Only [`decide`] makes a permit of it, and only for a caller.
pub(crate) fn judge(
    rights: &Rights,
    candidate: Candidate<'_>,
    authority: &Authority,
    call: &Call,
    now: Timestamp,
) -> Judgement {
    let weighed = Weighed::of(rights, candidate.case(authority, call), WhichArguments::This, now);
    let answer = Arc::clone(&weighed.rights);
    let need = authority.need.word(weighed.need.is_ok());
    let refused = weighed.refusal(candidate.ends, authority, now);
    // A server that observes lets pass what is refused because of the call itself, but never what does not exist or has
    // ended.
    let observed = match refused {
        Some(reason @ (Reason::Arguments(_) | Reason::OutsideTask(_) | Reason::Rights | Reason::TaskRequired))
            if weighed.exists && rights.observes(&call.server, now) =>
        {
            Some(reason)
        }
        Some(reason) => {
            let sees = || could_see(rights, candidate, authority, call, now);
            let (mut forbidden, mut lent) = (None, None);
            if reason == Reason::Rights && weighed.exists && answer.is_forbidden() {
                forbidden = sees().then(|| Forbidden::of(&answer));
            } else if reason == Reason::Rights && weighed.exists {
                lent = rights.beyond(candidate.principal, authority, call, now).filter(|_| sees());
            }
            return Judgement::Deny(Denial { because: denying(&reason, &answer), reason, need, forbidden, lent });
        }
        None => None,
    };
    if !call.is_granted_by(candidate.scopes) {
        return Judgement::StepUp(StepUp { scopes: call.scopes(), because: Arc::clone(&answer.because), need });
    }
    let record_first = !call.is_read();
    let owes = match call.round {
        Some(round) => Owed { record_first, round: Some(round), ..Owed::default() },
        None => {
            let asks = answer.approval.is_some() && observed.is_none();
            let approval = asks.then(|| approval_key(candidate.principal, call));
            Owed { record_first, approval, budgets: authority.need.budgets(call), round: None }
        }
    };
    let key = owes.approval;
    let passed = Passed { because: Arc::clone(&answer.because), need, owes, observed };
    match (key, &answer.approval) {
        (Some(call), Some(rule)) => {
            Judgement::Ask(passed, Approval { call, rule: rule.clone(), reason: answer.reasons.first().cloned() })
        }
        _ => Judgement::Permit(passed),
    }
}

impl Forbidden {
    fn of(answer: &Answer) -> Self {
        let unread = answer.unread.iter().map(|unread| unread.argument.clone());
        Self { reasons: answer.reasons.clone(), unread: unread.collect() }
    }
}

/// Whether a list may show this to the caller: `decide` would permit it, have it approved, or let the caller step up to
/// it, for some arguments.
pub fn may_see(rights: &Rights, caller: &Caller, authority: &Authority, call: &Call, now: Timestamp) -> bool {
    could_see(rights, caller.into(), authority, call, now)
}

fn could_see(rights: &Rights, candidate: Candidate<'_>, authority: &Authority, call: &Call, now: Timestamp) -> bool {
    let weighed = Weighed::of(rights, candidate.case(authority, call), WhichArguments::Any, now);
    match weighed.refusal(candidate.ends, authority, now) {
        None => true,
        Some(Reason::Expired) => false,
        Some(_) => weighed.exists && rights.observes(&call.server, now),
    }
}

/// Returns the digest of what an approval is for: this user, client, server and tool, these arguments, and what is sent
/// beside them.
pub fn approval_key<'a>(principal: impl Into<Principal<'a>>, call: &Call) -> Digest {
    let principal = principal.into();
    let client = principal.client().map_or("", |client| client.as_str());
    let arguments = canonical::digest_of_text(call.arguments.as_deref());
    Digest::of_list(&[
        principal.subject.to_string().as_bytes(),
        client.as_bytes(),
        call.server.as_str().as_bytes(),
        call.method.as_bytes(),
        call.target.name().unwrap_or_default().as_bytes(),
        arguments.as_bytes(),
        canonical::beside(call.params.as_deref()).unwrap_or_default().as_bytes(),
    ])
}

/// Returns the rules behind a refusal: those that could not be evaluated, if there are any, and otherwise those of the
/// answer. Empty if the thing does not exist although rules would permit it.
fn denying(reason: &Reason, answer: &Answer) -> Arc<[RuleId]> {
    if *reason == Reason::Rights && answer.permitted {
        return Arc::default();
    }
    Arc::clone(if answer.broken.is_empty() { &answer.because } else { &answer.broken })
}

/// The results of the checks that a decision is made from.
pub(crate) struct Weighed {
    /// Whether the thing exists for this caller.
    pub(crate) exists: bool,
    /// Whether the arguments are those that the tool takes (RS-61).
    pub(crate) fits: Result<(), Box<Violation>>,
    /// Whether the caller may know which arguments the tool takes, because some arguments are permitted.
    knows: bool,
    pub(crate) rights: Arc<Answer>,
    pub(crate) need: Result<(), Outside>,
}

impl Weighed {
    pub(crate) fn of(rights: &Rights, case: Case<'_>, asked: WhichArguments, now: Timestamp) -> Self {
        let Case { principal, authority, call } = case;
        // The arguments are checked before anything is judged by them.
        let fits = match (asked, &call.schema) {
            (WhichArguments::This, Some(schema)) => schema.check(call.arguments.as_deref()),
            _ => Ok(()),
        };
        let knows = fits.is_ok() || rights.answer(principal, authority, call, WhichArguments::Any, now).permitted;
        Self {
            exists: exists(call),
            fits,
            knows,
            rights: rights.answer(principal, authority, call, asked, now),
            need: authority.need.judge(call, asked, now),
        }
    }

    /// Returns the first reason to refuse, without looking at the grant.
    fn refusal(&self, ends: Timestamp, authority: &Authority, now: Timestamp) -> Option<Reason> {
        // A caller that may make a call that fits is told that this one does not.
        let may = if self.fits.is_ok() { self.rights.permitted } else { self.knows };
        if !self.exists || !may {
            return Some(Reason::Rights);
        }
        if ends <= now {
            return Some(Reason::Expired);
        }
        if let Err(violation) = &self.fits {
            return Some(Reason::Arguments(violation.clone()));
        }
        if let Err(outside) = &self.need {
            return Some(Reason::OutsideTask(outside.clone()));
        }
        (self.rights.task_required.is_some() && !authority.need.is_declared()).then_some(Reason::TaskRequired)
    }
}

/// Whether the thing exists for this caller. A tool that is held back does not, and neither does another caller's job.
fn exists(call: &Call) -> bool {
    match &call.target {
        Target::Job { own, .. } => *own,
        Target::Tool { standing, .. } => !matches!(standing, ToolState::Held | ToolState::Unknown),
        Target::Checkpoint { .. } | Target::Prompt { .. } | Target::Resource { .. } | Target::Server => true,
    }
}
