//! One child process: how it is started, what it writes on standard error, and how it ends with all its descendants.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use tokio::io::AsyncRead;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::ForwardError;
use super::guard::{SMALL_HEAP, SWEEP_WAIT};
use super::stdio::framing::{Line, Lines};
use crate::upstream::{EnvValue, StdioSettings, UpstreamName};

/// The number of the signal, which is the same on every system that we run on (POSIX.1-2024 `kill`).
const SIGTERM: i32 = 15;

/// The most lines of standard error that an error repeats.
const STDERR_LINES_MAX: usize = 20;
/// The most bytes of one such line.
const STDERR_LINE_BYTES_MAX: usize = 4096;

/// How much longer than its program a guard may take to end, because it also ends what the program left behind.
const GUARD_WAIT: Duration = SWEEP_WAIT.saturating_add(Duration::from_secs(1));
/// How long a process that was killed may take to be gone. A process that hangs in the kernel is left behind.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The subcommand of our own binary that runs [`super::guard::run`].
const GUARD_ARGUMENTS: [&str; 2] = ["child-guard", "--"];

/// A running child and its process group. Dropping it ends the group. With a guard, that happens by closing the guard's
/// input, because the guard also finds processes that have left the group; without one, the group is killed at once.
#[derive(Debug)]
pub(super) struct Process {
    child: Box<dyn ChildWrapper>,
    is_guarded: bool,
    ended: bool,
}

/// The three standard streams of a child.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts the program with exactly this environment, which is the credential of the call that needs it (ATK-90),
/// without a shell (ATK-89), and in a process group of its own. All our other descriptors are close-on-exec, so the
/// child gets only its three streams.
pub(super) fn spawn(
    settings: &StdioSettings,
    environment: &BTreeMap<String, EnvValue>,
) -> Result<(Process, Pipes), ForwardError> {
    let missing = |reason: String| ForwardError::ChildMissing {
        program: settings.program.to_string_lossy().into_owned(),
        reason,
    };
    if let Some(directory) = settings.directory.as_deref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Err(missing(format!("its directory `{directory}` does not exist")));
    }
    if settings.guard.is_some() && !is_found(settings, environment) {
        return Err(missing("no such program, or it may not be run".to_owned()));
    }
    let mut command = command(settings);
    command
        .args(&settings.arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Not set if the operator gives the program a value of its own.
    if settings.guard.is_some() && !settings.environment.contains_key(SMALL_HEAP.0) {
        command.env(SMALL_HEAP.0, SMALL_HEAP.1);
    }
    if let Some(directory) = &settings.directory {
        command.current_dir(directory);
    }
    let mut wrapped = CommandWrap::from(command);
    wrapped.wrap(ProcessGroup::leader());
    let is_guarded = settings.guard.is_some();
    if !is_guarded {
        wrapped.wrap(KillOnDrop);
    }
    let mut child = wrapped.spawn().map_err(|error| missing(error.to_string()))?;
    let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let process = Process { child, is_guarded, ended: false };
    match pipes {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, Pipes { stdin, stdout, stderr })),
        _ => Err(missing("its standard streams could not be opened".to_owned())),
    }
}

fn command(settings: &StdioSettings) -> Command {
    match &settings.guard {
        Some(guard) => {
            let mut command = Command::new(Path::new(guard));
            command.args(GUARD_ARGUMENTS).arg(&settings.program);
            command
        }
        None => Command::new(&settings.program),
    }
}

/// Whether the program exists, looked up as `execvp` would do it. With a guard in between, the system's own error would
/// come only after the start, as an exit status that the program could also have ended with.
fn is_found(settings: &StdioSettings, environment: &BTreeMap<String, EnvValue>) -> bool {
    let may_run = |path: PathBuf| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let directory = settings.directory.clone().unwrap_or_default();
    let program = Path::new(&settings.program);
    if program.components().count() > 1 {
        return may_run(directory.join(program));
    }
    let path = environment.get("PATH").map_or("/bin:/usr/bin", EnvValue::expose);
    std::env::split_paths(path).any(|place| may_run(directory.join(place).join(program)))
}

