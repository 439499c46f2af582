//! The types of the configuration file. They are also its JSON Schema, and the form in which `run` keeps a server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use sekisho_policy::rights::PolicyFile;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::task::TaskDefinition;
use serde::{Deserialize, Serialize};

use super::authorization::Authorization;
use super::credential::CredentialDefinition;
use super::login::Login;

/// `sekisho.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configuration {
    /// Where to listen. Without it: port 8420 on loopback.
    pub(crate) listen: Option<SocketAddr>,
    /// The URL under which clients reach the checkpoint, without a trailing slash. It is stored at first start;
    /// `sekisho base-url set` changes it later and ends all grants.
    pub(crate) base_url: Option<String>,
    /// Where everything is kept.
    pub(crate) data_dir: Option<PathBuf>,
    /// TLS.
    pub(crate) tls: Tls,
    /// How the checkpoint reaches others.
    pub(crate) outbound: Outbound,
    /// Who may become a client.
    pub(crate) clients: Clients,
    /// The records.
    pub(crate) audit: Audit,
    /// Where requests for access, and tools that are held back, are announced.
    pub(crate) webhook: Option<Webhook>,
    /// Bounds that an operator may change.
    pub(crate) limits: Limits,
    /// Web origins, besides the checkpoint's own, whose pages may call servers.
    pub(crate) origins: Vec<String>,
    /// A folder with policy files (`*.cedar`), beside this file. Without it: `policies`, if there is such a folder.
    pub(crate) policies: Option<PathBuf>,
    /// Groups of users by name, for the policies: names of users, and groups of identity providers such as `corp/engineers`.
    /// Owners are in the group `owners` by themselves.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// What the policy files say; read with the file.
    #[serde(skip)]
    pub(crate) policy_files: Vec<PolicyFile>,
    /// The database.
    pub(crate) store: Database,
    /// How people sign in.
    pub(crate) login: Login,
    /// Protected servers by name.
    pub(crate) servers: BTreeMap<String, ServerDefinition>,
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// A PostgreSQL connection URL, such as `postgres://sekisho:${file:/run/secrets/database}@db.example/sekisho?sslmode=verify-full`.
    /// Without it: a SQLite file in `data_dir`. A data directory keeps to its database; nothing is copied.
    pub(crate) url: Option<String>,
}

/// How connections are protected.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// A file with the certificate chain in PEM. Read again when it changes.
    pub(crate) cert: Option<PathBuf>,
    /// A file with its private key in PEM. Read again when it changes.
    pub(crate) key: Option<PathBuf>,
    /// A proxy in front terminates TLS: plain HTTP is then spoken also beyond loopback.
    pub(crate) terminated_in_front: bool,
    /// Proxies in front, as networks or addresses such as `10.0.0.0/8`. What they say in `Forwarded` or `X-Forwarded-For` is
    /// where a request comes from, for records, policies and limits. Other senders of these headers are not believed.
    pub(crate) trusted_proxies: Vec<String>,
}

/// How the checkpoint reaches others.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outbound {
    /// A file with further certificate authorities in PEM, such as a company's own.
    pub(crate) ca_file: Option<PathBuf>,
    /// Private networks that may be reached for client metadata documents, such as `10.0.0.0/8`. None by default.
    pub(crate) allow_private: Vec<String>,
}

/// Who may become a client.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Clients {
    /// Whether clients may register themselves (RFC 7591). They never skip consent.
    pub(crate) registration: bool,
    /// How many clients that registered themselves are kept. One more makes the oldest give way that was never used.
    pub(crate) registered_max: u32,
    /// Whether the URL of a metadata document is accepted as a client's identifier.
    pub(crate) metadata_documents: bool,
    /// Only documents at these hosts; all hosts when empty.
    pub(crate) metadata_document_hosts: Vec<String>,
    /// Clients, by their identifiers, whose calls of tools are refused by the result of the tool: because they would not
    /// show any other refusal to their model or their user.
    pub(crate) tool_errors: Vec<String>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            registration: true,
            registered_max: 10_000,
            metadata_documents: true,
            metadata_document_hosts: Vec::new(),
            tool_errors: Vec::new(),
        }
    }
}

