//! Keeps a child from outliving us, also when we are killed and can do nothing any more.
//!
//! The binary starts itself as `sekisho child-guard -- PROGRAM ARGUMENTS` in the process group of the child-to-be,
//! and that process calls [`run`]. Its input is a pipe that only we hold, so its end is a death notice that no signal
//! can suppress; it is handed on to the program line for line. Output and standard error are the program's own,
//! untouched. (`PR_SET_PDEATHSIG` would need code between `fork` and `exec`, which safe Rust does not have, and exists
//! on Linux only.)

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, setpgid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};

/// As shells say it: there is no such program.
pub const NOT_FOUND: u8 = 127;

/// What is handed on at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Why the guard could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// No such program, or it may not be run. To be reported as status [`NOT_FOUND`].
    #[error("cannot start `{program}`: {source}")]
    Missing {
        /// As given.
        program: String,
        /// As the system says it.
        source: std::io::Error,
    },
    /// Its own streams or signals.
    #[error("the guard of a child needs a pipe as its standard input: {0}")]
    Setup(#[from] std::io::Error),
}

/// Runs `program` with this process's output, standard error and environment, hands on what comes in, and gives the
/// status with which this process is to exit: the program's, or 128 and the number of the signal that ended it.
///
/// When the input ends, the program has `grace` to end as well, then as long after `SIGTERM`; after that the whole
/// process group is killed, this process included. Call it from a process that does nothing else.
pub async fn run(program: OsString, arguments: Vec<OsString>, grace: Duration) -> Result<u8, GuardError> {
    if getpgrp() != getpid() {
        setpgid(None, None).map_err(std::io::Error::from)?;
    }
    // Sent to the whole group, so the program hears it too; we stay until it is gone.
    let mut terminate = signal(SignalKind::terminate())?;
    let input = Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|source| GuardError::Missing { program: program.to_string_lossy().into_owned(), source })?;
    let stdin = child.stdin.take();
    let ignoring = async { while terminate.recv().await.is_some() {} };
    tokio::select! {
        status = child.wait() => return Ok(code(status?)),
        () = hand_on(input, stdin) => {}
        () = ignoring => {}
    }
    end(child, grace).await;
    // Whatever the program has started and left behind goes too; so do we.
    kill_current_process_group(Signal::KILL).map_err(std::io::Error::from)?;
    Ok(0)
}

/// Until the input ends. A program that closed its own input keeps us here: it may go on working.
async fn hand_on(mut input: Receiver, mut stdin: Option<ChildStdin>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = input.read(&mut buffer).await {
        let part = buffer.get(..length).unwrap_or_default();
        if let Some(open) = &mut stdin
            && open.write_all(part).await.is_err()
        {
            stdin = None;
        }
    }
}

async fn end(mut child: Child, grace: Duration) {
    if tokio::time::timeout(grace, child.wait()).await.is_ok() {
        return;
    }
    // Nobody is left to be told if this fails; the kill that follows does not ask.
    let _ = kill_current_process_group(Signal::TERM);
    let _ = tokio::time::timeout(grace, child.wait()).await;
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
