//! Every administrative act, as a value that can travel over the control socket.

mod access;
mod audit;
mod clients;
mod explain;
mod grants;
mod history;
mod rows;
mod servers;
mod settings;
mod tasks;
mod users;

use std::collections::BTreeMap;

use sekisho_policy::advise::Advice;
use sekisho_policy::lending::Hindrance;
use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::{Entropy, Timestamp};
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, NodeId, RequestId, ServerName, TaskId};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::role::Role;
use sekisho_protocol::task::TaskDefinition;
use sekisho_store::{SeenLater, SignedHead, Store, StoreError};
use serde::{Deserialize, Serialize};

pub use access::{Wanted, weigh};
pub use audit::contradictions;
pub use explain::{Explained, Question, Standing, explain};
pub use history::{Change, Classes, Report, Whose, advise, replay};
pub use rows::{AccessRow, ChainRow, ClientRow, GrantRow, HeldRow, LoanRow, RecordRow, ServerRow, TaskRow, UserRow};

/// What can be asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// What the records say could be narrower.
    Advise {
        /// Only what was recorded since then.
        since: Timestamp,
    },
    /// Records after a place in the chain, oldest first.
    AuditList {
        /// Only records after this sequence number; a negative one asks for the newest.
        after: i64,
        /// At most this many; bounded by 500.
        limit: u32,
        /// Only records of this exchange.
        request: Option<RequestId>,
    },
    /// The arguments of a call, where they were kept. Who looks is on record.
    AuditArguments {
        /// Which call.
        request: RequestId,
    },
    /// Removes records that were kept before a moment, and seals where the chains begin then.
    AuditPrune {
        /// The moment.
        before: Timestamp,
    },
    /// Recomputes every chain of records, and compares it with heads that were kept elsewhere.
    AuditVerify {
        /// Those heads.
        heads: Vec<SignedHead>,
    },
    /// Changes the base URL; ends every grant, because their audience is gone.
    BaseUrlSet {
        /// The new base URL, without a trailing slash.
        url: String,
    },
    /// The base URL.
    BaseUrlShow,
    /// Registers a client.
    ClientAdd {
        /// A name for people.
        name: String,
        /// Where answers may be sent.
        redirect_uris: Vec<RedirectUri>,
        /// Whether it gets a secret, and how it sends it.
        confidential: bool,
    },
    /// All clients but those that are known by their metadata document only.
    ClientList,
    /// Removes a client and ends its grants.
    ClientRemove {
        /// Which.
        client: ClientId,
    },
    /// What the three sets say to a call.
    Explain(Question),
    /// Grants, newest first.
    GrantList {
        /// Only of this user.
        user: Option<String>,
    },
    /// Ends a grant and everything derived from it.
    GrantRevoke {
        /// Which.
        grant: GrantId,
    },
    /// Ends every grant with everything derived from it: of one user, or of all users.
    GrantRevokeAll {
        /// Only of this user.
        user: Option<String>,
    },
    /// What owners lent, and what is in force of it.
    LoanList,
    /// Takes back what was lent.
    LoanRevoke {
        /// Which.
        loan: LoanId,
    },
    /// Recorded calls, judged again by other policies.
    Replay {
        /// The policy files, by name and text, in place of those in force.
        files: Vec<(String, String)>,
        /// Only what was recorded since then.
        since: Timestamp,
    },
    /// Asks owners for a tool that the rules do not allow, for the user of a grant.
    RequestFile(Wanted),
    /// Lends what was asked for, for a time.
    RequestGrant {
        /// Which request.
        request: AccessRequestId,
        /// For how long, in seconds.
        seconds: u32,
        /// Bounds on the arguments: a JSON Schema. As asked for, if left out.
        bounds: Option<String>,
    },
    /// What users ask owners for.
    RequestList,
    /// What a loan of what is asked for would not change.
    RequestWeigh {
        /// Which request.
        request: AccessRequestId,
    },
    /// Says no to what was asked for.
    RequestRefuse {
        /// Which request.
        request: AccessRequestId,
    },
    /// Adds or replaces a server of `run`. Values are sealed; the definition holds names only.
    ServerAdd(ServerAdd),
    /// Servers of `run`.
    ServerList,
    /// Removes a server of `run`.
    ServerRemove {
        /// Which.
        name: ServerName,
    },
    /// Ends a task; its grant is refused as finished until the user resumes it.
    TaskFinish {
        /// Which.
        task: TaskId,
    },
    /// Tasks, oldest first.
    TaskList {
        /// Only of this user.
        user: Option<String>,
        /// Also those that are over.
        all: bool,
    },
    /// Frees a grant of its finished task.
    TaskResume {
        /// Which grant.
        grant: GrantId,
    },
    /// Begins a task on a living grant: every token of it is held to the task from now on.
    TaskStart {
        /// Which grant.
        grant: GrantId,
        /// What the task needs.
        definition: TaskDefinition,
    },
    /// Accepts tools that are held back because they are new or changed.
    ToolsAccept {
        /// Which server.
        server: ServerName,
        /// Which tools, each with the fingerprint that was shown, if it has to be that; all that are held, if empty.
        tools: Vec<(String, Option<String>)>,
    },
    /// The tools of a server, which is asked for them first where a checkpoint runs.
    ToolsAsk {
        /// Which server.
        server: ServerName,
    },
    /// Gives tools of a server a class, accepting their present definition.
    ToolsClassify {
        /// Which server.
        server: ServerName,
        /// Tool and class.
        classes: Vec<(String, ToolClass)>,
    },
    /// What the tools of a server promise that are not held back.
    ToolsDefinitions {
        /// Which server.
        server: ServerName,
    },
    /// The tools of a server that are held back, and why.
    ToolsHeld {
        /// Which server.
        server: ServerName,
    },
    /// The tools of a server.
    ToolsList {
        /// Which server.
        server: ServerName,
    },
    /// Adds a user.
    UserAdd {
        /// A name to log in with.
        name: String,
        /// The user's part in running the checkpoint.
        role: Role,
        /// The password's PHC string; without one the user needs a link.
        password: Option<String>,
    },
    /// Gives a user another part in running the checkpoint. The last owner stays one.
    UserRole {
        /// Who.
        name: String,
        /// Which part.
        role: Role,
    },
    /// Shuts a user out: sessions, links and grants end. The last owner who can sign in stays able to.
    UserDisable {
        /// Which.
        name: String,
    },
    /// Forgets a user: sessions, set-up links and grants end, and the name is free.
    UserRemove {
        /// Which.
        name: String,
    },
    /// Lets a user sign in again. What ended when the user was shut out stays ended.
    UserEnable {
        /// Which.
        name: String,
    },
    /// A one-time link with which the user sets a password. It ends every older link of this user.
    UserLink {
        /// Which.
        name: String,
    },
    /// All users.
    UserList,
}