/// The records.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// Where the signed heads of the chain go: `file:PATH`, `syslog` (`syslog:PATH` for another socket than `/dev/log`), or an
    /// `https://` URL. Whoever can change this
    /// machine should not be able to change that place.
    pub(crate) heads: Option<String>,
    /// How often, in seconds, while there is something new.
    pub(crate) heads_every: u32,
    /// Whether reads are on record before their effect, as everything else is. Each then waits for the disk.
    pub(crate) reads_first: bool,
    /// For how many days sealed arguments are kept (`arguments = "sealed"` at a server).
    pub(crate) arguments_days: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self { heads: None, heads_every: 60, reads_first: false, arguments_days: 30 }
    }
}

/// Where requests for access, and tools that are held back, are announced: a POST with a JSON body, signed as the Standard
/// Webhooks have it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    /// The URL: https, or http on loopback.
    pub(crate) url: String,
    /// The secret that signs it, at least 24 characters. `${env:NAME}` and `${file:PATH}` are replaced.
    pub(crate) secret: String,
}

/// Bounds that an operator may change. All others are fixed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Calls per second that one grant may make, with bursts of twice that; 429 beyond. 0 does not count them.
    pub(crate) calls_per_second: u32,
    /// What bodies and answers may hold in memory, all together, in MiB (at least 128). One client has a fourth of it.
    pub(crate) memory_mib: u32,
    /// How large one result of a server may be, in MiB, whatever carries it (JSON, an event stream, a program's output). At
    /// most an eighth of `memory_mib`, so that two of them fit into what one client has.
    pub(crate) result_mib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls_per_second: 1000, memory_mib: 256, result_mib: 16 }
    }
}

/// One protected server: a program (`command`), a URL (`url`), or the checkpoint itself (`builtin = true`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerDefinition {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Program and arguments; no shell is involved. `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` in arguments
    /// are replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// How long one call may take without an answer or progress, in seconds (300 when absent). With progress it may take
    /// twelve times as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_seconds: Option<u32>,
    /// How long a program may be silent while it starts, in seconds (120 when absent). What it writes on its standard error
    /// begins this time anew, up to ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_seconds: Option<u32>,
    /// The folder in which the program is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
    /// Variables of the program. `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, String>,
    /// Names of our own variables to pass through to the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pass: Vec<String>,
    /// Who shares one process of the program.
    pub(crate) isolation: Isolation,
    /// The URL of an MCP server that listens somewhere (Streamable HTTP). `${env:NAME}`, `${env:NAME:-DEFAULT}` and
    /// `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The checkpoint itself: reads specifications, and tells an agent why it was refused and how little it needs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) builtin: bool,
    /// Headers to show that server. `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// What the server is shown beside its fixed headers or variables: nothing, a secret, or the account of the person who
    /// calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<CredentialDefinition>,
    /// Who may use the server at all: `"users"` (signed-in users with a right) or `"public"`.
    pub(crate) access: Access,
    /// Say `true` as well to open a public server beyond loopback.
    pub(crate) public_beyond_loopback: bool,
    /// What every signed-in user may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) everyone: Option<ToolClass>,
    /// What single users may do, by name. Owners may do everything.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) users: BTreeMap<String, ToolClass>,
    /// Groups of servers that it is in, for the policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    /// Whether it belongs to somebody else: `party` in the policies is then `"third"`.
    pub(crate) third_party: bool,
    /// Tools that do not reach beyond the server. For the policies any other is of the open world (`open_world`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) closed_world: BTreeSet<String>,
    /// `"observe until YYYY-MM-DD"`: through that day, what rights or need would refuse is recorded and let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rights: Option<Observe>,
    /// The class of each tool. What is not classified needs a scope of its own name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tools: BTreeMap<String, ToolClass>,
    /// What ordinary use needs: named in challenges and metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scopes_default: Option<Vec<String>>,
    /// What the records keep of arguments.
    pub(crate) arguments: Arguments,
    /// Whether agents get two more tools, `begin_task` and `end_task`, with which they hold themselves to a task.
    pub(crate) agent_tasks: bool,
    /// Tasks, by name, that people can choose when they let a client in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) templates: BTreeMap<String, Template>,
    /// An external authorization server, whose access tokens this server accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorization: Option<Authorization>,
}

