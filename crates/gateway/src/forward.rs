//! Step 8 of a request: the cleared message goes to the upstream, and the answer comes back as it is made.
//!
//! [`Upstreams`] is the registry, one entry for each upstream, whatever mounts it stands behind. An upstream is an
//! enum, not a trait: a server that is reached over HTTP ([`http`]), a program that we start and speak to over its
//! standard streams ([`stdio`]), or a part of the checkpoint itself ([`builtin`]). Nothing here decides anything:
//! sending takes [`Cleared`](crate::settle::Cleared) and the credential by value, and the answer is unfiltered.
//!
//! The bytes that are sent are the authorised ones. Over HTTP they are unchanged. Many callers may share a child, so
//! for a child the id and the progress token are replaced by our own, and restored in the answer (TR-11, ATK-73).

mod builtin;
mod children;
mod error;
mod exchange;
pub mod guard;
mod http;
mod probe;
mod request;
mod stdio;

#[cfg(test)]
mod fixture;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(crate) use error::ForwardError;
pub(crate) use exchange::{Deadline, Event, EventStream, ForwardLimits, InitDigest, Outgoing};
pub use http::check_upstream_url;
pub(crate) use probe::Spoken;
pub(crate) use request::{Answer, AnswerBody, ForwardRequest, ListenRequest, UpstreamSession};

use crate::credential::Credential;
use crate::route::{self, Routes};
use crate::upstream::{BuiltInSettings, UpstreamName, UpstreamSettings};
use http::HttpUpstream;
use stdio::StdioUpstream;

/// An upstream, which stands behind one or more mounts.
#[derive(Clone, Debug)]
enum Upstream {
    BuiltIn(BuiltInSettings),
    Http(Arc<HttpUpstream>),
    Stdio(Arc<StdioUpstream>),
}

impl Upstream {
    fn new(limits: &ForwardLimits, definition: &route::Upstream) -> Self {
        let name = definition.name().clone();
        match definition.settings() {
            UpstreamSettings::BuiltIn(settings) => Self::BuiltIn(settings.clone()),
            UpstreamSettings::Http(settings) => {
                let source = Arc::clone(definition.source());
                Self::Http(Arc::new(HttpUpstream::new(limits.clone(), name, settings, source)))
            }
            UpstreamSettings::Stdio(settings) => {
                let source = Arc::clone(definition.source());
                Self::Stdio(Arc::new(StdioUpstream::new(limits.clone(), name, settings.clone(), source)))
            }
        }
    }

    async fn stop(&self) {
        match self {
            // Its connections end with the streams that use them, so there is nothing to wait for.
            Self::BuiltIn(_) | Self::Http(_) => {}
            Self::Stdio(upstream) => upstream.stop().await,
        }
    }
}

/// An upstream and the definition that it was made from, so that a reload can see what changed.
#[derive(Debug)]
struct Mounted {
    definition: Arc<route::Upstream>,
    upstream: Upstream,
}

impl Mounted {
    /// Whether it was made from this definition, or from an equal one.
    fn is_made_from(&self, definition: &Arc<route::Upstream>) -> bool {
        Arc::ptr_eq(&self.definition, definition) || self.definition.settings() == definition.settings()
    }
}

/// All upstreams, by their keys.
#[derive(Debug)]
pub(crate) struct Upstreams {
    limits: ForwardLimits,
    /// The routes in force. They are read anew each time, so that older routes never replace newer ones.
    routes: watch::Receiver<Arc<Routes>>,
    mounted: Mutex<BTreeMap<UpstreamName, Mounted>>,
    /// The upstreams that were replaced and are being stopped. Only the end of the process waits for them.
    stopping: TaskTracker,
    is_shut: AtomicBool,
}

