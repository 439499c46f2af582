//! What a refused caller is told: one documented object, safe to show to an agent.

use serde::{Deserialize, Serialize};

use crate::ids::RequestId;
use crate::scope::ScopeSet;

/// The JSON-RPC error code of every refusal by decision; outside the ranges that JSON-RPC and MCP reserve.
pub const REFUSAL_CODE: i64 = 1403;

/// Which of the three sets spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetName {
    /// What was granted to the client.
    Grant,
    /// What the task needs.
    Need,
    /// What the user may do.
    Rights,
}

/// The way out of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemedyKind {
    /// A person says yes to this one call.
    Approve,
    /// An owner is asked to lend access.
    AskAccess,
    /// The user lets the client in again whose grant was ended here. Only at servers with an external authorization
    /// server: elsewhere the client asks for a new grant by itself.
    LetIn,
    /// The user links an account, or links it anew.
    LinkAccount,
    /// There is none.
    None,
    /// The client asks for more scopes.
    StepUp,
    /// Later.
    Wait,
    /// The user widens the running task.
    WidenTask,
}

/// What can be done about a refusal, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// The kind of way out.
    pub kind: RemedyKind,
    /// The page where a person can take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The scopes that would be enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<ScopeSet>,
}

/// The object in the JSON-RPC error's `data` and in the body of a 403.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which set refused.
    pub set: SetName,
    /// A sentence for the agent and its user. Never says whether a hidden thing exists.
    pub reason: String,
    /// What to do.
    pub remedy: Remedy,
    /// Under which id the records know the call.
    pub request: RequestId,
}
