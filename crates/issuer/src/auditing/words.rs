//! The words of the records as pages say them: in English those that are written in the records, so that what is read here can
//! be looked for there.

use sekisho_protocol::audit::{AuthorizationAct, OutcomeResult, Verdict};
use sekisho_protocol::refusal::SetName;

use crate::text::Sentence;

/// What happened at the issuer.
pub(super) fn act(value: AuthorizationAct) -> Sentence {
    match value {
        AuthorizationAct::AccessAsked => Sentence::ActAccessAsked,
        AuthorizationAct::AccessLent => Sentence::ActAccessLent,
        AuthorizationAct::AccessRefused => Sentence::ActAccessRefused,
        AuthorizationAct::AccessTakenBack => Sentence::ActAccessTakenBack,
        AuthorizationAct::ApprovalDeclined => Sentence::ActApprovalDeclined,
        AuthorizationAct::ApprovalGiven => Sentence::ActApprovalGiven,
        AuthorizationAct::ArgumentsRead => Sentence::ActArgumentsRead,
        AuthorizationAct::AuthorizationRefused => Sentence::ActAuthorizationRefused,
        AuthorizationAct::ClientRegistered => Sentence::ActClientRegistered,
        AuthorizationAct::ClientRefused => Sentence::ActClientRefused,
        AuthorizationAct::CodeReplayed => Sentence::ActCodeReplayed,
        AuthorizationAct::ConsentDenied => Sentence::ActConsentDenied,
        AuthorizationAct::ConsentGiven => Sentence::ActConsentGiven,
        AuthorizationAct::GrantRevoked => Sentence::ActGrantRevoked,
        AuthorizationAct::LoginFailed => Sentence::ActLoginFailed,
        AuthorizationAct::LoginSucceeded => Sentence::ActLoginSucceeded,
        AuthorizationAct::RefreshReplayed => Sentence::ActRefreshReplayed,
        AuthorizationAct::PasswordSet => Sentence::ActPasswordSet,
        AuthorizationAct::TaskBegun => Sentence::ActTaskBegun,
        AuthorizationAct::TaskFinished => Sentence::ActTaskFinished,
        AuthorizationAct::TaskResumed => Sentence::ActTaskResumed,
        AuthorizationAct::TaskWidened => Sentence::ActTaskWidened,
        AuthorizationAct::TokenIssued => Sentence::ActTokenIssued,
        AuthorizationAct::TokenRefused => Sentence::ActTokenRefused,
        AuthorizationAct::ToolAccepted => Sentence::ActToolAccepted,
    }
}

/// What was decided.
pub(super) fn verdict(value: Verdict) -> Sentence {
    match value {
        Verdict::Ask => Sentence::VerdictAsk,
        Verdict::Deny => Sentence::VerdictDeny,
        Verdict::Permit => Sentence::VerdictPermit,
        Verdict::StepUp => Sentence::VerdictStepUp,
    }
}

/// What came of a call.
pub(super) fn outcome(value: OutcomeResult) -> Sentence {
    match value {
        OutcomeResult::Answered => Sentence::OutcomeAnswered,
        OutcomeResult::Cancelled => Sentence::OutcomeCancelled,
        OutcomeResult::Error => Sentence::OutcomeError,
        OutcomeResult::Revoked => Sentence::OutcomeRevoked,
        OutcomeResult::Stopping => Sentence::OutcomeStopping,
        OutcomeResult::Unconfirmed => Sentence::OutcomeUnconfirmed,
        OutcomeResult::Unknown => Sentence::OutcomeUnknown,
        OutcomeResult::UpstreamFailed => Sentence::OutcomeUpstreamFailed,
    }
}

/// The set that refused.
pub(super) fn set(value: SetName) -> Sentence {
    match value {
        SetName::Grant => Sentence::RefusedByGrant,
        SetName::Need => Sentence::RefusedByNeed,
        SetName::Rights => Sentence::RefusedByRights,
    }
}
