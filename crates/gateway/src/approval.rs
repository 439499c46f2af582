//! A person's yes to one exact call: what is asked for, and where.

use sekisho_policy::decide::Ask;
use sekisho_policy::model::{Authority, Call};
use sekisho_policy::permit::Permit;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::canonical;
use sekisho_protocol::ids::ApprovalId;
use sekisho_store::{NewApproval, SecretBytes, StoreError};

use crate::Gateway;
use crate::audit::JournalError;
use crate::authorize::{AskedFor, Denied};
use crate::route::Routed;

/// How long a person has, in seconds; and how long a yes is good for.
const APPROVAL_SECONDS: u32 = 600;

/// The permit, which goes to be settled, and what is needed if nobody has said yes.
pub(crate) fn part(ask: Ask, authority: &Authority) -> (Box<Permit>, Option<AskedFor>) {
    let Ask { permit, call, rule, reason } = ask;
    let asked = AskedFor { call, rule: rule.0, reason, need: authority.need.word(true), task: authority.need.task() };
    (Box::new(permit), Some(asked))
}

/// Asks the user, unless that was done already, and says where the answer is given.
pub(crate) async fn ask(
    gateway: &Gateway,
    routed: &Routed,
    caller: &Caller,
    call: &Call,
    asked: &AskedFor,
) -> Result<Denied, JournalError> {
    let (Some(grant), Some(client)) = (caller.grant, caller.client.clone()) else {
        // Nobody has no page to be asked on.
        return Err(JournalError::Store(StoreError::Conflict { what: "an approval without a grant".to_owned() }));
    };
    let new = NewApproval {
        id: ApprovalId::generate(routed.now, gateway.entropy.as_ref()),
        digest: asked.call,
        subject: caller.subject.clone(),
        client,
        grant,
        server: routed.server().clone(),
        tool: call.target.name().unwrap_or_default().chars().take(256).collect(),
        // What the person reads is what the digest is of.
        arguments: Some(SecretBytes::new(canonical::arguments(call.arguments.as_deref()).into_owned().into_bytes())),
        task: asked.task,
        rule: asked.rule.clone(),
        reason: asked.reason.clone(),
        request: routed.request,
        expires_at: sekisho_protocol::env::after(routed.now, APPROVAL_SECONDS),
    };
    let mut tx = gateway.journal.begin().await?;
    let open = tx.approvals().ask(&new, routed.now).await?;
    tx.commit().await?;
    Ok(Denied::by_ask(asked, open.id))
}
