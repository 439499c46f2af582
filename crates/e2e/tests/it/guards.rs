//! The cost of the guard beside each program.
#![cfg(target_os = "linux")]

use std::path::Path;

use sekisho_e2e::harness::{Checkpoint, Person, binary};
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

use crate::clients::{OWNER, PASSWORD};

/// How many bytes of memory one guard may have for itself. Measured: 3.7 MB, of which 3.2 MB are tables of the binary
/// that the loader fills in, which are smaller in a release; 9.5 MB with huge pages.
const PRIVATE_BYTES_MAX: u64 = 5 << 20;

/// Returns the guards that a process has started.
fn guards(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_guard = |process: &u32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let of = read("status").lines().find_map(|line| line.strip_prefix("PPid:").map(|id| id.trim().to_owned()));
        of == Some(parent.to_string()) && read("cmdline").contains("\0child-guard\0")
    };
    numbers.filter(is_guard).collect()
}

/// Returns the memory that belongs to one process alone. All guards and the checkpoint share the pages of the binary's
/// file.
fn private_bytes(process: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Calls a program behind `run`. Returns the memory of its guards, and the environment that the program saw.
async fn seen(folder: &Path, more: &[&str]) -> (Vec<u64>, String) {
    let (file, notes) = (folder.join("seen"), binary().display().to_string());
    let script = format!("{{ env; cat /proc/self/status; }} > {}; exec {notes} bundled notes", file.display());
    let mut setup = Checkpoint::program(["sh", "-c", &script]).argument("--name").argument("small");
    for word in more {
        setup = setup.argument(*word);
    }
    let checkpoint = setup.owner(OWNER, PASSWORD).start().await;
    let (_, tokens) = checkpoint.let_in(&mut Person::new(OWNER, PASSWORD), "tool:list_notes").await;
    let mut mcp = checkpoint.talk(Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    let called = mcp.tool("list_notes", json!({})).await;
    assert_eq!(called.status, 200, "{called:?}");
    let guards = guards(checkpoint.process().pid());
    (guards.into_iter().map(private_bytes).collect(), std::fs::read_to_string(file).unwrap())
}

/// The sizing in docs/operate.md: a guard has a few megabytes of its own. Its program gets neither the variable that
/// limits huge pages nor its effect, unless the operator names that variable.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_has_little_memory_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (sizes, surroundings) = seen(folder.path(), &[]).await;
    assert!(!sizes.is_empty(), "a program has a guard");
    assert!(sizes.iter().all(|bytes| *bytes < PRIVATE_BYTES_MAX), "{sizes:?}");
    assert!(!surroundings.contains("MIMALLOC_ALLOW_THP"), "{surroundings}");
    assert!(!surroundings.contains("THP_enabled:\t0"), "{surroundings}");
    let (_, surroundings) = seen(folder.path(), &["--env", "MIMALLOC_ALLOW_THP=0"]).await;
    assert!(surroundings.contains("MIMALLOC_ALLOW_THP=0\n"), "{surroundings}");
}
