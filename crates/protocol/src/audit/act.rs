//! What somebody did that changed something, or tried to: one kind of record, whoever did it and in whatever way.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::caller::Subject;
use crate::ids::{ClientId, GrantId, IdError, ServerName, TaskId, UserId};
use crate::scope::ScopeSet;

/// An act. Done on a page, at the command line or by an agent, it leaves the same record but for the actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// What was done.
    pub act: ActKind,
    /// Who did it.
    pub actor: Actor,
    /// Whom it is about: the user or service whose grant, request or account it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Which client, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// Which server, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// Which grant, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Which task, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Scopes asked or granted.
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
    /// More about it in one line: what exactly was changed, or why it was refused. The first 300 characters are kept
    /// ([`Act::DETAIL_CHARS_MAX`]).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Act {
    /// The most characters of a detail that are kept: it may quote what came from outside.
    pub const DETAIL_CHARS_MAX: usize = 300;

    /// An act of which only the actor and the kind are known; its maker fills in the rest.
    pub fn new(actor: Actor, act: ActKind) -> Self {
        Self {
            act,
            actor,
            subject: None,
            client: None,
            server: None,
            grant: None,
            task: None,
            scopes: ScopeSet::empty(),
            detail: String::new(),
        }
    }

    /// The same act with a detail of bounded length.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if let Some((end, _)) = self.detail.char_indices().nth(Self::DETAIL_CHARS_MAX) {
            self.detail.truncate(end);
        }
        self
    }
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A client, with a token of its own grant: a program, not the person behind it.
    Agent,
    /// Somebody who has not shown who they are.
    Anonymous,
    /// The checkpoint by itself.
    Checkpoint,
    /// An OAuth client at an endpoint for clients, authenticated as it registered.
    Client,
    /// Whoever runs the checkpoint on its machine, at the command line.
    Operator,
    /// A provisioning client (SCIM), with a token that an operator made for it: it acts for an identity provider.
    Provisioner,
    /// A person who is signed in, or whose password was just checked.
    User(UserId),
}

impl Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Client => f.write_str("client"),
            Self::Operator => f.write_str("operator"),
            Self::Provisioner => f.write_str("provisioner"),
            Self::User(user) => Display::fmt(user, f),
        }
    }
}

