//! Logs: to standard error, one line each; JSON where a program reads.
//!
//! The program that reads standard error may stop reading. So a task that logs hands its line over and goes on, one thread writes
//! them, and lines that find no room are counted and left out (ATK-195).

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::os;
use crate::say::Log;

/// Bytes of lines that wait to be written.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How long what waits at the end may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging. `SEKISHO_LOG` takes a filter such as `debug` or `sekisho_gateway=trace`. What was logged is written
/// when the result is dropped.
#[must_use]
pub(crate) fn start(json: bool) -> Flush {
    let wanted = os::variable("SEKISHO_LOG")
        .unwrap_or_else(|| "warn,sekisho=info,sekisho_gateway=info,sekisho_issuer=info".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = Lines::default();
    let written = lines.clone();
    std::thread::spawn(move || written.write(&mut Log { json }));
    let waiting = lines.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || Line { text: Vec::new(), lines: waiting.clone() });
    // A second start in one process (tests) keeps the first.
    let _ = if json { builder.json().try_init() } else { builder.with_target(false).compact().try_init() };
    Flush(lines)
}

/// Starts logging for a command that tells its own story: warnings only.
pub(crate) fn start_quiet() {
    let wanted = os::variable("SEKISHO_LOG").unwrap_or_else(|| "error".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("error"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = builder.with_writer(|| Log { json: false }).compact().try_init();
}

/// Writes the waiting lines when it is dropped, as far as they are read.
#[derive(Debug)]
pub(crate) struct Flush(Lines);

impl Drop for Flush {
    fn drop(&mut self) {
        let state = self.0.lock();
        let is_busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        drop(self.0.0.idle.wait_timeout_while(state, FLUSH_TIMEOUT, is_busy));
    }
}

/// Lines on their way to standard error.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is a line to write.
    news: Condvar,
    /// Told when everything was written.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that found no room since the last that did.
    lost: u64,
    writing: bool,
}

impl Lines {
    fn put(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes.saturating_add(line.len()) > WAITING_BYTES_MAX {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            let told = format!("{lost} lines of this log are missing here: standard error was not read\n").into_bytes();
            state.bytes += told.len();
            state.waiting.push_back(told);
        }
        state.bytes += line.len();
        state.waiting.push_back(line);
        self.0.news.notify_one();
    }

    /// Writes what is put, for ever.
    fn write(&self, out: &mut impl Write) {
        loop {
            let mut state = self.lock();
            state.writing = false;
            while state.waiting.is_empty() {
                self.0.idle.notify_all();
                state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(line) = state.waiting.pop_front() else { continue };
            state.bytes = state.bytes.saturating_sub(line.len());
            state.writing = true;
            drop(state);
            // There is no other place to report that standard error is not read.
            let _ = out.write_all(&line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line; it is handed over when dropped.
struct Line {
    text: Vec<u8>,
    lines: Lines,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.put(std::mem::take(&mut self.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, WAITING_BYTES_MAX};

    /// ATK-195: what finds no room is left out and counted, and the lines that did are in order.
    #[test]
    fn lines_that_find_no_room_are_counted() {
        let lines = Lines::default();
        lines.put(vec![b'a'; WAITING_BYTES_MAX - 10]);
        lines.put(b"small\n".to_vec());
        lines.put(b"too large\n".to_vec());
        lines.put(b"too large\n".to_vec());
        let first = lines.lock().waiting.pop_front().unwrap();
        lines.lock().bytes -= first.len();
        lines.put(b"later\n".to_vec());
        let waiting: Vec<String> =
            lines.lock().waiting.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let told = "2 lines of this log are missing here: standard error was not read\n";
        assert_eq!(waiting, ["small\n", told, "later\n"]);
    }
}
