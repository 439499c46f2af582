//! The pictures that are text: the real `mermaid` reads each of them, and a browser draws it.

use std::path::{Path, PathBuf};
use std::process::Command;

use sekisho_e2e::harness::{Outside, Person, Process, binary, node};
use serde_json::{Value, json};

use crate::clients::{OWNER, PASSWORD, everything_over_stdio};

async fn drawn(files: &[PathBuf]) -> Value {
    let pictures = node::root().join("target/screenshots");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut arguments = vec!["--out".to_owned(), pictures.display().to_string()];
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    let outcome = node::run("mermaid", &arguments).await;
    assert!(outcome.ok, "{:#}\n{}", outcome.result["diagrams"], outcome.stderr);
    outcome.result["diagrams"].clone()
}

fn labels<'a>(diagrams: &'a Value, file: &str) -> Vec<&'a str> {
    let diagram = diagrams.as_array().unwrap().iter().find(|diagram| diagram["file"] == file).unwrap();
    diagram["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn has(labels: &[&str], wanted: &str) -> bool {
    labels.iter().any(|label| label.contains(wanted))
}

/// Every scene of the demo, attacks too, with the clauses on the arrows.
#[tokio::test(flavor = "multi_thread")]
async fn every_scene_is_read_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["demo", "--once", "--out"]).arg(folder.path()).env("SEKISHO_DATA_DIR", folder.path().join("unused"));
    let process = Process::start(&mut command);
    assert!(process.ended().await.success(), "{}", process.stdout().now());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "mmd"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 12, "{files:?}");
    let diagrams = drawn(&files).await;
    for diagram in diagrams.as_array().unwrap() {
        assert_eq!(diagram["type"], "sequence", "{diagram:#}");
    }
    for (file, clause) in [
        ("confused-deputy.mmd", "confused deputy"),
        ("token-passthrough.mmd", "token passthrough"),
        ("session-hijack.mmd", "session hijacking"),
    ] {
        let labels = labels(&diagrams, file);
        assert!(
            has(&labels, clause) && has(&labels, "Naive proxy") && has(&labels, "Checkpoint"),
            "{file}: {labels:?}"
        );
    }
}

/// What the doctor did; what the records say of a login, of a call and of a refused one; and the three sets.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_read_and_drawn() {
    let checkpoint = everything_over_stdio().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = Path::new(folder.path()).join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let examined = folder.path().join("doctor.mmd");
    let client = Outside::new(&folder.path().join("client"), OWNER, PASSWORD);
    let diagram = examined.display().to_string();
    let words = ["doctor", checkpoint.server(), "--login", "--diagram", &diagram];
    assert_eq!(client.run(&words).await.code(), Some(0));

    let mut person = Person::new(OWNER, PASSWORD);
    let (_, tokens) = checkpoint.let_in(&mut person, "mcp:read").await;
    let mut talk = checkpoint.talk(sekisho_protocol::mcp::method::Revision::V2025_11_25, Some(&tokens.access));
    talk.begin().await;
    talk.tool("echo", json!({ "message": "CANARY-argument" })).await;
    talk.tool("no-such-tool", json!({})).await;
    let grants = checkpoint.ask(&["grant", "list"]).await[0]["grants"].clone();
    let alive = grants.as_array().unwrap().iter().find(|grant| grant["revoked"] == false).unwrap();
    let grant = alive["id"].as_str().unwrap().to_owned();
    let whole = checkpoint.command(&["trace", &grant]).await;
    assert!(whole.status.success(), "{}", whole.stderr);
    let records = checkpoint.records().await;
    let call = |tool: &str| {
        let event = records.iter().find(|row| row["record"]["event"]["target"] == tool).unwrap();
        event["record"]["request"].as_str().unwrap().to_owned()
    };
    let mut files = vec![examined, write("grant.mmd", &whole.stdout)];
    for (name, tool) in [("call.mmd", "echo"), ("refused.mmd", "no-such-tool")] {
        let traced = checkpoint.command(&["trace", &call(tool)]).await;
        assert!(traced.status.success(), "{}", traced.stderr);
        files.push(write(name, &traced.stdout));
    }
    let words = ["explain", "--user", OWNER, "--server", "everything", "--tool", "echo", "--format", "mermaid"];
    files.push(write("sets.mmd", &checkpoint.command(&words).await.stdout));

    let diagrams = drawn(&files).await;
    let grant = labels(&diagrams, "grant.mmd");
    for step in ["registers", "logs in", "says yes", "gets a token", "tools/call echo", "token passthrough"] {
        assert!(has(&grant, step), "{step}: {grant:?}");
    }
    assert!(has(&labels(&diagrams, "call.mmd"), "200 after"), "{diagrams:#}");
    assert!(has(&labels(&diagrams, "refused.mmd"), "403"), "{diagrams:#}");
    assert!(has(&labels(&diagrams, "doctor.mmd"), "RFC 9728"), "{diagrams:#}");
    // No secret, and nothing of the arguments, is in any picture.
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for secret in [tokens.access.as_str(), "CANARY-argument", "sks_", "eyJ"] {
            assert!(!text.contains(secret), "{}: {text}", file.display());
        }
    }
    assert_eq!(checkpoint.command(&["trace", "nonsense"]).await.code(), Some(2));
    let unknown = format!("rid_{}", "0".repeat(32));
    assert_eq!(checkpoint.command(&["trace", &unknown]).await.code(), Some(1));
}
