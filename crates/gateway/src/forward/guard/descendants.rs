//! The processes that descend from this one, found by the parents that `/proc` names.

use std::collections::HashMap;
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal};

/// A process as described by `/proc/PID/stat` (proc_pid_stat(5)).
struct Entry {
    parent: i32,
    has_ended: bool,
}

/// Kills all descendants that can be seen now. Those that they started meanwhile are found the next time, because a
/// process that loses its parent becomes our child.
pub(super) fn kill() {
    let own = getpid().as_raw_nonzero().get();
    let all = all();
    let descends = |mut id: i32| {
        // A chain of parents is at most as long as the table. The bound is needed because the table is not read in one
        // moment, so it could hold a circle.
        for _ in 0..all.len() {
            match all.get(&id) {
                Some(entry) if entry.parent == own => return true,
                Some(entry) => id = entry.parent,
                None => return false,
            }
        }
        false
    };
    for (id, entry) in all.iter().filter(|(id, entry)| !entry.has_ended && descends(**id)) {
        kill_one(*id, entry.parent);
    }
}

fn all() -> HashMap<i32, Entry> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, read(id)?))).collect()
}

/// Reads one process. The program's name stands in parentheses and may hold any character, so the rest is read from
/// after the last closing one.
fn read(id: i32) -> Option<Entry> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Entry { parent: fields.next()?.parse().ok()?, has_ended: matches!(state, "Z" | "X") })
}

/// Kills a process, unless it has ended meanwhile and its number belongs to another. The descriptor refers to one
/// process only, and the parent of that process is checked again.
fn kill_one(id: i32, parent: i32) {
    let Some(pid) = Pid::from_raw(id) else { return };
    // Each call fails if the process has ended, which is what we want, or if it is not ours to end, which the next look
    // shows.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) if read(id).is_some_and(|entry| entry.parent == parent) => {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
        // The call does not exist before Linux 5.3.
        Err(Errno::NOSYS) => drop(kill_process(pid, Signal::KILL)),
        Ok(_) | Err(_) => {}
    }
}
