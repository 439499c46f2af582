//! When a session was last used, noted every few minutes after a page was opened in it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_store::{BrowserSession, StoreError};

use crate::site::Site;

/// How exactly it is known when a session was last used, in seconds. It bounds how often pages write.
const EXACT_SECONDS: u32 = 300;

/// Where a request notes that its session was used and that this is to be stored.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Option<(Digest, Timestamp)>>>);

impl Seen {
    /// Notes a session that was found, unless its last use is known well enough.
    pub(crate) fn note(&self, session: &BrowserSession, now: Timestamp) {
        if after(session.seen_at, EXACT_SECONDS) <= now {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((session.digest, now));
        }
    }

    fn take(&self) -> Option<(Digest, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Answers a request, and stores that its session was used. A failure of that is logged, and changes nothing else.
pub(crate) async fn keep(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let seen = Seen::default();
    request.extensions_mut().insert(seen.clone());
    let response = next.run(request).await;
    if let Some((digest, now)) = seen.take()
        && let Err(error) = store(&site, &digest, now).await
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "the last use of a session is not noted");
    }
    response
}

async fn store(site: &Site, digest: &Digest, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = site.store.begin().await?;
    tx.browser_sessions().note_seen(digest, now, EXACT_SECONDS).await?;
    tx.commit().await
}
