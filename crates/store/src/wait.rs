//! Waiting for the database.

use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;

/// Boxes the driver's work. Its futures are tens of kilobytes for either database, and without the box they would enlarge
/// the future of every request that can meet the store.
pub(crate) fn boxed<'a, T>(work: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(work)
}

/// Waits for the database, but never longer than `limit`: a store that is down must be known to be down.
pub(crate) async fn within<T, E, F>(limit: Duration, what: &'static str, work: F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, E>>,
    StoreError: From<E>,
{
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(StoreError::from),
        Err(_) => Err(StoreError::timed_out(what)),
    }
}
