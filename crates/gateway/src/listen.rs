//! `subscriptions/listen` names what its client wants to be notified of, and each item is judged before the request
//! goes on.
//!
//! An upstream is only asked for what the caller may read and for the caller's own jobs. The caller takes what the
//! upstream does not promise as refused (TR-42). The stream is judged again, message by message (`filter.rs`).

use std::collections::HashSet;

use sekisho_policy::decide::{Decision, decide};
use sekisho_policy::model::{Call, Target};
use sekisho_policy::rights::Rights;
use sekisho_protocol::mcp::message::Message;
use sekisho_protocol::mcp::splice::{self, SpliceError, SubscriptionList};
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::uri::ResourceUri;

use crate::Gateway;
use crate::authenticate::Authenticated;
use crate::call::{CallError, CallFault, CallRequest, Form, Wish};
use crate::forward::ForwardError;
use crate::route::Routed;
use crate::session::Owner;

/// Removes from a permitted request what its caller may not be notified of.
pub(crate) fn narrow(
    gateway: &Gateway,
    routed: &Routed,
    who: &Authenticated,
    rights: &Rights,
    asked: &mut CallRequest,
) -> Result<(), CallError> {
    let id = asked.id().cloned();
    let owner = Owner::of(&who.caller, asked.session.as_deref());
    let Form::Message(posted) = &mut asked.form else { return Ok(()) };
    let Some(wish) = &posted.wish else { return Ok(()) };
    let is_own = |id: &str| gateway.jobs.is_own(routed.server(), id, owner.as_ref());
    let may_read = |uri: &ResourceUri| {
        let target = Target::Resource { uri: uri.clone() };
        let call = Call { source: routed.source, ..Call::bare(routed.server().clone(), "resources/read", target) };
        matches!(decide(rights, &who.caller, &who.authority, &call, routed.now), Decision::Permit(_))
    };
    let resources: HashSet<&str> = wish.resources.iter().filter(|uri| may_read(uri)).map(ResourceUri::as_str).collect();
    let jobs: HashSet<&str> = wish.jobs.iter().map(String::as_str).filter(|id| is_own(id)).collect();
    if resources.len() == wish.resources.len() && jobs.len() == wish.jobs.len() {
        return Ok(());
    }
    let edited = splice::filter_subscriptions(&posted.body, SubscriptionList::Resources, |uri| resources.contains(uri))
        .and_then(|edited| splice::filter_subscriptions(&edited, SubscriptionList::Tasks, |id| jobs.contains(id)));
    let refused = |fault: CallFault| CallError { id: id.clone(), fault };
    let unsafe_edit = |error: SpliceError| refused(ForwardError::Edit { reason: error.to_string() }.into());
    let edited = edited.map_err(unsafe_edit)?;
    // INVARIANT: the forwarded message says what was permitted. So an edited request is read again.
    let message = Message::read(&edited, &Limits::default()).map_err(|error| refused(error.into()))?;
    let kept = message.params().and_then(|params| params.notifications.as_ref()).map(Wish::promised);
    let kept = kept.filter(|kept| kept.resources.len() == resources.len() && kept.jobs.len() == jobs.len());
    let lost =
        || refused(ForwardError::Edit { reason: "the filter is another one than was written".to_owned() }.into());
    posted.wish = Some(kept.ok_or_else(lost)?);
    posted.body = edited.into();
    Ok(())
}
