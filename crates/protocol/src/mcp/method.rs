//! A table of every method of every revision we serve, in both directions, and what it needs; therefore this file is
//! long.
//!
//! The names were taken from the schemas of the three revisions and, for jobs on 2026-07-28, from the extension
//! `io.modelcontextprotocol/tasks`. A name that has no row is unknown and is refused.

use std::fmt;
use std::str::FromStr;

/// The extension under which 2026-07-28 has jobs ("tasks" in the specification's words).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A revision of the protocol. Ordered by age.
///
/// Three are served to every client ([`Revision::ALL`]). The two before them exist only where an upstream speaks nothing
/// newer: it names its own revision in the handshake, and a client that knows it goes on in it (2025-11-25 Lifecycle,
/// Version Negotiation).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Revision {
    /// 2024-11-05
    V2024_11_05,
    /// 2025-03-26
    V2025_03_26,
    /// 2025-06-18
    V2025_06_18,
    /// 2025-11-25
    V2025_11_25,
    /// 2026-07-28
    V2026_07_28,
}

impl Revision {
    /// Those that are served to every client, oldest first.
    pub const ALL: [Self; 3] = [Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// As it is written in headers, `_meta` and `initialize`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Which of the two ways of talking this revision belongs to.
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Initialize,
            Self::V2026_07_28 => Era::Stateless,
        }
    }

    /// The revision that an upstream names, which may be older than those that are served to every client.
    pub fn of_upstream(text: &str) -> Option<Self> {
        KNOWN.iter().copied().find(|revision| revision.as_str() == text)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no revision that is served to every client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown protocol version; supported are 2025-06-18, 2025-11-25 and 2026-07-28")]
pub struct UnknownRevision;

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text).ok_or(UnknownRevision)
    }
}

/// The two ways of talking: a handshake and perhaps a session, or requests that stand alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Era {
    /// `initialize`, sessions, server requests on streams: 2025-11-25 and all before it.
    Initialize,
    /// Every request self-contained, server requests inside results: 2026-07-28.
    Stateless,
}

/// Who sends the message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the MCP client towards the server.
    ClientToServer,
    /// From the server, or whatever stands behind it, towards the client.
    ServerToClient,
}

/// How the method travels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Shape {
    /// Not a message at all: an entry of `inputRequests` inside a result (2026-07-28 MRTR, TR-35).
    InputRequest,
    /// No `id`, no answer.
    Notification,
    /// Has an `id` and is answered.
    Request,
}

/// What kind of thing a method touches, i.e. what policy must look at.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// What `params.ref` names: a prompt or a resource template.
    Completion,
    /// The job `params.taskId`.
    Job,
    /// Log messages.
    Log,
    /// Nothing that policy distinguishes.
    None,
    /// The prompt `params.name`.
    Prompt,
    /// An open request of the same sender, named by `params.requestId` or `params.progressToken`.
    Request,
    /// The resource `params.uri`.
    Resource,
    /// Resource templates, as a list.
    ResourceTemplate,
    /// The filter `params.notifications`.
    Subscription,
    /// The tool `params.name`.
    Tool,
    /// The person in front of the client, or their model: elicitation, sampling, roots.
    User,
}

/// What a method needs from the caller (or, towards the client, from the upstream that sends it).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Need {
    /// The server asks the client something (elicitation, sampling, roots, ping, a client-side job), who answers.
    Answer,
    /// May complete arguments of what `params.ref` names.
    Complete,
    /// May get the prompt `params.name`.
    GetPrompt,
    /// May act on the job `params.taskId`, which must be the caller's own (RS-53).
    Job(JobAct),
    /// May list; every item is judged on its own (ATK-70).
    List(ListKind),
    /// May hear what `params.notifications` asks for; every URI and job in it is judged (TR-42).
    Listen,
    /// May set how much is logged towards this session.
    Log,
    /// Told by the server unasked; passed on only if the caller may know of the row's target.
    News,
    /// May read the resource `params.uri`.
    ReadResource,
    /// Any caller who may use the server at all: handshake, ping, discovery, its own notifications.
    Session,
    /// May be told of changes of the resource `params.uri`, and may stop that.
    SubscribeResource,
    /// May call the tool `params.name` with `params.arguments`.
    Tool,
}

