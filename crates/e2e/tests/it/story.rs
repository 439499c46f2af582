//! The demo, which is the first thing that a new user runs.

use std::path::Path;
use std::process::Command;

use sekisho_e2e::harness::{Process, binary, node};
use serde_json::Value;

use crate::picture::without_ids;

/// All scenes, in the order in which they are played.
const SCENES: [&str; 12] = [
    "first-contact",
    "step-up",
    "rights",
    "task",
    "approval",
    "loan",
    "audience",
    "advice",
    "confused-deputy",
    "token-passthrough",
    "session-hijack",
    "revocation",
];

/// The file with the demo's output for the README; `UPDATE=1` writes it again.
const KEPT: &str = "docs/demo.txt";

async fn demo(arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    // The demo has its own folder, so an unusable data directory must not matter.
    command
        .args(["demo", "--once"])
        .args(arguments)
        .env("SEKISHO_DATA_DIR", folder.path().join("unused"))
        .env("NO_COLOR", "1")
        .env_remove("SEKISHO_LOG");
    let process = Process::start(&mut command);
    let status = process.ended().await;
    let (stdout, stderr) = (process.stdout().now(), process.stderr().now());
    assert!(status.success(), "{stdout}\n{stderr}");
    assert!(!folder.path().join("unused").exists(), "the demo leaves nothing behind");
    (stdout, stderr)
}

/// RS-19, RS-28, RS-39, AS-30: the exit code is 0 only if every step of the story has the expected outcome.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_to_the_end() {
    let (stdout, _) = demo(&["--json"]).await;
    let steps: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for step in &steps {
        assert_eq!(step["good"], true, "{step}");
    }
    let mut scenes: Vec<_> = steps.iter().map(|step| step["scene"].as_str().unwrap()).collect();
    scenes.dedup();
    assert_eq!(scenes, SCENES);
    assert!(steps.len() >= 20, "{stdout}");
}

/// RS-38: each scene is written as a diagram of its exchange, without any secret.
#[tokio::test(flavor = "multi_thread")]
async fn every_scene_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    demo(&["--json", "--out", folder.path().to_str().unwrap()]).await;
    for scene in SCENES {
        let diagram = std::fs::read_to_string(folder.path().join(format!("{scene}.mmd"))).unwrap();
        check_sequence(&diagram);
        let exchange = std::fs::read_to_string(folder.path().join(format!("{scene}.http"))).unwrap();
        assert!(exchange.contains("\n← ") && exchange.contains("POST http://localhost:"), "{scene}: {exchange}");
        for secret in ["Bearer ey", "eyJ", "code=ac", "code_verifier=\"", "password=a"] {
            assert!(!exchange.contains(secret), "{scene} shows `{secret}`: {exchange}");
        }
    }
}

/// One scene can be played alone; for a wrong name, the error lists the scenes.
#[tokio::test(flavor = "multi_thread")]
async fn one_scene_can_be_played_alone() {
    let (stdout, _) = demo(&["--scene", "audience"]).await;
    assert!(stdout.contains("audience — ") && !stdout.contains("revocation — "), "{stdout}");
    let mut command = Command::new(binary());
    let process = Process::start(command.args(["demo", "--once", "--scene", "nothing"]));
    assert_eq!(process.ended().await.code(), Some(2));
    assert!(
        process.stderr().now().contains("first-contact, step-up, rights, task, approval, loan"),
        "{}",
        process.stderr().now()
    );
}

/// The README shows the real output of the demo. `UPDATE=1` writes it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_kept_output_of_the_demo_is_what_it_prints() {
    let (stdout, _) = demo(&[]).await;
    let printed = without_ports(&without_ids(&stdout));
    let kept = node::root().join(KEPT);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &printed).unwrap();
    }
    assert_eq!(
        read(&kept),
        printed,
        "the demo prints something else now: run this test with UPDATE=1 and read the difference"
    );
    // If a README shows the output, it shows all of it.
    for readme in ["README.md", "README.ja.md"] {
        let readme = read(&node::root().join(readme));
        let first = printed.lines().next().unwrap();
        assert!(!readme.contains(first) || readme.contains(printed.trim_end()), "a README shows an older story");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Replaces `localhost:41234` with `localhost:PORT`.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("localhost:");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain = plain + "localhost:PORT" + part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    plain
}

/// Parses Mermaid's sequence diagrams roughly: every line has a known form, and every party is declared.
fn check_sequence(diagram: &str) {
    let mut lines = diagram.lines().skip_while(|line| *line != "sequenceDiagram");
    assert_eq!(lines.next(), Some("sequenceDiagram"), "{diagram}");
    let (mut parties, mut messages) = (Vec::new(), 0);
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(party) = line.strip_prefix("participant ") {
            parties.push(party.split(" as ").next().unwrap().to_owned());
        } else if line.starts_with("autonumber")
            || line.starts_with("title")
            || line.starts_with("Note over ")
            || line.starts_with("%%")
        {
            continue;
        } else {
            let (arrow, label) = line.split_once(": ").unwrap_or_else(|| panic!("not a message: {line}"));
            let ends = arrow.split_once("-->>").or_else(|| arrow.split_once("->>"));
            let (from, to) = ends.unwrap_or_else(|| panic!("no arrow: {line}"));
            assert!(
                [from, to].iter().all(|party| parties.iter().any(|known| known == party)),
                "nobody is called that: {line}"
            );
            // A semicolon would end the statement; Mermaid writes it as `#59;`.
            let plain: String =
                label.split('#').map(|part| part.split_once(';').map_or(part, |(_, rest)| rest)).collect();
            assert!(!label.is_empty() && !plain.contains(';'), "{line}");
            messages += 1;
        }
    }
    assert!(parties.len() >= 2 && messages >= 4, "{diagram}");
}
