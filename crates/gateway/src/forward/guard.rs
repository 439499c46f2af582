//! Keeps a child and everything that it starts from outliving us, also when we are killed and can do nothing any more.
//!
//! The binary starts itself as `sekisho child-guard -- PROGRAM ARGUMENTS` in the process group of the child-to-be,
//! and that process calls [`run`]. Its input is a pipe that only we hold, so its end is a death notice that no signal
//! can suppress; it is handed on to the program line for line. Output and standard error are the program's own,
//! untouched. (`PR_SET_PDEATHSIG` would need code between `fork` and `exec`, which safe Rust does not have, and exists
//! on Linux only.)
//!
//! What a program leaves behind may have a session and a process group of its own (`setsid`, a daemon). On Linux the
//! guard is the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`): a process that loses its parent becomes the guard's child,
//! so that the guard finds all of them when the program has ended. On other systems only the process group is ended.

#[cfg(target_os = "linux")]
mod descendants;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_current_process_group, setpgid, wait,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// As shells say it: there is no such program.
pub const NOT_FOUND: u8 = 127;

/// What is handed on at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// How long the guard takes at most to end what a program left behind. The gateway waits longer for the guard.
pub(super) const SWEEP_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at what is left.
#[cfg(target_os = "linux")]
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// Why the guard could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// No such program, or it may not be run. To be reported as status [`NOT_FOUND`].
    #[error("cannot start `{program}`: {source}")]
    Missing {
        /// As given.
        program: String,
        /// As the system says it.
        source: io::Error,
    },
    /// Its own streams or signals.
    #[error("the guard of a child needs a pipe as its standard input: {0}")]
    Setup(#[from] io::Error),
}

/// What has become of the guard's children.
#[derive(Debug, Clone, Copy, Default)]
struct Reaped {
    /// The status of the program, once it has ended.
    program: Option<u8>,
    /// Nothing of all that it started is left.
    all: bool,
}

/// Runs `program` with this process's output, standard error and environment, hands on what comes in, and gives the
/// status with which this process is to exit: the program's, or 128 and the number of the signal that ended it.
///
/// When the input ends, the program has `grace` to end as well, then as long after `SIGTERM`. Whenever the program has
/// ended, whatever it has started and left behind is killed. Call it from a process that does nothing else.
pub async fn run(program: OsString, arguments: Vec<OsString>, grace: Duration) -> Result<u8, GuardError> {
    if getpgrp() != getpid() {
        setpgid(None, None).map_err(io::Error::from)?;
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
    // Sent to the whole group, so the program hears it too; we stay until it is gone.
    let mut terminate = signal(SignalKind::terminate())?;
    let input = Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    // Not started by way of tokio, which would wait for this child alone: all that become ours are waited for here.
    let mut child = std::process::Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|source| GuardError::Missing { program: program.to_string_lossy().into_owned(), source })?;
    let stdin = child.stdin.take().map(|stdin| Sender::from_owned_fd(OwnedFd::from(stdin))).transpose()?;
    let mut reaped = reap(child.id());
    let mut watched = reaped.clone();
    let ignoring = async { while terminate.recv().await.is_some() {} };
    tokio::select! {
        () = has_ended(&mut watched) => {}
        () = hand_on(input, stdin) => end(&mut reaped, grace).await,
        () = ignoring => {}
    }
    sweep(&mut reaped).await;
    let program = reaped.borrow().program;
    match program {
        Some(status) => Ok(status),
        None => {
            // It could not be ended alone: its whole group goes, and we with it.
            kill_current_process_group(Signal::KILL).map_err(io::Error::from)?;
            Ok(0)
        }
    }
}

/// Waits for all children in a thread of its own: the program, and on Linux whatever lost its parent.
fn reap(program: u32) -> watch::Receiver<Reaped> {
    let (sender, receiver) = watch::channel(Reaped::default());
    let program = i32::try_from(program).ok().and_then(Pid::from_raw);
    std::thread::spawn(move || {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((child, status))) if Some(child) == program => {
                    sender.send_modify(|reaped| reaped.program = Some(code(status)));
                }
                Ok(_) | Err(Errno::INTR) => {}
                // There is no child any more, and no process that could leave us one.
                Err(_) => return sender.send_modify(|reaped| reaped.all = true),
            }
        }
    });
    receiver
}

async fn has_ended(reaped: &mut watch::Receiver<Reaped>) {
    // An error says that the thread is gone, and it goes only when everything has ended.
    let _ = reaped.wait_for(|reaped| reaped.program.is_some()).await;
}

/// Until the input ends. A program that closed its own input keeps us here: it may go on working.
async fn hand_on(mut input: Receiver, mut stdin: Option<Sender>) {
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

async fn end(reaped: &mut watch::Receiver<Reaped>, grace: Duration) {
    if tokio::time::timeout(grace, has_ended(reaped)).await.is_ok() {
        return;
    }
    // If this fails, nothing can be done about it; the kill that follows does not depend on it.
    let _ = kill_current_process_group(Signal::TERM);
    let _ = tokio::time::timeout(grace, has_ended(reaped)).await;
}

/// Kills everything that is left of what was started, generation by generation, for at most [`SWEEP_WAIT`].
#[cfg(target_os = "linux")]
async fn sweep(reaped: &mut watch::Receiver<Reaped>) {
    let sweeping = async {
        while !reaped.borrow().all {
            descendants::kill();
            let _ = tokio::time::timeout(SWEEP_EVERY, reaped.wait_for(|reaped| reaped.all)).await;
        }
    };
    let _ = tokio::time::timeout(SWEEP_WAIT, sweeping).await;
}

/// Nobody tells us what was started: the process group is ended by whoever started us, or by [`run`] itself.
#[cfg(not(target_os = "linux"))]
async fn sweep(_: &mut watch::Receiver<Reaped>) {}

fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
