//! Step 8, the client's side: what each of the two eras adds around one exchange with an upstream.

pub(crate) mod initialize;
pub(crate) mod stateless;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sekisho_policy::model::Target;
use sekisho_protocol::mcp::method::{Era, Method};
use tokio::time::Instant;

use crate::Gateway;
use crate::call::{CallRequest, Form, Posted};
use crate::credential::Credential;
use crate::forward::{Answer, AnswerBody, Deadline, ForwardError, ForwardRequest, ListenRequest, Outgoing};
use crate::own;
use crate::route::Routed;
use crate::settle::Cleared;

/// The header that tells the upstream the id under which our records know a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sends a cleared request. The answer is unfiltered.
pub(crate) async fn forward(
    gateway: &Arc<Gateway>,
    routed: &Routed,
    asked: &CallRequest,
    cleared: Cleared,
    (mut headers, credential): (HeaderMap, Credential),
) -> Result<Answer, ForwardError> {
    // The same id goes to every upstream, so that an upstream's log can be joined with our records.
    if let Ok(id) = HeaderValue::try_from(cleared.request().to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    let (upstream, far) = (Arc::clone(&routed.route.upstream), asked.far);
    let session = asked.session.as_ref().and_then(|session| session.far.as_ref());
    let session = session.map(|far| far.session.clone());
    match &asked.form {
        Form::Stream { last_event_id, .. } => {
            let last_event_id = last_event_id.clone();
            let request = ListenRequest { cleared, upstream, credential, session, far, headers, last_event_id };
            gateway.upstreams.listen(request).await
        }
        // In this era a client cancels by closing its stream. An upstream could take the id in this notification for
        // another caller's.
        Form::Message(Posted { kind: Outgoing::Notification { .. }, .. }) if asked.near.0.era() == Era::Stateless => {
            Ok(Answer { status: StatusCode::ACCEPTED, session: None, body: AnswerBody::Accepted })
        }
        Form::Message(Posted { kind: Outgoing::Request { id, .. }, .. })
            if matches!(cleared.call().target, Target::Checkpoint { .. }) =>
        {
            // Answered here. Boxed so that this rare branch does not enlarge the future of every call.
            Box::pin(own::answer(gateway, routed, cleared, id)).await
        }
        Form::Message(posted) => {
            if let Some(open) = &asked.open {
                open.mark_sent();
            }
            let request = ForwardRequest {
                cleared,
                upstream,
                credential,
                body: posted.body.clone(),
                kind: posted.kind.clone(),
                far,
                headers,
                session,
                init: posted.init,
                deadline: Deadline::new(Instant::now(), routed.call_time(&gateway.settings.limits)),
            };
            gateway.upstreams.send(request).await
        }
    }
}

/// Whether the answer is a stream that does not end by itself.
pub(crate) fn is_standing(asked: &CallRequest) -> bool {
    match &asked.form {
        Form::Message(posted) => posted.row.is_some_and(|row| row.method == Method::SubscriptionsListen),
        Form::Stream { .. } => true,
    }
}
