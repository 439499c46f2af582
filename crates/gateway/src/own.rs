//! The two tools of the checkpoint itself: an agent uses them to bind itself to a task, if configuration allows that.
//!
//! They can only take rights away. A task begins inside the task that the grant is bound to, if there is one. After the
//! task is finished nothing passes until a person resumes the grant. Nothing of this reaches an upstream.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use sekisho_acts::task::{self, Begin, KnownTools};
use sekisho_acts::{ActError, Performer};
use sekisho_policy::decide::may_see;
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::caller::{Basis, Caller, Granted};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::mcp::error::result_response;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::task::{OWN_TOOLS, TASK_TYPE, TaskDefinition, TaskOrigin};
use sekisho_store::{StoreError, TaskPlace};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::Gateway;
use crate::audit::JournalError;
use crate::forward::{Answer, AnswerBody, ForwardError};
use crate::route::{Route, Routed};
use crate::settle::Cleared;

const BEGIN: &str = OWN_TOOLS[0];
const END: &str = OWN_TOOLS[1];

/// Returns the tool of ours that this name calls at this server, for a caller that has a grant.
pub(crate) fn named(route: &Route, caller: &Caller, name: &str) -> Option<Target> {
    let name = is_ours(route, name)?;
    are_offered(route, caller).then_some(Target::Checkpoint { name })
}

/// Whether this caller has our tools at this server: a task can only bind a grant.
pub(crate) fn are_offered(route: &Route, caller: &Caller) -> bool {
    match &caller.basis {
        Basis::Grant(_) => route.agent_tasks,
        Basis::Open => false,
    }
}

/// Returns the name, if this server has a tool of ours with it. An upstream's tool of the same name is never shown or
/// reached.
pub(crate) fn is_ours(route: &Route, name: &str) -> Option<&'static str> {
    [BEGIN, END].into_iter().find(|own| route.agent_tasks && *own == name)
}

/// Returns the definitions of our tools, for lists.
pub(crate) fn definitions() -> Vec<Box<RawValue>> {
    let begin = json!({
        "name": BEGIN,
        "title": "Begin a task",
        "description": "Holds this session to one piece of work: from now on only the tools named here pass, within \
            the bounds given. It cannot be widened by you, only by the user. Call it before work for which you need \
            few tools.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "purpose": { "type": "string", "maxLength": TaskDefinition::PURPOSE_CHARS_MAX, "description": "What the work is for, in one line." },
                "tools": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": { "type": "string" },
                            "arguments": { "type": "object", "description": "A JSON Schema that the arguments must fit." },
                        },
                        "required": ["name"],
                    },
                },
                "calls": { "type": "integer", "minimum": 1, "description": "How many calls it may make in all." },
                "expires_in": { "type": "integer", "minimum": 1, "description": "How long it lasts, in seconds." },
            },
            "required": ["purpose", "tools"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": false },
    });
    let end = json!({
        "name": END,
        "title": "End the task",
        "description": "Ends the task that was begun with begin_task. Nothing more passes in this session until the \
            user resumes it, so call it when the work is done.",
        "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
        "annotations": { "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false },
    });
    [begin, end].iter().filter_map(|tool| serde_json::value::to_raw_value(tool).ok()).collect()
}

/// Why a call failed; the agent reads it.
#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<StoreError> for OwnError {
    fn from(error: StoreError) -> Self {
        Self::Journal(error.into())
    }
}

/// Does what was cleared, and returns the outcome as the result of a tool.
pub(crate) async fn answer(
    gateway: &Gateway,
    routed: &Routed,
    cleared: Cleared,
    id: &Id,
) -> Result<Answer, ForwardError> {
    let caller = cleared.caller();
    let done = match &caller.basis {
        Basis::Grant(Granted { grant, .. }) => {
            let done = match &cleared.call().target {
                Target::Checkpoint { name: BEGIN } => begin(gateway, routed, &cleared, *grant).await,
                _ => end(gateway, routed, *grant).await,
            };
            // So that the very next call sees the change, even before the change feed reports it.
            gateway.authenticator.grants().forget(*grant);
            done
        }
        Basis::Open => Err(OwnError::Refused("only a client that a user let in has a task".to_owned())),
    };
    let (text, is_error) = match done {
        Ok(text) => (text, false),
        Err(OwnError::Refused(why)) => (why, true),
        Err(OwnError::Journal(error)) => {
            tracing::error!(request = %routed.request, %error, "a task could not be kept");
            ("the task could not be kept; try again".to_owned(), true)
        }
    };
    let result = json!({
        "resultType": "complete",
        "isError": is_error,
        "content": [{ "type": "text", "text": text }],
    });
    let message =
        result_response(id, &result).map_err(|error| ForwardError::Malformed { reason: error.to_string() })?;
    Ok(Answer { status: StatusCode::OK, session: None, body: AnswerBody::Json(Bytes::from(message)) })
}

