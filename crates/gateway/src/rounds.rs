//! Calls of several rounds (2026-07-28, `input_required`): what a client brings back with the next one.
//!
//! `requestState` is always ours. It is sealed for the caller, the server and the very call, so it is useless to
//! anybody else and for another call (RS-50, PX-24). It says one of four things: that a person was asked to approve
//! the call, or to link an account; that this
//! call was permitted and paid for before and its upstream asked something back, which is valid once; or that the
//! upstream of a call for which nothing is taken asked something back. The last one holds the upstream's own state. An
//! upstream may treat its state as proof of who is asking, so it only goes back with the call and the caller that it
//! was given to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sekisho_protocol::caller::{Basis, Caller, Granted};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{after, random};
use sekisho_protocol::ids::{ApprovalId, GrantId};
use sekisho_protocol::mcp::message::{Message, Params};
use sekisho_protocol::mcp::splice::{self, SpliceError};
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::refusal::RemedyKind;
use sekisho_store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Gateway;
use crate::call::CallFault;
use crate::route::Routed;
use crate::shares::Network;

/// How often one call is answered by the question to its user. `@modelcontextprotocol/client` 2.4.0 and Python `mcp`
/// 2.3.0 give a call up after ten rounds, with an error of their own and without the link. So the last answer before
/// that is a result that holds the link.
pub(crate) const QUESTIONS_MAX: u8 = 8;

/// The prefix of every `requestState` of ours; an upstream's own state does not have it.
const MARK: &str = "sekisho1.";
/// How long a client may take for its next round, in seconds.
const ROUND_SECONDS: u32 = 600;
/// The key of our question for an approval in `inputRequests`.
const APPROVAL_QUESTION: &str = "sekisho_approval";
/// The key of our question for a linked account in `inputRequests`.
const ACCOUNT_QUESTION: &str = "sekisho_account";

/// Returns the key of the question that leads to this way out.
pub(crate) fn question_key(remedy: RemedyKind) -> &'static str {
    match remedy {
        RemedyKind::LinkAccount => ACCOUNT_QUESTION,
        RemedyKind::Approve
        | RemedyKind::AskAccess
        | RemedyKind::LetIn
        | RemedyKind::None
        | RemedyKind::StepUp
        | RemedyKind::Wait
        | RemedyKind::WidenTask => APPROVAL_QUESTION,
    }
}

/// The content of a sealed state.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The digest of the call, the same as approvals use.
    call: Digest,
    /// When the state expires, in milliseconds since 1970.
    ends: i64,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Account {
        asked: u8,
    },
    /// `asked`: how often the client was asked with this state or one before it.
    Approval {
        approval: ApprovalId,
        asked: u8,
    },
    Round {
        round: Digest,
        upstream: Option<String>,
    },
    Upstream(String),
}

/// What a client brings back with the next round of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// The answer to our question for a linked account; see `Answer`.
    Account { asked: u8, declined: bool },
    /// The answer to our question. A person was asked `asked` times; `declined` means that the client says its user
    /// would not look.
    Answer { approval: ApprovalId, asked: u8, declined: bool },
    /// Goes on with a call that was paid for.
    Round(Digest),
}

/// Returns for whom a state is sealed. Of anonymous callers only the network is known.
fn about(caller: &Caller, routed: &Routed) -> [String; 5] {
    let (subject, server) = (caller.subject().to_string(), routed.server().to_string());
    match &caller.basis {
        Basis::Grant(Granted { client, grant, .. }) => {
            [subject, client.as_str().to_owned(), grant.to_string(), server, String::new()]
        }
        Basis::Open => [subject, String::new(), String::new(), server, Network::of(routed.source).to_string()],
    }
}

fn seal(gateway: &Gateway, caller: &Caller, routed: &Routed, state: &State) -> Result<String, StoreError> {
    let about = about(caller, routed);
    // A digest, a number and identifiers always serialise, so the default is never taken.
    let plain = serde_json::to_vec(state).unwrap_or_default();
    let sealed = gateway.store.seal_state(&about.each_ref().map(String::as_str), &plain)?;
    Ok(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(sealed)))
}

/// Returns the state with which a client comes back when a person was asked, for the `asked`-th time with this one:
/// for this approval, or to link an account.
pub(crate) fn asked(
    gateway: &Gateway,
    caller: &Caller,
    routed: &Routed,
    (call, approval): (Digest, Option<ApprovalId>),
    asked: u8,
) -> Result<String, StoreError> {
    let ends = after(routed.now, ROUND_SECONDS).as_millisecond();
    let what = match approval {
        Some(approval) => What::Approval { approval, asked },
        None => What::Account { asked },
    };
    seal(gateway, caller, routed, &State { call, ends, what })
}

