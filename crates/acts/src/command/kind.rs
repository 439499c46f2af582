//! The kind of the record that each command leaves.

use sekisho_protocol::audit::ActKind;

use super::Command;

impl Command {
    /// Returns the kind of the record that the command leaves when it succeeds. `None`: it is a question.
    pub fn kind(&self) -> Option<ActKind> {
        Some(match self {
            Self::AuditArguments { .. } => ActKind::ArgumentsRead,
            Self::AuditPrune { .. } => ActKind::RecordsPruned,
            Self::BaseUrlSet { .. } => ActKind::BaseUrlChanged,
            Self::ClientAdd { .. } => ActKind::ClientAdded,
            Self::ClientRemove { .. } => ActKind::ClientRemoved,
            Self::GrantRelease { .. } => ActKind::GrantReleased,
            Self::GrantRevoke { .. } => ActKind::GrantRevoked,
            Self::GrantRevokeAll { .. } => ActKind::GrantsRevoked,
            Self::LinkRemove { .. } => ActKind::AccountUnlinked,
            Self::LoanRevoke { .. } => ActKind::AccessTakenBack,
            Self::RequestFile(_) => ActKind::AccessAsked,
            Self::RequestGrant { .. } => ActKind::AccessLent,
            Self::RequestRefuse { .. } => ActKind::AccessRefused,
            Self::ScimTokenAdd { .. } => ActKind::ScimTokenAdded,
            Self::ScimTokenRemove { .. } => ActKind::ScimTokenRemoved,
            Self::ServerAdd(_) => ActKind::ServerAdded,
            Self::ServerReach { .. } => ActKind::ReachChanged,
            Self::ServerRemove { .. } => ActKind::ServerRemoved,
            Self::TaskFinish { .. } => ActKind::TaskFinished,
            Self::TaskResume { .. } => ActKind::TaskResumed,
            Self::TaskStart { .. } => ActKind::TaskBegun,
            Self::ToolsAccept { .. } => ActKind::ToolAccepted,
            Self::ToolsClassify { .. } => ActKind::ToolClassified,
            Self::UserAdd { .. } => ActKind::UserAdded,
            Self::UserDisable { .. } => ActKind::UserDisabled,
            Self::UserEnable { .. } => ActKind::UserEnabled,
            Self::UserLink { .. } => ActKind::SetupLinkMade,
            Self::UserRemove { .. } => ActKind::UserRemoved,
            Self::UserRole { .. } => ActKind::UserRoleChanged,
            Self::Advise { .. }
            | Self::AuditList { .. }
            | Self::AuditVerify { .. }
            | Self::BaseUrlShow
            | Self::ClientList
            | Self::Explain(_)
            | Self::GrantList { .. }
            | Self::LinkList { .. }
            | Self::LoanList
            | Self::Replay { .. }
            | Self::RequestList
            | Self::RequestWeigh { .. }
            | Self::ScimTokenList
            | Self::ServerList
            | Self::TaskList { .. }
            | Self::ToolsAsk { .. }
            | Self::ToolsDefinitions { .. }
            | Self::ToolsHeld { .. }
            | Self::ToolsList { .. }
            | Self::UserList => return None,
        })
    }
}
