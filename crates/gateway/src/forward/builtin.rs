//! Upstreams that are part of the checkpoint itself. A call to them was cleared like any other and is answered in this
//! process: no connection is opened, and no credential goes anywhere.
//!
//! This module answers what every server is asked about itself, in each revision. What one can do is
//! [`crate::BuiltIn`].

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use sekisho_protocol::mcp::error::{ErrorCode, error_response, result_response};
use sekisho_protocol::mcp::message::{Id, Message, Meta};
use sekisho_protocol::mcp::method::{Era, Method, Revision};
use sekisho_protocol::mcp::strict::Limits;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::probe::Spoken;
use super::{Answer, AnswerBody, ForwardError, ForwardRequest, Outgoing};
use crate::memory::Memory;
use crate::upstream::{BuiltInCall, BuiltInSettings};

/// How long a list of a built-in server may be cached, in milliseconds. It changes only with the program.
const LIST_MILLIS: u32 = 3_600_000;

impl BuiltInSettings {
    /// Returns all revisions that are served here.
    pub(super) fn revisions(&self) -> Arc<Spoken> {
        let server_info = serde_json::to_string(&self.0.info()).ok();
        Arc::new(Spoken { revisions: Revision::ALL.to_vec(), server_info })
    }

    pub(super) fn list_tools(&self) -> Vec<Box<RawValue>> {
        self.0.tools().iter().filter_map(|tool| serde_json::value::to_raw_value(tool).ok()).collect()
    }

    pub(super) async fn send(&self, request: ForwardRequest, memory: &Memory) -> Result<Answer, ForwardError> {
        let deadline = request.deadline.at();
        let Outgoing::Request { id, method, .. } = request.kind.clone() else {
            // It asks its clients nothing, so it expects no answers, and it needs no notifications.
            return Ok(Answer { status: StatusCode::ACCEPTED, session: None, body: AnswerBody::Accepted });
        };
        let room = memory.room(request.cleared.caller(), request.server());
        let message = match tokio::time::timeout_at(deadline, self.answer(request, &id, method)).await {
            Ok(message) => Bytes::from(message?),
            Err(_) => return Err(ForwardError::Timeout { sent: true }),
        };
        let message = room.try_seal(message).ok_or(ForwardError::NoRoom { sent: true })?;
        Ok(Answer { status: StatusCode::OK, session: None, body: AnswerBody::Json(message) })
    }

    async fn answer(&self, request: ForwardRequest, id: &Id, method: Method) -> Result<Vec<u8>, ForwardError> {
        let refuse = |code, why: &str| Ok(error_response(Some(id), code, why, None::<&()>));
        let mut result = match method {
            Method::Initialize => json!({
                "protocolVersion": request.far.0.as_str(),
                "capabilities": self.capabilities(),
                "serverInfo": self.0.info(),
            }),
            Method::ServerDiscover => json!({
                "supportedVersions": stateless(),
                "capabilities": self.capabilities(),
                "_meta": { Meta::SERVER_INFO: self.0.info() },
            }),
            Method::Ping => json!({}),
            Method::ToolsList => json!({ "tools": self.0.tools() }),
            Method::PromptsList => json!({ "prompts": self.0.prompts() }),
            Method::ToolsCall | Method::PromptsGet => {
                let asked = read(&request)?;
                let answered = match method {
                    Method::ToolsCall => self.0.call(asked).await,
                    _ => self.0.prompt(asked).await,
                };
                match answered {
                    Ok(result) => result,
                    Err(why) => return refuse(ErrorCode::InvalidParams, &why),
                }
            }
            _ => return refuse(ErrorCode::MethodNotFound, "this server does not offer this method"),
        };
        if request.far.0.era() == Era::Stateless
            && let Some(members) = result.as_object_mut()
        {
            members.insert("resultType".to_owned(), json!("complete"));
            if matches!(method, Method::PromptsList | Method::ServerDiscover | Method::ToolsList) {
                members.insert("ttlMs".to_owned(), json!(LIST_MILLIS));
                members.insert("cacheScope".to_owned(), json!("public"));
            }
        }
        result_response(id, &result).map_err(|error| ForwardError::Malformed { reason: error.to_string() })
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({ "tools": {} });
        if !self.0.prompts().is_empty()
            && let Some(members) = capabilities.as_object_mut()
        {
            members.insert("prompts".to_owned(), json!({}));
        }
        capabilities
    }
}

/// Returns the revisions that `server/discover` names: those that have this method (TR-14).
fn stateless() -> Vec<&'static str> {
    let all = Revision::ALL.into_iter().filter(|revision| revision.era() == Era::Stateless);
    all.map(Revision::as_str).collect()
}

/// Reads name and arguments from the authorised bytes.
fn read(request: &ForwardRequest) -> Result<BuiltInCall, ForwardError> {
    let edit = |error: &dyn std::fmt::Display| ForwardError::Edit { reason: error.to_string() };
    let message = Message::read(&request.body, &Limits::default()).map_err(|error| edit(&error))?;
    let params = message.params();
    let arguments = match params.and_then(|params| params.arguments) {
        Some(arguments) => serde_json::from_str(arguments).map_err(|error| edit(&error))?,
        None => Map::new(),
    };
    let name = params.and_then(|params| params.name.as_deref()).unwrap_or_default().to_owned();
    Ok(BuiltInCall { caller: request.cleared.caller().clone(), name, arguments })
}
