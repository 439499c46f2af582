//! Opening a connection of 2024-11-05 and sending by it.

use std::sync::{Arc, Mutex, PoisonError};

use ::http::Method;
use ::http::header::CONTENT_TYPE;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::Id;
use tokio::sync::Notify;
use url::Url;

use super::failure::BridgeError;
use super::legacy::Legacy;
use super::line::{self, Line};
use super::state::{Bridge, listening};
use super::streams::{Events, Resume, is_stream};
use crate::http::{Destination, Named, Request};

/// Opens the stream, whose first event says where to send (2024-11-05 transports). `None`: it is not that either.
pub(super) async fn open(bridge: &Arc<Bridge>) -> Result<Option<Arc<Legacy>>, BridgeError> {
    let url = bridge.session.resource().as_str();
    let opened = bridge.session.open(&listening(url), "listen").await?;
    if !opened.status.is_success() || !is_stream(&opened) {
        return Ok(None);
    }
    let mut events = Events::new(opened, bridge);
    let first = tokio::time::timeout(bridge.settings.reconnect_max, events.next()).await;
    let endpoint = match first {
        Ok(Ok(Some(event))) if event.event.as_deref() == Some("endpoint") => event.data.unwrap_or_default(),
        _ => return Ok(None),
    };
    let Some(endpoint) = same_origin(url, &endpoint) else { return Ok(None) };
    let Ok(endpoint) = Destination::named(Named::MessageEndpoint, url, &endpoint) else { return Ok(None) };
    let weak = Arc::downgrade(bridge);
    Ok(Some(Arc::new_cyclic(|own: &std::sync::Weak<Legacy>| {
        let own = own.clone();
        let reader = tokio::spawn(async move {
            let mut resume = Resume::default();
            while let Ok(Some((data, place))) = events.data(&mut resume).await {
                let (Some(bridge), Some(legacy)) = (weak.upgrade(), own.upgrade()) else { return };
                if !legacy.note(data.as_bytes()) {
                    bridge.pass(None, data.as_bytes(), place).await;
                }
            }
            // Nothing that was asked is answered any more.
            if let (Some(bridge), Some(legacy)) = (weak.upgrade(), own.upgrade()) {
                let waiting = std::mem::take(&mut *legacy.waiting());
                for id in &waiting {
                    let why = BridgeError::Broken { resource: bridge.resource() }.to_string();
                    bridge.say_error(Some(id), ErrorCode::Internal, &why).await;
                }
                bridge.state().legacy = None;
                legacy.answered.notify_waiters();
            }
        });
        Legacy { endpoint, waiting: Mutex::default(), own: Mutex::default(), answered: Notify::new(), reader }
    })))
}

/// Introduces the client again, as it introduced itself before the connection broke.
pub(super) async fn begin_again(legacy: &Legacy, bridge: &Arc<Bridge>) -> Result<(), BridgeError> {
    let initialize = bridge.state().initialize.clone();
    let Some(line) = initialize else { return Ok(()) };
    let line::Kind::Request(id) = &line.kind else { return Ok(()) };
    legacy.own.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    answer(legacy, bridge, &line, id).await?;
    post(legacy, bridge, &Line::initialized()).await.map(drop)
}

/// Sends a request; its answer comes by the stream.
pub(super) async fn answer(legacy: &Legacy, bridge: &Arc<Bridge>, line: &Line, id: &Id) -> Result<(), BridgeError> {
    legacy.waiting().insert(id.clone());
    let status = post(legacy, bridge, line).await;
    if !matches!(status, Ok(200..=299)) {
        legacy.waiting().remove(id);
        return status.and_then(|status| Err(BridgeError::NoMessage { resource: bridge.resource(), status }));
    }
    // So that the request counts as under way until it is answered.
    loop {
        let answered = legacy.answered.notified();
        if !legacy.waiting().contains(id) {
            return Ok(());
        }
        answered.await;
    }
}

/// Sends anything.
pub(super) async fn post(legacy: &Legacy, bridge: &Arc<Bridge>, line: &Line) -> Result<u16, BridgeError> {
    let request = Request::new(Method::POST, legacy.endpoint.clone(), line.bytes.clone())
        .header(CONTENT_TYPE, "application/json");
    Ok(bridge.session.open(&request, &line.operation()).await?.status.as_u16())
}

/// Where the server wants to be told things: at its own origin, for there goes the token (CL-37).
fn same_origin(url: &str, endpoint: &str) -> Option<String> {
    let base = Url::parse(url).ok()?;
    let joined = base.join(endpoint).ok()?;
    let plain = joined.username().is_empty() && joined.password().is_none() && joined.fragment().is_none();
    (plain && joined.origin() == base.origin()).then(|| joined.into())
}
