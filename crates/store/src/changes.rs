//! The change feed: changes of everything that may be cached, in the order of commits, on every node.
//!
//! Numbers are taken inside the writing transaction from one row that stays locked until the commit, so their order is
//! the order of commits, and a gap means that something was missed.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::StoreError;
use crate::sql::{Row, corrupt};

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A person's answer to one call.
    Approval,
    /// The tools of a server; the id is its name.
    Catalogue,
    /// A client.
    Client,
    /// A grant.
    Grant,
    /// A signing key.
    Key,
    /// An account that a person linked for a server; the id is `USER SERVER`.
    LinkedAccount,
    /// A loan.
    Loan,
    /// A server that was added while running, or a credential of any server; the id is the server's name.
    Server,
    /// A setting of this instance; the id is its name.
    Setting,
    /// A user.
    User,
}

impl ChangeKind {
    const ALL: [Self; 10] = [
        Self::Approval,
        Self::Catalogue,
        Self::Client,
        Self::Grant,
        Self::Key,
        Self::LinkedAccount,
        Self::Loan,
        Self::Server,
        Self::Setting,
        Self::User,
    ];

    /// Returns the word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Catalogue => "catalogue",
            Self::Client => "client",
            Self::Grant => "grant",
            Self::Key => "key",
            Self::LinkedAccount => "linked_account",
            Self::Loan => "loan",
            Self::Server => "server",
            Self::Setting => "setting",
            Self::User => "user",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A change of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number among all changes, without gaps.
    pub seq: i64,
    /// The kind of thing that changed.
    pub kind: ChangeKind,
    /// The identifier of the thing.
    pub id: String,
}

/// An event for a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// Something changed.
    Change(Change),
    /// Changes were missed: clear every cache. Also the first event after [`FeedEvent::Unavailable`].
    Gap,
    /// The store did not answer for two seconds, or was closed: trust no cache until the next event.
    Unavailable,
}

/// A listener. It hears everything committed after [`crate::Store::changes`] made it: subscribe first, then read.
#[derive(Debug)]
pub struct ChangeFeed {
    receiver: Option<broadcast::Receiver<FeedEvent>>,
}

impl ChangeFeed {
    pub(crate) fn new(receiver: broadcast::Receiver<FeedEvent>) -> Self {
        Self { receiver: Some(receiver) }
    }

    /// Waits for the next event. After the store was closed, returns [`FeedEvent::Unavailable`] once and then never
    /// again.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> FeedEvent {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        match receiver.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => FeedEvent::Gap,
            Err(RecvError::Closed) => {
                self.receiver = None;
                FeedEvent::Unavailable
            }
        }
    }
}

/// How many events a slow listener may be behind before it gets a gap instead.
pub(crate) const FEED_LEN: usize = 4_096;

/// How many changes are kept for nodes that are behind; the sweep removes older ones.
pub const CHANGES_KEPT: i64 = 100_000;

/// The most changes that one poll reads.
pub(crate) const POLL_ROWS: usize = 512;

/// Reads the head and the rows after a place in one statement, so that both are from the same snapshot.
pub(crate) const POLL: &str = "SELECT counters.value AS head, changes.seq, changes.kind, changes.id
     FROM counters LEFT JOIN changes ON changes.seq > $1
     WHERE counters.name = 'changes' ORDER BY changes.seq LIMIT 512";

/// Reads the number of the last change.
pub(crate) const HEAD: &str = "SELECT value AS head FROM counters WHERE name = 'changes'";

/// The result of one poll.
pub(crate) struct Polled {
    pub(crate) head: i64,
    pub(crate) changes: Vec<Change>,
}

impl Polled {
    pub(crate) fn read(rows: &[Row]) -> Result<Self, StoreError> {
        let head = rows.first().ok_or_else(|| corrupt("counters"))?.int("head")?;
        let mut changes = Vec::new();
        for row in rows {
            let Some(seq) = row.int_opt("seq")? else { continue };
            let kind = ChangeKind::read(&row.text("kind")?).ok_or_else(|| corrupt("changes.kind"))?;
            changes.push(Change { seq, kind, id: row.text("id")? });
        }
        Ok(Self { head, changes })
    }
}

/// How far one node has read the feed.
#[derive(Debug)]
pub(crate) struct Cursor(i64);

impl Cursor {
    pub(crate) fn at(head: i64) -> Self {
        Self(head)
    }

    pub(crate) fn place(&self) -> i64 {
        self.0
    }

    /// Returns the events for listeners after a poll, in order.
    fn advance(&mut self, polled: Polled) -> Vec<FeedEvent> {
        let expected = self.0.saturating_add(1);
        let begins = polled.changes.first().map_or(polled.head.saturating_add(1), |change| change.seq);
        let whole = polled.changes.iter().zip(begins..).all(|(change, seq)| change.seq == seq);
        // The changes in between were pruned, or a backup was restored: they cannot be read any more.
        if begins != expected || !whole {
            self.0 = polled.head;
            return vec![FeedEvent::Gap];
        }
        if let Some(last) = polled.changes.last() {
            self.0 = last.seq;
        }
        polled.changes.into_iter().map(FeedEvent::Change).collect()
    }
}

