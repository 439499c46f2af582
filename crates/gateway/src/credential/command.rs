//! A secret that a command prints. It runs without a shell, for a bounded time, and its output is used until its
//! lifetime ends. However many calls wait for it, one run is under way; they all get its result, also its failure.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use sekisho_protocol::secret::UpstreamSecret;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::credential_settings::SecretCommand;

/// The most bytes that a command may print: enough for a token with many claims, and it has to fit into a header.
const OUTPUT_BYTES_MAX: u64 = 16 * 1024;
/// The most characters of its standard error that an error repeats.
const SAID_CHARS_MAX: usize = 300;

/// Why a command gave no secret. The text is for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CommandError {
    /// It could not be started.
    #[error("the command `{program}` cannot be started: {reason}")]
    Start { program: String, reason: String },
    /// It ended with an error.
    #[error("the command `{program}` {ending}{said}")]
    Failed { program: String, ending: String, said: String },
    /// It ran too long.
    #[error("the command `{program}` did not end within {seconds} s (`timeout_seconds` of the credential)")]
    Slow { program: String, seconds: u64 },
    /// It printed nothing, too much, or something that is not text on one line.
    #[error("the command `{program}` printed {what}; it has to print the secret on one line, and nothing else")]
    Output { program: String, what: &'static str },
}

/// What a run gave, and until when it counts.
#[derive(Clone, Debug)]
struct Run {
    /// Counts the runs.
    number: u64,
    until: Instant,
    result: Result<UpstreamSecret, CommandError>,
}

/// A command and the result of its last run.
#[derive(Debug)]
pub(crate) struct CommandSecret {
    settings: SecretCommand,
    last: Mutex<Option<Run>>,
    /// Held by the one run that is under way.
    running: AsyncMutex<()>,
}

impl CommandSecret {
    pub(crate) fn new(settings: SecretCommand) -> Arc<Self> {
        Arc::new(Self { settings, last: Mutex::default(), running: AsyncMutex::default() })
    }

    /// Returns the secret, from the last run if that still counts. Dropping the future of a call does not end the run
    /// that it began, because others may wait for it.
    pub(crate) async fn secret(self: &Arc<Self>) -> Result<UpstreamSecret, CommandError> {
        let before = self.last();
        if let Some(Run { until, result: Ok(secret), .. }) = &before
            && Instant::now() < *until
        {
            return Ok(secret.clone());
        }
        let (command, seen) = (Arc::clone(self), before.map_or(0, |run| run.number));
        let run = tokio::spawn(async move { command.run_after(seen).await });
        run.await.unwrap_or_else(|_| Err(self.failed("was interrupted".to_owned(), String::new())))
    }

    /// Runs the command, unless a run ended since the one that the caller has seen.
    async fn run_after(&self, seen: u64) -> Result<UpstreamSecret, CommandError> {
        let _alone = self.running.lock().await;
        if let Some(run) = self.last().filter(|run| run.number > seen) {
            return run.result;
        }
        let result = run(&self.settings).await;
        let until = Instant::now() + self.settings.lifetime;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Run { number: seen.saturating_add(1), until, result: result.clone() });
        result
    }

    fn last(&self) -> Option<Run> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, ending: String, said: String) -> CommandError {
        CommandError::Failed { program: program(&self.settings), ending, said }
    }
}

fn program(settings: &SecretCommand) -> String {
    settings.program.to_string_lossy().into_owned()
}

async fn run(settings: &SecretCommand) -> Result<UpstreamSecret, CommandError> {
    let name = program(settings);
    let start = |reason: String| CommandError::Start { program: program(settings), reason };
    let mut command = Command::new(&settings.program);
    command
        .args(&settings.arguments)
        .env_clear()
        .envs(&settings.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(directory) = &settings.directory {
        command.current_dir(directory);
    }
    let mut wrapped = CommandWrap::from(command);
    wrapped.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
    let mut child = wrapped.spawn().map_err(|error| start(error.to_string()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout().take(), child.stderr().take()) else {
        return Err(start("its standard streams could not be opened".to_owned()));
    };
    let running = async {
        let (printed, said) = tokio::join!(bounded(stdout), bounded(stderr));
        (child.wait().await, printed, said)
    };
    let Ok((status, printed, said)) = tokio::time::timeout(settings.timeout, running).await else {
        // The group is killed with the child.
        drop(child);
        return Err(CommandError::Slow { program: name, seconds: settings.timeout.as_secs() });
    };
    // A command whose output is not read to the end fails when it goes on writing.
    if printed.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(CommandError::Output { program: name, what: "too much" });
    }
    let is_success = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !is_success {
        let ending = status.map_or_else(|error| error.to_string(), |status| format!("ended with {status}"));
        return Err(CommandError::Failed { program: name, ending, said: shown(&said) });
    }
    read(&printed).map_err(|what| CommandError::Output { program: name, what })
}

/// Reads to the end, or one byte more than is allowed; what follows is not read.
async fn bounded(stream: impl AsyncRead + Unpin) -> zeroize::Zeroizing<Vec<u8>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    // A stream that breaks gives what came before.
    let _ = stream.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await;
    bytes
}

