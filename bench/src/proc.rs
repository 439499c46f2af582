//! The kernel's figures for processes and cores: `/proc` as described in proc(5).

use std::fs;
use std::time::Instant;

/// Why `/proc` could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcError {
    /// The file is not there: not Linux, or the process is gone.
    #[error("cannot read `{path}`: {source}; is the process gone?")]
    Read { path: String, source: std::io::Error },
    /// The file does not have the form that proc(5) describes.
    #[error("`{path}` does not look as proc(5) says")]
    Shape { path: String },
}

/// Time that one core spent, in ticks since boot.
#[derive(Clone, Copy)]
pub(crate) struct CoreTime {
    busy: u64,
    total: u64,
}

impl CoreTime {
    /// Returns the share of the time since `earlier` in which the core was not idle, from 0 to 1.
    pub(crate) fn busy_share_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        if total == 0 { 0.0 } else { self.busy.saturating_sub(earlier.busy) as f64 / total as f64 }
    }
}

/// Returns the current time. All times in this package come from here.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time and decides nothing by it")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Returns the ticks of processor time (user and system) that all threads of a process have used, including ended
/// threads. `process` is an id, or `self`.
pub(crate) fn process_ticks(process: &str) -> Result<u64, ProcError> {
    let path = format!("/proc/{process}/stat");
    let text = read(&path)?;
    ticks_of(&text).ok_or(ProcError::Shape { path })
}

fn ticks_of(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets and may itself hold blanks and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Returns the most memory that a process ever had resident, in KiB.
pub(crate) fn peak_resident_kib(process: &str) -> Result<u64, ProcError> {
    let path = format!("/proc/{process}/status");
    let text = read(&path)?;
    let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    value
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse().ok())
        .ok_or(ProcError::Shape { path })
}

/// Returns how one core has spent its time so far.
pub(crate) fn core_time(core: usize) -> Result<CoreTime, ProcError> {
    let path = "/proc/stat".to_owned();
    let text = read(&path)?;
    core_time_of(&text, core).ok_or(ProcError::Shape { path })
}

fn core_time_of(stat: &str, core: usize) -> Option<CoreTime> {
    let name = format!("cpu{core} ");
    let fields = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    // user nice system idle iowait irq softirq steal; what follows (guest) is already in user.
    let ticks: Vec<u64> = fields.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let total: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (ticks.len() == 8).then_some(CoreTime { busy: total - idle, total })
}

fn read(path: &str) -> Result<String, ProcError> {
    fs::read_to_string(path).map_err(|source| ProcError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (a) b) c) S 1 12 12 0 -1 4194560 100 0 0 0 345 55 0 0 20 0 3 0 999 0 0";
        assert_eq!(ticks_of(stat), Some(400));
    }

    #[test]
    fn a_core_that_only_idled_was_not_busy() {
        let before = core_time_of("cpu  9 9 9\ncpu1 10 0 10 100 20 0 0 0 0 0\n", 1).unwrap();
        let idle = core_time_of("cpu1 10 0 10 150 70 0 0 0 0 0\n", 1).unwrap();
        let half = core_time_of("cpu1 40 0 30 150 20 0 0 0 0 0\n", 1).unwrap();
        assert!(idle.busy_share_since(before).abs() < 1e-9);
        assert!((half.busy_share_since(before) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_core_that_is_not_there_is_no_core() {
        assert!(core_time_of("cpu1 1 1 1 1 1 1 1 1 0 0\n", 11).is_none());
    }
}
