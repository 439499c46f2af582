//! Calls of several rounds (2026-07-28, `input_required`): what a client brings back with the next one.
//!
//! `requestState` is always ours: sealed for the caller, the server and the very call, so that nobody else, and no other
//! call, gets anything for it (RS-50, PX-24). It says one of three things: that a person was asked; that this call was
//! permitted and paid for before and its upstream asked something back, which is good once; or that the upstream of a
//! call for which nothing is taken asked something back, with the upstream's own state inside. An upstream may treat its
//! state as proof of who is asking, so it comes back only to the call and the caller that it was given to.

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
use sekisho_store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Gateway;
use crate::call::CallFault;
use crate::route::Routed;
use crate::shares::Network;

/// How often one call is answered by the question to its user. `@modelcontextprotocol/client` 2.4.0 and Python `mcp` 2.3.0
/// give a call up after ten rounds, with an error of their own and without the link; so the last answer is a result that
/// holds it.
pub(crate) const QUESTIONS_MAX: u8 = 8;

/// What every `requestState` of ours begins with; an upstream's own does not.
const MARK: &str = "sekisho1.";
/// How long a client may take for its next round, in seconds.
const ROUND_SECONDS: u32 = 600;
/// The key of our one question among `inputRequests`.
pub(crate) const QUESTION: &str = "sekisho_approval";

/// What is sealed.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The call: its digest, as approvals know it.
    call: Digest,
    /// When it comes too late, in milliseconds since 1970.
    ends: i64,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
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

/// What the next round of a call brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// The answer to our question: a person was asked, so often. `declined`: the client says that its user would not look.
    Answer { approval: ApprovalId, asked: u8, declined: bool },
    /// A call that was paid for goes on.
    Round(Digest),
}

/// For whom a state is sealed. Anonymous callers have nothing but the network that they call from.
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

/// The state with which a client comes back when a person was asked, `asked` times with this one.
pub(crate) fn asked(
    gateway: &Gateway,
    caller: &Caller,
    routed: &Routed,
    (call, approval): (Digest, ApprovalId),
    asked: u8,
) -> Result<String, StoreError> {
    let ends = after(routed.now, ROUND_SECONDS).as_millisecond();
    seal(gateway, caller, routed, &State { call, ends, what: What::Approval { approval, asked } })
}

/// The state with which a call goes on whose upstream asked something back, in place of the upstream's own. `paid`: the
/// grant for which something was taken, so that the next round does not take it again. `None`: there is nothing to come
/// back with.
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

/// Reads the state that a request brings, and gives what it says and the bytes that go on. What is not ours is refused.
/// `call` is the digest of the call that the request makes.
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
        What::Approval { approval, asked } => {
            let declined = params.input_responses.is_some_and(is_declined);
            let edited = splice::remove_param(body, "requestState")
                .and_then(|edited| splice::remove_param(&edited, "inputResponses"));
            (Some(Brought::Answer { approval, asked, declined }), edited)
        }
        // Without either, it would be the same call once more, for nothing.
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

/// What was edited, read again as strictly as what came in: it still makes the same call.
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

/// Whether the client says that its user would not open the page (2026-07-28 Elicitation, Response Actions). What cannot
/// be read is no refusal: whether there is an approval is asked of the store.
fn is_declined(responses: &str) -> bool {
    let responses: Value = serde_json::from_str(responses).unwrap_or_default();
    let action = responses.get(QUESTION).and_then(|answer| answer.get("action")).and_then(Value::as_str);
    matches!(action, Some("decline" | "cancel"))
}
