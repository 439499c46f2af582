//! The command line: what each command prints and stores, and how it fails.

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

/// Runs a command on this data directory to its end, with this text on its standard input.
async fn sekisho(data: &std::path::Path, words: &[&str], input: &str) -> Finished {
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", data).env("NO_COLOR", "1").env_remove("SEKISHO_LOG").args(words);
    let mut process = Process::start(&mut command);
    process.write(input);
    process.close_stdin();
    let status = process.ended().await;
    Finished { status, stdout: process.stdout().now(), stderr: process.stderr().now() }
}

/// How long the change of a watched file may take to have an effect.
const WATCHED: Duration = Duration::from_secs(20);

/// Writes a small MCP server as a shell script: it answers the checkpoint's requests at start, returns its environment
/// as the description of its only tool, and writes its process id to a file.
fn script(folder: &std::path::Path, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("server.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}
