//! One request, from its token to its record. [`pass`] reads like the table of the house style: all branching is here,
//! and the steps only compute.
//!
//! The order has reasons: who calls is known before anything is read, what is asked before it is judged, the record is
//! written before the effect, and the authority is checked again after everything that could take long.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use sekisho_policy::model::Target;
use sekisho_policy::permit::Permit;
use sekisho_protocol::audit::OutcomeResult;
use sekisho_protocol::caller::{Basis, Caller, IssuedBy, Recognition};
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::mcp::method::Method as McpMethod;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{STEP_UP_SECONDS, StoreError};
use tokio::time::Instant;

use crate::Gateway;
use crate::account::{self, First};
use crate::answer::{self, Passage};
use crate::approval;
use crate::audit::{JournalError, OutcomeEntry, decision, rejection};
use crate::authenticate::{AuthenticateError, Authenticated, Proof};
use crate::authorize::{Allowed, AskedFor, Denied, Told, authorize};
use crate::call::{self, CallFault, CallRequest, Form, Posted};
use crate::cors;
use crate::credential::{self, Credential, NoCredential};
use crate::era::{self, initialize};
use crate::error;
use crate::fault::{Fault, Refused};
use crate::filter::{Filter, Judged, Question, StreamKind};
use crate::forward::{Answer, AnswerBody, ForwardError, Outgoing};
use crate::listen;
use crate::memory::instead_of;
use crate::refusal::RefusalWord;
use crate::rounds::Brought;
use crate::route::{self, Arrival, RouteError, Routed};
use crate::settle::{Paid, SettleError, Settled, settle};
use crate::telling::told;
use crate::watchdog::{End, Span};

/// The most characters of the detail in the record of a rejection.
const DETAIL_CHARACTERS_MAX: usize = 200;
/// If a token lasts longer than this after a refusal, in seconds, its client does not refresh it because of its end.
const LONGER_THAN_SECONDS: u32 = 3 * STEP_UP_SECONDS;
/// The methods that exist at `/mcp/{name}`, over all revisions.
const ALLOW: &str = "GET, POST, DELETE";

/// Answers every request to `/mcp/{name}`.
pub(crate) async fn serve(gateway: &Arc<Gateway>, request: Request, arrival: Arrival) -> Response {
    let now = gateway.clock.now();
    let Arrival { request: id, source, recognition } = arrival;
    let (route, origin) = match screen(gateway, &request) {
        Ok(screened) => screened,
        Err(error) => {
            let (response, word) = error::unrouted(error);
            let record = rejection(now, id, None, response.status().as_u16(), word.as_str(), String::new());
            reject(gateway, word, source, record);
            return response;
        }
    };
    if request.method() == Method::OPTIONS {
        return cors::preflight(origin.as_ref(), request.headers());
    }
    let routed = Routed { route, request: id, now, started: Instant::now(), source };
    let mut response = match pass(gateway, &routed, &recognition, request).await {
        Ok(response) => response,
        Err(refused) => refuse(gateway, &routed, &refused),
    };
    if let Some(origin) = origin {
        cors::allow(&mut response, origin);
    }
    response
}

/// Steps 1 and 2: checks the host, the origin and the server of a request.
fn screen(gateway: &Gateway, request: &Request) -> Result<(Arc<route::Route>, Option<HeaderValue>), RouteError> {
    route::check_host(&gateway.settings, request.uri(), request.headers())?;
    let origin = route::check_origin(&gateway.settings, request.headers())?.cloned();
    let routes = gateway.routes.borrow();
    Ok((route::find(&routes, request.uri().path())?, origin))
}

