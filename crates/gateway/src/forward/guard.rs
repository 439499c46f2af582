//! Keeps a child and everything that it starts from outliving us, even when we are killed and can do nothing any more.
//!
//! The binary starts itself as `sekisho child-guard -- PROGRAM ARGUMENTS` in the process group of the future child, and
//! that process calls [`run`]. Its input is a pipe that only we hold, so the pipe's end always tells the guard that we
//! are gone; no signal can prevent that. The guard passes its input on to the program. Output and standard error are
//! the program's own. (`PR_SET_PDEATHSIG` would need code between `fork` and `exec`, which safe Rust does not have, and
//! exists only on Linux.)
//!
//! A process that a program leaves behind may have a session and a process group of its own (`setsid`, a daemon). On
//! Linux the guard is the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`): a process that loses its parent becomes
//! the guard's child, so the guard finds all of them when the program has ended. On other systems only the process
//! group is ended.

#[cfg(target_os = "linux")]
mod descendants;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
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

/// A variable that keeps the heap of a guard small, and the value that we give it, which means 0. Our allocator,
/// mimalloc, uses huge pages where it may (`transparent_hugepage`), and a guard that needs 400 kB then takes 6 MB. The
/// value is written in an unusual way: a guard that finds exactly this value knows that it is ours, and starts its
/// program through [`unburden`]. Any other value belongs to the program.
pub const SMALL_HEAP: (&str, &str) = ("MIMALLOC_ALLOW_THP", "00");

/// Undoes in this process what [`SMALL_HEAP`] did, and becomes `program`. It removes the variable and allows huge pages
/// again, because a process hands this setting down to what it starts. Only a process that is about to become another
/// may do this, because its own heap would grow at once. Returns why the program could not be started.
pub fn unburden(program: &OsStr, arguments: &[OsString]) -> GuardError {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    let mut command = std::process::Command::new(program);
    let source = command.args(arguments).env_remove(SMALL_HEAP.0).exec();
    GuardError::Missing { program: program.to_string_lossy().into_owned(), source }
}

/// The exit status with which shells report that a program does not exist.
pub const NOT_FOUND: u8 = 127;

/// The most bytes that are handed on at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// The longest time the guard takes to end what a program left behind. The gateway waits longer than that for the
/// guard.
pub(super) const SWEEP_WAIT: Duration = Duration::from_secs(2);
/// How long to wait before looking again for what is left.
#[cfg(target_os = "linux")]
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// Why the guard could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The program does not exist, or may not be run. To be reported as status [`NOT_FOUND`].
    #[error("cannot start `{program}`: {source}")]
    Missing {
        /// The program as it was given.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// The guard's own streams or signals could not be set up.
    #[error("the guard of a child needs a pipe as its standard input: {0}")]
    Setup(#[from] io::Error),
}

/// What has become of the guard's children.
#[derive(Debug, Clone, Copy, Default)]
struct Reaped {
    /// The status of the program, once it has ended.
    program: Option<u8>,
    /// Whether nothing that it started is left.
    all: bool,
}

/// Runs `program` with this process's output, standard error and environment, and hands its input on. Returns the
/// status with which this process is to exit: the program's, or 128 plus the number of the signal that ended it.
///
/// When the input ends, the program has the time `grace` to end, and the same time again after `SIGTERM`. Once the
/// program has ended, everything that it started and left behind is killed. Call this from a process that does nothing
/// else.
pub async fn run(program: OsString, arguments: Vec<OsString>, grace: Duration) -> Result<u8, GuardError> {
    if getpgrp() != getpid() {
        setpgid(None, None).map_err(io::Error::from)?;
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
    // The signal goes to the whole group, so the program gets it too; we stay until the program is gone.
    let mut terminate = signal(SignalKind::terminate())?;
    let input = Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    // Not started through tokio, which would wait for this child alone: here we wait for all processes that become our
    // children.
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
            // The program could not be ended alone, so the whole group is killed, with us.
            kill_current_process_group(Signal::KILL).map_err(io::Error::from)?;
            Ok(0)
        }
    }
}

/// Waits for all children in a thread of its own: the program, and on Linux every process that lost its parent.
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
                // There is no child left, and so no process that could leave us one.
                Err(_) => return sender.send_modify(|reaped| reaped.all = true),
            }
        }
    });
    receiver
}

async fn has_ended(reaped: &mut watch::Receiver<Reaped>) {
    // An error means that the thread is gone, and the thread goes only when everything has ended.
    let _ = reaped.wait_for(|reaped| reaped.program.is_some()).await;
}

/// Hands the input on until it ends. If the program closes its own input, this keeps waiting, because the program may
/// go on working.
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
    // If this fails there is nothing to be done; the kill that follows does not depend on it.
    let _ = kill_current_process_group(Signal::TERM);
    let _ = tokio::time::timeout(grace, has_ended(reaped)).await;
}

/// Kills everything that is left of what was started, one generation after the other, for at most [`SWEEP_WAIT`].
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

/// Does nothing: here we cannot find what was started. The process group is ended by whoever started us, or by [`run`].
#[cfg(not(target_os = "linux"))]
async fn sweep(_: &mut watch::Receiver<Reaped>) {}

fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
