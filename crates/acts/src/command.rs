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
use crate::{ActError, Invalid, Performer, client, link, reading, records, server, settings, tool, user};

/// An act or a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Command {
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
    /// Accounts that people linked for servers.
    LinkList {
        /// Only of this user.
        user: Option<String>,
    },
    /// Removes an account that a user linked for a server.
    LinkRemove {
        /// Whose account.
        user: String,
        /// Which server.
        server: ServerName,
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
    RequestFile(Ask),
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
    ServerAdd(server::Add),
    /// Servers of `run`.
    ServerList,
    /// Lets a user use the tools of a class at a server of `run`; or none any more.
    ServerReach {
        /// Which server.
        server: ServerName,
        /// Who.
        user: String,
        /// Up to which class; none, if it is left out.
        class: Option<ToolClass>,
    },
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
    /// Makes a token with which a provisioning client comes in.
    ScimTokenAdd {
        /// The provider whose people it provisions.
        provider: String,
        /// What to call it.
        label: String,
        /// For how many seconds it is good; until it is removed, if it does not say.
        seconds: Option<u32>,
    },
    /// Every token of a provisioning client.
    ScimTokenList,
    /// Takes the token of a provisioning client back.
    ScimTokenRemove {
        /// The provider whose people it provisions.
        provider: String,
        /// Which.
        label: String,
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

/// What comes of a command.
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
    /// What stands in the way of a loan.
    Hindered {
        /// At which server.
        server: ServerName,
        /// What it is; `None`: nothing that can be told before a call.
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
