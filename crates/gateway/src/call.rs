//! Step 4: reads the call. The body is read once, strictly, and the headers have to agree with it. The method table
//! says what the method touches, and the catalogue what is known of that.

mod fault;
mod request;

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
use sekisho_policy::model::{Call, Target, ToolState};
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::canonical;
use sekisho_protocol::mcp::headers::{HeaderError, HeaderView, agree};
use sekisho_protocol::mcp::message::{CompletionReference, Kind, Message};
use sekisho_protocol::mcp::method::{Direction, Era, Method, MethodRow, Need, Revision};
use sekisho_protocol::mcp::mirror::params_agree;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::text::check_name;
use sekisho_protocol::uri::{NotCanonical, ResourceUri};

use crate::Gateway;
use crate::asking;
use crate::body::{Growth, Unread, whole};
use crate::era::{initialize, stateless};
use crate::forward::Outgoing;
use crate::memory::Room;
use crate::own;
use crate::revision::{FarRevision, NearRevision};
use crate::rounds::{self, Brought};
use crate::route::{KeepArguments, Routed};
use crate::session::{OpenRequest, Owner, Session};

pub(crate) use fault::{CallError, CallFault};
pub(crate) use request::{CallRequest, Form, Posted, Wish};

/// The method that records show for the answers of a client, which have none.
pub(crate) const ANSWER_METHOD: &str = "(answer)";
/// The method that records show for the standing stream of the older revisions.
pub(crate) const STREAM_METHOD: &str = "(stream)";

/// Checks the headers that a POST must have before its body is read (TR-07, ATK-68).
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
    // The form in which nearly every client writes it.
    let is_usual = headers.get(ACCEPT).is_some_and(|value| value == "application/json, text/event-stream");
    if is_usual || (accepts(headers, "application/json") && accepts(headers, "text/event-stream")) {
        Ok(())
    } else {
        Err(CallFault::Accept)
    }
}

/// Whether `Accept` names a type or a range that includes it, with a weight above 0 (RFC 9110 §12.5.1). An absent
/// header is not enough: a client has to list what it takes.
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

