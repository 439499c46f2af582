//! The command line: what each command prints, what it keeps, how it fails.

mod administration;
mod asking;
mod configuration;
mod failures;
mod handover;
mod import;
mod output;
pub(crate) mod pinning;
mod secrets;
mod specmap;
mod tls;

use std::process::Command;
use std::time::Duration;

use sekisho_e2e::harness::{Finished, Process, binary};

/// A command line of its own, on this data directory, run to its end with this on its standard input.
async fn sekisho(data: &std::path::Path, words: &[&str], input: &str) -> Finished {
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", data).env("NO_COLOR", "1").env_remove("SEKISHO_LOG").args(words);
    let mut process = Process::start(&mut command);
    process.write(input);
    process.close_stdin();
    let status = process.ended().await;
    Finished { status, stdout: process.stdout().now(), stderr: process.stderr().now() }
}

/// How long a change may take to be felt where a file is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// A small MCP server as a shell script: it answers what the checkpoint asks at start, tells its environment as its
/// only tool's description, and notes its process id in a file.
fn script(folder: &std::path::Path, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("server.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}