fn read(printed: &[u8]) -> Result<UpstreamSecret, &'static str> {
    let text = std::str::from_utf8(printed).map_err(|_| "no text")?.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("nothing");
    }
    if text.chars().any(char::is_control) {
        return Err("several lines");
    }
    Ok(UpstreamSecret::from_outside(text))
}

/// What a command wrote on its standard error, as one line. A command that fails has printed no secret there as a rule,
/// and without its words nobody could find out why it failed.
fn shown(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect();
    if line.is_empty() { line } else { format!("; it said: {line}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{CommandError, CommandSecret, SecretCommand};

    fn command(script: &str, lifetime: Duration) -> Arc<CommandSecret> {
        CommandSecret::new(SecretCommand {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            lifetime,
            timeout: Duration::from_secs(20),
            directory: None,
        })
    }

    /// A folder in which each run leaves a line.
    fn counted(script: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo run >> {}/runs; {script}", folder.path().display());
        (folder, script)
    }

    fn runs(folder: &tempfile::TempDir) -> usize {
        std::fs::read_to_string(folder.path().join("runs")).unwrap_or_default().lines().count()
    }

    /// However many ask at once, the command runs once, and its output counts until its lifetime ends.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_command_runs_once_for_all_who_wait_and_again_after_its_lifetime() {
        let (folder, script) = counted("echo hush-hush");
        let long = command(&script, Duration::from_secs(600));
        let asked = (0..32).map(|_| {
            let long = Arc::clone(&long);
            tokio::spawn(async move { long.secret().await.unwrap().expose().to_owned() })
        });
        for secret in futures_util::future::join_all(asked).await {
            assert_eq!(secret.unwrap(), "hush-hush");
        }
        assert_eq!(runs(&folder), 1);
        let short = command(&script, Duration::ZERO);
        short.secret().await.unwrap();
        short.secret().await.unwrap();
        assert_eq!(runs(&folder), 3);
        assert!(!format!("{long:?}").contains("hush"), "{long:?}");
    }

    /// All who wait for a run that fails get its failure; the next who asks begins another run.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_is_told_to_all_who_wait_and_is_not_kept() {
        let (folder, script) = counted("sleep 1; echo no such secret >&2; exit 3");
        let failing = command(&script, Duration::from_secs(600));
        let asked = (0..8).map(|_| {
            let failing = Arc::clone(&failing);
            tokio::spawn(async move { failing.secret().await.unwrap_err().to_string() })
        });
        for error in futures_util::future::join_all(asked).await {
            let error = error.unwrap();
            assert!(error.contains("exit status: 3") && error.contains("no such secret"), "{error}");
        }
        assert_eq!(runs(&folder), 1);
        failing.secret().await.unwrap_err();
        assert_eq!(runs(&folder), 2);
    }

    #[tokio::test]
    async fn what_is_no_secret_on_one_line_is_refused() {
        for (script, what) in [
            ("true", "nothing"),
            ("printf 'a\\nb\\n'", "several lines"),
            ("printf '\\377'", "no text"),
            ("head -c 20000 /dev/zero | tr '\\0' x", "too much"),
        ] {
            let error = command(script, Duration::ZERO).secret().await.unwrap_err();
            assert!(matches!(&error, CommandError::Output { what: told, .. } if *told == what), "{script} {error}");
        }
        let mut slow = SecretCommand {
            timeout: Duration::from_millis(50),
            ..command("sleep 60", Duration::ZERO).settings.clone()
        };
        let error = CommandSecret::new(slow.clone()).secret().await.unwrap_err();
        assert!(matches!(error, CommandError::Slow { .. }), "{error}");
        slow.program = "/nowhere/at/all".into();
        let error = CommandSecret::new(slow).secret().await.unwrap_err();
        assert!(matches!(error, CommandError::Start { .. }), "{error}");
    }
}
