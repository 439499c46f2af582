//! How a refusal is told to a client: as an error, as the result of a tool, or as a question to its user.

use sekisho_policy::decide::approval_key;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ApprovalId;
use sekisho_protocol::mcp::method::{Need, Revision};

use crate::Gateway;
use crate::account;
use crate::authorize::{Denied, Told};
use crate::call::{CallRequest, Form};
use crate::era::stateless::Declared;
use crate::profiles;
use crate::rounds;
use crate::route::Routed;

/// Decides how a refusal is told. A question to a person is told in the way in which the client can ask one, and a
/// refusal that the model has to know of is told where the model sees it.
pub(crate) fn told(gateway: &Gateway, routed: &Routed, caller: &Caller, asked: &CallRequest, denied: &Denied) -> Told {
    let is_tool = asked.row().is_some_and(|row| row.need == Need::Tool);
    if denied.is_invalid() {
        // Since 2025-11-25 this is told by the result of the tool, so that a model sees what to correct (Tools, Error
        // Handling).
        return if asked.near.0 < Revision::V2025_11_25 { Told::Error } else { Told::ToolError };
    }
    if let Some((call, approval, question)) = question(caller, asked, denied) {
        match (&asked.form, &asked.session) {
            (Form::Message(posted), None)
                if asked.row().is_some_and(|row| row.may_ask) && Declared::in_request(&posted.body).elicits_urls() =>
            {
                let before = rounds::asked_before(asked.brought);
                if before < rounds::QUESTIONS_MAX
                    && let Ok(state) = rounds::asked(gateway, caller, routed, (call, approval), before + 1)
                {
                    return Told::InputRequired(state);
                }
            }
            (_, Some(session)) if session.elicits_urls => {
                session.asks(&question);
                return Told::Elicitation(question);
            }
            _ => {}
        }
    }
    let waits = matches!(denied, Denied::Account(_) | Denied::Approval { .. } | Denied::Declined(_));
    if is_tool && (waits || profiles::wants_tool_error(&gateway.settings, caller, denied.verdict())) {
        return Told::ToolError;
    }
    Told::Error
}

/// Returns the question that a refusal asks its user, if it asks one: the digest of the call, the approval if it is for
/// one, and the name of the question.
fn question(caller: &Caller, asked: &CallRequest, denied: &Denied) -> Option<(Digest, Option<ApprovalId>, String)> {
    match denied {
        Denied::Account(_) => {
            let question = account::question(caller, &asked.call, denied)?;
            Some((approval_key(caller.principal(), &asked.call), None, question))
        }
        Denied::Approval { ask, approval } => Some((ask.call, Some(*approval), approval.to_string())),
        Denied::ApprovalAnonymous(_)
        | Denied::Declined(_)
        | Denied::Policy(_)
        | Denied::StepUp { .. }
        | Denied::Task { .. }
        | Denied::TooLarge(_) => None,
    }
}