/// Takes one request through all steps (house style §3). Every refusal is returned from here.
async fn pass(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    recognition: &Recognition,
    request: Request,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let headers = &head.headers;

    // 3 authenticate
    let keys = gateway.keys.borrow().clone();
    let who = gateway.authenticator.authenticate(&keys, routed, headers).await;
    let who = who.map_err(|error| unauthenticated(gateway, routed, &head.uri, headers, error))?;
    let caller = &who.caller;
    recognize(caller, recognition);
    gateway.rates.take(caller, routed.source)?;

    // 4 call
    let mut asked = match head.method {
        Method::POST => posted(gateway, routed, caller, headers, body).await?,
        // Boxed, like every rare branch, so that it does not enlarge the future of every call.
        Method::GET => Box::pin(call::read_stream(gateway, routed, caller, headers)).await?,
        Method::DELETE => return Ok(Box::pin(call::end_session(gateway, routed, caller, headers)).await?),
        _ => return Err(CallFault::MethodNotAllowed { allow: ALLOW }.into()),
    };

    // 5 authorize
    let rights = gateway.rights.borrow().clone();
    let (permit, ask) = match authorize(&rights, caller, &who.authority, &asked.call, routed.now) {
        Ok(Allowed::Permit(permit)) => (permit, None),
        Ok(Allowed::Ask(ask)) => approval::part(*ask, &who.authority),
        Err(denied) => return Err(Box::pin(deny(gateway, routed, caller, &asked, denied)).await),
    };

    if asked.row().is_some_and(|row| row.method == McpMethod::SubscriptionsListen) {
        listen::narrow(gateway, routed, &who, &rights, &mut asked)?;
    }

    let ask = match asked.brought {
        None => ask,
        Some(brought) => match Box::pin(unless_declined(gateway, routed, caller, ask, brought)).await? {
            Ok(ask) => ask,
            Err(denied) => return Err(Box::pin(deny(gateway, routed, caller, &asked, denied)).await),
        },
    };

    // 6 credential
    let shown = match show(gateway, routed, &asked, &permit, head.headers).await? {
        Ok(shown) => shown,
        Err(denied) => return Err(Box::pin(deny(gateway, routed, caller, &asked, denied)).await),
    };

    // 7 settle
    let refused = |fault: Fault, asked: &CallRequest| Refused::new(asked.id(), fault);
    let span = if era::is_standing(&asked) { Span::Standing } else { Span::Answer };
    if gateway.settings.limits.memory.is_tight() {
        return Err(refused(ForwardError::NoRoom { sent: false }.into(), &asked));
    }
    let watch = gateway.watchdog.open(caller, routed.source, routed.server(), span);
    let watch = watch.map_err(|error| refused(error.into(), &asked))?;
    stands(gateway, &who, routed.now).await.map_err(|error| refused(error.into(), &asked))?;
    let paid_by = caller.grant().filter(|_| permit.owes().takes());
    let Settled { cleared, paid, place: kept } = match settle(&gateway.journal, routed, permit).await {
        Ok(settled) => settled,
        Err(error) => return Err(Box::pin(unsettled(gateway, routed, &who, &asked, Unpaid { error, ask })).await),
    };
    let outcome =
        OutcomeEntry::new(kept, routed.request, routed.server().clone(), Arc::clone(&gateway.clock), routed.started);

    // 8 forward
    let answer = tokio::select! {
        biased;
        end = watch.ended() => Err(Fault::Ended(end)),
        answer = era::forward(gateway, routed, &asked, cleared, shown) => answer.map_err(Fault::Forward),
    };
    if let Err(Fault::Forward(error)) = &answer
        && !error.sent()
    {
        // Boxed so that this rare branch does not enlarge the future of every call.
        Box::pin(give_back(gateway, routed, paid)).await;
    }

    let answer = answer.map_err(|fault| account::refused(gateway, routed, caller, &asked, fault, told));

    // 9 filter, 10 audit
    let place = asked.take_place();
    let ends_at = (span == Span::Standing).then(|| expiry(caller, routed.now)).flatten();
    let filter = filter(gateway, routed, &who, &asked, paid_by);
    let passage = Passage { filter, watch, outcome, ends_at, _place: place };
    conclude(gateway, &asked, answer, passage).await
}

