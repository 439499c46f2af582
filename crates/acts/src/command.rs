//! Acts and questions of the command line, each as one value that can travel over the control socket.

mod kind;

use std::collections::BTreeMap;

use sekisho_policy::advise::Advice;
use sekisho_policy::lending::Hindrance;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, RequestId, ServerName, TaskId};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::role::Role;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_store::{AccountKey, SeenLater, SignedHead, Store, TaskPlace, Tx};
use serde::{Deserialize, Serialize};

use crate::access::{self, Ask, Lend};
use crate::grant::{self, Whose};
use crate::question::{
    self, AccessRow, ChainRow, ClientRow, Explained, GrantRow, HeldRow, LinkRow, LoanRow, Names, Question, RecordRow,
    Report, ServerRow, TaskRow, UserRow, access_row,
};
use crate::scim::token::{self, ScimTokenLine};
use crate::task::{self, Begin, KnownTools};
use crate::{ActError, Invalid, Performer, client, external, link, reading, records, server, settings, tool, user};

/// An act or a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Command {
    /// Asks for advice: which grants and rights could be narrower, by the records.
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
    /// The arguments of a call, if they were kept. Reading them is recorded.
    AuditArguments {
        /// The call.
        request: RequestId,
    },
    /// Removes records that were written before a moment, and seals where the chains begin from then on.
    AuditPrune {
        /// The moment.
        before: Timestamp,
    },
    /// Recomputes every chain of records, and compares it with heads that were kept elsewhere.
    AuditVerify {
        /// The heads to compare with.
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
        /// The redirect URIs.
        redirect_uris: Vec<RedirectUri>,
        /// Whether it gets a secret, and how it sends it.
        confidential: bool,
    },
    /// Lists all clients, except those that are known by their metadata document only.
    ClientList,
    /// Removes a client and ends its grants.
    ClientRemove {
        /// The client.
        client: ClientId,
    },
    /// What the three sets say to a call.
    Explain(Question),
    /// Grants, newest first.
    GrantList {
        /// Only those of this user.
        user: Option<String>,
    },
    /// Lets the client of an ended grant in again, at a server with an external authorization server.
    GrantRelease {
        /// Which.
        grant: GrantId,
    },
    /// Ends a grant and everything derived from it.
    GrantRevoke {
        /// The grant.
        grant: GrantId,
    },
    /// Ends every grant with everything derived from it: of one user, or of all users.
    GrantRevokeAll {
        /// Only those of this user.
        user: Option<String>,
    },
    /// Lists accounts that people linked for servers.
    LinkList {
        /// Only those of this user.
        user: Option<String>,
    },
    /// Removes an account that a user linked for a server.
    LinkRemove {
        /// The user's name.
        user: String,
        /// The server.
        server: ServerName,
    },
    /// Lists loans, and whether each is in force.
    LoanList,
    /// Revokes a loan.
    LoanRevoke {
        /// The loan.
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
    RequestFile(Ask),
    /// Answers a request for access with a loan.
    RequestGrant {
        /// The request.
        request: AccessRequestId,
        /// How long the loan lasts, in seconds.
        seconds: u32,
        /// Bounds on the arguments: a JSON Schema. `None` keeps the bounds of the request.
        bounds: Option<String>,
    },
    /// Lists open requests for access.
    RequestList,
    /// Asks whether something would keep the loan of a request from having an effect.
    RequestWeigh {
        /// The request.
        request: AccessRequestId,
    },
    /// Answers a request for access with no.
    RequestRefuse {
        /// The request.
        request: AccessRequestId,
    },
    /// Adds or replaces a server of `run`. Values are sealed; the definition holds names only.
    ServerAdd(server::Add),
    /// Servers of `run`.
    ServerList,
    /// Says up to which class a user may use the tools of a server of `run`, or that the user may use none.
    ServerReach {
        /// The server.
        server: ServerName,
        /// The user's name.
        user: String,
        /// The highest class that the user may use. `None`: no tool.
        class: Option<ToolClass>,
    },
    /// Removes a server of `run`.
    ServerRemove {
        /// The server.
        name: ServerName,
    },
    /// Ends a task; its grant is refused as finished until the user resumes it.
    TaskFinish {
        /// The task.
        task: TaskId,
    },
    /// Tasks, oldest first.
    TaskList {
        /// Only those of this user.
        user: Option<String>,
        /// Also those that are over.
        all: bool,
    },
    /// Makes a token with which a provisioning client authenticates.
    ScimTokenAdd {
        /// The provider whose people it provisions.
        provider: String,
        /// The name of the token.
        label: String,
        /// How many seconds it is valid. `None`: until it is removed.
        seconds: Option<u32>,
    },
    /// Every token of a provisioning client.
    ScimTokenList,
    /// Revokes the token of a provisioning client.
    ScimTokenRemove {
        /// The provider whose people it provisions.
        provider: String,
        /// The name of the token.
        label: String,
    },
    /// Lets a grant go on without its finished task.
    TaskResume {
        /// The grant.
        grant: GrantId,
    },
    /// Begins a task on a living grant: every token of it is held to the task from now on.
    TaskStart {
        /// The grant.
        grant: GrantId,
        /// What the task needs.
        definition: TaskDefinition,
    },
    /// Accepts tools that are held back because they are new or changed.
    ToolsAccept {
        /// The server.
        server: ServerName,
        /// The tools. If a name comes with a fingerprint, the tool is accepted only in that form. Empty: all that are
        /// held back.
        tools: Vec<(String, Option<String>)>,
    },
    /// Lists the tools of a server. A running checkpoint asks the server for them first.
    ToolsAsk {
        /// The server.
        server: ServerName,
    },
    /// Gives tools of a server a class, and accepts their present definitions.
    ToolsClassify {
        /// The server.
        server: ServerName,
        /// Tool and class.
        classes: Vec<(String, ToolClass)>,
    },
    /// Returns the definitions of those tools of a server that are not held back.
    ToolsDefinitions {
        /// The server.
        server: ServerName,
    },
    /// Lists the tools of a server that are held back, and why.
    ToolsHeld {
        /// The server.
        server: ServerName,
    },
    /// The tools of a server.
    ToolsList {
        /// The server.
        server: ServerName,
    },
    /// Adds a user.
    UserAdd {
        /// A name to log in with.
        name: String,
        /// The user's role.
        role: Role,
        /// The password's PHC string; without one the user needs a link.
        password: Option<String>,
    },
    /// Gives a user another role. The last owner stays an owner.
    UserRole {
        /// The user's name.
        name: String,
        /// The role.
        role: Role,
    },
    /// Disables a user: sessions, links and grants end. The last owner who can sign in is not disabled.
    UserDisable {
        /// The user's name.
        name: String,
    },
    /// Removes a user: sessions, set-up links and grants end, and the name is free again.
    UserRemove {
        /// The user's name.
        name: String,
    },
    /// Enables a user again. Sessions and grants that ended when the user was disabled stay ended.
    UserEnable {
        /// The user's name.
        name: String,
    },
    /// A one-time link with which the user sets a password. It ends every older link of this user.
    UserLink {
        /// The user's name.
        name: String,
    },
    /// All users.
    UserList,
}

