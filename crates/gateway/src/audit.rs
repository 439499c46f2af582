//! Step 10, and what settling needs: the records of this surface on their way to the store.
//!
//! Reads are recorded in batches that wait 100 ms at most; what changes something is on record before it happens
//! ([`Journal::write_first`]). The queue is bounded: when it is full, calls wait, and when the store does not take
//! records any more, calls are refused (ATK-98).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sekisho_policy::model::Call;
use sekisho_protocol::audit::{Decision, Event, Outcome, OutcomeResult, Record, Rejection, RuleId, Verdict, Why};
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::env::{Clock, Timestamp, after};
use sekisho_protocol::ids::{GrantId, NodeId, RequestId, ServerName, TaskId};
use sekisho_store::{AuditHead, Store, StoreError, Tx};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use self::open::{OpenCalls, OpenMark};
use self::used::Used;
use crate::route::{KeepArguments, Routed};

mod open;
mod used;

/// The longest time that a record waits for others to be written with it.
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// The most records that are written at once. Each batch waits for the disk, and fewer batches disturb the calls less.
const BATCH_MAX: usize = 1024;
/// How long a call waits for a place in the queue.
const PLACE_WAIT: Duration = Duration::from_secs(2);
/// The pause before a batch that the store did not take is written again.
const RETRY_WAIT: Duration = Duration::from_millis(250);
/// The most characters of a name that a record keeps.
const NAME_CHARACTERS_MAX: usize = 256;

/// Why a call cannot be put on record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The store takes no records at the moment.
    #[error("the records cannot be written at the moment")]
    Failing,
    /// Too many records wait.
    #[error("too many records wait to be written")]
    Full,
    /// The record that must come first was not taken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[expect(clippy::large_enum_variant, reason = "nearly every entry is a record, so a box would only add an allocation")]
enum Entry {
    Flush(oneshot::Sender<()>),
    Record(Noted),
}

impl Entry {
    fn noted(&self) -> Option<&Noted> {
        match self {
            Self::Flush(_) => None,
            Self::Record(noted) => Some(noted),
        }
    }
}

/// A record, and what is stored with it.
#[derive(Debug)]
pub(crate) struct Noted {
    record: Record,
    /// The arguments of the call, and until when they are kept. Boxed, because most calls keep none.
    arguments: Option<Box<(Bytes, Timestamp)>>,
    /// Of an outcome: marks its call as open until the outcome is written.
    _open: Option<OpenMark>,
    /// The grant that was used.
    used: Option<GrantId>,
}

impl From<Record> for Noted {
    fn from(record: Record) -> Self {
        Self { record, arguments: None, _open: None, used: None }
    }
}

impl Noted {
    /// Keeps the arguments, in the transaction of their record.
    async fn keep(&self, tx: &mut Tx) -> Result<(), StoreError> {
        match &self.arguments {
            Some(kept) => {
                let (arguments, until) = &**kept;
                tx.audit().keep_arguments(self.record.request, arguments, *until).await
            }
            None => Ok(()),
        }
    }
}

/// Where records of this surface go.
#[derive(Debug)]
pub(crate) struct Journal {
    node: NodeId,
    store: Store,
    queue: mpsc::Sender<Entry>,
    /// Wakes the writer when the queued records should not wait for more.
    hurry: Arc<Notify>,
    failing: Arc<AtomicBool>,
    open: Arc<OpenCalls>,
    reads_first: bool,
}

/// A place in the queue that is reserved for the outcome of a call, so that a full queue never loses an outcome.
#[derive(Debug)]
pub(crate) struct OutcomePlace {
    permit: mpsc::OwnedPermit<Entry>,
    open: OpenMark,
    grant: Option<GrantId>,
}

impl OutcomePlace {
    /// Gives the place back without an outcome although the call may be on record. There the call stays open until the
    /// next start closes it.
    pub(crate) fn leave_open(self) {
        self.open.stay();
    }
}