/// Step 4 for a message that a client posts. A call that waited for its user to link an account is read anew.
async fn posted(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<CallRequest, Refused> {
    call::admit(headers)?;
    let limits = &gateway.settings.limits;
    let room = limits.memory.room(caller, routed.server());
    let body = call::read_body(headers, body, limits.body_bytes_max, limits.body_timeout, room).await?;
    let asked = call::read(gateway, routed, caller, headers, body.clone()).await?;
    match account::first(gateway, routed, caller, &asked).await {
        First::Judge => Ok(asked),
        First::Read => {
            // Its place among the open requests of its session is taken anew.
            drop(asked);
            Ok(call::read(gateway, routed, caller, headers, body).await?)
        }
        First::Refuse(denied) => Err(Box::pin(deny(gateway, routed, caller, &asked, denied)).await),
    }
}

/// Returns the error for a request that was not authenticated. A client without a token is about to begin a login. At
/// another name of ours it would be told the right one, see that this is not the one it asked for, and stop with an
/// error of its own.
fn unauthenticated(
    gateway: &Gateway,
    routed: &Routed,
    uri: &Uri,
    headers: &HeaderMap,
    error: AuthenticateError,
) -> Fault {
    let is_missing = matches!(error, AuthenticateError::Missing);
    if is_missing && route::is_other_name(&gateway.settings, uri, headers) {
        return Fault::OtherName { url: routed.card().resource.as_str().to_owned() };
    }
    error.into()
}

/// Returns what the upstream is shown with this call: the headers of the caller that go on, and the credential. Or why
/// the call is refused until its user has done something.
async fn show(
    gateway: &Gateway,
    routed: &Routed,
    asked: &CallRequest,
    permit: &Permit,
    headers: HeaderMap,
) -> Result<Result<(HeaderMap, Credential), Box<Denied>>, Refused> {
    let source = routed.route.upstream.source();
    // What the checkpoint answers itself needs no account.
    let is_ours = matches!(permit.call().target, Target::Checkpoint { .. });
    let obtained = match is_ours && source.is_of_the_person() {
        true => Ok(Credential::None),
        false => Credential::obtain(permit, source, &gateway.accounts, routed.card(), routed.now).await,
    };
    match obtained {
        Ok(credential) => Ok(Ok((credential::outbound(permit, headers, asked.near.0.era()), credential))),
        Err(NoCredential::Failed(error)) => Err(Refused::new(asked.id(), ForwardError::from(error))),
        Err(NoCredential::Person(need)) => Ok(Err(account::denied(routed, permit, asked, need))),
    }
}

/// Tells the listener that a valid token was shown.
fn recognize(caller: &Caller, recognition: &Recognition) {
    match &caller.basis {
        Basis::Grant(_) => recognition.recognize(),
        Basis::Open => {}
    }
}

/// Checks that the authority still holds, now that its end would be noticed.
async fn stands(gateway: &Gateway, who: &Authenticated, now: Timestamp) -> Result<(), AuthenticateError> {
    match &who.proof {
        Proof::Grant(grant, snapshot) => gateway.authenticator.grants().still_stands(*grant, snapshot, now).await,
        Proof::Open => Ok(()),
    }
}

/// Returns the question to a person, unless the client comes back from it and the answer was no.
async fn unless_declined(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    ask: Option<AskedFor>,
    brought: Brought,
) -> Result<Result<Option<AskedFor>, Box<Denied>>, JournalError> {
    let (ask, approval, declined) = match (ask, brought) {
        (Some(ask), Brought::Answer { approval, declined, .. }) => (ask, approval, declined),
        (ask, Brought::Account { .. } | Brought::Answer { .. } | Brought::Round(_)) => return Ok(Ok(ask)),
    };
    let is_declined = if declined {
        approval::decline(gateway, routed, caller, approval).await?;
        true
    } else {
        approval::wait(gateway, caller, approval).await?
    };
    Ok(if is_declined { Err(Box::new(Denied::Declined(ask))) } else { Ok(Some(ask)) })
}

/// Records a refused call, in the same way as a permitted one.
async fn deny(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    asked: &CallRequest,
    denied: Box<Denied>,
) -> Refused {
    let told = told(gateway, routed, caller, asked, &denied);
    let record = decision(routed, caller, &asked.call, denied.judgement());
    match gateway.journal.write(record).await {
        Ok(()) => {
            // The page that the refusal links to is found by this record.
            if denied.is_askable() {
                gateway.journal.written().await;
            }
            if let (Denied::StepUp { step_up, .. }, Told::Error) = (&*denied, &told) {
                note_step_up(gateway, routed, caller, &step_up.scopes).await;
            }
            Refused::new(asked.id(), Fault::Denied { denied, told })
        }
        Err(error) => Refused::new(asked.id(), error),
    }
}

/// Lets the token endpoint answer the refresh that some clients make after this refusal (decision 0070). Not if the
/// token ends soon, because a client may then refresh for that reason.
async fn note_step_up(gateway: &Gateway, routed: &Routed, caller: &Caller, scopes: &ScopeSet) {
    let grant = match &caller.basis {
        Basis::Grant(granted) => match granted.issued_by {
            IssuedBy::Checkpoint if granted.expires > after(routed.now, LONGER_THAN_SECONDS) => granted.grant,
            // An external authorization server answers the refresh itself.
            IssuedBy::Checkpoint | IssuedBy::External(_) => return,
        },
        Basis::Open => return,
    };
    let noted = async {
        let mut tx = gateway.store.begin().await?;
        tx.grants().note_step_up(grant, scopes, routed.now).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        // The refusal is sent all the same; without the note, such a client is refused once more after its refresh.
        tracing::warn!(request = %routed.request, %error, "a step-up could not be noted");
    }
}

/// Why a permit could not be paid for, and the question to a person, if a rule wants one.
struct Unpaid {
    error: SettleError,
    ask: Option<AskedFor>,
}

/// Handles a permit that could not be paid for: its task was spent or ended meanwhile, a person has to be asked, or the
/// record cannot be written.
async fn unsettled(
    gateway: &Gateway,
    routed: &Routed,
    who: &Authenticated,
    asked: &CallRequest,
    Unpaid { error, ask }: Unpaid,
) -> Refused {
    let (caller, authority) = (&who.caller, &who.authority);
    let denied = match (error, ask) {
        (SettleError::Journal(error), _) => return Refused::new(asked.id(), error),
        (SettleError::Over(task), _) => Denied::by_task(authority, task, true),
        (SettleError::Spent(task), _) => Denied::by_task(authority, task, false),
        (SettleError::Unapproved, Some(ask)) => match &caller.basis {
            Basis::Grant(granted) => match Box::pin(approval::ask(gateway, routed, granted, &asked.call, ask)).await {
                Ok(denied) => denied,
                Err(JournalError::Store(StoreError::Full { .. })) => return Refused::new(asked.id(), Fault::Full),
                Err(error) => return Refused::new(asked.id(), error),
            },
            Basis::Open => Denied::ApprovalAnonymous(ask),
        },
        (SettleError::Round, _) => return Refused::new(asked.id(), CallFault::RequestState),
        // An approval is only owed if a rule wants one, so this does not happen.
        (SettleError::Unapproved, None) => return Refused::new(asked.id(), Fault::Ended(End::Revoked)),
    };
    deny(gateway, routed, caller, asked, Box::new(denied)).await
}

/// Gives back what was taken for a call of which nothing was sent.
async fn give_back(gateway: &Gateway, routed: &Routed, paid: Paid) {
    if let Err(error) = paid.give_back(&gateway.journal, routed.now).await {
        tracing::error!(request = %routed.request, %error, "what was taken for a call that was not sent stays taken");
    }
}

/// Returns the filter that judges the answer on its way.
fn filter(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    who: &Authenticated,
    asked: &CallRequest,
    paid_by: Option<GrantId>,
) -> Filter {
    let question = match &asked.form {
        Form::Message(Posted {
            body,
            kind: Outgoing::Request { id, progress_token, .. },
            row: Some(row),
            logs,
            ..
        }) => Some(Question { id: id.clone(), row, progress: progress_token.clone(), logs: *logs, body: body.clone() }),
        Form::Message(_) | Form::Stream { .. } => None,
    };
    let wish = match &asked.form {
        Form::Message(posted) => posted.wish.clone().unwrap_or_default(),
        Form::Stream { .. } => call::Wish::default(),
    };
    let stream = match question {
        Some(question) if question.row.method == McpMethod::SubscriptionsListen => {
            StreamKind::Listen { question, wish, heard: None }
        }
        Some(question) => StreamKind::Answer(question),
        None => StreamKind::Standing,
    };
    Filter {
        gateway: Arc::clone(gateway),
        routed: routed.clone(),
        caller: Arc::clone(&who.caller),
        authority: who.authority.clone(),
        near: asked.near,
        far: asked.far,
        session: asked.session.clone(),
        call: Arc::clone(&asked.call),
        paid_by,
        stream,
    }
}

/// Returns when a standing stream ends with its token. An anonymous caller has no token.
fn expiry(caller: &Caller, now: Timestamp) -> Option<Instant> {
    let expires = match &caller.basis {
        Basis::Grant(granted) => granted.expires,
        Basis::Open => return None,
    };
    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    Instant::now().checked_add(left)
}

/// Returns the response to a forwarded request.
async fn conclude(
    gateway: &Arc<Gateway>,
    asked: &CallRequest,
    answer: Result<Answer, Fault>,
    mut passage: Passage,
) -> Result<Response, Refused> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => return Err(failed(gateway, asked, passage, fault)),
    };
    if asked.row().is_some_and(|row| row.method == McpMethod::Initialize) {
        // Boxed so that a handshake, which happens once in a session, does not enlarge the future of every call.
        return Box::pin(handshake(gateway, asked, answer, passage)).await;
    }
    match answer.body {
        AnswerBody::Accepted if asked.id().is_none() => Ok(answer::accepted(passage.outcome)),
        AnswerBody::Events(events) => Ok(answer::streamed(events, passage)),
        AnswerBody::Json(source) => match passage.filter.judge(source.clone()).await {
            Judged::Answer { data, error } => {
                // What is made from the answer keeps the memory that the answer was charged.
                let data = instead_of(source, data);
                let result = if error { OutcomeResult::Error } else { OutcomeResult::Answered };
                Ok(answer::whole(relayed(answer.status), data, passage.outcome, result))
            }
            Judged::Broken(reason) | Judged::Drop(reason) => Err(failed(gateway, asked, passage, malformed(reason))),
            Judged::Full => Err(failed(gateway, asked, passage, Fault::RoundsFull)),
            Judged::Pass(_) => Err(failed(gateway, asked, passage, malformed("an answer to another request"))),
        },
        AnswerBody::Accepted => {
            Err(failed(gateway, asked, passage, malformed("the upstream took a request for a notification")))
        }
        AnswerBody::Refused { status } => {
            let reason = format!("the upstream answered with {status} and no message");
            Err(failed(gateway, asked, passage, malformed(&reason)))
        }
    }
}

