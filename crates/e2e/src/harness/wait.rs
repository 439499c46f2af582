//! Waiting: always for a condition, always with a deadline.

use std::time::Duration;

/// How long anything here is waited for unless said otherwise. Generous: the machine may be compiling meanwhile.
pub const LONG: Duration = Duration::from_secs(60);

/// How often a condition that cannot announce itself is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` finds something; ends the test when it has not after [`LONG`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    within(LONG, what, look).await
}

/// Looks until `look` finds something; ends the test when it has not after `limit`.
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
