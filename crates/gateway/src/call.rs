//! Step 4: what is asked. The body is read once, strictly; headers have to say the same; the method table says what
//! the method touches; the catalogue says what is known of it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use sekisho_policy::decide::approval_key;
use sekisho_policy::model::{Call, Target, ToolStanding};
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::caller::{Caller, Subject};
use sekisho_protocol::canonical;
use sekisho_protocol::mcp::headers::{HeaderError, HeaderView, agree};
use sekisho_protocol::mcp::message::{CompletionReference, Filter, Id, Kind, Message, ReadError};
use sekisho_protocol::mcp::method::{Direction, Era, Method, MethodRow, Need, Revision};
use sekisho_protocol::mcp::mirror::params_agree;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::text::{NameFault, check_name};
use sekisho_protocol::uri::{NotCanonical, ResourceUri};

use crate::Gateway;
use crate::body::{Growth, Unread, whole};
use crate::era::{initialize, stateless};
use crate::forward::{ForwardError, InitDigest, Outgoing};
use crate::memory::Room;
use crate::own;
use crate::rounds::{self, Brought};
use crate::route::{KeepArguments, Routed};
use crate::session::{OpenRequest, Owner, Session, StandingPlace};

/// What answers of a client are called in records: they have no method.
pub(crate) const ANSWER_METHOD: &str = "(answer)";
/// What the standing stream of the older revisions is called in records.
pub(crate) const STREAM_METHOD: &str = "(stream)";

/// Why a request is not a call. Every variant is the caller's to mend, except the last.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    #[error("`Accept` must list application/json and text/event-stream")]
    Accept,
    #[error("the body broke off")]
    BodyBroken,
    #[error("the body did not arrive in time")]
    BodySlow,
    #[error("`Content-Encoding` is not accepted; send the body as it is")]
    ContentEncoding,
    #[error("`Content-Type` must be application/json")]
    ContentType,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("a request with this `id` is open in this session; every request of a session needs an `id` of its own")]
    IdInUse,
    #[error("this server speaks {} and has no `initialize`", join(.supported))]
    InitializeUnknown { supported: Vec<Revision> },
    #[error("the HTTP method is not offered here")]
    MethodNotAllowed { allow: &'static str },
    #[error("no such method in this revision")]
    MethodNotFound { era: Era },
    #[error("the client did not declare `{capability}`, which this method needs")]
    MissingCapability { capability: &'static str },
    #[error("`{member}` is missing")]
    MissingParam { member: &'static str },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("`requestState` is not of this call, has expired, or was used; make the call again without it")]
    RequestState,
    #[error("`params.{member}`: {why}")]
    Name { member: &'static str, why: NameFault },
    #[error("`params.{member}`: {refused}")]
    ResourceUri { member: &'static str, refused: NotCanonical },
    #[error("an answer must have the `id` of the request it is to")]
    ResponseId,
    #[error("the session was opened in another protocol version")]
    SessionRevision,
    #[error(
        "this server speaks Streamable HTTP, and not HTTP+SSE, the transport of 2024-11-05: send `initialize` to this URL with POST (a client that can choose calls it `http`)"
    )]
    OlderTransport,
    #[error("`Mcp-Session-Id` is missing; send `initialize` first and repeat what it gives")]
    SessionMissing,
    #[error("no such session; send `initialize` again without `Mcp-Session-Id`")]
    SessionUnknown,
    #[error("too much is being sent or waits to be read; read the answers that are open, then try again")]
    NoRoom,
    #[error("this session has its stream already")]
    StreamTaken,
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the tools of this server could not be listed yet; try again")]
    Unlisted,
    #[error("protocol version `{requested}` is not spoken by this server")]
    Unsupported { requested: String, supported: Vec<Revision> },
    #[error(transparent)]
    Upstream(#[from] ForwardError),
}

fn join(revisions: &[Revision]) -> String {
    revisions.iter().map(|revision| revision.as_str()).collect::<Vec<_>>().join(", ")
}

/// The same, with the id of the request where it could be read.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) id: Option<Id>,
    pub(crate) fault: CallFault,
}

impl<F: Into<CallFault>> From<F> for CallError {
    fn from(fault: F) -> Self {
        Self { id: None, fault: fault.into() }
    }
}

/// What a request asks, with nothing borrowed from it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is judged.
    pub(crate) call: Arc<Call>,
    /// In which revision.
    pub(crate) revision: Revision,
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
    /// What a client asks for. One URI that is not canonical refuses all of it, for nobody can say what it would be.
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

impl Asked {
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

impl Asked {
    /// Takes what has to be held as long as the standing stream is open.
    pub(crate) fn take_place(&mut self) -> Option<StandingPlace> {
        match &mut self.form {
            Form::Message(_) => None,
            Form::Stream { place, .. } => place.take(),
        }
    }
}

/// What the head of a POST must say before its body is read (TR-07, ATK-68).
pub(crate) fn admit(headers: &HeaderMap) -> Result<(), CallFault> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(CallFault::ContentEncoding);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter().filter_map(|value| value.to_str().ok());
    let is_json = types.next().is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if !is_json || headers.get_all(CONTENT_TYPE).iter().count() != 1 {
        return Err(CallFault::ContentType);
    }
    // As nearly everybody says it.
    let is_usual = headers.get(ACCEPT).is_some_and(|value| value == "application/json, text/event-stream");
    if is_usual || (accepts(headers, "application/json") && accepts(headers, "text/event-stream")) {
        Ok(())
    } else {
        Err(CallFault::Accept)
    }
}

/// Whether `Accept` names a type or a range around it with a weight above 0 (RFC 9110 §12.5.1). Nothing said is
/// not enough: a client has to list what it takes.
pub(crate) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let range = wanted.split_once('/').map_or("*", |(kind, _)| kind);
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let fits = named == "*/*"
            || named.eq_ignore_ascii_case(wanted)
            || named.strip_suffix("/*").is_some_and(|kind| kind.eq_ignore_ascii_case(range));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        fits && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// The whole body or nothing: never a prefix of it (ATK-68), never slowly (ATK-91).
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    (max, limit): (usize, Duration),
    room: Room,
) -> Result<Bytes, CallFault> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > max as u64) {
        return Err(CallFault::TooLarge { max });
    }
    let mut reading = pin!(whole(body, max, Some((room, Growth::AsItComes))));
    // Mostly it came with the head, and nothing is waited for.
    let read = match reading.as_mut().now_or_never() {
        Some(read) => Ok(read),
        None => tokio::time::timeout(limit, reading).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Unread::TooLarge)) => Err(CallFault::TooLarge { max }),
        Ok(Err(Unread::NoRoom)) => Err(CallFault::NoRoom),
        Ok(Err(Unread::Broken(_))) => Err(CallFault::BodyBroken),
        Err(_) => Err(CallFault::BodySlow),
    }
}

