//! The words of the records as pages say them: in English those that are written in the records, so that what is read here can
//! be looked for there.

use sekisho_protocol::audit::{ActKind, Actor, OutcomeResult, Verdict};
use sekisho_protocol::refusal::SetName;
use sekisho_web::sentence::Sentence;

/// What was done.
pub(super) fn act(value: ActKind) -> Sentence {
    match value {
        ActKind::AccessAsked => Sentence::ActAccessAsked,
        ActKind::AccessLent => Sentence::ActAccessLent,
        ActKind::AccessRefused => Sentence::ActAccessRefused,
        ActKind::AccessTakenBack => Sentence::ActAccessTakenBack,
        ActKind::AccountExpired => Sentence::ActAccountExpired,
        ActKind::AccountLinkRefused => Sentence::ActAccountLinkRefused,
        ActKind::AccountLinked => Sentence::ActAccountLinked,
        ActKind::AccountUnlinked => Sentence::ActAccountUnlinked,
        ActKind::ApprovalDeclined => Sentence::ActApprovalDeclined,
        ActKind::ApprovalGiven => Sentence::ActApprovalGiven,
        ActKind::ArgumentsRead => Sentence::ActArgumentsRead,
        ActKind::AuthorizationRefused => Sentence::ActAuthorizationRefused,
        ActKind::BaseUrlChanged => Sentence::ActBaseUrlChanged,
        ActKind::ClientAdded => Sentence::ActClientAdded,
        ActKind::ClientRegistered => Sentence::ActClientRegistered,
        ActKind::ClientRefused => Sentence::ActClientRefused,
        ActKind::ClientRemoved => Sentence::ActClientRemoved,
        ActKind::CodeReplayed => Sentence::ActCodeReplayed,
        ActKind::ConsentDenied => Sentence::ActConsentDenied,
        ActKind::ConsentGiven => Sentence::ActConsentGiven,
        ActKind::GrantMade => Sentence::ActGrantMade,
        ActKind::GrantReleased => Sentence::ActGrantReleased,
        ActKind::GrantReplaced => Sentence::ActGrantReplaced,
        ActKind::GrantRevoked => Sentence::ActGrantRevoked,
        ActKind::GrantWidened => Sentence::ActGrantWidened,
        ActKind::GrantsRevoked => Sentence::ActGrantsRevoked,
        ActKind::GroupAdded => Sentence::ActGroupAdded,
        ActKind::GroupChanged => Sentence::ActGroupChanged,
        ActKind::GroupRemoved => Sentence::ActGroupRemoved,
        ActKind::IdentityLinked => Sentence::ActIdentityLinked,
        ActKind::IdentitySignedIn => Sentence::ActIdentitySignedIn,
        ActKind::IdentityUnlinked => Sentence::ActIdentityUnlinked,
        ActKind::LoginFailed => Sentence::ActLoginFailed,
        ActKind::LoginSucceeded => Sentence::ActLoginSucceeded,
        ActKind::PasswordSet => Sentence::ActPasswordSet,
        ActKind::ProvisioningRefused => Sentence::ActProvisioningRefused,
        ActKind::ReachChanged => Sentence::ActReachChanged,
        ActKind::RecordsContradicted => Sentence::ActRecordsContradicted,
        ActKind::RecordsPruned => Sentence::ActRecordsPruned,
        ActKind::RefreshReplayed => Sentence::ActRefreshReplayed,
        ActKind::ScimTokenAdded => Sentence::ActScimTokenAdded,
        ActKind::ScimTokenRemoved => Sentence::ActScimTokenRemoved,
        ActKind::ServerAdded => Sentence::ActServerAdded,
        ActKind::ServerRemoved => Sentence::ActServerRemoved,
        ActKind::SessionsEnded => Sentence::ActSessionsEnded,
        ActKind::SetupLinkMade => Sentence::ActSetupLinkMade,
        ActKind::TaskBegun => Sentence::ActTaskBegun,
        ActKind::TaskFinished => Sentence::ActTaskFinished,
        ActKind::TaskResumed => Sentence::ActTaskResumed,
        ActKind::TaskWidened => Sentence::ActTaskWidened,
        ActKind::TokenIssued => Sentence::ActTokenIssued,
        ActKind::TokenRefused => Sentence::ActTokenRefused,
        ActKind::ToolAccepted => Sentence::ActToolAccepted,
        ActKind::ToolClassified => Sentence::ActToolClassified,
        ActKind::UserAdded => Sentence::ActUserAdded,
        ActKind::UserChanged => Sentence::ActUserChanged,
        ActKind::UserDisabled => Sentence::ActUserDisabled,
        ActKind::UserEnabled => Sentence::ActUserEnabled,
        ActKind::UserRemoved => Sentence::ActUserRemoved,
        ActKind::UserRoleChanged => Sentence::ActUserRoleChanged,
    }
}

/// Who did it.
pub(super) fn actor(value: Actor) -> Sentence {
    match value {
        Actor::Agent => Sentence::ActorAgent,
        Actor::Anonymous => Sentence::ActorAnonymous,
        Actor::Checkpoint => Sentence::ActorCheckpoint,
        Actor::Client => Sentence::ActorClient,
        Actor::Operator => Sentence::ActorOperator,
        Actor::Provisioner => Sentence::ActorProvisioner,
        Actor::User(_) => Sentence::ActorUser,
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
