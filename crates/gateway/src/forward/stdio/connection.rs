//! One running child and the tasks around it: a writer, a reader for each output, and the supervisor, which alone knows
//! how the child ends.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sekisho_protocol::mcp::message::Id;
use sekisho_protocol::mcp::splice;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::children::{self, Pipes, Process, StderrTail};
use super::super::{ForwardError, ForwardLimits};
use super::framing::{Line, Lines};
use super::mailbox::{Delivery, Receiver};
use super::redaction::Secrets;
use super::router::{Opening, Router};
use crate::memory::Memory;
use crate::upstream::{EnvValue, StdioSettings, UpstreamName};

/// The most lines that wait for a child to read them. A caller whose line finds no place waits, within its own
/// deadline.
const LINES_MAX: usize = 32;
/// The longest time that a start may take with signs of life, unless the setting is longer.
const START_MAX: Duration = Duration::from_mins(10);
/// How often the log says that a program is still starting.
const START_TOLD_EVERY: Duration = Duration::from_secs(20);
/// How often deadlines and idle times are checked.
const TICK: Duration = Duration::from_secs(1);
/// How long the outputs of a child that has ended are read on, because its descendants may hold them open.
pub(super) const DRAIN: Duration = Duration::from_millis(500);

/// What all children of one upstream have in common.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) server: UpstreamName,
    pub(super) settings: Arc<StdioSettings>,
    pub(super) limits: ForwardLimits,
    /// All tasks of the upstream, for which its stop waits.
    pub(super) tasks: TaskTracker,
    /// Set when the upstream stops.
    pub(super) stopping: CancellationToken,
}

/// The tables of a child, shared with its callers. Never locked across an await.
#[derive(Clone, Debug)]
pub(super) struct SharedRouter(Arc<Mutex<Router>>);

