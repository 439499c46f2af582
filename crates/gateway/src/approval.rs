//! A person's approval of one exact call: what the person is asked, and where.

use std::time::Duration;

use sekisho_acts::approval::{Answer, answer};
use sekisho_acts::{ActError, Performer};
use sekisho_policy::decide::Ask;
use sekisho_policy::model::{Authority, Call};
use sekisho_policy::permit::Permit;
use sekisho_protocol::audit::Actor;
use sekisho_protocol::caller::{Caller, Granted};
use sekisho_protocol::canonical;
use sekisho_protocol::ids::ApprovalId;
use sekisho_store::{APPROVAL_TEXT_BYTES_MAX, NewApproval, SecretBytes};
use tokio::time::Instant;

use crate::Gateway;
use crate::audit::JournalError;
use crate::authorize::{AskedFor, Denied};
use crate::route::Routed;

/// How long a person has to answer, and how long an approval is valid, in seconds.
const APPROVAL_SECONDS: u32 = 600;

/// Separates the permit, which is settled next, from what is needed to ask a person if nobody has approved the call.
pub(crate) fn part(ask: Ask, authority: &Authority) -> (Box<Permit>, Option<AskedFor>) {
    let asked = AskedFor::of(&ask, authority);
    (Box::new(ask.permit), Some(asked))
}

/// Asks the user, unless that was done already, and returns where the answer is given.
pub(crate) async fn ask(
    gateway: &Gateway,
    routed: &Routed,
    granted: &Granted,
    call: &Call,
    asked: AskedFor,
) -> Result<Denied, JournalError> {
    let open = gateway.store.read().await?.approvals().open_of(granted.grant, &asked.call, routed.now).await?;
    if let Some(open) = open {
        // Most clients that come back ask for a question that is there already. Reading it first keeps no writer
        // waiting.
        return Ok(Denied::Approval { ask: asked, approval: open.id });
    }
    // The person reads exactly the text that the digest is made from.
    let whole = canonical::arguments(call.arguments.as_deref());
    let (arguments, rest) = whole.split_at(whole.floor_char_boundary(APPROVAL_TEXT_BYTES_MAX));
    let left_out = rest.chars().count() as u64;
    let beside = canonical::beside(call.params.as_deref());
    if beside.as_ref().is_some_and(|text| text.len() > APPROVAL_TEXT_BYTES_MAX) {
        return Ok(Denied::TooLarge(asked));
    }
    let new = NewApproval {
        id: ApprovalId::generate(routed.now, gateway.entropy.as_ref()),
        digest: asked.call,
        subject: granted.subject.clone(),
        client: granted.client.clone(),
        grant: granted.grant,
        server: routed.server().clone(),
        tool: call.target.name().unwrap_or_default().chars().take(256).collect(),
        arguments: Some(SecretBytes::new(arguments.as_bytes().to_vec())),
        arguments_left_out: left_out,
        beside: beside.map(|text| SecretBytes::new(text.into_bytes())),
        task: asked.task,
        rule: asked.rule.to_string(),
        reason: asked.reason.clone(),
        request: routed.request,
        expires_at: sekisho_protocol::env::after(routed.now, APPROVAL_SECONDS),
    };
    let mut tx = gateway.journal.begin().await?;
    let open = tx.approvals().ask(&new, routed.now).await?;
    tx.commit().await?;
    Ok(Denied::Approval { ask: asked, approval: open.id })
}

/// How long a client that came back waits for a person who has not answered yet (product §4, Ask).
const WAIT: Duration = Duration::from_secs(20);
/// How long to wait before looking for the answer again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits for the person, for at most [`WAIT`]. Returns `true` if the person said no.
///
/// An approval is not used up here: settling does that, or finds that there is none.
pub(crate) async fn wait(gateway: &Gateway, caller: &Caller, approval: ApprovalId) -> Result<bool, JournalError> {
    let end = Instant::now() + WAIT;
    loop {
        let mut tx = gateway.store.read().await?;
        let found = tx.approvals().find(approval).await?;
        drop(tx);
        let found = found.filter(|approval| Some(approval.grant) == caller.grant());
        match found {
            Some(approval) if approval.approved == Some(false) => return Ok(true),
            Some(approval) if approval.is_open(gateway.clock.now()) && approval.approved.is_none() => {}
            _ => return Ok(false),
        }
        let next = Instant::now() + LOOK_EVERY;
        if next >= end {
            return Ok(false);
        }
        // A gateway that stops does not wait for a person.
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = gateway.stopped.cancelled() => return Ok(false),
        }
    }
}

/// Withdraws the question, because the client says that its user would not open the page.
pub(crate) async fn decline(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    approval: ApprovalId,
) -> Result<(), JournalError> {
    let by = Performer {
        actor: Actor::Agent,
        node: gateway.journal.node(),
        request: routed.request,
        now: routed.now,
        entropy: gateway.entropy.as_ref(),
    };
    let mut tx = gateway.journal.begin().await?;
    match answer(&mut tx, &by, caller.subject(), approval, Answer::Decline).await {
        Ok(_) => Ok(tx.commit().await?),
        // The question was answered before, or its grant has ended.
        Err(ActError::Store(error)) => Err(error.into()),
        Err(_) => Ok(()),
    }
}