/// A server handed over by `run`.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServerAdd {
    /// Its name.
    pub name: ServerName,
    /// Its definition as JSON, without any value that could be a secret.
    pub definition: String,
    /// Values by the name under which the definition refers to them.
    pub secrets: Vec<(String, String)>,
}

impl std::fmt::Debug for ServerAdd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerAdd").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an act gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// What could be narrower.
    Advice {
        /// One proposal each.
        advice: Vec<Advice>,
    },
    /// What users ask owners for.
    AccessRequests {
        /// One row each, oldest first.
        requests: Vec<AccessRow>,
    },
    /// The arguments of a call, as JSON.
    Arguments {
        /// The text; `None`: they were not kept, or are not any more.
        text: Option<String>,
    },
    /// The chains of records.
    Audit {
        /// One row each.
        chains: Vec<ChainRow>,
        /// Why they were compared with no second place, if they were not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncompared: Option<String>,
    },
    /// A base URL.
    BaseUrl {
        /// The URL, once it is known.
        url: Option<String>,
    },
    /// A new client.
    Client {
        /// Its identifier.
        id: ClientId,
        /// Its secret, shown this once.
        secret: Option<String>,
    },
    /// Clients.
    Clients {
        /// One row each.
        clients: Vec<ClientRow>,
    },
    /// What tools promise.
    Definitions {
        /// One canonical JSON object each, by the tool's name.
        definitions: BTreeMap<String, String>,
    },
    /// It is done.
    Done {
        /// How many things it touched beyond the one named.
        count: u64,
    },
    /// What the three sets say.
    Explained(Box<Explained>),
    /// Grants.
    Grants {
        /// One row each.
        grants: Vec<GrantRow>,
    },
    /// Tools that are held back.
    Held {
        /// One row each, by name.
        tools: Vec<HeldRow>,
    },
    /// A link's secret part.
    Link {
        /// What follows `{base_url}/setup/`.
        token: String,
        /// For how long.
        minutes: u32,
    },
    /// Something is lent.
    Loan {
        /// Its identifier.
        id: LoanId,
        /// When it ends.
        ends: Timestamp,
    },
    /// What is lent.
    Loans {
        /// One row each, oldest first.
        loans: Vec<LoanRow>,
    },
    /// Records.
    Records {
        /// One row each, oldest first.
        records: Vec<RecordRow>,
    },
    /// What stands in the way of a loan.
    Hindered {
        /// At which server.
        server: ServerName,
        /// What it is; `None`: nothing that could be told before a call.
        hindrance: Option<Hindrance>,
    },
    /// What recorded calls would come to.
    Replayed(Report),
    /// Servers.
    Servers {
        /// One row each.
        servers: Vec<ServerRow>,
    },
    /// A new task.
    Task {
        /// Its identifier.
        id: TaskId,
    },
    /// Tasks.
    Tasks {
        /// One row each.
        tasks: Vec<TaskRow>,
    },
    /// Tools.
    Tools {
        /// One row each.
        tools: Vec<Tool>,
        /// Those that the server did not show in its first list, and those that it shows to callers alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        later: Vec<SeenLater>,
    },
    /// Users.
    Users {
        /// One row each.
        users: Vec<UserRow>,
    },
}