async fn begin(gateway: &Gateway, routed: &Routed, cleared: &Cleared, grant: GrantId) -> Result<String, OwnError> {
    let definition = read(cleared.call().arguments.as_deref(), routed)?;
    let mut tx = gateway.journal.begin().await?;
    let mut tools: BTreeMap<_, _> = tx.catalogue().definitions(routed.server()).await?.into_iter().collect();
    // An agent does not learn the arguments of a tool that it may not call.
    tools.retain(|tool, _| may_know(gateway, routed, cleared, tool));
    let parent = tx.grants().find(grant).await?.and_then(|grant| grant.task);
    let purpose = definition.purpose.clone();
    let (origin, place, tools) = (TaskOrigin::Agent, TaskPlace::Inside, KnownTools::Only(tools));
    let begin = Begin { grant, definition, origin, parent, place, tools };
    match task::begin(&mut tx, &performer(gateway, routed), begin).await {
        Ok(_) => {}
        Err(ActError::Absent { .. }) => {
            let why = "the task before it is finished; the user can resume what was granted";
            return Err(OwnError::Refused(format!("no task began: {why} at {}", page(gateway, grant))));
        }
        Err(ActError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(OwnError::Refused(format!("no task began: {error}"))),
    }
    tx.commit().await?;
    Ok(format!("the task “{purpose}” began: only what it names passes from now on"))
}

/// Whether the agent could call this tool with some arguments.
fn may_know(gateway: &Gateway, routed: &Routed, cleared: &Cleared, tool: &str) -> bool {
    let standing = gateway.catalogues.snapshot(routed.server()).standing(tool);
    let target = Target::Tool { name: tool.to_owned(), standing: routed.route.standing(tool, standing) };
    let call = Call { target, arguments: None, ..cleared.call().clone() };
    let rights = gateway.rights.borrow().clone();
    may_see(&rights, cleared.caller(), &Authority::default(), &call, routed.now)
}

/// Reads the arguments of `begin_task`. They are the members of one `mcp_task` (RFC 9396), and are read as strictly.
fn read(arguments: Option<&[u8]>, routed: &Routed) -> Result<TaskDefinition, OwnError> {
    let refused = |why: &dyn std::fmt::Display| OwnError::Refused(format!("no task began: {why}"));
    let mut members: Map<String, Value> =
        serde_json::from_slice(arguments.unwrap_or(b"{}")).map_err(|error| refused(&error))?;
    for foreign in ["type", "locations", "task"] {
        if members.contains_key(foreign) {
            return Err(refused(&format!("`{foreign}` is not an argument")));
        }
    }
    members.insert("type".to_owned(), TASK_TYPE.into());
    let details = Value::Array(vec![Value::Object(members)]).to_string();
    let read = TaskDefinition::read_details(&details, &routed.card().resource).map_err(|error| refused(&error))?;
    read.ok_or_else(|| refused(&"it names nothing"))
}

async fn end(gateway: &Gateway, routed: &Routed, grant: GrantId) -> Result<String, OwnError> {
    let mut tx = gateway.journal.begin().await?;
    let current = tx.grants().find(grant).await?.and_then(|grant| grant.task);
    let current = match current {
        Some(id) => tx.tasks().find(id).await?,
        None => None,
    };
    let Some(current) = current.filter(|task| task.origin == TaskOrigin::Agent) else {
        return Err(OwnError::Refused("there is no task that was begun with begin_task".to_owned()));
    };
    match task::finish(&mut tx, &performer(gateway, routed), current.id).await {
        Ok(()) => {}
        Err(ActError::Store(error)) => return Err(error.into()),
        Err(_) => return Err(OwnError::Refused("the task is over already".to_owned())),
    }
    tx.commit().await?;
    let page = page(gateway, grant);
    Ok(format!("the task is finished; nothing more passes until the user resumes what was granted at {page}"))
}

fn page(gateway: &Gateway, grant: GrantId) -> String {
    format!("{}/grants/{grant}", gateway.settings.base_url)
}

/// The agent that called, acting on its own grant.
fn performer<'g>(gateway: &'g Gateway, routed: &Routed) -> Performer<'g> {
    Performer {
        actor: Actor::Agent,
        node: gateway.journal.node(),
        request: routed.request,
        now: routed.now,
        entropy: gateway.entropy.as_ref(),
    }
}