/// Reads the changes; implemented for each database.
pub(crate) trait Source: Send {
    /// How long to wait between two polls without a hint.
    const INTERVAL: Duration;

    /// Returns the changes after `place`, or `None` if there are certainly none.
    fn poll(&mut self, place: i64) -> impl Future<Output = Result<Option<Polled>, StoreError>> + Send;
}

/// Tails the changes of one store until its task is aborted.
pub(crate) async fn tail<S: Source>(
    mut source: S,
    mut cursor: Cursor,
    wake: std::sync::Arc<tokio::sync::Notify>,
    feed: broadcast::Sender<FeedEvent>,
    limit: Duration,
) {
    let mut heard = tokio::time::Instant::now();
    let mut down = false;
    loop {
        let polled = crate::wait::within(limit, "reading changes", source.poll(cursor.place())).await;
        let mut more = false;
        match polled {
            Ok(polled) => {
                heard = tokio::time::Instant::now();
                if std::mem::take(&mut down) {
                    tell(&feed, FeedEvent::Gap);
                }
                if let Some(polled) = polled {
                    more = polled.changes.len() >= POLL_ROWS;
                    cursor.advance(polled).into_iter().for_each(|event| tell(&feed, event));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the change feed could not be read");
                if !down && heard.elapsed() >= limit {
                    down = true;
                    tell(&feed, FeedEvent::Unavailable);
                }
            }
        }
        if !more {
            // A hint only makes the poll earlier; do not rely on it.
            let _ = tokio::time::timeout(S::INTERVAL, wake.notified()).await;
        }
    }
}

fn tell(feed: &broadcast::Sender<FeedEvent>, event: FeedEvent) {
    // An error only says that nobody listens.
    let _ = feed.send(event);
}

#[cfg(test)]
mod tests {
    use super::{Change, ChangeKind, Cursor, FeedEvent, Polled};

    fn polled(head: i64, seqs: &[i64]) -> Polled {
        let changes = seqs.iter().map(|seq| Change { seq: *seq, kind: ChangeKind::User, id: String::new() }).collect();
        Polled { head, changes }
    }

    /// Advances a cursor from 5 by a poll. Returns the numbers of the changes, or -1 for a gap, and the new position.
    fn advanced(head: i64, seqs: &[i64]) -> (Vec<i64>, i64) {
        let mut cursor = Cursor::at(5);
        let told = cursor.advance(polled(head, seqs)).into_iter().map(|event| match event {
            FeedEvent::Change(change) => change.seq,
            FeedEvent::Gap | FeedEvent::Unavailable => -1,
        });
        (told.collect(), cursor.place())
    }

    #[test]
    fn what_follows_is_told_in_order() {
        assert_eq!(advanced(7, &[6, 7]), (vec![6, 7], 7));
        assert_eq!(advanced(5, &[]), (vec![], 5));
        // There are more changes than one poll reads.
        assert_eq!(advanced(9, &[6, 7]), (vec![6, 7], 7));
    }

    #[test]
    fn whatever_is_missing_is_a_gap() {
        for (head, seqs) in [(8, &[8][..]), (8, &[]), (8, &[6, 8]), (3, &[]), (0, &[])] {
            assert_eq!(advanced(head, seqs), (vec![-1], head), "{head} {seqs:?}");
        }
    }

    #[test]
    fn every_kind_is_read_back_from_its_word() {
        // Each kind names the next, so that a new kind cannot be forgotten in this test.
        let next = |kind| match kind {
            ChangeKind::Approval => Some(ChangeKind::Catalogue),
            ChangeKind::Catalogue => Some(ChangeKind::Client),
            ChangeKind::Client => Some(ChangeKind::Grant),
            ChangeKind::Grant => Some(ChangeKind::Key),
            ChangeKind::Key => Some(ChangeKind::LinkedAccount),
            ChangeKind::LinkedAccount => Some(ChangeKind::Loan),
            ChangeKind::Loan => Some(ChangeKind::Server),
            ChangeKind::Server => Some(ChangeKind::Setting),
            ChangeKind::Setting => Some(ChangeKind::User),
            ChangeKind::User => None,
        };
        let mut kinds = vec![];
        let mut kind = Some(ChangeKind::Approval);
        while let Some(each) = kind {
            assert_eq!(ChangeKind::read(each.as_str()), Some(each));
            kinds.push(each);
            kind = next(each);
        }
        assert_eq!(kinds, ChangeKind::ALL);
        assert_eq!(ChangeKind::read("weather"), None);
    }
}