/// What is listed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ListKind {
    /// `tasks/list` of 2025-11-25.
    Jobs,
    /// `prompts/list`
    Prompts,
    /// `resources/templates/list`
    ResourceTemplates,
    /// `resources/list`
    Resources,
    /// `tools/list`
    Tools,
}

impl ListKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Jobs, Self::Prompts, Self::ResourceTemplates, Self::Resources, Self::Tools];

    /// What a member of a result lists, by its name.
    pub fn of_member(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.member() == name)
    }

    /// The member of the result that holds the items.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Jobs => "tasks",
            Self::Prompts => "prompts",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Resources => "resources",
            Self::Tools => "tools",
        }
    }
}

/// What is done to a job.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum JobAct {
    /// `tasks/cancel`
    Cancel,
    /// `tasks/get`
    Get,
    /// `tasks/result` of 2025-11-25.
    Result,
    /// `tasks/update` of the 2026-07-28 extension: answers to what the job asks.
    Update,
}

/// Where the value of the `Mcp-Name` header stands in the body (TR-27).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NameSource {
    /// `params.name`
    Name,
    /// The method has no `Mcp-Name`.
    None,
    /// `params.taskId`
    TaskId,
    /// `params.uri`
    Uri,
}

/// Every method of every revision.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "each variant is the method of that name; `MethodRow::name` spells it")]
pub enum Method {
    CompletionComplete,
    ElicitationCreate,
    Initialize,
    LoggingSetLevel,
    NotificationsCancelled,
    NotificationsElicitationComplete,
    NotificationsInitialized,
    NotificationsMessage,
    NotificationsProgress,
    NotificationsPromptsListChanged,
    NotificationsResourcesListChanged,
    NotificationsResourcesUpdated,
    NotificationsRootsListChanged,
    NotificationsSubscriptionsAcknowledged,
    NotificationsTasks,
    NotificationsTasksStatus,
    NotificationsToolsListChanged,
    Ping,
    PromptsGet,
    PromptsList,
    ResourcesList,
    ResourcesRead,
    ResourcesSubscribe,
    ResourcesTemplatesList,
    ResourcesUnsubscribe,
    RootsList,
    SamplingCreateMessage,
    ServerDiscover,
    SubscriptionsListen,
    TasksCancel,
    TasksGet,
    TasksList,
    TasksResult,
    TasksUpdate,
    ToolsCall,
    ToolsList,
}

/// What there is to know about one method in one direction, for the revisions it names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodRow {
    /// As on the wire; compared byte by byte.
    pub name: &'static str,
    /// The same, as a value.
    pub method: Method,
    /// In which revisions this row holds.
    pub revisions: &'static [Revision],
    /// Who sends it.
    pub direction: Direction,
    /// How it travels; a message of another shape is refused.
    pub shape: Shape,
    /// What it needs from the caller.
    pub need: Need,
    /// What it touches.
    pub target: Target,
    /// What `Mcp-Name` must equal, where that header exists (2026-07-28).
    pub name_header: NameSource,
    /// May be cancelled: by `notifications/cancelled`, and in 2026-07-28 by closing its stream. `initialize` may
    /// not (2025-11-25 cancellation, Behavior Requirements 2); notifications cannot.
    pub cancellable: bool,
    /// Its result may be `input_required` (2026-07-28 MRTR, TR-45).
    pub may_ask: bool,
    /// Its complete result carries `ttlMs` and `cacheScope` (2026-07-28 caching, TR-48).
    pub cacheable: bool,
    /// The extension that the client must have declared, in 2026-07-28 (TR-56).
    pub extension: Option<&'static str>,
}

impl MethodRow {
    /// Whether the row holds in `revision`.
    pub fn is_in(&self, revision: Revision) -> bool {
        self.revisions.contains(&revision)
    }
}

/// The row of `name` in that revision and direction. `None` is an unknown method, which is refused (TR-19).
pub fn lookup(revision: Revision, direction: Direction, name: &str) -> Option<&'static MethodRow> {
    ROWS.iter().find(|row| row.name == name && row.direction == direction && row.is_in(revision))
}

/// All rows that hold in that revision and direction, by name.
pub fn rows(revision: Revision, direction: Direction) -> impl Iterator<Item = &'static MethodRow> {
    ROWS.iter().filter(move |row| row.direction == direction && row.is_in(revision))
}

