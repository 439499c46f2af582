//! The transport of 2024-11-05, HTTP+SSE: one stream on which the server sends everything, and one URL to which
//! everything for the server is sent.

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

/// A connection over that transport.
pub(super) struct Legacy {
    endpoint: Destination,
    waiting: Mutex<HashSet<Id>>,
    /// The ids of our own requests. Their answers are not passed to the client.
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
    /// Opens the stream, whose first event names the URL to send to (2024-11-05 transports). `None`: the server does
    /// not speak this transport either.
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
                // The stream has ended, so requests under way get no answer any more.
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

    /// Notes that an answer may have arrived. Returns whether it answers a request of our own.
    fn note(&self, bytes: &[u8]) -> bool {
        let Ok(message) = Message::read(bytes, &Limits::upstream()) else { return false };
        let (Kind::Response { .. }, Some(id)) = (message.kind(), message.id()) else { return false };
        self.waiting().remove(id);
        self.answered.notify_waiters();
        self.own.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Repeats the client's `initialize` on a new connection.
    pub(super) async fn begin_again(&self, bridge: &Arc<Bridge>) -> Result<(), BridgeError> {
        let initialize = bridge.state().initialize.clone();
        let Some(line) = initialize else { return Ok(()) };
        let super::line::Kind::Request(id) = &line.kind else { return Ok(()) };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.answer(bridge, &line, id).await?;
        self.post(bridge, &Line::initialized()).await.map(drop)
    }

    /// Sends a request. Its answer arrives on the stream.
    pub(super) async fn answer(&self, bridge: &Arc<Bridge>, line: &Line, id: &Id) -> Result<(), BridgeError> {
        self.waiting().insert(id.clone());
        let status = self.post(bridge, line).await;
        if !matches!(status, Ok(200..=299)) {
            self.waiting().remove(id);
            return status.and_then(|status| Err(BridgeError::NoMessage { resource: bridge.resource(), status }));
        }
        // Waits here, so that the request counts as under way until it is answered.
        loop {
            let answered = self.answered.notified();
            if !self.waiting().contains(id) {
                return Ok(());
            }
            answered.await;
        }
    }

    /// Sends a message of any kind. Returns the HTTP status.
    pub(super) async fn post(&self, bridge: &Arc<Bridge>, line: &Line) -> Result<u16, BridgeError> {
        let request = Request::new(Method::POST, self.endpoint.clone(), line.bytes.clone())
            .header(CONTENT_TYPE, "application/json");
        Ok(bridge.session.open(&request, &line.operation()).await?.status.as_u16())
    }
}

/// Returns the URL to send to. It must be at the server's own origin, because the token is sent there (CL-37).
fn same_origin(url: &str, endpoint: &str) -> Option<String> {
    let base = Url::parse(url).ok()?;
    let joined = base.join(endpoint).ok()?;
    let plain = joined.username().is_empty() && joined.password().is_none() && joined.fragment().is_none();
    (plain && joined.origin() == base.origin()).then(|| joined.into())
}
