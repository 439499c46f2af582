//! A person's yes to one exact call: what is asked for, and where.

use std::time::Duration;

use sekisho_policy::decide::Ask;
use sekisho_policy::model::{Authority, Call};
use sekisho_policy::permit::Permit;
use sekisho_protocol::audit::{Authorization, AuthorizationAct, Event, Record};
use sekisho_protocol::caller::{Caller, Granted};
use sekisho_protocol::canonical;
use sekisho_protocol::ids::ApprovalId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{APPROVAL_TEXT_BYTES_MAX, NewApproval, SecretBytes};
use tokio::time::Instant;

use crate::Gateway;
use crate::audit::JournalError;
use crate::authorize::{AskedFor, Denied};
use crate::route::Routed;

/// How long a person has, in seconds; and how long a yes is good for.
const APPROVAL_SECONDS: u32 = 600;

/// The permit, which is settled next, and what is needed to ask a person if none has approved the call.
pub(crate) fn part(ask: Ask, authority: &Authority) -> (Box<Permit>, Option<AskedFor>) {
    let asked = AskedFor::of(&ask, authority);
    (Box::new(ask.permit), Some(asked))
}

/// Asks the user, unless that was done already, and says where the answer is given.
pub(crate) async fn ask(
    gateway: &Gateway,
    routed: &Routed,
    granted: &Granted,
    call: &Call,
    asked: AskedFor,
) -> Result<Denied, JournalError> {
    let open = gateway.store.read().await?.approvals().open_of(granted.grant, &asked.call, routed.now).await?;
    if let Some(open) = open {
        // Most clients that come back ask for what is there already, and a reading keeps no writer waiting.
        return Ok(Denied::Approval { ask: asked, approval: open.id });
    }
    // What the person reads is what the digest is of.
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
/// Between two looks at the answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits for the person, but not for long. `true`: the person said no.
///
/// The answer is not taken from here: settling uses it up, or finds that there is none.
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
        // When we stop, there is no time to wait for a person.
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = gateway.stopped.cancelled() => return Ok(false),
        }
    }
}

/// The client says that its user would not open the page, so the question is withdrawn.
pub(crate) async fn decline(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    approval: ApprovalId,
) -> Result<(), JournalError> {
    let mut tx = gateway.journal.begin().await?;
    if !tx.approvals().decide(approval, caller.subject(), false, routed.now).await? {
        return Ok(());
    }
    let event = Event::Authorization(Authorization {
        act: AuthorizationAct::ApprovalDeclined,
        subject: Some(caller.subject().clone()),
        client: caller.client().cloned(),
        server: Some(routed.server().clone()),
        grant: caller.grant(),
        scopes: ScopeSet::empty(),
        detail: format!("`{approval}`, as the client says"),
    });
    gateway.journal.conclude(tx, Record { at: routed.now, request: routed.request, event }, routed.now).await
}