/// Returns the answer to `initialize`, and opens its session.
async fn handshake(
    gateway: &Arc<Gateway>,
    asked: &CallRequest,
    answer: Answer,
    passage: Passage,
) -> Result<Response, Refused> {
    let Some(id) = asked.id() else { return Err(failed(gateway, asked, passage, malformed("no id"))) };
    let status = relayed(answer.status);
    let completed = tokio::select! {
        biased;
        end = passage.watch.ended() => Err(Fault::Ended(end)),
        completed = initialize::complete(gateway, &passage.filter.routed, &passage.filter.caller, asked, id, answer) => completed.map_err(Fault::Forward),
    };
    let handshake = match completed {
        Ok(handshake) => handshake,
        Err(fault) => return Err(failed(gateway, asked, passage, fault)),
    };
    let result = if handshake.session.is_some() { OutcomeResult::Answered } else { OutcomeResult::Error };
    let mut response = answer::whole(status, handshake.message, passage.outcome, result);
    if let Some(session) = handshake.session {
        response.headers_mut().insert(initialize::SESSION_ID, session);
    }
    Ok(response)
}

fn malformed(reason: &str) -> Fault {
    Fault::Forward(ForwardError::Malformed { reason: reason.to_owned() })
}

/// Handles a forwarded request that failed: sets the outcome, and ends a session here that ended at the upstream.
fn failed(gateway: &Gateway, asked: &CallRequest, mut passage: Passage, fault: Fault) -> Refused {
    let refused = Refused::new(asked.id(), fault);
    let (response, _) = error::response(&passage.filter.routed, &gateway.settings, &refused);
    passage.outcome.status = response.status().as_u16();
    passage.outcome.result = match &refused.fault {
        Fault::Ended(end) => end.outcome(),
        _ => OutcomeResult::UpstreamFailed,
    };
    if let Some(session) = &asked.session {
        // This error is the answer to the request, so the request is no longer open in its session.
        if let Some(id) = asked.id() {
            session.answered(id);
        }
        if let Fault::Forward(ForwardError::SessionGone) = &refused.fault {
            gateway.sessions.end(session);
        }
    }
    refused
}

