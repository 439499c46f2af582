//! One child process: how it is started, what it says on its standard error, and how it ends with all its own.

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
use super::guard::SWEEP_WAIT;
use super::stdio::framing::{Line, Lines};
use crate::upstream::{EnvValue, StdioSettings, UpstreamName};

/// The same number on every system that we run on (POSIX.1-2024 `kill`).
const SIGTERM: i32 = 15;

/// Lines of standard error that an error may repeat.
const STDERR_LINES_MAX: usize = 20;
/// Bytes of one such line.
const STDERR_LINE_BYTES_MAX: usize = 4096;

/// How much longer a guard may take than its program: it ends what the program left behind.
const GUARD_WAIT: Duration = SWEEP_WAIT.saturating_add(Duration::from_secs(1));
/// How long a process that was killed may take to be gone. One that hangs in the kernel is left behind.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The subcommand of our own binary that runs [`super::guard::run`].
const GUARD_ARGUMENTS: [&str; 2] = ["child-guard", "--"];

/// A running child and its process group. Dropping it ends the group: by the end of its input where a guard stands before
/// it, which finds what has left the group, and else at once.
#[derive(Debug)]
pub(super) struct Process {
    child: Box<dyn ChildWrapper>,
    is_guarded: bool,
    ended: bool,
}

/// The three streams of a child.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts the program: exactly this environment, which is the credential of the call that wants it (ATK-90), no shell (ATK-89), its own process group.
/// Descriptors other than the three streams are closed, as all of ours are close-on-exec.
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

/// Whether the program is there, as `execvp` would look for it. With a guard between, the system's own answer would come
/// only after the start, as one more status that a program could have ended with.
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
    /// Its process id, which is also that of its group.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ended by itself; what is left of its group is killed then. Dropping the future loses nothing.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.child.wait().await.ok();
        self.kill();
        status
    }

    /// Waits for the end of a child whose input was closed; then asks it, then kills it (ST-13). The whole group
    /// hears the signals. It takes at most [`stop_wait`].
    pub(super) async fn stop(mut self, grace: Duration) -> Option<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(grace, self.wait()).await {
            return status;
        }
        // It may have ended this very moment.
        let _ = self.child.signal(SIGTERM);
        // A guard that is killed cannot end what has left the group.
        let patience = if self.is_guarded { grace + GUARD_WAIT } else { grace };
        if let Ok(status) = tokio::time::timeout(patience, self.wait()).await {
            return status;
        }
        let _ = self.child.start_kill();
        tokio::time::timeout(KILL_WAIT, self.wait()).await.unwrap_or_default()
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            // Fails when no process is left in the group, which is what is wanted.
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

/// The longest that [`Process::stop`] takes.
pub(super) fn stop_wait(grace: Duration) -> Duration {
    grace.saturating_mul(2) + GUARD_WAIT + KILL_WAIT
}

/// How a child ended, for people.
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
    /// How many lines there were in all.
    count: watch::Sender<u64>,
}

impl StderrTail {
    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Tells of every further line.
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

/// Reads standard error to its end: to the log, and the last lines to `tail`. What stands there is no sign of an
/// error (ST-05). Values of secret variables are struck out.
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

/// Strikes out the values of secret variables, and control characters with which a child could paint a terminal.
fn redacted(line: &str, environment: &BTreeMap<String, EnvValue>) -> String {
    let mut line: String = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect();
    for value in environment.values() {
        // Striking out something as short as `1` would only garble the rest.
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

    /// ST-05, ATK-90: a program that prints its key does not bring it into our log.
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