impl Journal {
    /// Creates a journal and the work that writes its records. The work ends when the journal is dropped.
    pub(crate) fn new(
        node: NodeId,
        store: Store,
        clock: Arc<dyn Clock>,
        queued_max: usize,
        reads_first: bool,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, entries) = mpsc::channel(queued_max.max(1));
        let failing = Arc::new(AtomicBool::new(false));
        let hurry = Arc::new(Notify::new());
        let (failing_too, hurry_too) = (Arc::clone(&failing), Arc::clone(&hurry));
        let (store_too, used) = (store.clone(), Used::default());
        let writer = Writer { node, store: store_too, clock, entries, hurry: hurry_too, failing: failing_too, used };
        (Self { node, store, queue, hurry, failing, open: Arc::default(), reads_first }, writer.run())
    }

    /// Whether reads, too, are on record before their effect.
    pub(crate) fn records_reads_first(&self) -> bool {
        self.reads_first
    }

    /// Whether the batches are being written at the moment.
    pub(crate) fn is_recording(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Returns a moment before which every call that has begun has its outcome on record.
    pub(crate) fn open_since(&self, now: Timestamp) -> Timestamp {
        self.open.since(now)
    }

    /// Reserves a place for the outcome of a call that began at `began` by this grant. Waits while the queue is full.
    pub(crate) async fn place(&self, began: Timestamp, grant: Option<GrantId>) -> Result<OutcomePlace, JournalError> {
        let open = OpenCalls::mark(&self.open, began);
        let permit = self.permit().await?;
        Ok(OutcomePlace { permit, open, grant })
    }

    async fn permit(&self) -> Result<mpsc::OwnedPermit<Entry>, JournalError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(JournalError::Failing);
        }
        let queue = match self.queue.clone().try_reserve_owned() {
            Ok(permit) => return Ok(permit),
            Err(TrySendError::Closed(_)) => return Err(JournalError::Failing),
            Err(TrySendError::Full(queue)) => queue,
        };
        match tokio::time::timeout(PLACE_WAIT, queue.reserve_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(JournalError::Failing),
            Err(_) => Err(JournalError::Full),
        }
    }

    /// Hands a record to the batch. Waits while the queue is full.
    pub(crate) async fn write(&self, noted: impl Into<Noted>) -> Result<(), JournalError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(JournalError::Failing);
        }
        let entry = match self.queue.try_send(Entry::Record(noted.into())) {
            Ok(()) => {
                if self.queue.capacity() < self.queue.max_capacity() / 2 {
                    self.hurry.notify_one();
                }
                return Ok(());
            }
            Err(TrySendError::Closed(_)) => return Err(JournalError::Failing),
            Err(TrySendError::Full(entry)) => entry,
        };
        match tokio::time::timeout(PLACE_WAIT, self.queue.send(entry)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(JournalError::Failing),
            Err(_) => Err(JournalError::Full),
        }
    }

    /// Begins the transaction in which something is paid and put on record.
    pub(crate) async fn begin(&self) -> Result<Tx, JournalError> {
        Ok(self.store.begin().await?)
    }

    /// The node whose chain of records is written.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Puts on record what was paid, durably before this returns: for effects that must not happen unrecorded.
    pub(crate) async fn conclude(
        &self,
        mut tx: Tx,
        noted: impl Into<Noted>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let noted = noted.into();
        noted.keep(&mut tx).await?;
        tx.audit().append(self.node, [&noted.record], now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Hands over a record without waiting. Returns `false` if the queue is full.
    pub(crate) fn note(&self, record: Record) -> bool {
        self.queue.try_send(Entry::Record(record.into())).is_ok()
    }

    /// Waits until everything handed over so far is written, for a limited time.
    pub(crate) async fn written(&self) {
        let _ = tokio::time::timeout(PLACE_WAIT, self.flush()).await;
    }

    /// Waits until everything handed over so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            self.hurry.notify_one();
            // An error means that the writer is gone, so there is nothing left to wait for.
            let _ = written.await;
        }
    }
}

struct Writer {
    node: NodeId,
    store: Store,
    clock: Arc<dyn Clock>,
    entries: mpsc::Receiver<Entry>,
    hurry: Arc<Notify>,
    failing: Arc<AtomicBool>,
    used: Used,
}

impl Writer {
    async fn run(mut self) {
        let mut entries = Vec::with_capacity(BATCH_MAX);
        let mut behind = false;
        while gather(&mut self.entries, &self.hurry, behind, &mut entries).await {
            behind = entries.len() >= BATCH_MAX;
            self.write(&entries).await;
            for entry in entries.drain(..) {
                if let Entry::Flush(done) = entry {
                    // The task that asked may be gone, so an error does not matter.
                    let _ = done.send(());
                }
            }
        }
    }