const KNOWN: &[Revision] = &[
    Revision::V2024_11_05,
    Revision::V2025_03_26,
    Revision::V2025_06_18,
    Revision::V2025_11_25,
    Revision::V2026_07_28,
];
const INITIALIZE: &[Revision] =
    &[Revision::V2024_11_05, Revision::V2025_03_26, Revision::V2025_06_18, Revision::V2025_11_25];
const ELICITATION: &[Revision] = &[Revision::V2025_06_18, Revision::V2025_11_25];
const NOVEMBER: &[Revision] = &[Revision::V2025_11_25];
const STATELESS: &[Revision] = &[Revision::V2026_07_28];

const fn request(
    name: &'static str,
    method: Method,
    revisions: &'static [Revision],
    need: Need,
    target: Target,
) -> MethodRow {
    MethodRow {
        name,
        method,
        revisions,
        direction: Direction::ClientToServer,
        shape: Shape::Request,
        need,
        target,
        name_header: NameSource::None,
        cancellable: true,
        may_ask: false,
        cacheable: false,
        extension: None,
    }
}

const fn notification(name: &'static str, method: Method, revisions: &'static [Revision], target: Target) -> MethodRow {
    MethodRow {
        shape: Shape::Notification,
        cancellable: false,
        ..request(name, method, revisions, Need::Session, target)
    }
}

impl MethodRow {
    const fn named(self, name_header: NameSource) -> Self {
        Self { name_header, ..self }
    }

    const fn asking(self) -> Self {
        Self { may_ask: true, ..self }
    }

    const fn cached(self) -> Self {
        Self { cacheable: true, ..self }
    }

    const fn uncancellable(self) -> Self {
        Self { cancellable: false, ..self }
    }

    const fn of_tasks(self) -> Self {
        Self { extension: Some(TASKS_EXTENSION), name_header: NameSource::TaskId, ..self }
    }

    /// Makes it a request that the server sends and the client answers.
    const fn asked_by_server(self) -> Self {
        Self { direction: Direction::ServerToClient, need: Need::Answer, ..self }
    }

    /// Makes it a notification that the server sends.
    const fn news(self) -> Self {
        Self { direction: Direction::ServerToClient, need: Need::News, ..self }
    }

    /// Makes it an entry of `inputRequests` instead of a message.
    const fn inside_a_result(self) -> Self {
        Self { shape: Shape::InputRequest, cancellable: false, ..self }
    }
}