/// Reads what a POST asks.
pub(crate) async fn read(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Asked, CallError> {
    let message = Message::read(&body, &Limits::default())?;
    let id = match message.kind() {
        Kind::Request { id, .. } => Some(id.clone()),
        Kind::Notification { .. } | Kind::Response { .. } => None,
    };
    let asked = of_message(gateway, routed, caller, headers, &body, &message).await;
    asked.map_err(|fault| CallError { id, fault })
}

async fn of_message(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
    message: &Message<'_>,
) -> Result<Asked, CallFault> {
    let view = view(headers);
    let offered = initialize::offered(gateway, routed, caller, headers);
    let agreed = agree(&view, message, offered.revision());
    let spoken = gateway.upstreams.revisions(routed.server()).await?;
    let revision = match agreed {
        Err(HeaderError::Unsupported { requested }) => return Err(unsupported(requested, message, &spoken.revisions)),
        agreed => agreed?,
    };
    let row = message.row(revision, Direction::ClientToServer);
    let (session, edited) = match revision.era() {
        // What older revisions have of sessions means nothing here (TR-39).
        Era::Stateless => (None, stateless::check(message, revision, row, &spoken.revisions).map(|()| None)?),
        Era::Initialize if row.is_some_and(|row| row.method == Method::Initialize) => {
            (None, initialize::propose(body, message, &spoken.revisions)?)
        }
        Era::Initialize => (Some(offered.session(revision, &spoken.revisions)?), None),
    };
    let kind = outgoing(message, row, revision)?;
    let (target, schema) = match row {
        Some(row) => {
            let owner = || Owner::of(caller, session.as_deref());
            target(gateway, routed, caller, message, (row, &owner), &view).await?
        }
        None => (Target::Server, None),
    };
    let mut call = Call {
        server: routed.server().clone(),
        method: row.map_or(ANSWER_METHOD, |row| row.name),
        target,
        arguments: message.params().and_then(|params| params.arguments).map(|raw| body.slice_ref(raw.as_bytes())),
        schema,
        params: message.params().map(|params| body.slice_ref(params.raw.as_bytes())),
        arguments_digest: None,
        round: None,
        source: routed.source,
    };
    let digests = match routed.route.arguments {
        KeepArguments::Digest => !call.is_read(),
        KeepArguments::None => false,
        KeepArguments::Sealed { .. } => call.is_counted(),
    };
    if digests {
        call.arguments_digest = Some(canonical::digest_of_text(call.arguments.as_deref()));
    }
    let asks = |params| rounds::read(gateway, caller, routed, (body, params), approval_key(caller, &call));
    let (brought, without) = match message.params().filter(|params| params.request_state.is_some()) {
        None => (None, None),
        // An upstream may read a state wherever it stands, so none goes on that is not ours.
        Some(_) if row.is_none_or(|row| !row.may_ask) => return Err(CallFault::RequestState),
        Some(params) => asks(params).map(|(brought, edited)| (brought, Some(edited)))?,
    };
    if let Some(Brought::Round(round)) = brought {
        call.round = Some(round);
    }
    let wish = message.params().and_then(|params| params.notifications.as_ref()).map(Wish::of).transpose();
    let wish = wish.map_err(not_canonical("notifications.resourceSubscriptions"))?;
    let open = opened(session.as_ref(), &kind, row)?;
    let init = edited.as_ref().map(|proposal| proposal.init);
    let forwarded = edited.and_then(|proposal| proposal.body).or(without).unwrap_or_else(|| body.clone());
    let forwarded = match (revision.era(), &caller.subject) {
        (Era::Stateless, Subject::Anonymous) => stateless::without_jobs(forwarded, message)?,
        _ => forwarded,
    };
    let logs = message.meta().is_some_and(|meta| meta.log_level.is_some());
    let form = Form::Message(Posted { init, body: forwarded, kind, row, logs, wish });
    Ok(Asked { call: Arc::new(call), revision, session, brought, open, form })
}

/// What the message is on its way to the upstream.
fn outgoing(message: &Message<'_>, row: Option<&'static MethodRow>, revision: Revision) -> Result<Outgoing, CallFault> {
    Ok(match (message.kind(), row) {
        (Kind::Response { id: Some(id), .. }, _) => Outgoing::Response { id: id.clone() },
        (Kind::Response { id: None, .. }, _) => return Err(CallFault::ResponseId),
        (_, None) => return Err(CallFault::MethodNotFound { era: revision.era() }),
        (Kind::Notification { .. }, Some(row)) => Outgoing::Notification { method: row.method },
        (Kind::Request { id, .. }, Some(row)) => Outgoing::Request {
            id: id.clone(),
            method: row.method,
            progress_token: message.meta().and_then(|meta| meta.progress_token.clone()),
        },
    })
}

/// The place of a request among the open ones of its session; it is refused while another has its id.
fn opened(
    session: Option<&Arc<Session>>,
    kind: &Outgoing,
    row: Option<&'static MethodRow>,
) -> Result<Option<OpenRequest>, CallFault> {
    match (session, kind, row) {
        (Some(session), Outgoing::Request { id, .. }, Some(row)) => {
            session.opens(id, row).ok_or(CallFault::IdInUse).map(Some)
        }
        _ => Ok(None),
    }
}

/// A version that nobody here serves. What would do is of the era in which the client asked, as far as the upstream
/// speaks that at all: `server/discover` names no others either (TR-14).
fn unsupported(requested: String, message: &Message<'_>, spoken: &[Revision]) -> CallFault {
    let stateless = message.meta().is_some_and(|meta| meta.protocol_version.is_some());
    let era = if stateless { Era::Stateless } else { Era::Initialize };
    let mut supported = spoken.to_vec();
    if spoken.iter().any(|revision| revision.era() == era) {
        supported.retain(|revision| revision.era() == era);
    }
    CallFault::Unsupported { requested, supported }
}

/// The headers that concern the body.
fn view(headers: &HeaderMap) -> HeaderView<'_> {
    HeaderView::read(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// What a method touches, by the table (ATK-70: the same decision for lists, calls, reads, completions,
/// subscriptions and jobs); and what it takes, if it is a tool.
async fn target(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    message: &Message<'_>,
    (row, owner): (&MethodRow, &(dyn Fn() -> Option<Owner> + Sync)),
    view: &HeaderView<'_>,
) -> Result<(Target, Option<Arc<ToolSchema>>), CallFault> {
    let params = message.params();
    let missing = |member| CallFault::MissingParam { member };
    let name = || params.and_then(|params| params.name.as_deref()).ok_or(missing("params.name"));
    let target = match row.need {
        Need::Tool => {
            let name = name()?;
            if let Some(own) = own::named(&routed.route, caller, name) {
                return Ok((own, None));
            }
            let (standing, schema) = standing(gateway, routed, name).await?;
            if row.is_in(Revision::V2026_07_28)
                && let Some(mirrored) = gateway.catalogues.mirrored(routed.server(), name)
                && message.meta().is_some_and(|meta| meta.protocol_version.is_some())
            {
                params_agree(&mirrored, view, params.and_then(|params| params.arguments))?;
            }
            return Ok((Target::Tool { name: name.to_owned(), standing }, schema));
        }
        Need::GetPrompt => prompt("name", name()?)?,
        Need::ReadResource | Need::SubscribeResource => {
            let uri = params.and_then(|params| params.uri.as_deref()).ok_or(missing("params.uri"))?;
            Target::Resource { uri: ResourceUri::parse(uri).map_err(not_canonical("uri"))? }
        }
        Need::Complete => match params.and_then(|params| params.reference.as_ref()).ok_or(missing("params.ref"))? {
            CompletionReference::Prompt(name) => prompt("ref.name", name)?,
            CompletionReference::Resource(uri) => {
                Target::Resource { uri: ResourceUri::parse_template(uri).map_err(not_canonical("ref.uri"))? }
            }
        },
        Need::Job(_) => {
            let id = params.and_then(|params| params.task_id.as_deref()).ok_or(missing("params.taskId"))?;
            Target::Job { id: id.to_owned(), own: gateway.jobs.is_own(routed.server(), id, owner().as_ref()) }
        }
        Need::List(_) | Need::Listen | Need::Log | Need::Session => Target::Server,
        // No client sends these.
        Need::Answer | Need::News => return Err(CallFault::MethodNotFound { era: Era::Stateless }),
    };
    Ok((target, None))
}

/// What the catalogue knows of a tool. What it does not know is asked for once more, before it is refused; and the
/// first call of this process makes sure that the list is of now. Where nothing at all is known of the server's tools,
/// that is said: it is not about the caller's rights.
async fn standing(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    name: &str,
) -> Result<(ToolStanding, Option<Arc<ToolSchema>>), CallFault> {
    // Nobody has a right to what stands behind a name of ours; and a name with several spellings is no tool's. It is
    // answered like any unknown one, so that nothing is learned from the difference (RS-36).
    if own::is_ours(&routed.route, name).is_some() || check_name(name).is_err() {
        return Ok((ToolStanding::Unknown, None));
    }
    let server = routed.server();
    // Both of one moment.
    let now = || {
        let snapshot = gateway.catalogues.snapshot(server);
        (routed.route.standing(name, snapshot.standing(name)), snapshot.schema(name))
    };
    let found = now();
    let is_known = found.0 != ToolStanding::Unknown;
    if is_known && gateway.catalogues.was_listed(server) {
        return Ok(found);
    }
    // Boxed: seldom, and a call need not have the room.
    Box::pin(list_again(gateway, routed, is_known)).await;
    let snapshot = gateway.catalogues.snapshot(server);
    if snapshot.is_empty() && !gateway.catalogues.was_listed(server) {
        return Err(CallFault::Unlisted);
    }
    Ok(now())
}

async fn list_again(gateway: &Arc<Gateway>, routed: &Routed, is_known: bool) {
    let (catalogues, upstreams, server) = (&gateway.catalogues, &gateway.upstreams, routed.server());
    let refreshed = if is_known {
        catalogues.refresh_unless_busy(upstreams, server, routed.now).await
    } else {
        catalogues.refresh(upstreams, server, routed.now).await.map(drop)
    };
    if let Err(error) = refreshed {
        tracing::warn!(%server, %error, "the upstream's tools could not be listed");
    }
}

fn prompt(member: &'static str, name: &str) -> Result<Target, CallFault> {
    check_name(name).map_err(|why| CallFault::Name { member, why })?;
    Ok(Target::Prompt { name: name.to_owned() })
}

fn not_canonical(member: &'static str) -> impl Fn(NotCanonical) -> CallFault {
    move |refused| CallFault::ResourceUri { member, refused }
}

/// What opening the standing stream asks (`GET`; 2025-06-18 and 2025-11-25).
pub(crate) async fn read_stream(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Asked, CallError> {
    const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
    let session = initialize::session_without_body(gateway, routed, caller, headers, &view(headers)).await?;
    if !accepts(headers, "text/event-stream") {
        return Err(CallFault::Accept.into());
    }
    // Where a stream is resumed, the old one may not be known to have broken yet.
    // An id that was not given to this session resumes nothing: it could be another caller's (PX-20).
    let last_event_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let last_event_id = last_event_id.filter(|id| session.gave_event(id)).map(str::to_owned);
    let place = match &last_event_id {
        Some(_) => None,
        None => Some(session.take_standing().ok_or(CallFault::StreamTaken)?),
    };
    let call = Call { source: routed.source, ..Call::bare(routed.server().clone(), STREAM_METHOD, Target::Server) };
    Ok(Asked {
        call: Arc::new(call),
        revision: session.revision,
        session: Some(session),
        brought: None,
        open: None,
        form: Form::Stream { last_event_id, place },
    })
}

/// Ends the session that a `DELETE` names.
pub(crate) async fn end_session(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Response, CallError> {
    let session = initialize::session_without_body(gateway, routed, caller, headers, &view(headers)).await?;
    initialize::end(gateway, &session).await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

#[cfg(test)]
mod tests;
