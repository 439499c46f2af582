//! A program that a test started, with its output. It is always stopped at the end.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use super::wait::LONG;

/// How long to wait after SIGTERM before SIGKILL is sent.
const GRACE: Duration = Duration::from_secs(5);

/// A running program. When it is dropped, it gets SIGTERM, and SIGKILL if that was not enough.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    stdin: Option<std::process::ChildStdin>,
    stdout: Text,
    stderr: Text,
    status: watch::Receiver<Option<ExitStatus>>,
    reaped: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts a program and keeps its output. Standard input stays open until [`Process::close_stdin`] or the end.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let stdout = Text::read(child.stdout.take().expect("it is piped"));
        let stderr = Text::read(child.stderr.take().expect("it is piped"));
        let stdin = child.stdin.take();
        let pid = child.id();
        let (status, reaped) = reap(child);
        Self { pid, stdin, stdout, stderr, status, reaped: Mutex::new(reaped) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns what it has written to standard output.
    pub fn stdout(&self) -> &Text {
        &self.stdout
    }

    /// Returns what it has written to standard error.
    pub fn stderr(&self) -> &Text {
        &self.stderr
    }

    /// Writes to its standard input.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL, which the program cannot handle: like a power failure.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Whether it is still running.
    pub fn is_running(&self) -> bool {
        self.status.borrow().is_none()
    }

    fn signal(&self, signal: Signal) {
        // After the process was waited for, its number may belong to another process.
        if self.is_running() {
            let pid = Pid::from_raw(self.pid.cast_signed()).expect("a child's id is positive");
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits until it has ended and all its output is read. Returns its exit status.
    pub async fn ended(&self) -> ExitStatus {
        let mut status = self.status.clone();
        let ended = tokio::time::timeout(LONG, status.wait_for(Option::is_some)).await;
        let Ok(Ok(ended)) = ended else {
            panic!("process {} did not end within {LONG:?}; its standard error:\n{}", self.pid, self.stderr.now())
        };
        let ended = (*ended).expect("it was waited for");
        self.stdout.closed().await;
        self.stderr.closed().await;
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        self.terminate();
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_running() && reaped.recv_timeout(GRACE).is_err() {
            self.kill();
            let _ = reaped.recv_timeout(GRACE);
        }
    }
}

/// Waits for the child in a separate thread, and reports its end to tasks and to `drop`.
fn reap(mut child: Child) -> (watch::Receiver<Option<ExitStatus>>, mpsc::Receiver<()>) {
    let (tell, status) = watch::channel(None);
    let (done, reaped) = mpsc::channel();
    std::thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        tell.send_replace(Some(status));
        let _ = done.send(());
    });
    (status, reaped)
}

/// A stream of output, read as it arrives.
#[derive(Debug, Clone)]
pub struct Text {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// The length of the output so far, and whether it is complete.
    grown: watch::Receiver<(usize, bool)>,
}

impl Text {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (tell, grown) = watch::channel((0, false));
        let kept = bytes.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..count]);
                tell.send_replace((kept.len(), false));
            }
            tell.send_modify(|(_, closed)| *closed = true);
        });
        Self { bytes, grown }
    }

    /// Returns what has arrived so far.
    pub fn now(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until `find` finds something in the output. `None` if the stream ends without it, or after [`LONG`].
    pub async fn find<T>(&self, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut grown = self.grown.clone();
        let search = async {
            loop {
                let (_, closed) = *grown.borrow_and_update();
                if let Some(found) = find(&self.now()) {
                    return Some(found);
                }
                if closed || grown.changed().await.is_err() {
                    return find(&self.now());
                }
            }
        };
        tokio::time::timeout(LONG, search).await.ok().flatten()
    }

    /// Waits until the output contains the text.
    pub async fn contains(&self, text: &str) {
        let found = self.find(|now| now.contains(text).then_some(())).await;
        assert!(found.is_some(), "`{text}` was never written; there is:\n{}", self.now());
    }

    async fn closed(&self) {
        let mut grown = self.grown.clone();
        // A child of the program may hold the stream open. By now, everything that the program itself wrote has been
        // read.
        let _ = tokio::time::timeout(GRACE, grown.wait_for(|(_, closed)| *closed)).await;
    }
}