/// The result of a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// Advice on what could be narrower.
    Advice {
        /// One proposal each.
        advice: Vec<Advice>,
    },
    /// Lists open requests for access.
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
        /// Why the chains were not compared with a second place. `None`: they were.
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
    /// Definitions of tools.
    Definitions {
        /// One canonical JSON object each, by the tool's name.
        definitions: BTreeMap<String, String>,
    },
    /// It is done.
    Done {
        /// How many other things it changed with it.
        count: u64,
    },
    /// What the three sets say to a call.
    Explained(Box<Explained>),
    /// Linked accounts.
    Links {
        /// Each.
        links: Vec<LinkRow>,
    },
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
    /// A set-up link.
    Link {
        /// The part of the link after `{base_url}/setup/`.
        token: String,
        /// How long it works, in seconds.
        minutes: u32,
    },
    /// A new loan.
    Loan {
        /// Its identifier.
        id: LoanId,
        /// When it ends.
        ends: Timestamp,
    },
    /// Loans.
    Loans {
        /// One row each, oldest first.
        loans: Vec<LoanRow>,
    },
    /// Records.
    Records {
        /// One row each, oldest first.
        records: Vec<RecordRow>,
    },
    /// A new token of a provisioning client.
    ScimToken {
        /// The token, shown this once.
        token: String,
    },
    /// Tokens of provisioning clients.
    ScimTokens {
        /// One row each, by provider and name.
        tokens: Vec<ScimTokenLine>,
    },
    /// What would keep a loan from having an effect.
    Hindered {
        /// The server.
        server: ServerName,
        /// The hindrance. `None`: none that can be known before a call.
        hindrance: Option<Hindrance>,
    },
    /// Recorded calls, judged again.
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
        /// The tools that the server did not show in its first list, and those that it shows to callers only.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        later: Vec<SeenLater>,
    },
    /// Users.
    Users {
        /// One row each.
        users: Vec<UserRow>,
    },
}