impl Process {
    /// Returns the child's process id, which is also that of its group.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the child ends by itself, and then kills what is left of its group. Dropping the future loses
    /// nothing.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await.ok();
        self.kill();
        status
    }

    /// Waits for the end of a child whose input was closed, then sends `SIGTERM`, then kills it (ST-13). The signals go
    /// to the whole group. Takes at most [`stop_wait`].
    pub(super) async fn stop(mut self, grace: Duration) -> Option<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(grace, self.wait()).await {
            return status;
        }
        // Fails if the child ended at this very moment, so the error is ignored.
        let _ = self.child.signal(SIGTERM);
        // A guard that is killed cannot end the processes that have left the group, so it gets more time.
        let patience = if self.is_guarded { grace + GUARD_WAIT } else { grace };
        if let Ok(status) = tokio::time::timeout(patience, self.wait()).await {
            return status;
        }
        let _ = self.child.start_kill();
        tokio::time::timeout(KILL_WAIT, self.wait()).await.unwrap_or_default()
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            // Fails if no process is left in the group, which is what we want.
            let _ = self.child.start_kill();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_guarded {
            self.kill();
        }
    }
}

/// Returns the longest time that [`Process::stop`] takes.
pub(super) fn stop_wait(grace: Duration) -> Duration {
    grace.saturating_mul(2) + GUARD_WAIT + KILL_WAIT
}

/// Describes how a child ended, for people.
pub(super) fn ending(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exited with status {code}"),
        Some((None, Some(signal))) => format!("was ended by signal {signal}"),
        Some((None, None)) | None => "ended".to_owned(),
    }
}

/// The last lines of a child's standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct StderrTail {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// The number of all lines so far.
    count: watch::Sender<u64>,
}

impl StderrTail {
    /// Returns the lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns a receiver that is notified of every further line.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    fn push(&self, line: String) {
        self.count.send_modify(|count| *count += 1);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= STDERR_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Reads standard error to its end, into the log, and the last lines into `tail`. A line there does not mean that
/// something failed (ST-05). The values of secret variables are removed.
pub(super) async fn read_stderr(
    server: UpstreamName,
    stderr: impl AsyncRead + Unpin,
    environment: Arc<BTreeMap<String, EnvValue>>,
    tail: StderrTail,
) {
    let mut lines = Lines::new(stderr, STDERR_LINE_BYTES_MAX);
    while let Ok(Some(line)) = lines.next().await {
        let (Line::Whole(bytes) | Line::TooLong(bytes)) = line;
        let line = redacted(&String::from_utf8_lossy(&bytes), &environment);
        tracing::info!(%server, stderr = %line, "the program said");
        tail.push(line);
    }
}

/// Removes the values of secret variables, and control characters, with which a child could change the display of a
/// terminal.
fn redacted(line: &str, environment: &BTreeMap<String, EnvValue>) -> String {
    let mut line: String = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect();
    for value in environment.values() {
        // Removing a value as short as `1` would only make the rest unreadable.
        if let EnvValue::Secret(secret) = value
            && secret.expose().len() >= 4
        {
            line = line.replace(secret.expose(), "…");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, EnvValue, StderrTail, redacted};
    use sekisho_protocol::secret::UpstreamSecret;

    /// ST-05, ATK-90: a program that prints its key does not get it into our log.
    #[test]
    fn secrets_and_control_characters_do_not_reach_the_log() {
        let secret = UpstreamSecret::from_outside("hush-hush");
        let environment = BTreeMap::from([("KEY".to_owned(), EnvValue::Secret(secret))]);
        assert_eq!(redacted("key=hush-hush\u{1b}[2J", &environment), "key=…\u{FFFD}[2J");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let tail = StderrTail::default();
        for number in 0..50 {
            tail.push(number.to_string());
        }
        assert_eq!(tail.lines().len(), 20);
        assert_eq!(tail.lines().last().map(String::as_str), Some("49"));
    }
}
