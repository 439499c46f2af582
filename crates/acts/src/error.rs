//! Why an act was not performed: the same words on a page, at the command line and to an agent.

use sekisho_policy::bounds::BoundsError;
use sekisho_protocol::ids::{NodeId, ServerName};
use sekisho_protocol::task::TaskError;
use sekisho_store::{ACCESS_REASON_CHARS_MAX, LOAN_SECONDS_MAX, StoreError};

use crate::limits::BOUNDS_BYTES_MAX;

/// Why an act was not performed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The thing that was named does not exist, or has ended.
    #[error("there is no {what} `{name}`")]
    Absent {
        /// The kind of thing: a user, a client, a living grant, ...
        what: &'static str,
        /// Its name or identifier, as it was given.
        name: String,
    },
    /// It exists already.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// The kind of thing: a user, a client, ...
        what: &'static str,
        /// Its name or identifier, as it was given.
        name: String,
    },
    /// The input is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The actor's role does not allow this.
    #[error("this is not for you to decide: {0}")]
    NotAllowed(&'static str),
    /// The store failed.
    #[error("the store did not do it: {0}")]
    Store(#[from] StoreError),
}

impl ActError {
    pub(crate) fn absent(what: &'static str, name: impl std::fmt::Display) -> Self {
        Self::Absent { what, name: name.to_string() }
    }
}

/// What is wrong with the input of an act.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The arguments of a question are no JSON object.
    #[error("the arguments are not a JSON object")]
    Arguments,
    /// Bounds that are no schema, or would bind nothing.
    #[error("the bounds: {0}")]
    Bounds(String),
    /// Bounds that are too long.
    #[error("the bounds: longer than {BOUNDS_BYTES_MAX} bytes")]
    BoundsLength,
    /// Records are only removed from a chain that is intact.
    #[error(
        "nothing was pruned of {0}: its chain is not intact, and nothing is removed that could show why; see `sekisho audit \
         verify`"
    )]
    Chain(NodeId),
    /// A head that we did not sign.
    #[error("the head of {node} at {seq} is not one that this checkpoint signed, or was changed")]
    Head {
        /// The chain.
        node: NodeId,
        /// The number of the record.
        seq: i64,
    },
    /// A loan without end, or too long.
    #[error("a loan lasts from one second to {} days", LOAN_SECONDS_MAX / 86_400)]
    LoanLength,
    /// The user has as many open requests as one user may have.
    #[error("its user has as many open requests as there may be: an owner has to answer some first")]
    ManyRequests,
    /// The grant has as many running tasks as one grant may have.
    #[error("as many tasks of this side run on this grant as there may be: let one end, or finish one")]
    ManyTasks,
    /// Only the process that has the configuration can judge calls.
    #[error("only a process that has the configuration can judge calls")]
    NoConfiguration,
    /// The last owner cannot lose the role.
    #[error("`{0}` is the only owner who can sign in: make another one first")]
    OnlyOwner(String),
    /// Without its last way in a user would be shut out.
    #[error("`{0}` would have no way left to sign in: another account has to be added first")]
    OnlyWayIn(String),
    /// A name that no provider has.
    #[error(
        "`{0}` cannot name a provider: use 1 to 32 lower-case letters, digits and hyphens, as in the configuration"
    )]
    ProviderName(String),
    /// A reason that is empty or too long.
    #[error("a request says why, in 1 to {ACCESS_REASON_CHARS_MAX} characters")]
    Reason,
    /// A token of a provisioning client that would end at once, or never.
    #[error("a SCIM token lasts from one second to 730 days")]
    ScimTokenLength,
    /// A name that no token can have.
    #[error("`{0}` cannot name a SCIM token: use 1 to 64 characters that are seen, without blanks around")]
    ScimTokenName(String),
    /// A task that cannot be kept.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Bounds of a task that bind nothing.
    #[error(transparent)]
    TaskBounds(#[from] BoundsError),
    /// A task is widened by nothing.
    #[error("nothing was added to the task")]
    TaskUnchanged,
    /// A request that names no tool.
    #[error("a request says which tool")]
    Tool,
    /// Somebody changed the definition of a tool since it was shown.
    #[error("the tool `{server}/{tool}` is not what was shown any more; look at it once more")]
    ToolChanged {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: String,
    },
    /// A name that no user can have.
    #[error("`{0}` cannot name a user: use 1 to 64 letters, digits and . - _ @ +")]
    UserName(String),
    /// A link for somebody who may not sign in.
    #[error("`{0}` is shut out: `sekisho user enable {0}` comes first")]
    UserShutOut(String),
}
