//! The transport of 2024-11-05, HTTP+SSE: one stream for everything that the server says, one URL for everything that
//! it is told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::Method;
use ::http::header::CONTENT_TYPE;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::{Id, Kind, Message};
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::Notify;
use url::Url;

use super::line::Line;
use super::streams::{Events, Resume, is_stream};
use super::{Bridge, BridgeError, listening};
use crate::http::{Destination, Named, Request};

/// A connection of that time.
pub(super) struct Legacy {
    endpoint: Destination,
    waiting: Mutex<HashSet<Id>>,
    /// Questions of ours, whose answers are not for the client.
    own: Mutex<HashSet<Id>>,
    answered: Notify,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Legacy {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Legacy {
    /// Opens the stream, whose first event says where to send (2024-11-05 transports). `None`: it is not that either.
    pub(super) async fn open(bridge: &Arc<Bridge>) -> Result<Option<Arc<Self>>, BridgeError> {
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
        Ok(Some(Arc::new_cyclic(|own: &std::sync::Weak<Self>| {
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
            Self { endpoint, waiting: Mutex::default(), own: Mutex::default(), answered: Notify::new(), reader }
        })))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashSet<Id>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer may have come. Whether it is to a question of ours.
    fn note(&self, bytes: &[u8]) -> bool {
        let Ok(message) = Message::read(bytes, &Limits::upstream()) else { return false };
        let (Kind::Response { .. }, Some(id)) = (message.kind(), message.id()) else { return false };
        self.waiting().remove(id);
        self.answered.notify_waiters();
        self.own.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Introduces the client again, as it introduced itself before the connection broke.
    pub(super) async fn begin_again(&self, bridge: &Arc<Bridge>) -> Result<(), BridgeError> {
        let initialize = bridge.state().initialize.clone();
        let Some(line) = initialize else { return Ok(()) };
        let super::line::Kind::Request(id) = &line.kind else { return Ok(()) };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.answer(bridge, &line, id).await?;
        self.post(bridge, &Line::initialized()).await.map(drop)
    }

    /// Sends a request; its answer comes by the stream.
    pub(super) async fn answer(&self, bridge: &Arc<Bridge>, line: &Line, id: &Id) -> Result<(), BridgeError> {
        self.waiting().insert(id.clone());
        let status = self.post(bridge, line).await;
        if !matches!(status, Ok(200..=299)) {
            self.waiting().remove(id);
            return status.and_then(|status| Err(BridgeError::NoMessage { resource: bridge.resource(), status }));
        }
        // So that the request counts as under way until it is answered.
        loop {
            let answered = self.answered.notified();
            if !self.waiting().contains(id) {
                return Ok(());
            }
            answered.await;
        }
    }

    /// Sends anything.
    pub(super) async fn post(&self, bridge: &Arc<Bridge>, line: &Line) -> Result<u16, BridgeError> {
        let request = Request::new(Method::POST, self.endpoint.clone(), line.bytes.clone())
            .header(CONTENT_TYPE, "application/json");
        Ok(bridge.session.open(&request, &line.operation()).await?.status.as_u16())
    }
}

/// Where the server wants to be told things: at its own origin, for there goes the token (CL-37).
fn same_origin(url: &str, endpoint: &str) -> Option<String> {
    let base = Url::parse(url).ok()?;
    let joined = base.join(endpoint).ok()?;
    let plain = joined.username().is_empty() && joined.password().is_none() && joined.fragment().is_none();
    (plain && joined.origin() == base.origin()).then(|| joined.into())
}