impl FromStr for Actor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Ok(match text {
            "agent" => Self::Agent,
            "anonymous" => Self::Anonymous,
            "checkpoint" => Self::Checkpoint,
            "client" => Self::Client,
            "operator" => Self::Operator,
            "provisioner" => Self::Provisioner,
            user => Self::User(user.parse()?),
        })
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! act_kinds {
    ($($(#[$meta:meta])* $name:ident = $word:literal;)*) => {
        /// What can be done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ActKind {
            $($(#[$meta])* #[serde(rename = $word)] $name,)*
        }

        impl ActKind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word of the records.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

act_kinds! {
    /// A user asked an owner for a tool that the rules do not allow.
    AccessAsked = "access_asked";
    /// An owner lent it for a time.
    AccessLent = "access_lent";
    /// An owner refused it.
    AccessRefused = "access_refused";
    /// An owner ended a loan before its time.
    AccessTakenBack = "access_taken_back";
    /// The account that a user linked for a server cannot be used any more.
    AccountExpired = "account_expired";
    /// A step of linking an account was refused.
    AccountLinkRefused = "account_link_refused";
    /// A user linked an account for a server.
    AccountLinked = "account_linked";
    /// A linked account was removed.
    AccountUnlinked = "account_unlinked";
    /// A user declined one call.
    ApprovalDeclined = "approval_declined";
    /// A user approved one call.
    ApprovalGiven = "approval_given";
    /// Somebody read the arguments of a call.
    ArgumentsRead = "arguments_read";
    /// An authorization request was refused.
    AuthorizationRefused = "authorization_refused";
    /// The base URL was changed, which ends every grant.
    BaseUrlChanged = "base_url_changed";
    /// An operator registered a client.
    ClientAdded = "client_added";
    /// A client registered itself.
    ClientRegistered = "client_registered";
    /// A registration was refused.
    ClientRefused = "client_refused";
    /// A client was removed; its grants ended.
    ClientRemoved = "client_removed";
    /// An authorization code was used a second time; its grant ended.
    CodeReplayed = "code_replayed";
    /// A user refused to let a client in.
    ConsentDenied = "consent_denied";
    /// A user let a client in.
    ConsentGiven = "consent_given";
    /// A client came for the first time with a token of the external authorization server of a server: a grant was made of it.
    GrantMade = "grant_made";
    /// A user lets a client in again whose grant was ended: its next token of the external authorization server makes a new grant.
    GrantReleased = "grant_released";
    /// A client was let in anew: its older grant ends a minute later.
    GrantReplaced = "grant_replaced";
    /// A provisioning client made a group.
    GroupAdded = "group_added";
    /// A provisioning client changed a group: its name, or who is in it.
    GroupChanged = "group_changed";
    /// A provisioning client removed a group.
    GroupRemoved = "group_removed";
    /// A grant was ended.
    GrantRevoked = "grant_revoked";
    /// A client came with a token of the external authorization server that permits more than those before.
    GrantWidened = "grant_widened";
    /// Several grants were ended at once: those of one user, or all.
    GrantsRevoked = "grants_revoked";
    /// A user linked an account at an identity provider, with which they sign in as well.
    IdentityLinked = "identity_linked";
    /// Somebody signed in at an identity provider, which says in which groups they are.
    IdentitySignedIn = "identity_signed_in";
    /// Such a link was undone; the user's sessions ended.
    IdentityUnlinked = "identity_unlinked";
    /// A login failed.
    LoginFailed = "login_failed";
    /// A login succeeded.
    LoginSucceeded = "login_succeeded";
    /// A request of a provisioning client was refused.
    ProvisioningRefused = "provisioning_refused";
    /// An operator made a token for a provisioning client.
    ScimTokenAdded = "scim_token_added";
    /// An operator revoked the token of a provisioning client.
    ScimTokenRemoved = "scim_token_removed";
    /// A password was set.
    PasswordSet = "password_set";
    /// The records disagree with a head that was kept in a second place.
    RecordsContradicted = "records_contradicted";
    /// Old records were removed.
    RecordsPruned = "records_pruned";
    /// A user got a class of tools at a server, or lost it.
    ReachChanged = "reach_changed";
    /// A used refresh token was shown again; its family ended.
    RefreshReplayed = "refresh_replayed";
    /// A server was added or replaced.
    ServerAdded = "server_added";
    /// A server was removed; its grants ended.
    ServerRemoved = "server_removed";
    /// Sessions of a user ended: the user signed out or ended them, an owner did, or an identity provider.
    SessionsEnded = "sessions_ended";
    /// A link was made with which a user sets a password.
    SetupLinkMade = "setup_link_made";
    /// A task began.
    TaskBegun = "task_begun";
    /// A task was ended.
    TaskFinished = "task_finished";
    /// A grant was freed of a task that was over.
    TaskResumed = "task_resumed";
    /// A running task got more room.
    TaskWidened = "task_widened";
    /// A token was issued.
    TokenIssued = "token_issued";
    /// A token request was refused.
    TokenRefused = "token_refused";
    /// The present definition of a tool was accepted.
    ToolAccepted = "tool_accepted";
    /// A tool got a class, and its present definition was accepted.
    ToolClassified = "tool_classified";
    /// A user was added.
    UserAdded = "user_added";
    /// A provisioning client changed what it says of a user.
    UserChanged = "user_changed";
    /// A user was shut out; sessions, links and grants ended.
    UserDisabled = "user_disabled";
    /// A user may sign in again.
    UserEnabled = "user_enabled";
    /// A user was removed; sessions, links and grants ended.
    UserRemoved = "user_removed";
    /// A user got another role.
    UserRoleChanged = "user_role_changed";
}

impl ActKind {
    /// Whether it records that something was refused or went wrong.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::AccessRefused
            | Self::AccountExpired
            | Self::AccountLinkRefused
            | Self::AuthorizationRefused
            | Self::ClientRefused
            | Self::CodeReplayed
            | Self::ConsentDenied
            | Self::LoginFailed
            | Self::ProvisioningRefused
            | Self::RecordsContradicted
            | Self::RefreshReplayed
            | Self::TokenRefused => true,
            Self::AccessAsked
            | Self::AccessLent
            | Self::AccessTakenBack
            | Self::AccountLinked
            | Self::AccountUnlinked
            | Self::ApprovalDeclined
            | Self::ApprovalGiven
            | Self::ArgumentsRead
            | Self::BaseUrlChanged
            | Self::ClientAdded
            | Self::ClientRegistered
            | Self::ClientRemoved
            | Self::ConsentGiven
            | Self::GrantMade
            | Self::GrantReleased
            | Self::GrantReplaced
            | Self::GrantRevoked
            | Self::GrantWidened
            | Self::GrantsRevoked
            | Self::GroupAdded
            | Self::GroupChanged
            | Self::GroupRemoved
            | Self::IdentityLinked
            | Self::IdentitySignedIn
            | Self::IdentityUnlinked
            | Self::LoginSucceeded
            | Self::PasswordSet
            | Self::ReachChanged
            | Self::RecordsPruned
            | Self::ScimTokenAdded
            | Self::ScimTokenRemoved
            | Self::ServerAdded
            | Self::ServerRemoved
            | Self::SessionsEnded
            | Self::SetupLinkMade
            | Self::TaskBegun
            | Self::TaskFinished
            | Self::TaskResumed
            | Self::TaskWidened
            | Self::TokenIssued
            | Self::ToolAccepted
            | Self::ToolClassified
            | Self::UserAdded
            | Self::UserChanged
            | Self::UserDisabled
            | Self::UserEnabled
            | Self::UserRemoved
            | Self::UserRoleChanged => false,
        }
    }

    /// Whether users may be able to do something else after it, because it changes rules, loans, users, their groups,
    /// servers or classes of tools. Changes of grants and tasks do not count: these are looked up at every call.
    pub fn changes_rights(self) -> bool {
        match self {
            Self::AccessLent
            | Self::AccessTakenBack
            | Self::BaseUrlChanged
            | Self::GroupAdded
            | Self::GroupChanged
            | Self::GroupRemoved
            | Self::IdentityLinked
            | Self::IdentitySignedIn
            | Self::IdentityUnlinked
            | Self::ReachChanged
            | Self::ServerAdded
            | Self::ServerRemoved
            | Self::ToolAccepted
            | Self::ToolClassified
            | Self::UserAdded
            | Self::UserChanged
            | Self::UserDisabled
            | Self::UserEnabled
            | Self::UserRemoved
            | Self::UserRoleChanged => true,
            Self::AccessAsked
            | Self::AccessRefused
            | Self::AccountExpired
            | Self::AccountLinkRefused
            | Self::AccountLinked
            | Self::AccountUnlinked
            | Self::ApprovalDeclined
            | Self::ApprovalGiven
            | Self::ArgumentsRead
            | Self::AuthorizationRefused
            | Self::ClientAdded
            | Self::ClientRegistered
            | Self::ClientRefused
            | Self::ClientRemoved
            | Self::CodeReplayed
            | Self::ConsentDenied
            | Self::ConsentGiven
            | Self::GrantMade
            | Self::GrantReleased
            | Self::GrantReplaced
            | Self::GrantRevoked
            | Self::GrantWidened
            | Self::GrantsRevoked
            | Self::LoginFailed
            | Self::LoginSucceeded
            | Self::PasswordSet
            | Self::ProvisioningRefused
            | Self::RecordsContradicted
            | Self::RecordsPruned
            | Self::RefreshReplayed
            | Self::ScimTokenAdded
            | Self::ScimTokenRemoved
            | Self::SessionsEnded
            | Self::SetupLinkMade
            | Self::TaskBegun
            | Self::TaskFinished
            | Self::TaskResumed
            | Self::TaskWidened
            | Self::TokenIssued
            | Self::TokenRefused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Act, ActKind, Actor};
    use crate::env::{Clock as _, ManualClock, SeededEntropy};
    use crate::ids::UserId;

    /// What is written is read again, and every kind has a word of its own.
    #[test]
    fn an_act_is_read_as_it_was_written() {
        let user = UserId::generate(ManualClock::default().now(), &SeededEntropy::default());
        let actors = [
            Actor::Agent,
            Actor::Anonymous,
            Actor::Checkpoint,
            Actor::Client,
            Actor::Operator,
            Actor::Provisioner,
            Actor::User(user),
        ];
        for (at, kind) in ActKind::ALL.iter().enumerate() {
            let act = Act { detail: "é\"".to_owned(), ..Act::new(actors[at % actors.len()], *kind) };
            let text = serde_json::to_string(&act).unwrap();
            assert!(text.contains(&format!("\"act\":\"{}\"", kind.as_str())), "{text}");
            assert_eq!(serde_json::from_str::<Act>(&text).unwrap(), act);
        }
        let mut words: Vec<_> = ActKind::ALL.iter().map(|kind| kind.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ActKind::ALL.len());
        assert!("somebody".parse::<Actor>().is_err());
    }

    /// What is quoted from outside cannot make a record long.
    #[test]
    fn a_detail_is_cut_at_a_character() {
        let act = Act { detail: "é".repeat(1000), ..Act::new(Actor::Anonymous, ActKind::TokenRefused) };
        assert_eq!(act.bounded().detail, "é".repeat(Act::DETAIL_CHARS_MAX));
    }
}