/// Reads the whole body or nothing: never a prefix of it (ATK-68), and never for longer than the timeout (ATK-91).
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    limit: Duration,
    room: Room,
) -> Result<Bytes, CallFault> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > max as u64) {
        return Err(CallFault::TooLarge { max });
    }
    let mut reading = pin!(whole(body, max, Some((room, Growth::AsItComes))));
    // Most bodies came with the headers, so usually nothing has to be waited for.
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
) -> Result<CallRequest, CallError> {
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
) -> Result<CallRequest, CallFault> {
    let view = view(headers);
    let offered = initialize::offered(gateway, routed, caller, headers);
    let agreed = agree(&view, message, offered.revision());
    let spoken = asking::spoken(gateway, routed, caller).await?;
    let revision = match agreed {
        Err(HeaderError::Unsupported { requested }) => return Err(unsupported(requested, message, &spoken.revisions)),
        agreed => agreed?,
    };
    let row = message.row(revision, Direction::ClientToServer);
    let (session, edited) = match revision.era() {
        // The session headers of the older revisions mean nothing here (TR-39).
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
            target(gateway, routed, caller, Reading { message, row, view: &view }, &owner).await?
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
    let asks = |params| rounds::read(gateway, caller, routed, (body, params), approval_key(caller.principal(), &call));
    let (brought, without) = match message.params().filter(|params| params.request_state.is_some()) {
        None => (None, None),
        // An upstream may read a state anywhere in a message, so no state that is not ours goes on.
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
    let forwarded = match (revision.era(), &caller.basis) {
        (Era::Stateless, Basis::Open) => stateless::without_jobs(forwarded, message)?,
        (Era::Stateless, Basis::Grant(_)) | (Era::Initialize, _) => forwarded,
    };
    let (near, logs) = (NearRevision(revision), message.meta().is_some_and(|meta| meta.log_level.is_some()));
    let form = Form::Message(Posted { init, body: forwarded, kind, row, logs, wish });
    Ok(CallRequest { call: Arc::new(call), near, far: FarRevision::of(near), session, brought, open, form })
}

/// Returns what the message is, for forwarding.
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

/// Opens a request in its session; it is refused while another request has its id.
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

/// The error for a version that is not served here. The versions it names are of the era in which the client asked, if
/// the upstream speaks that era at all; `server/discover` names no others either (TR-14).
fn unsupported(requested: String, message: &Message<'_>, spoken: &[Revision]) -> CallFault {
    let stateless = message.meta().is_some_and(|meta| meta.protocol_version.is_some());
    let era = if stateless { Era::Stateless } else { Era::Initialize };
    let mut supported = spoken.to_vec();
    if spoken.iter().any(|revision| revision.era() == era) {
        supported.retain(|revision| revision.era() == era);
    }
    CallFault::Unsupported { requested, supported }
}

/// Returns the headers that have to agree with the body.
fn view(headers: &HeaderMap) -> HeaderView<'_> {
    HeaderView::read(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// A message as it was read: its row in the method table, and the headers that have to agree with it.
#[derive(Clone, Copy)]
struct Reading<'a> {
    message: &'a Message<'a>,
    row: &'a MethodRow,
    view: &'a HeaderView<'a>,
}

/// Returns what a method touches, by the table (ATK-70: the same decision for lists, calls, reads, completions,
/// subscriptions and jobs), and for a tool also the schema of its arguments.
async fn target(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    Reading { message, row, view }: Reading<'_>,
    owner: &(dyn Fn() -> Option<Owner> + Sync),
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
            let (standing, schema) = standing(gateway, routed, caller, name).await?;
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

/// Returns what the catalogue knows of a tool. For an unknown tool the upstream is asked once more before the call is
/// refused, and the first call of this process makes sure that the list is current. If no tool of the server is known
/// because no list could be had, the error says so: the refusal is not about the caller's rights.
async fn standing(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    name: &str,
) -> Result<(ToolState, Option<Arc<ToolSchema>>), CallFault> {
    // No caller may use an upstream's tool that has a name of ours, and a name with several spellings is no tool's. Both
    // are answered like an unknown name, so that nothing is learned from the difference (RS-36).
    if own::is_ours(&routed.route, name).is_some() || check_name(name).is_err() {
        return Ok((ToolState::Unknown, None));
    }
    let server = routed.server();
    // Takes both from the same snapshot.
    let now = || {
        let snapshot = gateway.catalogues.snapshot(server);
        (routed.route.standing(name, snapshot.standing(name)), snapshot.schema(name))
    };
    let found = now();
    let is_known = found.0 != ToolState::Unknown;
    if is_known && gateway.catalogues.was_listed(server) {
        return Ok(found);
    }
    // Boxed so that this rare branch does not enlarge the future of every call.
    Box::pin(list_again(gateway, routed, caller, is_known)).await;
    let snapshot = gateway.catalogues.snapshot(server);
    if snapshot.is_empty() && !gateway.catalogues.was_listed(server) {
        // The upstream tells its tools to people with accounts, and this caller is asked for one next.
        return match asking::need(gateway, routed, caller).await {
            Some(_) => Ok((ToolState::Unknown, None)),
            None => Err(CallFault::Unlisted),
        };
    }
    Ok(now())
}

async fn list_again(gateway: &Arc<Gateway>, routed: &Routed, caller: &Caller, is_known: bool) {
    let asking = asking::credential(gateway, routed, caller).await;
    // An upstream that knows people by their accounts is not asked without one: it would refuse, and that attempt would
    // count as the one that may be made for a while.
    if asking.is_none() && routed.route.upstream.source().is_of_the_person() {
        return;
    }
    let (catalogues, upstreams, mount) = (&gateway.catalogues, &gateway.upstreams, routed.route.mount(asking.as_ref()));
    let refreshed = if is_known {
        catalogues.refresh_unless_busy(upstreams, mount, routed.now).await
    } else {
        catalogues.refresh(upstreams, mount, routed.now).await.map(drop)
    };
    if let Err(error) = refreshed {
        let server = mount.server;
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

/// Reads a request to open the standing stream (`GET`; 2025-06-18 and 2025-11-25).
pub(crate) async fn read_stream(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<CallRequest, CallError> {
    const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
    let session = initialize::session_without_body(gateway, routed, caller, headers, &view(headers)).await?;
    if !accepts(headers, "text/event-stream") {
        return Err(CallFault::Accept.into());
    }
    // A stream that is resumed needs no place, because we may not know yet that the old one broke. An id that was not
    // given to this session resumes nothing: it could be another caller's (PX-20).
    let last_event_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let last_event_id = last_event_id.filter(|id| session.gave_event(id)).map(str::to_owned);
    let place = match &last_event_id {
        Some(_) => None,
        None => Some(session.take_standing().ok_or(CallFault::StreamTaken)?),
    };
    let call = Call { source: routed.source, ..Call::bare(routed.server().clone(), STREAM_METHOD, Target::Server) };
    Ok(CallRequest {
        call: Arc::new(call),
        near: session.near,
        far: FarRevision::of(session.near),
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