/// Returns the status that a client sees for an upstream's status: only what concerns its own request.
fn relayed(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => status,
        other if other.is_client_error() => StatusCode::BAD_REQUEST,
        other if other.is_server_error() => StatusCode::BAD_GATEWAY,
        _ => StatusCode::OK,
    }
}

/// Returns the response to a refused request, and puts the refusal into log and records.
fn refuse(gateway: &Gateway, routed: &Routed, refused: &Refused) -> Response {
    let (response, word) = error::response(routed, &gateway.settings, refused);
    let status = response.status().as_u16();
    let server = routed.server();
    let detail = match &refused.fault {
        // Its decision or its outcome is on record already.
        Fault::Denied { .. } | Fault::Ended(_) => return response,
        // These are usual for clients that only try.
        Fault::Forward(error @ (ForwardError::MethodNotAllowed | ForwardError::SessionGone)) => {
            tracing::debug!(%server, request = %routed.request, word = word.as_str(), "{error}");
            return response;
        }
        Fault::Forward(error) => {
            tracing::warn!(%server, request = %routed.request, word = word.as_str(), "{error}");
            return response;
        }
        Fault::Call(CallFault::Upstream(error)) => {
            tracing::warn!(%server, request = %routed.request, word = word.as_str(), "{error}");
            String::new()
        }
        Fault::Authenticate(crate::authenticate::AuthenticateError::Unavailable(Some(error))) => {
            tracing::error!(%server, request = %routed.request, "{error}");
            String::new()
        }
        Fault::Journal(error) => {
            tracing::error!(%server, request = %routed.request, "{error}");
            return response;
        }
        fault => fault.to_string().chars().take(DETAIL_CHARACTERS_MAX).collect(),
    };
    let record = rejection(routed.now, routed.request, Some(server.clone()), status, word.as_str(), detail);
    reject(gateway, word, routed.source, record);
    response
}

/// Records a rejection: on its own, or in a sum with others of its kind from its address (ATK-172).
fn reject(
    gateway: &Gateway,
    word: RefusalWord,
    source: Option<std::net::IpAddr>,
    record: sekisho_protocol::audit::Record,
) {
    if gateway.refusals.admit(word.as_str(), source) && !gateway.journal.note(record) {
        gateway.refusals.count(word.as_str(), source);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::relayed;

    /// PX-13, ATK-79: an upstream's 401 or 403 never looks like one of ours.
    #[test]
    fn an_upstreams_status_says_nothing_about_our_authorization() {
        for (status, seen) in [
            (200, 200),
            (202, 200),
            (400, 400),
            (404, 404),
            (401, 400),
            (403, 400),
            (407, 400),
            (421, 400),
            (500, 502),
            (301, 200),
        ] {
            assert_eq!(relayed(StatusCode::from_u16(status).unwrap()).as_u16(), seen, "{status}");
        }
    }
}
