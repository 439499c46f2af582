//! The output to anything but a terminal: plain text, without colours.

use std::process::Command;

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::{Process, binary};

/// Runs a command whose output goes to a file or a pipe, for a user whose terminal has all colours.
fn piped(folder: &std::path::Path, words: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", folder).env("TERM", "xterm-256color").env("COLORTERM", "truecolor");
    for name in ["NO_COLOR", "SEKISHO_LOG", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"] {
        command.env_remove(name);
    }
    Process::start(command.args(words))
}

/// Help, errors of every kind, tables, mistakes in a configuration, and the log of a checkpoint.
#[tokio::test]
async fn nothing_is_coloured_where_no_terminal_is() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let file = folder.path().join("sekisho.toml");
    let config = file.display().to_string();
    std::fs::write(&file, "surprise = 1\n[servers.x]\n").unwrap();
    for words in [
        &["--help"][..],
        &["run", "--help"],
        &["srve"],
        &["check", "-c", &config],
        &["check", "-c", "/nowhere/at/all.toml"],
        &["login", "nonsense"],
        &["user", "list"],
        &["explain", "--user", "bob"],
        &["serve", "-c", &config],
    ] {
        let process = piped(folder.path(), words);
        process.ended().await;
        let written = process.stdout().now() + &process.stderr().now();
        assert!(!written.is_empty() && !written.contains('\u{1b}'), "{words:?}: {written:?}");
    }
    std::fs::write(&file, format!("[servers.up]\nurl = \"{}\"\n", upstream.url())).unwrap();
    for json in [&[][..], &["--json"]] {
        let process = piped(folder.path(), &[json, &["serve", "-c", &config, "--listen", "127.0.0.1:0"]].concat());
        process.stderr().contains("server tools propose").await;
        process.terminate();
        process.ended().await;
        let written = process.stdout().now() + &process.stderr().now();
        assert!(!written.contains('\u{1b}'), "{written:?}");
        if !json.is_empty() {
            let log = process.stderr().now();
            let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
            // As docs/operate.md describes it.
            assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line}");
            assert!(line["fields"]["message"].is_string(), "{line}");
        }
    }
}