/// The one exhaustive table. Client to server first, then server to client; alphabetical within each.
static ROWS: &[MethodRow] = &[
    request("completion/complete", Method::CompletionComplete, KNOWN, Need::Complete, Target::Completion),
    request("initialize", Method::Initialize, INITIALIZE, Need::Session, Target::None).uncancellable(),
    request("logging/setLevel", Method::LoggingSetLevel, INITIALIZE, Need::Log, Target::Log),
    notification("notifications/cancelled", Method::NotificationsCancelled, KNOWN, Target::Request),
    notification("notifications/initialized", Method::NotificationsInitialized, INITIALIZE, Target::None),
    notification("notifications/progress", Method::NotificationsProgress, INITIALIZE, Target::Request),
    notification("notifications/roots/list_changed", Method::NotificationsRootsListChanged, INITIALIZE, Target::User),
    notification("notifications/tasks/status", Method::NotificationsTasksStatus, NOVEMBER, Target::Job),
    request("ping", Method::Ping, INITIALIZE, Need::Session, Target::None),
    request("prompts/get", Method::PromptsGet, KNOWN, Need::GetPrompt, Target::Prompt).named(NameSource::Name).asking(),
    request("prompts/list", Method::PromptsList, KNOWN, Need::List(ListKind::Prompts), Target::Prompt).cached(),
    request("resources/list", Method::ResourcesList, KNOWN, Need::List(ListKind::Resources), Target::Resource).cached(),
    request("resources/read", Method::ResourcesRead, KNOWN, Need::ReadResource, Target::Resource)
        .named(NameSource::Uri)
        .asking()
        .cached(),
    request("resources/subscribe", Method::ResourcesSubscribe, INITIALIZE, Need::SubscribeResource, Target::Resource),
    request(
        "resources/templates/list",
        Method::ResourcesTemplatesList,
        KNOWN,
        Need::List(ListKind::ResourceTemplates),
        Target::ResourceTemplate,
    )
    .cached(),
    request(
        "resources/unsubscribe",
        Method::ResourcesUnsubscribe,
        INITIALIZE,
        Need::SubscribeResource,
        Target::Resource,
    ),
    request("server/discover", Method::ServerDiscover, STATELESS, Need::Session, Target::None).cached(),
    request("subscriptions/listen", Method::SubscriptionsListen, STATELESS, Need::Listen, Target::Subscription),
    request("tasks/cancel", Method::TasksCancel, NOVEMBER, Need::Job(JobAct::Cancel), Target::Job),
    request("tasks/cancel", Method::TasksCancel, STATELESS, Need::Job(JobAct::Cancel), Target::Job).of_tasks(),
    request("tasks/get", Method::TasksGet, NOVEMBER, Need::Job(JobAct::Get), Target::Job),
    request("tasks/get", Method::TasksGet, STATELESS, Need::Job(JobAct::Get), Target::Job).of_tasks(),
    request("tasks/list", Method::TasksList, NOVEMBER, Need::List(ListKind::Jobs), Target::Job),
    request("tasks/result", Method::TasksResult, NOVEMBER, Need::Job(JobAct::Result), Target::Job),
    request("tasks/update", Method::TasksUpdate, STATELESS, Need::Job(JobAct::Update), Target::Job).of_tasks(),
    request("tools/call", Method::ToolsCall, KNOWN, Need::Tool, Target::Tool).named(NameSource::Name).asking(),
    request("tools/list", Method::ToolsList, KNOWN, Need::List(ListKind::Tools), Target::Tool).cached(),
    //
    request("elicitation/create", Method::ElicitationCreate, ELICITATION, Need::Answer, Target::User).asked_by_server(),
    request("elicitation/create", Method::ElicitationCreate, STATELESS, Need::Answer, Target::User)
        .asked_by_server()
        .inside_a_result(),
    notification("notifications/cancelled", Method::NotificationsCancelled, KNOWN, Target::Request).news(),
    notification(
        "notifications/elicitation/complete",
        Method::NotificationsElicitationComplete,
        NOVEMBER,
        Target::User,
    )
    .news(),
    notification("notifications/message", Method::NotificationsMessage, KNOWN, Target::Log).news(),
    notification("notifications/progress", Method::NotificationsProgress, KNOWN, Target::Request).news(),
    notification("notifications/prompts/list_changed", Method::NotificationsPromptsListChanged, KNOWN, Target::Prompt)
        .news(),
    notification(
        "notifications/resources/list_changed",
        Method::NotificationsResourcesListChanged,
        KNOWN,
        Target::Resource,
    )
    .news(),
    notification("notifications/resources/updated", Method::NotificationsResourcesUpdated, KNOWN, Target::Resource)
        .news(),
    notification(
        "notifications/subscriptions/acknowledged",
        Method::NotificationsSubscriptionsAcknowledged,
        STATELESS,
        Target::Subscription,
    )
    .news(),
    MethodRow {
        extension: Some(TASKS_EXTENSION),
        ..notification("notifications/tasks", Method::NotificationsTasks, STATELESS, Target::Job).news()
    },
    notification("notifications/tasks/status", Method::NotificationsTasksStatus, NOVEMBER, Target::Job).news(),
    notification("notifications/tools/list_changed", Method::NotificationsToolsListChanged, KNOWN, Target::Tool).news(),
    request("ping", Method::Ping, INITIALIZE, Need::Answer, Target::None).asked_by_server(),
    request("roots/list", Method::RootsList, INITIALIZE, Need::Answer, Target::User).asked_by_server(),
    request("roots/list", Method::RootsList, STATELESS, Need::Answer, Target::User).asked_by_server().inside_a_result(),
    request("sampling/createMessage", Method::SamplingCreateMessage, INITIALIZE, Need::Answer, Target::User)
        .asked_by_server(),
    request("sampling/createMessage", Method::SamplingCreateMessage, STATELESS, Need::Answer, Target::User)
        .asked_by_server()
        .inside_a_result(),
    request("tasks/cancel", Method::TasksCancel, NOVEMBER, Need::Answer, Target::Job).asked_by_server(),
    request("tasks/get", Method::TasksGet, NOVEMBER, Need::Answer, Target::Job).asked_by_server(),
    request("tasks/list", Method::TasksList, NOVEMBER, Need::Answer, Target::Job).asked_by_server(),
    request("tasks/result", Method::TasksResult, NOVEMBER, Need::Answer, Target::Job).asked_by_server(),
];

#[cfg(test)]
mod tests;