/// Performs an act in one transaction with its record, or answers a question.
pub async fn perform(store: &Store, by: &Performer<'_>, command: Command) -> Result<Outcome, ActError> {
    match command {
        Command::AuditPrune { before } => Ok(Outcome::Done { count: records::prune(store, by, before).await? }),
        Command::AuditVerify { heads } => {
            Ok(Outcome::Audit { chains: records::verify(store, &heads).await?, uncompared: None })
        }
        command if command.kind().is_some() => {
            let mut tx = store.begin().await?;
            let outcome = act(&mut tx, by, command).await?;
            tx.commit().await?;
            Ok(outcome)
        }
        question => answer(&mut store.read().await?, by, question).await,
    }
}

async fn act(tx: &mut Tx, by: &Performer<'_>, command: Command) -> Result<Outcome, ActError> {
    let done = |count| Ok(Outcome::Done { count });
    match command {
        Command::AuditArguments { request } => {
            let found = records::arguments(tx, by, request).await?;
            let text = found.map(|bytes| String::from_utf8_lossy(bytes.expose()).into_owned());
            Ok(Outcome::Arguments { text })
        }
        Command::BaseUrlSet { url } => done(settings::set_base_url(tx, by, &url).await?),
        Command::ClientAdd { name, redirect_uris, confidential } => {
            let added = client::add(tx, by, client::Add { name, redirect_uris, confidential }).await?;
            let secret = added.secret.map(|secret| secret.expose().to_owned());
            Ok(Outcome::Client { id: added.id, secret })
        }
        Command::ClientRemove { client } => done(client::remove(tx, by, &client).await.map(|()| 0)?),
        Command::GrantRelease { grant } => done(external::release(tx, by, grant).await.map(|()| 0)?),
        Command::GrantRevoke { grant } => done(grant::revoke(tx, by, grant).await.map(|()| 0)?),
        Command::GrantRevokeAll { user } => {
            let whose = user.as_deref().map_or(Whose::Everybody, Whose::User);
            done(grant::revoke_all(tx, by, whose).await?)
        }
        Command::LinkRemove { user, server } => {
            let user = reading::user(tx, &user).await?;
            done(link::unlink(tx, by, &AccountKey { user: user.id, server }).await.map(|_| 0)?)
        }
        Command::LoanRevoke { loan } => done(access::take_back(tx, by, loan).await.map(|()| 0)?),
        Command::RequestFile(ask) => {
            let filed = access::ask(tx, by, ask).await?;
            let names = Names::read(tx).await?;
            Ok(Outcome::AccessRequests { requests: vec![access_row(&names, filed)] })
        }
        Command::RequestGrant { request, seconds, bounds } => {
            let lent = access::lend(tx, by, request, Lend { seconds, bounds: bounds.as_deref() }).await?;
            Ok(Outcome::Loan { id: lent.loan, ends: lent.ends })
        }
        Command::RequestRefuse { request } => done(access::refuse(tx, by, request).await.map(|()| 0)?),
        Command::ServerAdd(server) => done(server::add(tx, by, server).await.map(|()| 0)?),
        Command::ServerReach { server: name, user, class } => {
            done(server::set_reach(tx, by, &name, &user, class).await.map(|()| 0)?)
        }
        Command::ServerRemove { name } => done(server::remove(tx, by, &name).await?),
        Command::TaskFinish { task } => done(task::finish(tx, by, task).await.map(|()| 0)?),
        Command::TaskResume { grant } => done(task::resume(tx, by, grant, None).await.map(|()| 0)?),
        Command::TaskStart { grant, definition } => {
            let (origin, place, tools) = (TaskOrigin::Command, TaskPlace::Current, KnownTools::All);
            let begin = Begin { grant, definition, origin, parent: None, place, tools };
            Ok(Outcome::Task { id: task::begin(tx, by, begin).await? })
        }
        Command::ToolsAccept { server, tools } => done(tool::accept_held(tx, by, &server, &tools).await?),
        Command::ToolsClassify { server, classes } => {
            for (name, class) in &classes {
                tool::classify_present(tx, by, &server, name, *class).await?;
            }
            done(classes.len() as u64)
        }
        other => act_on_people(tx, by, other).await,
    }
}