    /// Writes a batch, however long it takes: records that were accepted are not thrown away.
    async fn write(&mut self, batch: &[Entry]) {
        let mut attempted = None;
        let uses = batch.iter().filter_map(Entry::noted).filter_map(|noted| Some((noted.used?, noted.record.at)));
        let used = self.used.due(uses);
        while let Err(error) = self.append(batch, &used, &mut attempted).await {
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "records cannot be written; calls are refused until they can");
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("records are written again");
        }
        self.used.noted(used);
    }

    /// Writes the batch once. `attempted` is the head that the chain has if an earlier attempt was committed although
    /// its confirmation was lost. In that case the batch is not written again.
    async fn append(
        &self,
        batch: &[Entry],
        used: &BTreeMap<GrantId, Timestamp>,
        attempted: &mut Option<AuditHead>,
    ) -> Result<(), StoreError> {
        let noted = || batch.iter().filter_map(Entry::noted);
        if noted().next().is_none() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        if let Some(head) = *attempted
            && tx.audit().has_come_to(self.node, head).await?
        {
            return tx.rollback().await;
        }
        for noted in noted() {
            noted.keep(&mut tx).await?;
        }
        // Touches the grants before the chain, which is the order in which the end of a grant is written and recorded.
        // So two transactions never wait for each other.
        for (grant, at) in used {
            tx.grants().touch(*grant, *at).await?;
        }
        let head = tx.audit().append(self.node, noted().map(|noted| &noted.record), self.clock.now()).await?;
        *attempted = Some(head);
        tx.commit().await
    }
}

/// Fills an empty batch with the records that come within [`BATCH_WAIT`] of the first. It does not wait if it is
/// hurried, or if the batch before was full and left some behind. Returns `false` when no more records will come.
async fn gather(entries: &mut mpsc::Receiver<Entry>, hurry: &Notify, behind: bool, batch: &mut Vec<Entry>) -> bool {
    let Some(first) = entries.recv().await else { return false };
    let flushes = matches!(first, Entry::Flush(_));
    batch.push(first);
    // The records that come do not wake this task: no call waits for them, and each wake-up would cost more than its
    // record.
    if !behind && !flushes {
        let _ = tokio::time::timeout(BATCH_WAIT, hurry.notified()).await;
    }
    while batch.len() < BATCH_MAX
        && let Ok(entry) = entries.try_recv()
    {
        batch.push(entry);
    }
    true
}

/// What was decided, without the caller and the call.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) set: Option<sekisho_protocol::refusal::SetName>,
    pub(crate) need: sekisho_protocol::audit::Need,
    pub(crate) task: Option<TaskId>,
    /// Why it was refused.
    pub(crate) why: Option<Why>,
    /// Why the call would have been refused if its server did not only observe.
    pub(crate) observed: Option<Why>,
    pub(crate) because: Arc<[RuleId]>,
    pub(crate) scopes: sekisho_protocol::scope::ScopeSet,
}

/// The record of a decision.
pub(crate) fn decision(routed: &Routed, caller: &Caller, call: &Call, judgement: Judgement) -> Noted {
    let granted = match &caller.basis {
        Basis::Grant(granted) => Some(granted),
        Basis::Open => None,
    };
    let decision = Decision {
        subject: caller.subject().clone(),
        client: granted.map(|granted| granted.client.clone()),
        path: granted.map(|granted| granted.path.clone()),
        grant: granted.map(|granted| granted.grant),
        token: granted.map(|granted| granted.token),
        issuer: granted.and_then(|granted| granted.issued_by.external().cloned()),
        task: judgement.task,
        server: call.server.clone(),
        method: call.method.into(),
        target: call.target.name().map(bounded),
        arguments: call.arguments_digest,
        verdict: judgement.verdict,
        set: judgement.set,
        need: judgement.need,
        why: judgement.why,
        observed: judgement.observed,
        because: judgement.because,
        scopes: judgement.scopes,
    };
    let arguments = match (routed.route.arguments, &call.arguments) {
        (KeepArguments::Sealed { seconds }, Some(arguments)) if call.is_counted() => {
            Some(Box::new((arguments.clone(), after(routed.now, seconds))))
        }
        _ => None,
    };
    let record = Record { at: routed.now, request: routed.request, event: Event::Decision(Box::new(decision)) };
    Noted { record, arguments, _open: None, used: caller.grant() }
}

