//! Waits for conditions, always with a deadline.

use std::time::Duration;

/// The usual deadline. It is long, because the machine may be compiling at the same time.
pub const LONG: Duration = Duration::from_secs(60);

/// How often a condition is checked.
const EVERY: Duration = Duration::from_millis(20);

/// Calls `look` until it finds something. The test fails if it has not within [`LONG`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    within(LONG, what, look).await
}

/// Calls `look` until it finds something. The test fails if it has not within `limit`.
pub async fn within<T, F: Future<Output = Option<T>>>(limit: Duration, what: &str, mut look: impl FnMut() -> F) -> T {
    let found = tokio::time::timeout(limit, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}
