//! The three sets one by one, for people: the same code that decides, asked to say everything.

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::scope::ScopeSet;
use serde::{Deserialize, Serialize};

use crate::decide::{Candidate, Judgement, Weighed, judge};
use crate::model::{Authority, Call, Target, ToolState};
use crate::rights::{Rights, Unread};
use crate::task::{OutsideWhy, WhichArguments};

/// What each set says to a call, and what follows. For owners and auditors: it says more than a caller may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What follows.
    pub decision: Verdict,
    /// The set that refused, if one did.
    pub set: Option<SetName>,
    /// What the user may do.
    pub rights: RightsSay,
    /// What was granted to the client.
    pub grant: GrantSays,
    /// What the declared tasks need.
    pub need: NeedSays,
    /// Why the arguments are not those that the tool takes, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// The server only observes at this moment, and this is what would have refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
}

/// What the rights say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsSay {
    /// Whether the call is inside.
    pub inside: bool,
    /// Whether the thing exists for the caller at all.
    pub exists: bool,
    /// Whether the server has it, but new or changed, and no owner has accepted it.
    #[serde(default)]
    pub held: bool,
    /// The rules that led to it.
    pub because: Vec<String>,
    /// What the rules give as their reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The rule that wants a person's yes to each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The rule that wants a declared task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_required: Option<String>,
    /// Rules that could not be evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// Rules that could not compare an argument, each with that argument.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadSays>,
}

/// A rule that looks at an argument, which is there in a form that the rule cannot compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadSays {
    /// The rule.
    pub rule: String,
    /// The argument.
    pub argument: String,
}

/// What the grant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSays {
    /// Whether the call is inside.
    pub inside: bool,
    /// What was granted.
    pub scopes: ScopeSet,
    /// What the call needs.
    pub needed: ScopeSet,
}

/// What the tasks say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedSays {
    /// Whether a task was declared. Without one, a call is never said to be inside three sets.
    pub declared: bool,
    /// Whether the call is inside every declared task.
    pub inside: bool,
    /// Their purposes.
    pub purposes: Vec<String>,
    /// Why it is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Explains a call, of a caller or of somebody who could make it.
pub fn explain<'a>(
    rights: &Rights,
    candidate: impl Into<Candidate<'a>>,
    authority: &Authority,
    call: &Call,
    now: Timestamp,
) -> Explanation {
    let candidate = candidate.into();
    let weighed = Weighed::of(rights, candidate.principal, authority, call, (WhichArguments::This, now));
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
