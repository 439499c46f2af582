//! What lists are made of: one row for each thing.

use sekisho_protocol::audit::Record;
use sekisho_protocol::catalogue::{Difference, Tool};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, NodeId, ServerName, TaskId, UserId};
use sekisho_protocol::role::Role;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_store::AccessRequest;
use serde::{Deserialize, Serialize};

use super::Names;

/// A chain of records, recomputed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainRow {
    /// The node whose chain it is.
    pub node: NodeId,
    /// How many records it has, if all of them are as they were written.
    pub records: Option<i64>,
    /// The hash of the last record, to compare with a copy that is kept elsewhere.
    pub head: Option<String>,
    /// The first record that is missing or not what was written, or one that was written with it.
    pub broken_at: Option<i64>,
    /// What a head that was kept elsewhere says against it.
    pub contradicted: Option<String>,
    /// How many of its heads were compared.
    pub heads: u64,
}

/// A request for access, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessRow {
    /// Its identifier.
    pub id: AccessRequestId,
    /// The user's name, or the subject.
    pub subject: String,
    /// For use by which client.
    pub client: ClientId,
    /// At which server.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// For which task only.
    pub task: Option<TaskId>,
    /// The reason, in the user's words.
    pub reason: String,
    /// When it was asked.
    pub created: Timestamp,
    /// When an answer comes too late.
    pub expires: Timestamp,
}

/// A loan, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoanRow {
    /// Its identifier.
    pub id: LoanId,
    /// To whom: a user's name, or the subject.
    pub subject: String,
    /// For use by which client.
    pub client: ClientId,
    /// At which server.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// For which task only.
    pub task: Option<TaskId>,
    /// Bounds on the arguments: a JSON Schema.
    pub bounds: Option<serde_json::Value>,
    /// Who lent it.
    pub granted_by: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// A tool that is held back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldRow {
    /// The tool.
    pub tool: Tool,
    /// Whether it was never accepted in any form.
    pub is_new: bool,
    /// What tells this form of it from others, for [`crate::command::Command::ToolsAccept`].
    pub fingerprint: String,
    /// In what it differs from what was accepted.
    pub differences: Vec<Difference>,
    /// How many more differences there are.
    pub more: u64,
}

/// A task, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its identifier.
    pub id: TaskId,
    /// The grant.
    pub grant: GrantId,
    /// At which server.
    pub server: ServerName,
    /// How it began.
    pub origin: TaskOrigin,
    /// The tools, resources and prompts that it needs.
    pub definition: TaskDefinition,
    /// Calls that are left of its budget.
    pub calls_left: Option<i64>,
    /// When it ends by itself.
    pub ends: Option<Timestamp>,
    /// Whether it is over.
    pub over: bool,
}

/// A client, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientRow {
    /// Its identifier.
    pub id: ClientId,
    /// Its name; untrusted text.
    pub name: String,
    /// How it came to be known.
    pub origin: String,
    /// When it was made.
    pub created: Timestamp,
}

/// A grant, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantRow {
    /// Its identifier.
    pub id: GrantId,
    /// The user's name, or the subject.
    pub subject: String,
    /// To which client.
    pub client: ClientId,
    /// At which server.
    pub server: ServerName,
    /// What was granted.
    pub scopes: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends by itself; `None`: when somebody ends it.
    pub ends: Option<Timestamp>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it was revoked or its time is over.
    pub ended: bool,
    /// The external authorization server whose token brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whether it keeps its client out until its user lets the client in again.
    #[serde(default)]
    pub keeps_out: bool,
}

/// An account that a person linked for a server, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkRow {
    /// Whose: a user's name.
    pub user: String,
    /// For which server.
    pub server: ServerName,
    /// The vendor.
    pub issuer: String,
    /// The account's name at the vendor, if the vendor tells it.
    pub account: Option<String>,
    /// The vendor's scopes, as the vendor writes them.
    pub scopes: Option<String>,
    /// When it was linked.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// Why it cannot be used any more, if it cannot.
    pub ended: Option<String>,
}

/// A record, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordRow {
    /// Its place in the chain.
    pub seq: i64,
    /// The node that wrote it.
    pub node: NodeId,
    /// What it says.
    pub record: Record,
}

/// A server of `run`, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerRow {
    /// Its name.
    pub name: ServerName,
    /// Its definition as JSON.
    pub definition: String,
}

/// A user, listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRow {
    /// The identifier, as records have it.
    pub id: UserId,
    /// The name to log in with.
    pub name: String,
    /// The user's part in running the checkpoint.
    pub role: Role,
    /// Whether the user is shut out.
    pub disabled: bool,
    /// Whether a password is set.
    pub password: bool,
}

/// A request for access as a row.
pub fn access_row(names: &Names, request: AccessRequest) -> AccessRow {
    AccessRow {
        id: request.id,
        subject: names.of(&request.subject),
        client: request.client,
        server: request.server,
        tool: request.tool,
        task: request.task,
        reason: request.reason,
        created: request.created_at,
        expires: request.expires_at,
    }
}
