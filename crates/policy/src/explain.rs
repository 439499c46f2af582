//! An explanation of a decision for people, set by set, made by the same code that decides.

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::scope::ScopeSet;
use serde::{Deserialize, Serialize};

use crate::decide::{Candidate, Judgement, Weighed, judge};
use crate::model::{Authority, Call, Target, ToolState};
use crate::rights::{Rights, Unread};
use crate::task::{OutsideWhy, WhichArguments};

/// What each set says about a call, and the decision. For owners and auditors: it tells more than a caller may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Verdict,
    /// The set that refused, if one did.
    pub set: Option<SetName>,
    /// The result of the rights.
    pub rights: RightsSay,
    /// The result of the grant.
    pub grant: GrantSays,
    /// The result of the tasks.
    pub need: NeedSays,
    /// Why the arguments are not those that the tool takes, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// What would have refused, if the server only observes at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
}

/// The result of the rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsSay {
    /// Whether the rights permit the call.
    pub inside: bool,
    /// Whether the thing exists for the caller at all.
    pub exists: bool,
    /// Whether the server has the tool but it is held back: it is new or changed, and no owner has accepted it.
    #[serde(default)]
    pub held: bool,
    /// The rules that led to the result.
    pub because: Vec<String>,
    /// The reasons that the rules give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The rule that requires an approval of each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The rule that requires a declared task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_required: Option<String>,
    /// Rules that could not be evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// Rules that could not compare an argument, each with that argument.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadSays>,
}

/// A rule with an argument that it cannot compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadSays {
    /// The rule.
    pub rule: String,
    /// The argument.
    pub argument: String,
}

/// The result of the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSays {
    /// Whether the grant covers the call.
    pub inside: bool,
    /// The scopes that were granted.
    pub scopes: ScopeSet,
    /// The scopes that the call needs.
    pub needed: ScopeSet,
}

/// The result of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedSays {
    /// Whether a task was declared. Without one, a call is never said to be inside all three sets.
    pub declared: bool,
    /// Whether the call is inside every declared task.
    pub inside: bool,
    /// The purposes of the tasks.
    pub purposes: Vec<String>,
    /// Why the call is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Explains a call, by a caller or by somebody who could make it.
pub fn explain<'a>(
    rights: &Rights,
    candidate: impl Into<Candidate<'a>>,
    authority: &Authority,
    call: &Call,
    now: Timestamp,
) -> Explanation {
    let candidate = candidate.into();
    let weighed = Weighed::of(rights, candidate.case(authority, call), WhichArguments::This, now);
    let (decision, set, observed) = match judge(rights, candidate, authority, call, now) {
        Judgement::Ask(..) => (Verdict::Ask, Some(SetName::Rights), None),
        Judgement::Deny(denial) => (Verdict::Deny, denial.reason.set(), None),
        Judgement::Permit(passed) => {
            (Verdict::Permit, None, passed.observed.map(|reason| reason.why().as_str().to_owned()))
        }
        Judgement::StepUp(_) => (Verdict::StepUp, Some(SetName::Grant), None),
    };
    let names = |rules: &[crate::rights::RuleId]| rules.iter().map(ToString::to_string).collect();
    Explanation {
        decision,
        set,
        observed,
        invalid: weighed.fits.err().map(|violation| violation.to_string()),
        rights: RightsSay {
            inside: weighed.exists && weighed.rights.permitted,
            exists: weighed.exists,
            held: matches!(call.target, Target::Tool { standing: ToolState::Held, .. }),
            because: names(&weighed.rights.because),
            reasons: weighed.rights.reasons.clone(),
            approval: weighed.rights.approval.as_ref().map(ToString::to_string),
            task_required: weighed.rights.task_required.as_ref().map(ToString::to_string),
            broken: names(&weighed.rights.broken),
            unread: weighed.rights.unread.iter().map(unread).collect(),
        },
        grant: GrantSays {
            inside: call.is_granted_by(candidate.scopes),
            scopes: candidate.scopes.clone(),
            needed: call.scopes(),
        },
        need: NeedSays {
            declared: authority.need.is_declared(),
            inside: authority.need.is_declared() && weighed.need.is_ok(),
            purposes: authority.need.tasks().map(|task| task.definition.purpose.clone()).collect(),
            why: weighed.need.err().map(|outside| match outside.why {
                OutsideWhy::Arguments(violation) => violation.of_bounds("the task"),
                OutsideWhy::NotNamed => "the task does not name it".to_owned(),
                OutsideWhy::Over => "the task is finished".to_owned(),
                OutsideWhy::Spent => "the task's budget of calls is used up".to_owned(),
                OutsideWhy::Unknown => "the task is not known".to_owned(),
            }),
        },
    }
}

fn unread(unread: &Unread) -> UnreadSays {
    UnreadSays { rule: unread.rule.to_string(), argument: unread.argument.clone() }
}
