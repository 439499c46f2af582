//! What a request asks, once it was read.

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

/// What a request asks, with nothing borrowed from it.
#[derive(Debug)]
pub(crate) struct CallRequest {
    /// What is judged.
    pub(crate) call: Arc<Call>,
    /// The revision of the client's side.
    pub(crate) near: NearRevision,
    /// The revision of the upstream's side.
    pub(crate) far: FarRevision,
    /// In which session, in the older revisions; none yet for `initialize`.
    pub(crate) session: Option<Arc<Session>>,
    /// What it brings back of an earlier round of the same call.
    pub(crate) brought: Option<Brought>,
    /// Its place among the open requests of its session; of a request in the older revisions only.
    pub(crate) open: Option<OpenRequest>,
    /// How it came.
    pub(crate) form: Form,
}

/// How something is asked.
#[derive(Debug)]
pub(crate) enum Form {
    /// By a message.
    Message(Posted),
    /// By opening the standing stream of a session.
    Stream {
        /// Where to resume.
        last_event_id: Option<String>,
        /// The session's one place for such a stream; a resumed one needs none.
        place: Option<StandingPlace>,
    },
}

/// A message that was posted.
#[derive(Debug)]
pub(crate) struct Posted {
    /// The bytes that are judged and forwarded.
    pub(crate) body: Bytes,
    /// What it is.
    pub(crate) kind: Outgoing,
    /// Its row of the method table; an answer has none.
    pub(crate) row: Option<&'static MethodRow>,
    /// Who may share a child; of `initialize` only.
    pub(crate) init: Option<InitDigest>,
    /// Whether the caller wants log messages with the answer (TR-24).
    pub(crate) logs: bool,
    /// What `subscriptions/listen` asks to hear of.
    pub(crate) wish: Option<Wish>,
}

/// What `subscriptions/listen` asks to hear of, with what may not be heard of left out (TR-42).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) prompts: bool,
    pub(crate) resource_list: bool,
    pub(crate) resources: BTreeSet<ResourceUri>,
    pub(crate) jobs: BTreeSet<String>,
    pub(crate) tools: bool,
}

impl Wish {
    /// What a client asks for. One URI that is not canonical refuses all of it,
    /// because it is not known which resource it would be.
    pub(crate) fn of(filter: &Filter<'_>) -> Result<Self, NotCanonical> {
        filter.resource_subscriptions.iter().try_for_each(|uri| ResourceUri::parse(uri).map(drop))?;
        Ok(Self::promised(filter))
    }

    /// What an upstream promises. A URI that is not canonical was never asked for, and is not heard of.
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
    /// The id that an answer of ours has to repeat.
    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.form {
            Form::Message(Posted { kind: Outgoing::Request { id, .. }, .. }) => Some(id),
            Form::Message(_) | Form::Stream { .. } => None,
        }
    }

    /// Its row of the method table, where it has one.
    pub(crate) fn row(&self) -> Option<&'static MethodRow> {
        match &self.form {
            Form::Message(posted) => posted.row,
            Form::Stream { .. } => None,
        }
    }
}

impl CallRequest {
    /// Takes what has to be held as long as the standing stream is open.
    pub(crate) fn take_place(&mut self) -> Option<StandingPlace> {
        match &mut self.form {
            Form::Message(_) => None,
            Form::Stream { place, .. } => place.take(),
        }
    }
}