async fn act_on_people(tx: &mut Tx, by: &Performer<'_>, command: Command) -> Result<Outcome, ActError> {
    let link = |token: sekisho_protocol::secret::SetupToken| Outcome::Link {
        token: token.expose().to_owned(),
        minutes: user::LINK_MINUTES,
    };
    let count = match command {
        Command::UserAdd { name, role, password } => {
            let made = user::add(tx, by, user::Add { name: &name, role, password }).await?;
            return Ok(made.map_or(Outcome::Done { count: 0 }, link));
        }
        Command::ScimTokenAdd { provider, label, seconds } => {
            let token = token::add(tx, by, token::Add { provider: &provider, label: &label, seconds }).await?;
            return Ok(Outcome::ScimToken { token: token.expose().to_owned() });
        }
        Command::ScimTokenRemove { provider, label } => token::remove(tx, by, &provider, &label).await.map(|()| 0)?,
        Command::UserLink { name } => return Ok(link(user::link(tx, by, &name).await?)),
        Command::UserDisable { name } => user::disable(tx, by, &name).await?,
        Command::UserEnable { name } => user::enable(tx, by, &name).await.map(|()| 0)?,
        Command::UserRemove { name } => user::remove(tx, by, &name).await?,
        Command::UserRole { name, role } => user::set_role(tx, by, &name, role).await.map(|()| 0)?,
        // A question, which changes nothing.
        _ => 0,
    };
    Ok(Outcome::Done { count })
}

async fn answer(tx: &mut Tx, by: &Performer<'_>, question: Command) -> Result<Outcome, ActError> {
    Ok(match question {
        Command::AuditList { after, limit, request } => {
            Outcome::Records { records: records::list(tx, after, limit, request).await? }
        }
        Command::BaseUrlShow => Outcome::BaseUrl { url: settings::base_url(tx).await? },
        Command::ClientList => Outcome::Clients { clients: question::clients(tx).await? },
        Command::GrantList { user } => Outcome::Grants { grants: question::grants(tx, user.as_deref(), by.now).await? },
        Command::LinkList { user } => Outcome::Links { links: question::links(tx, user.as_deref()).await? },
        Command::LoanList => Outcome::Loans { loans: question::loans(tx, by.now).await? },
        Command::RequestList => Outcome::AccessRequests { requests: question::access_requests(tx, by.now).await? },
        Command::ScimTokenList => Outcome::ScimTokens { tokens: token::list(tx).await? },
        Command::ServerList => Outcome::Servers { servers: question::servers(tx).await? },
        Command::TaskList { user, all } => {
            Outcome::Tasks { tasks: question::tasks(tx, user.as_deref(), all, by.now).await? }
        }
        Command::ToolsAsk { server } | Command::ToolsList { server } => {
            let (tools, later) = (question::tools(tx, &server).await?, tx.catalogue().seen_later(&server).await?);
            Outcome::Tools { tools, later }
        }
        Command::ToolsDefinitions { server } => {
            Outcome::Definitions { definitions: tx.catalogue().definitions(&server).await?.into_iter().collect() }
        }
        Command::ToolsHeld { server } => Outcome::Held { tools: question::held_tools(tx, &server).await? },
        Command::UserList => Outcome::Users { users: question::users(tx).await? },
        _ => return Err(Invalid::NoConfiguration.into()),
    })
}