/// How often a person was asked before, by what the client brings back.
pub(crate) fn asked_before(brought: Option<Brought>) -> u8 {
    match brought {
        Some(Brought::Account { asked, .. } | Brought::Answer { asked, .. }) => asked,
        Some(Brought::Round(_)) | None => 0,
    }
}

/// Returns the state with which a call goes on whose upstream asked something back, in place of the upstream's own.
/// `paid` is the grant for which something was taken, so that the next round does not take it again. `None`: there is
/// no state to come back with.
pub(crate) async fn wrap(
    gateway: &Gateway,
    caller: &Caller,
    routed: &Routed,
    (call, paid): (Digest, Option<GrantId>),
    upstream: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let now = gateway.clock.now();
    let ends = after(now, ROUND_SECONDS);
    let upstream = upstream.map(str::to_owned);
    let what = match (paid, upstream) {
        (Some(grant), upstream) => {
            let round = Digest::of(&random::<32>(gateway.entropy.as_ref()));
            let mut tx = gateway.store.begin().await?;
            tx.rounds().open(grant, &round, ends, now).await?;
            tx.commit().await?;
            What::Round { round, upstream }
        }
        (None, Some(upstream)) => What::Upstream(upstream),
        (None, None) => return Ok(None),
    };
    seal(gateway, caller, routed, &State { call, ends: ends.as_millisecond(), what }).map(Some)
}

/// Reads the state of a request, and returns what it says and the bytes that go on. A state that is not ours is
/// refused. `call` is the digest of the call that the request makes.
pub(crate) fn read(
    gateway: &Gateway,
    caller: &Caller,
    routed: &Routed,
    (body, params): (&Bytes, &Params<'_>),
    call: Digest,
) -> Result<(Option<Brought>, Bytes), CallFault> {
    let sealed = params.request_state.as_deref().and_then(|state| state.strip_prefix(MARK));
    let about = about(caller, routed);
    let opened = sealed.and_then(|sealed| URL_SAFE_NO_PAD.decode(sealed).ok());
    let opened =
        opened.and_then(|sealed| gateway.store.open_state(&about.each_ref().map(String::as_str), &sealed).ok());
    let state = opened.and_then(|plain| serde_json::from_slice::<State>(plain.expose()).ok());
    let state = state.filter(|state| state.call == call && routed.now.as_millisecond() < state.ends);
    let state = state.ok_or(CallFault::RequestState)?;
    let (brought, edited) = match state.what {
        What::Account { asked } => {
            let declined = params.input_responses.is_some_and(|responses| is_declined(responses, ACCOUNT_QUESTION));
            (Some(Brought::Account { asked, declined }), without_answer(body))
        }
        What::Approval { approval, asked } => {
            let declined = params.input_responses.is_some_and(|responses| is_declined(responses, APPROVAL_QUESTION));
            (Some(Brought::Answer { approval, asked, declined }), without_answer(body))
        }
        // Without a state or input responses for its upstream, this would be the same call once more, for nothing.
        What::Round { upstream: None, .. } if params.input_responses.is_none() => return Err(CallFault::RequestState),
        What::Round { round, upstream } => {
            let edited = match &upstream {
                Some(state) => splice::set_param(body, "requestState", state),
                None => splice::remove_param(body, "requestState"),
            };
            (Some(Brought::Round(round)), edited)
        }
        What::Upstream(state) => (None, splice::set_param(body, "requestState", &state)),
    };
    Ok((brought, checked(edited, params)?))
}

/// Removes our own question and its answer: the upstream asked nothing.
fn without_answer(body: &Bytes) -> Result<Vec<u8>, SpliceError> {
    splice::remove_param(body, "requestState").and_then(|edited| splice::remove_param(&edited, "inputResponses"))
}

/// Reads an edited message again, as strictly as what came in: it must still make the same call.
fn checked(edited: Result<Vec<u8>, SpliceError>, before: &Params<'_>) -> Result<Bytes, CallFault> {
    let edited = Bytes::from(edited.map_err(|_| CallFault::RequestState)?);
    let message = Message::read(&edited, &Limits::default())?;
    let text = |params: &Params<'_>| params.arguments.map(ToOwned::to_owned);
    let same = message
        .params()
        .is_some_and(|after| after.name == before.name && after.uri == before.uri && text(after) == text(before));
    drop(message);
    if same { Ok(edited) } else { Err(CallFault::RequestState) }
}

/// Whether the client says that its user would not open the page (2026-07-28 Elicitation, Response Actions). An
/// unreadable response does not count as that: the store knows whether there is an approval.
fn is_declined(responses: &str, question: &str) -> bool {
    let responses: Value = serde_json::from_str(responses).unwrap_or_default();
    let action = responses.get(question).and_then(|answer| answer.get("action")).and_then(Value::as_str);
    matches!(action, Some("decline" | "cancel"))
}