fn bounded(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => name.get(..end).unwrap_or_default().to_owned(),
        None => name.to_owned(),
    }
}

/// The record of a request that never became a call. Its texts are ours; nothing of the request is quoted (ATK-95).
pub(crate) fn rejection(
    at: Timestamp,
    request: RequestId,
    server: Option<ServerName>,
    status: u16,
    reason: &str,
    detail: String,
) -> Record {
    Record { at, request, event: Event::Rejection(Rejection { server, status, reason: reason.to_owned(), detail }) }
}

/// Writes the outcome of a call when the answer has ended, or when this is dropped.
#[derive(Debug)]
pub(crate) struct OutcomeEntry {
    place: Option<OutcomePlace>,
    request: RequestId,
    server: ServerName,
    clock: Arc<dyn Clock>,
    started: Instant,
    /// The outcome if nothing sets another: the client went away.
    pub(crate) result: OutcomeResult,
    /// The status that the client saw.
    pub(crate) status: u16,
    /// Bytes passed on so far.
    pub(crate) bytes: u64,
}

impl OutcomeEntry {
    pub(crate) fn new(
        place: OutcomePlace,
        request: RequestId,
        server: ServerName,
        clock: Arc<dyn Clock>,
        started: Instant,
    ) -> Self {
        Self {
            place: Some(place),
            request,
            server,
            clock,
            started,
            result: OutcomeResult::Cancelled,
            status: 0,
            bytes: 0,
        }
    }
}

impl Drop for OutcomeEntry {
    fn drop(&mut self) {
        let Some(OutcomePlace { permit, open, grant }) = self.place.take() else { return };
        let outcome = Outcome {
            server: self.server.clone(),
            result: self.result,
            status: self.status,
            bytes: self.bytes,
            millis: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let record = Record { at: self.clock.now(), request: self.request, event: Event::Outcome(outcome) };
        permit.send(Entry::Record(Noted { _open: Some(open), used: grant, ..record.into() }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::RequestId;
    use tokio::sync::{Notify, mpsc, oneshot};
    use tokio::time::Instant;

    use super::{BATCH_MAX, BATCH_WAIT, Entry, NAME_CHARACTERS_MAX, bounded, gather, rejection};

    fn entry() -> Entry {
        let now = ManualClock::default().now();
        let request = RequestId::generate(now, &SeededEntropy::default());
        Entry::Record(rejection(now, request, None, 401, "test", String::new()).into())
    }

    /// A record waits for others for a limited time. It does not wait when somebody waits for it, when many records
    /// wait, or when more records waited than one batch takes.
    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_others_unless_there_is_a_reason_not_to() {
        let (queue, mut entries) = mpsc::channel(3 * BATCH_MAX);
        let hurry = Notify::new();
        let mut took = async |behind| {
            let (began, mut batch) = (Instant::now(), Vec::new());
            assert!(gather(&mut entries, &hurry, behind, &mut batch).await);
            (batch.len(), began.elapsed())
        };
        queue.try_send(entry()).unwrap();
        assert_eq!(took(false).await, (1, BATCH_WAIT));
        for _ in 0..BATCH_MAX + 7 {
            queue.try_send(entry()).unwrap();
        }
        assert_eq!(took(false).await, (BATCH_MAX, BATCH_WAIT));
        assert_eq!(took(true).await, (7, Duration::ZERO));
        let (done, _waits) = oneshot::channel();
        queue.try_send(Entry::Flush(done)).unwrap();
        assert_eq!(took(false).await, (1, Duration::ZERO));
        queue.try_send(entry()).unwrap();
        hurry.notify_one();
        assert_eq!(took(false).await, (1, Duration::ZERO));
        drop(queue);
        assert!(!gather(&mut entries, &hurry, false, &mut Vec::new()).await);
    }

    #[test]
    fn a_name_stands_in_a_record_up_to_its_bound() {
        for (characters, kept) in [(0, 0), (NAME_CHARACTERS_MAX, NAME_CHARACTERS_MAX), (300, NAME_CHARACTERS_MAX)] {
            assert_eq!(bounded(&"é".repeat(characters)), "é".repeat(kept));
        }
    }
}
