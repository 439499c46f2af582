//! `params` and `params._meta`: the members that decisions depend on.

use std::borrow::Cow;
use std::ops::Range;

use super::error::ReadError;
use super::id::Id;
use super::object::Object;
use crate::mcp::strict::{self, Checked};

/// The members of `params` that decisions depend on. The reader checks which of them a method requires: an absent
/// `name` of `tools/call` is `None` here. `null` counts as absent.
#[derive(Debug)]
pub struct Params<'a> {
    /// All of `params`, as it stands.
    pub raw: &'a str,
    /// The tool or prompt.
    pub name: Option<Cow<'a, str>>,
    /// The resource.
    pub uri: Option<Cow<'a, str>>,
    /// The arguments of the tool or prompt; an object.
    pub arguments: Option<&'a str>,
    /// The job.
    pub task_id: Option<Cow<'a, str>>,
    /// What the server gave with `input_required`; opaque, and foreign until its seal was verified (RS-50).
    pub request_state: Option<Cow<'a, str>>,
    /// Answers to `inputRequests`; an object.
    pub input_responses: Option<&'a str>,
    /// The requests of a job to the client, in `notifications/tasks`; an object. See [`super::asked_methods`].
    pub input_requests: Option<&'a str>,
    /// What `subscriptions/listen` asks for, or its acknowledgement promises.
    pub notifications: Option<Filter<'a>>,
    /// The version that `initialize` proposes.
    pub protocol_version: Option<Cow<'a, str>>,
    /// The capabilities that `initialize` declares; an object.
    pub capabilities: Option<&'a str>,
    /// What is to be completed.
    pub reference: Option<CompletionReference<'a>>,
    /// In `notifications/progress`: the token of the request.
    pub progress_token: Option<Id>,
    /// In `notifications/cancelled`: the id of the request.
    pub request_id: Option<Id>,
    /// `params._meta`; empty when absent.
    pub meta: Meta<'a>,
}

impl<'a> Params<'a> {
    pub(super) fn read(checked: &Checked<'a>, range: Range<usize>) -> Result<Self, ReadError> {
        let object = Object::at(checked, &range).ok_or(ReadError::ParamsNotObject)?;
        Ok(Self {
            raw: strict::slice(checked.text, range),
            name: object.string("name", "params.name")?,
            uri: object.string("uri", "params.uri")?,
            arguments: object.object("arguments", "params.arguments")?,
            task_id: object.string("taskId", "params.taskId")?,
            request_state: object.string("requestState", "params.requestState")?,
            input_responses: object.object("inputResponses", "params.inputResponses")?,
            input_requests: object.object("inputRequests", "params.inputRequests")?,
            notifications: match object.inner("notifications", "params.notifications")? {
                Some(filter) => Some(Filter::read(&filter)?),
                None => None,
            },
            protocol_version: object.string("protocolVersion", "params.protocolVersion")?,
            capabilities: object.object("capabilities", "params.capabilities")?,
            reference: match object.inner("ref", "params.ref")? {
                Some(reference) => Some(CompletionReference::read(&reference)?),
                None => None,
            },
            progress_token: object.id("progressToken", "params.progressToken")?,
            request_id: object.id("requestId", "params.requestId")?,
            meta: match object.inner("_meta", "params._meta")? {
                Some(meta) => Meta::read(&meta)?,
                None => Meta::default(),
            },
        })
    }
}

/// What a stream of `subscriptions/listen` is asked to carry, or promises to carry (TR-41).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter<'a> {
    /// `notifications/prompts/list_changed`
    pub prompts_list_changed: bool,
    /// `notifications/resources/list_changed`
    pub resources_list_changed: bool,
    /// `notifications/resources/updated`, for these URIs.
    pub resource_subscriptions: Vec<Cow<'a, str>>,
    /// `notifications/tasks`, for these jobs (tasks extension).
    pub task_ids: Vec<Cow<'a, str>>,
    /// `notifications/tools/list_changed`
    pub tools_list_changed: bool,
}

impl<'a> Filter<'a> {
    fn read(object: &Object<'a, '_>) -> Result<Self, ReadError> {
        let flag = |name, member| object.boolean(name, member).map(Option::unwrap_or_default);
        Ok(Self {
            prompts_list_changed: flag("promptsListChanged", "params.notifications.promptsListChanged")?,
            resources_list_changed: flag("resourcesListChanged", "params.notifications.resourcesListChanged")?,
            resource_subscriptions: object
                .strings("resourceSubscriptions", "params.notifications.resourceSubscriptions")?,
            task_ids: object.strings("taskIds", "params.notifications.taskIds")?,
            tools_list_changed: flag("toolsListChanged", "params.notifications.toolsListChanged")?,
        })
    }
}