impl SharedRouter {
    pub(super) fn new(router: Router) -> Self {
        Self(Arc::new(Mutex::new(router)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Router> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a child ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// What its callers are told.
    pub(super) error: ForwardError,
    /// Whether it ended without being stopped by us.
    pub(super) crashed: bool,
    pub(super) at: Instant,
    pub(super) lived: Duration,
}

/// A running child. It is stopped when the last reference is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    /// The memory for all messages together.
    pub(super) memory: Memory,
    router: SharedRouter,
    lines: mpsc::Sender<Vec<u8>>,
    ended: watch::Receiver<Option<Ended>>,
    stop: CancellationToken,
    gave_way: Arc<AtomicBool>,
    settings: Arc<StdioSettings>,
    server: UpstreamName,
    tail: StderrTail,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Connection {
    /// Starts a child with this environment. `permit` is held until the child is completely gone.
    pub(super) async fn start(
        context: &Arc<Context>,
        router: &SharedRouter,
        environment: Arc<BTreeMap<String, EnvValue>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Arc<Self>, ForwardError> {
        // This runs on a thread for blocking work, because finding and starting the program waits for its file system.
        let (settings, given) = (context.settings.clone(), environment.clone());
        let spawned = tokio::task::spawn_blocking(move || children::spawn(&settings, &given)).await;
        let failed = |error: tokio::task::JoinError| ForwardError::Misconfigured { reason: error.to_string() };
        let (process, Pipes { stdin, stdout, stderr }) = spawned.map_err(failed)??;
        // PX-33: every start is logged with the program's identity, and without the values that it is given.
        tracing::info!(
            server = %context.server, process = process.id(), program = ?context.settings.program, "started a program"
        );
        let (lines, waiting) = mpsc::channel(LINES_MAX);
        let (ended, has_ended) = watch::channel(None);
        let stop = context.stopping.child_token();
        let gave_way = Arc::<AtomicBool>::default();
        let tail = StderrTail::default();
        let secrets = Secrets::of(&environment);
        let reading = children::read_stderr(context.server.clone(), stderr, environment, tail.clone());
        let supervisor = Supervisor {
            context: context.clone(),
            router: router.clone(),
            secrets,
            replies: lines.downgrade(),
            stop: stop.clone(),
            gave_way: gave_way.clone(),
            started: Instant::now(),
            has_answered: AtomicBool::new(false),
            tail: tail.clone(),
            writer: context.tasks.spawn(write_lines(stdin, waiting)),
            stderr: context.tasks.spawn(reading),
            ended,
        };
        context.tasks.spawn(async move {
            supervisor.run(process, stdout).await;
            drop(permit);
        });
        Ok(Arc::new(Self {
            memory: context.limits.memory.clone(),
            router: router.clone(),
            lines,
            ended: has_ended,
            stop,
            gave_way,
            settings: context.settings.clone(),
            server: context.server.clone(),
            tail,
        }))
    }

    /// Waits for the first answer of a child. A start is not a call: the first `npx` or `uvx` downloads the program. So
    /// every line on its standard error is a sign of life, and gives the child the full time again.
    pub(super) async fn starting<T>(&self, work: impl Future<Output = T>) -> Result<T, ForwardError> {
        let (began, patience) = (Instant::now(), self.settings.start_timeout);
        let last = began + patience.max(START_MAX);
        let mut until = began + patience;
        let mut tell = began + START_TOLD_EVERY;
        let mut said = self.tail.watch();
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                Ok(()) = said.changed() => until = (Instant::now() + patience).min(last),
                () = tokio::time::sleep_until(until) => return Err(self.not_started(began.elapsed())),
                () = tokio::time::sleep_until(tell) => {
                    tell += START_TOLD_EVERY;
                    tracing::warn!(
                        server = %self.server,
                        seconds = began.elapsed().as_secs(),
                        "the program is still starting; it is waited for until it was silent for {} s \
                         (`start_seconds` of the server)",
                        patience.as_secs()
                    );
                }
            }
        }
    }

    fn not_started(&self, waited: Duration) -> ForwardError {
        let (stderr_tail, withheld) = (self.tail.lines(), self.settings.withheld.clone());
        ForwardError::NotStarted { seconds: waited.as_secs(), stderr_tail, withheld }
    }

    /// Returns how the child ended, if it did. Nothing is to be sent to it then.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Begins to stop the child, without waiting for its end.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Begins to stop the child, to make room for another.
    pub(super) fn give_way(&self) {
        self.gave_way.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// Whether the child is being stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether nothing waits for the child and nobody listens to it.
    pub(super) fn is_idle(&self) -> bool {
        self.router.lock().is_idle()
    }

    /// Hands a message to the child, waiting for a place in its queue. If this fails or is dropped, nothing was sent.
    pub(super) async fn write(&self, message: &[u8]) -> Result<(), ForwardError> {
        if self.lines.send(framed(message)).await.is_ok() {
            return Ok(());
        }
        Err(self.failure().await)
    }

    /// Hands over a message, such as a cancellation, without waiting.
    pub(super) fn write_later(&self, message: &[u8]) {
        let line = framed(message);
        if let Err(mpsc::error::TrySendError::Full(line)) = self.lines.try_send(line) {
            let lines = self.lines.clone();
            // At most one such task exists for each open request, and those are bounded. The task ends with the child.
            tokio::spawn(async move { lines.send(line).await });
        }
    }

    /// Opens a request of our own; its answer comes back with the original id.
    pub(super) async fn open(
        self: &Arc<Self>,
        opening: Opening,
        message: &[u8],
    ) -> Result<(Ticket, Receiver), ForwardError> {
        let (number, receiver) = self.router.lock().open(opening)?;
        let ticket = Ticket { connection: self.clone(), number, cancels: true };
        let edited = splice::replace_id(message, &Id::Integer(number));
        let edited = edited.map_err(|error| ForwardError::Edit { reason: error.to_string() })?;
        self.write(&edited).await?;
        Ok((ticket, receiver))
    }

    /// Returns why nothing can be sent: how the child ended, as soon as that is known.
    async fn failure(&self) -> ForwardError {
        let mut ended = self.ended.clone();
        let waiting = ended.wait_for(Option::is_some);
        // The supervisor first reads the outputs to their end.
        let found = tokio::time::timeout(DRAIN * 3, waiting).await;
        let error = found.ok().and_then(Result::ok).and_then(|ended| ended.clone());
        error.map_or(ForwardError::Busy { sent: false }, |ended| ended.error.unsent())
    }
}

/// An open request. Dropping it cancels the request at the child if `cancels` is set.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) connection: Arc<Connection>,
    pub(super) number: i64,
    /// Whether the request is cancelled when its caller goes away. It is in 2026-07-28 (ST-08) and for our own
    /// questions. In the older revisions (TR-38) the answer is waited for until the deadline and then dropped.
    pub(super) cancels: bool,
}

impl Ticket {
    /// Cancels the request in any revision, because its time is over.
    pub(super) fn give_up(mut self) {
        self.cancels = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.cancels {
            return;
        }
        // A request that was answered is not open any more, so nothing is sent for it.
        let cancelled = self.connection.router.lock().cancel(self.number, "the client went away");
        if let Some(message) = cancelled {
            self.connection.write_later(&message);
        }
    }
}

/// Waits for the answer to a question of our own, and ignores all other messages.
pub(super) async fn answer(receiver: &mut Receiver) -> Result<Bytes, ForwardError> {
    loop {
        match receiver.receive().await? {
            Some(Delivery::Answer(bytes)) => return Ok(bytes),
            Some(Delivery::Message(_)) => {}
            None => return Err(ForwardError::Malformed { reason: "no answer".to_owned() }),
        }
    }
}

/// Puts one message on one line (ST-04). The strict reading refuses line breaks inside strings, so each line break
/// stands between two tokens, where a space means the same.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    line.push(b'\n');
    line
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        // A child that closed its input is about to end or ignores it; the supervisor finds out which.
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Why the supervisor stops waiting.
enum End {
    /// The child ended by itself.
    Exited(Option<ExitStatus>),
    /// The child was idle for too long.
    Idle,
    /// The child closed its output, so it can answer nothing any more.
    Silent,
    /// We stop the child.
    Stopped,
}

struct Supervisor {
    context: Arc<Context>,
    router: SharedRouter,
    /// What the child must not tell its callers.
    secrets: Secrets,
    /// Weak, so that the writer ends with the last caller.
    replies: mpsc::WeakSender<Vec<u8>>,
    stop: CancellationToken,
    /// Whether the child is stopped to make room.
    gave_way: Arc<AtomicBool>,
    started: Instant,
    has_answered: AtomicBool,
    tail: StderrTail,
    writer: JoinHandle<()>,
    stderr: JoinHandle<()>,
    ended: watch::Sender<Option<Ended>>,
}

impl Supervisor {
    async fn run(mut self, mut process: Process, stdout: ChildStdout) {
        let mut lines = Lines::new(stdout, self.context.limits.answer_bytes_max);
        let end = self.listen(&mut process, &mut lines).await;
        // The child's input ends here. From now on writing fails, so a request that is opened after the tables are
        // cleared below does not wait for ever.
        self.writer.abort();
        let _ = (&mut self.writer).await;
        let grace = self.context.settings.stop_grace;
        match end {
            End::Exited(status) => {
                // What the child said before it ended still counts.
                let _ = tokio::time::timeout(DRAIN, self.drain(&mut lines)).await;
                self.finish(children::ending(status), true).await;
            }
            End::Silent => {
                let status = process.stop(grace).await;
                self.finish(format!("closed its output and {}", children::ending(status)), true).await;
            }
            End::Idle | End::Stopped => {
                // Callers are told before the child is stopped, because it may end slowly.
                self.finish("was stopped".to_owned(), false).await;
                drop(lines);
                process.stop(grace).await;
            }
        }
        self.end_stderr().await;
    }

    /// Reads standard error to its end, but only for a limited time: a descendant of the child may hold it open for
    /// ever.
    async fn end_stderr(&mut self) {
        if !self.stderr.is_finished() && tokio::time::timeout(DRAIN, &mut self.stderr).await.is_err() {
            self.stderr.abort();
        }
    }

    async fn listen(&self, process: &mut Process, lines: &mut Lines<ChildStdout>) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle_since = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return End::Stopped,
                line = lines.next() => match line {
                    Ok(Some(line)) => self.take(&line),
                    Ok(None) | Err(_) => return match tokio::time::timeout(DRAIN, process.wait()).await {
                        Ok(status) => End::Exited(status),
                        Err(_) => End::Silent,
                    },
                },
                status = process.wait() => return End::Exited(status),
                now = tick.tick() => {
                    for message in self.router.lock().expire(now) {
                        self.reply(&message);
                    }
                    if !self.router.lock().is_idle() {
                        idle_since = now;
                    }
                    if now.duration_since(idle_since) >= self.context.settings.idle_stop {
                        return End::Idle;
                    }
                }
            }
        }
    }

    async fn drain(&self, lines: &mut Lines<ChildStdout>) {
        while let Ok(Some(line)) = lines.next().await {
            self.take(&line);
        }
    }

    fn take(&self, line: &Line) {
        let heard = match line {
            Line::Whole(line) => {
                let (line, was_removed) = self.secrets.removed(line);
                if was_removed {
                    tracing::warn!(server = %self.context.server, "removed a credential from what the program said");
                }
                self.router.lock().hear(&line)
            }
            Line::TooLong(_) => {
                let max = self.context.limits.answer_bytes_max;
                self.router.lock().line_too_long(max);
                tracing::warn!(server = %self.context.server, max, "the program wrote a line that is too long");
                return;
            }
        };
        if heard.answered {
            self.has_answered.store(true, Ordering::Relaxed);
        }
        if let Some(reason) = heard.dropped {
            tracing::debug!(server = %self.context.server, reason, "dropped a line of the program");
        }
        if let Some(message) = heard.reply {
            self.reply(&message);
        }
    }

    /// Sends a reply of our own, unless the child's queue is full: the reader must not wait for the writer.
    fn reply(&self, message: &[u8]) {
        if let Some(lines) = self.replies.upgrade() {
            let _ = lines.try_send(framed(message));
        }
    }

    /// Tells everybody that the child ended. The tables are cleared before the end becomes known, so that requests that
    /// its successor opens in them stay.
    async fn finish(&mut self, status: String, crashed: bool) {
        if crashed {
            self.end_stderr().await;
        }
        let server = &self.context.server;
        if crashed {
            tracing::warn!(%server, %status, "the program ended");
        } else {
            tracing::info!(%server, "stopped the program");
        }
        // A child that has answered once is unlikely to have ended because a variable was missing.
        let withheld = match self.has_answered.load(Ordering::Relaxed) {
            false if crashed => self.context.settings.withheld.clone(),
            _ => Vec::new(),
        };
        let stderr_tail = if crashed { self.tail.lines() } else { Vec::new() };
        let error = match self.gave_way.load(Ordering::Relaxed) {
            true => ForwardError::GaveWay,
            false => ForwardError::ChildExited { status, stderr_tail, withheld, sent: true },
        };
        self.router.lock().child_ended(&error);
        let lived = self.started.elapsed();
        self.ended.send_replace(Some(Ended { error, crashed, at: Instant::now(), lived }));
    }
}