/// A task that people can choose when they let a client in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Template {
    /// What it is for, in one line.
    pub(crate) purpose: String,
    /// The tools it needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<String>,
    /// Bounds on the arguments of single tools, as JSON Schema. A tool that has bounds need not stand in `tools`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bounds: BTreeMap<String, serde_json::Value>,
    /// The resources it reads: a URI, or its beginning and `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    /// The prompts it gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) prompts: Vec<String>,
    /// How many calls it may make in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<u32>,
    /// How long it lasts, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u32>,
}

impl Template {
    /// The template that makes this task.
    pub(crate) fn of(definition: &TaskDefinition) -> Self {
        let unbound = definition.tools.iter().filter(|(_, bounds)| bounds.is_none());
        let bounds = definition.tools.iter().filter_map(|(tool, bounds)| Some((tool.clone(), bounds.clone()?)));
        Self {
            purpose: definition.purpose.clone(),
            tools: unbound.map(|(tool, _)| tool.clone()).collect(),
            bounds: bounds.collect(),
            resources: definition.resources.clone(),
            prompts: definition.prompts.clone(),
            calls: definition.calls,
            seconds: definition.expires_in,
        }
    }

    /// The task that it makes.
    pub(crate) fn definition(&self) -> TaskDefinition {
        let bounds = self.bounds.iter().map(|(tool, schema)| (tool.clone(), Some(schema.clone())));
        let mut tools: BTreeMap<_, _> = self.tools.iter().map(|tool| (tool.clone(), None)).collect();
        tools.extend(bounds);
        TaskDefinition {
            purpose: self.purpose.clone(),
            tools,
            resources: self.resources.clone(),
            prompts: self.prompts.clone(),
            calls: self.calls,
            expires_in: self.seconds,
        }
    }
}

/// `"observe until YYYY-MM-DD"`: a server is brought under rights without refusing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) struct Observe {
    /// The last day of it, in UTC.
    pub(crate) day: jiff::civil::Date,
}

impl Observe {
    const WORDS: &str = "observe until ";

    /// When it ends: with that day.
    pub(crate) fn end(self) -> Option<Timestamp> {
        let next = self.day.tomorrow().ok()?;
        Some(next.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    }
}

impl TryFrom<String> for Observe {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let day = text.strip_prefix(Self::WORDS).and_then(|day| day.trim().parse().ok());
        day.map(|day| Self { day }).ok_or_else(|| "expected `observe until YYYY-MM-DD`".to_owned())
    }
}

impl From<Observe> for String {
    fn from(observe: Observe) -> Self {
        format!("{}{}", Observe::WORDS, observe.day)
    }
}

/// Who shares one process of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Isolation {
    /// Every session has a process of its own.
    Session,
    /// All users share one: only for programs that keep nothing of anybody.
    Shared,
    /// Every user has a process of its own.
    #[default]
    Subject,
}

/// Who may use a server at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    /// Anybody, without a token.
    Public,
    /// Signed-in users with a right.
    #[default]
    Users,
}

/// What the records keep of arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arguments {
    /// Their digest.
    #[default]
    Digest,
    /// Nothing.
    None,
    /// Their digest; and they themselves, sealed, for `audit.arguments_days`.
    Sealed,
}

/// The JSON Schema of the file, for editors.
pub(crate) fn schema() -> schemars::Schema {
    schemars::schema_for!(Configuration)
}