impl Upstreams {
    /// Creates the registry without upstreams; [`Upstreams::mount`] mounts them.
    pub(crate) fn new(limits: ForwardLimits, routes: watch::Receiver<Arc<Routes>>) -> Self {
        Self {
            limits,
            routes,
            mounted: Mutex::default(),
            stopping: TaskTracker::new(),
            is_shut: AtomicBool::new(false),
        }
    }

    /// Takes over the routes in force. An upstream whose settings are equal stays as it is, with its children and
    /// sessions; the others are made anew. The replaced ones are stopped in the background, so that a program that ends
    /// slowly does not delay the others.
    pub(crate) fn mount(&self) {
        let mut mounted = self.mounted();
        if self.is_shut.load(Ordering::SeqCst) {
            return;
        }
        let routes = Arc::clone(&self.routes.borrow());
        for stopped in exchange(&self.limits, &mut mounted, &routes) {
            self.stopping.spawn(async move { stopped.stop().await });
        }
    }

    /// Stops every child and forgets every upstream (ST-13). Requests that are still open end with an error. Takes no
    /// longer than stopping one program.
    pub(crate) async fn shutdown(&self) {
        let mounted = {
            let mut mounted = self.mounted();
            self.is_shut.store(true, Ordering::SeqCst);
            std::mem::take(&mut *mounted)
        };
        let stopping = mounted.into_values().map(|mounted| async move { mounted.upstream.stop().await });
        futures_util::future::join_all(stopping).await;
        self.stopping.close();
        self.stopping.wait().await;
    }

    /// Returns what [`Upstreams::revisions`] has found out before, if it has.
    pub(crate) fn known_revisions(&self, upstream: &UpstreamName) -> Option<Arc<Spoken>> {
        match self.find(upstream).ok()? {
            Upstream::BuiltIn(upstream) => Some(upstream.revisions()),
            Upstream::Http(upstream) => upstream.known_revisions(),
            Upstream::Stdio(upstream) => upstream.known_revisions(),
        }
    }

    /// Returns which revisions the upstream speaks, and its name and version. This is found out once (first by
    /// `server/discover`, then by `initialize`: ST-10, ST-11, TR-52) and kept until the upstream is seen to restart.
    /// `asking`: what the upstream is shown, if it is somebody's account.
    pub(crate) async fn revisions(
        &self,
        upstream: &UpstreamName,
        asking: Option<&Credential>,
    ) -> Result<Arc<Spoken>, ForwardError> {
        match self.find(upstream)? {
            Upstream::BuiltIn(upstream) => Ok(upstream.revisions()),
            Upstream::Http(upstream) => upstream.revisions(asking).await,
            Upstream::Stdio(upstream) => Box::pin(upstream.revisions()).await,
        }
    }

    /// Returns the upstream's tools, all pages: one list for each era that it speaks, the newest first. The gateway
    /// asks in its own name, in a session or a child that never serves a caller, and as a client that can do
    /// everything.
    pub(crate) async fn list_tools(
        &self,
        upstream: &UpstreamName,
        asking: Option<&Credential>,
    ) -> Result<Vec<Vec<Box<RawValue>>>, ForwardError> {
        match self.find(upstream)? {
            Upstream::BuiltIn(upstream) => Ok(vec![upstream.list_tools()]),
            Upstream::Http(upstream) => Box::pin(upstream.list_tools(asking)).await,
            Upstream::Stdio(upstream) => Box::pin(upstream.list_tools()).await,
        }
    }

    /// Sends one cleared message. Returns the answer once its first byte has arrived.
    ///
    /// Dropping the future or the stream of the answer means that the client went away: in 2026-07-28 that cancels
    /// the request at the upstream (TR-37, ST-08), in the older revisions it does not (TR-38).
    pub(crate) async fn send(&self, request: ForwardRequest) -> Result<Answer, ForwardError> {
        let (server, id) = (request.server().clone(), request.cleared.request());
        let sent = match self.find_made_from(&request.upstream)? {
            // Boxed so that these do not enlarge the future of a call over HTTP, the most frequent kind.
            Upstream::BuiltIn(upstream) => Box::pin(upstream.send(request, &self.limits.memory)).await,
            Upstream::Http(upstream) => upstream.send(request).await,
            Upstream::Stdio(upstream) => Box::pin(upstream.send(request)).await,
        };
        sent.inspect_err(|error| {
            // This is for the operator. What the caller is told is decided where answers are written.
            tracing::warn!(%server, request = %id, sent = error.sent(), %error, "the upstream failed");
        })
    }