/// Why an act was not performed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// What is named does not exist.
    #[error("there is no {what} `{name}`")]
    Absent {
        /// A user, a client, ...
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// It exists already.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// A user, a client, ...
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// What was given cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error("the store did not do it: {0}")]
    Store(#[from] StoreError),
}

/// Who performs an act, when, and with what chance.
#[derive(Debug, Clone, Copy)]
pub struct Performer<'a> {
    /// For the record: `operator` at the command line, or a user's identifier.
    pub by: &'a str,
    /// The node that records it.
    pub node: NodeId,
    /// When.
    pub now: Timestamp,
    /// For identifiers and secrets.
    pub entropy: &'a dyn Entropy,
}

/// Performs one act and records it, in one transaction.
pub async fn perform(store: &Store, who: Performer<'_>, act: Act) -> Result<Outcome, ActError> {
    match act {
        Act::AuditList { after, limit, request } => audit::list(store, after, limit, request).await,
        Act::AuditArguments { request } => audit::arguments(store, who, request).await,
        Act::AuditPrune { before } => audit::prune(store, who, before).await,
        Act::AuditVerify { heads } => audit::verify(store, &heads).await,
        Act::BaseUrlSet { url } => settings::set_base_url(store, who, &url).await,
        Act::BaseUrlShow => settings::base_url(store).await,
        Act::ClientAdd { name, redirect_uris, confidential } => {
            clients::add(store, who, name, redirect_uris, confidential).await
        }
        Act::ClientList => clients::list(store).await,
        Act::ClientRemove { client } => clients::remove(store, who, &client).await,
        Act::Advise { .. } | Act::Explain(_) | Act::Replay { .. } | Act::RequestWeigh { .. } => {
            Err(ActError::Invalid("only whoever has the configuration can judge calls".to_owned()))
        }
        Act::GrantList { user } => grants::list(store, user.as_deref()).await,
        Act::GrantRevoke { grant } => grants::revoke(store, who, grant).await,
        Act::GrantRevokeAll { user } => grants::revoke_all(store, who, user.as_deref()).await,
        Act::LoanList => access::loans(store, who).await,
        Act::LoanRevoke { loan } => access::revoke(store, who, loan).await,
        Act::RequestFile(wanted) => access::file(store, who, wanted).await,
        Act::RequestGrant { request, seconds, bounds } => {
            access::grant(store, who, request, seconds, bounds.as_deref()).await
        }
        Act::RequestList => access::requests(store, who).await,
        Act::RequestRefuse { request } => access::refuse(store, who, request).await,
        Act::ServerAdd(server) => servers::add(store, who, server).await,
        Act::ServerList => servers::list(store).await,
        Act::ServerRemove { name } => servers::remove(store, who, &name).await,
        Act::TaskFinish { task } => tasks::finish(store, who, task).await,
        Act::TaskList { user, all } => tasks::list(store, user.as_deref(), all, who.now).await,
        Act::TaskResume { grant } => tasks::resume(store, who, grant).await,
        Act::TaskStart { grant, definition } => tasks::start(store, who, grant, definition).await,
        Act::ToolsAccept { server, tools } => servers::accept(store, who, &server, &tools).await,
        Act::ToolsClassify { server, classes } => servers::classify(store, who, &server, &classes).await,
        Act::ToolsDefinitions { server } => servers::definitions(store, &server).await,
        Act::ToolsHeld { server } => servers::held(store, &server).await,
        Act::ToolsAsk { server } | Act::ToolsList { server } => servers::tools(store, &server).await,
        Act::UserAdd { name, role, password } => users::add(store, who, &name, role, password).await,
        Act::UserDisable { name } => users::disable(store, who, &name).await,
        Act::UserRemove { name } => users::remove(store, who, &name).await,
        Act::UserEnable { name } => users::enable(store, who, &name).await,
        Act::UserLink { name } => users::link(store, who, &name).await,
        Act::UserList => users::list(store).await,
        Act::UserRole { name, role } => users::role(store, who, &name, role).await,
    }
}

/// A server of `run` as it is kept, secrets included: to put it back when what replaced it does not work.
pub async fn kept_server(store: &Store, name: &ServerName) -> Result<Option<ServerAdd>, ActError> {
    servers::kept(store, name).await
}

/// The record of an act.
fn record(who: Performer<'_>, act: &str, on: impl Into<String>) -> [Record; 1] {
    let event = Event::Act { by: who.by.to_owned(), act: act.to_owned(), on: on.into() };
    [Record { at: who.now, request: RequestId::generate(who.now, who.entropy), event }]
}