/// What `completion/complete` wants arguments completed of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CompletionReference<'a> {
    /// `ref/prompt`, by name.
    Prompt(Cow<'a, str>),
    /// `ref/resource`, by URI or URI template.
    Resource(Cow<'a, str>),
}

impl<'a> CompletionReference<'a> {
    fn read(object: &Object<'a, '_>) -> Result<Self, ReadError> {
        let wrong = |expected| ReadError::WrongType { member: "params.ref", expected };
        let name = object.string("name", "params.ref.name")?;
        let uri = object.string("uri", "params.ref.uri")?;
        let kind = object.string("type", "params.ref.type")?;
        match (kind.as_deref(), name, uri) {
            (Some("ref/prompt"), Some(name), None) => Ok(Self::Prompt(name)),
            (Some("ref/resource"), None, Some(uri)) => Ok(Self::Resource(uri)),
            _ => Err(wrong("a `ref/prompt` with `name` or a `ref/resource` with `uri`")),
        }
    }
}

/// The members of a `_meta` that decisions depend on. Everything else in it passes through (TR-23), and nothing in it
/// authenticates anybody.
#[derive(Clone, Debug, Default)]
pub struct Meta<'a> {
    /// Whether something in it belongs to the stateless era.
    modern: bool,
    /// `io.modelcontextprotocol/protocolVersion`
    pub protocol_version: Option<Cow<'a, str>>,
    /// `io.modelcontextprotocol/clientCapabilities`; an object.
    pub client_capabilities: Option<&'a str>,
    /// `io.modelcontextprotocol/serverInfo`, in results; never decided on.
    pub server_info: Option<&'a str>,
    /// `io.modelcontextprotocol/logLevel`; without it no log messages belong to the request (TR-24).
    pub log_level: Option<Cow<'a, str>>,
    /// `progressToken`
    pub progress_token: Option<Id>,
    /// `io.modelcontextprotocol/subscriptionId`
    pub subscription_id: Option<Id>,
}

impl<'a> Meta<'a> {
    /// Wire name of [`Meta::protocol_version`].
    pub const PROTOCOL_VERSION: &'static str = "io.modelcontextprotocol/protocolVersion";
    /// Wire name of [`Meta::client_capabilities`].
    pub const CLIENT_CAPABILITIES: &'static str = "io.modelcontextprotocol/clientCapabilities";
    /// Wire name of the client's description of itself, which no decision depends on (RS-55).
    pub const CLIENT_INFO: &'static str = "io.modelcontextprotocol/clientInfo";
    /// Wire name of [`Meta::server_info`].
    pub const SERVER_INFO: &'static str = "io.modelcontextprotocol/serverInfo";
    /// Wire name of [`Meta::log_level`].
    pub const LOG_LEVEL: &'static str = "io.modelcontextprotocol/logLevel";
    /// Wire name of [`Meta::progress_token`].
    pub const PROGRESS_TOKEN: &'static str = "progressToken";
    /// Wire name of [`Meta::subscription_id`].
    pub const SUBSCRIPTION_ID: &'static str = "io.modelcontextprotocol/subscriptionId";

    pub(super) fn read(object: &Object<'a, '_>) -> Result<Self, ReadError> {
        const MODERN: [&str; 4] =
            [Meta::CLIENT_CAPABILITIES, Meta::CLIENT_INFO, Meta::LOG_LEVEL, Meta::PROTOCOL_VERSION];
        Ok(Self {
            modern: object.members().any(|member| MODERN.contains(&member.name.as_ref())),
            protocol_version: object.string(Self::PROTOCOL_VERSION, Self::PROTOCOL_VERSION)?,
            client_capabilities: object.object(Self::CLIENT_CAPABILITIES, Self::CLIENT_CAPABILITIES)?,
            server_info: object.object(Self::SERVER_INFO, Self::SERVER_INFO)?,
            log_level: object.string(Self::LOG_LEVEL, Self::LOG_LEVEL)?,
            progress_token: object.id(Self::PROGRESS_TOKEN, "params._meta.progressToken")?,
            subscription_id: object.id(Self::SUBSCRIPTION_ID, Self::SUBSCRIPTION_ID)?,
        })
    }

    /// Returns whether anything, even malformed, says that this request belongs to the stateless era (TR-51).
    pub fn is_modern(&self) -> bool {
        self.modern
    }
}