    /// Opens the stream of a session on which the upstream sends messages unasked (`GET` of the older revisions).
    pub(crate) async fn listen(&self, request: ListenRequest) -> Result<Answer, ForwardError> {
        match self.find_made_from(&request.upstream)? {
            // It sends nothing unasked.
            Upstream::BuiltIn(_) => Err(ForwardError::MethodNotAllowed),
            Upstream::Http(upstream) => upstream.listen(request).await,
            Upstream::Stdio(upstream) => upstream.listen(request),
        }
    }

    /// Ends a session at the upstream, if the upstream lets sessions be ended. Nothing is reported, because the session
    /// is over for us either way.
    pub(crate) async fn end_session(&self, upstream: &UpstreamName, session: UpstreamSession) {
        match (self.find(upstream), session) {
            (Ok(Upstream::Http(upstream)), UpstreamSession::Http(id)) => upstream.end_session(&id).await,
            (Ok(Upstream::Stdio(upstream)), UpstreamSession::Stdio(session)) => upstream.end_session(&session),
            // The upstream is gone or became another kind, and the session ended with it.
            (Ok(_) | Err(_), _) => {}
        }
    }

    fn find(&self, name: &UpstreamName) -> Result<Upstream, ForwardError> {
        let found = || self.mounted().get(name).map(|mounted| mounted.upstream.clone());
        if let Some(upstream) = found() {
            return Ok(upstream);
        }
        // The upstream's route is in force but was not mounted yet.
        if self.routes.borrow().servers.values().any(|route| route.upstream.name() == name) {
            self.mount();
        }
        found().ok_or_else(|| ForwardError::UnknownUpstream { upstream: name.clone() })
    }

    /// Returns the upstream of a call. A credential that was made for one upstream is never shown to another that took
    /// its key while the call was on its way.
    fn find_made_from(&self, definition: &Arc<route::Upstream>) -> Result<Upstream, ForwardError> {
        let found = || {
            let mounted = self.mounted();
            let mounted = mounted.get(definition.name()).filter(|mounted| mounted.is_made_from(definition));
            mounted.map(|mounted| mounted.upstream.clone())
        };
        if let Some(upstream) = found() {
            return Ok(upstream);
        }
        self.find(definition.name())?;
        // The route of the call may be newer than what is mounted.
        self.mount();
        found().ok_or(ForwardError::Replaced)
    }

    fn mounted(&self) -> MutexGuard<'_, BTreeMap<UpstreamName, Mounted>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the mounted upstreams equal to `routes` and returns those that are mounted no longer.
fn exchange(limits: &ForwardLimits, mounted: &mut BTreeMap<UpstreamName, Mounted>, routes: &Routes) -> Vec<Upstream> {
    let mut before = std::mem::take(mounted);
    let mut stopped = Vec::new();
    for definition in routes.servers.values().map(|route| &route.upstream) {
        // Another mount shares this upstream, so it is mounted already.
        if mounted.contains_key(definition.name()) {
            continue;
        }
        let upstream = match before.remove(definition.name()) {
            Some(old) if old.is_made_from(definition) => old.upstream,
            old => {
                stopped.extend(old.map(|old| old.upstream));
                Upstream::new(limits, definition)
            }
        };
        mounted.insert(definition.name().clone(), Mounted { definition: Arc::clone(definition), upstream });
    }
    stopped.extend(before.into_values().map(|old| old.upstream));
    stopped
}

#[cfg(test)]
mod tests;
