//! What a request asks, after it was read.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::model::Call;
use sekisho_protocol::mcp::message::{Filter, Id};
use sekisho_protocol::mcp::method::MethodRow;
use sekisho_protocol::uri::{NotCanonical, ResourceUri};

use crate::forward::{InitDigest, Outgoing};
use crate::revision::{FarRevision, NearRevision};
use crate::rounds::Brought;
use crate::session::{OpenRequest, Session, StandingPlace};

/// What a request asks. Borrows nothing from the request.
#[derive(Debug)]
pub(crate) struct CallRequest {
    /// The call that is judged.
    pub(crate) call: Arc<Call>,
    /// The revision that the client speaks.
    pub(crate) near: NearRevision,
    /// The revision that the upstream is spoken to in.
    pub(crate) far: FarRevision,
    /// The session of the request, in the older revisions; `initialize` has none yet.
    pub(crate) session: Option<Arc<Session>>,
    /// What the client brings back from an earlier round of the same call.
    pub(crate) brought: Option<Brought>,
    /// The request's place among the open requests of its session; only in the older revisions.
    pub(crate) open: Option<OpenRequest>,
    /// How the request was made.
    pub(crate) form: Form,
}

/// How a request is made.
#[derive(Debug)]
pub(crate) enum Form {
    /// By a POSTed message.
    Message(Posted),
    /// By opening the standing stream of a session.
    Stream {
        /// The id of the event after which to resume.
        last_event_id: Option<String>,
        /// The session's one place for such a stream; a resumed stream needs none.
        place: Option<StandingPlace>,
    },
}

/// A message that was posted.
#[derive(Debug)]
pub(crate) struct Posted {
    /// The bytes that are judged and forwarded.
    pub(crate) body: Bytes,
    /// The kind of message.
    pub(crate) kind: Outgoing,
    /// The message's row of the method table; an answer has none.
    pub(crate) row: Option<&'static MethodRow>,
    /// Decides who may share a child; only with `initialize`.
    pub(crate) init: Option<InitDigest>,
    /// Whether the caller wants log messages with the answer (TR-24).
    pub(crate) logs: bool,
    /// What `subscriptions/listen` wants to be notified of.
    pub(crate) wish: Option<Wish>,
}

/// What `subscriptions/listen` wants to be notified of, without what the caller may not hear of (TR-42).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) prompts: bool,
    pub(crate) resource_list: bool,
    pub(crate) resources: BTreeSet<ResourceUri>,
    pub(crate) jobs: BTreeSet<String>,
    pub(crate) tools: bool,
}

impl Wish {
    /// Reads what a client asks for. A single URI that is not canonical makes all of it invalid, because it is not
    /// known which resource it names.
    pub(crate) fn of(filter: &Filter<'_>) -> Result<Self, NotCanonical> {
        filter.resource_subscriptions.iter().try_for_each(|uri| ResourceUri::parse(uri).map(drop))?;
        Ok(Self::promised(filter))
    }

    /// Reads what an upstream promises. A URI that is not canonical was never asked for, so it is left out.
    pub(crate) fn promised(filter: &Filter<'_>) -> Self {
        Self {
            prompts: filter.prompts_list_changed,
            resource_list: filter.resources_list_changed,
            resources: filter.resource_subscriptions.iter().filter_map(|uri| ResourceUri::parse(uri).ok()).collect(),
            jobs: filter.task_ids.iter().map(|id| id.clone().into_owned()).collect(),
            tools: filter.tools_list_changed,
        }
    }
}

impl CallRequest {
    /// The id that our answer has to repeat.
    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.form {
            Form::Message(Posted { kind: Outgoing::Request { id, .. }, .. }) => Some(id),
            Form::Message(_) | Form::Stream { .. } => None,
        }
    }

    /// The request's row of the method table, if it has one.
    pub(crate) fn row(&self) -> Option<&'static MethodRow> {
        match &self.form {
            Form::Message(posted) => posted.row,
            Form::Stream { .. } => None,
        }
    }
}

impl CallRequest {
    /// Takes the place that has to be held for as long as the standing stream is open.
    pub(crate) fn take_place(&mut self) -> Option<StandingPlace> {
        match &mut self.form {
            Form::Message(_) => None,
            Form::Stream { place, .. } => place.take(),
        }
    }
}
