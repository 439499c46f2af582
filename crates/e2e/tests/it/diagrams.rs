//! Diagrams as text: the real `mermaid` parses each of them, and a browser draws it.

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

/// Measures diagrams in a browser with its fonts: nothing leaves its area, and nothing overlaps.
/// If `kept` is set, screenshots are stored in `target/screenshots`.
async fn measured(pictures: &[PathBuf], kept: bool) {
    let out = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("screenshots");
    std::fs::create_dir_all(&out).unwrap();
    let mut arguments = if kept { vec!["--out".to_owned(), out.display().to_string()] } else { Vec::new() };
    arguments.extend(pictures.iter().map(|file| file.display().to_string()));
    let outcome = node::run("svg", &arguments).await;
    assert!(outcome.ok, "{:#}\n{}", outcome.result["pictures"], outcome.stderr);
}

/// Every scene of the demo, including attacks, with the clauses on the arrows.
#[tokio::test(flavor = "multi_thread")]
async fn every_scene_is_read_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["demo", "--once", "--out"]).arg(folder.path()).env("SEKISHO_DATA_DIR", folder.path().join("unused"));
    let process = Process::start(&mut command);
    assert!(process.ended().await.success(), "{}", process.stdout().now());
    let ending = |wanted: &str| {
        let all = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            all.filter(|path| path.extension().is_some_and(|ending| ending == wanted)).collect();
        files.sort();
        assert_eq!(files.len(), 12, "{files:?}");
        files
    };
    let diagrams = drawn(&ending("mmd")).await;
    measured(&ending("svg"), true).await;
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

/// The exchanges of the doctor; the records of a login, of a call and of a refused one; and the three sets.
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
    let traced = checkpoint.command(&["trace", &call("echo"), "--format", "svg"]).await;
    measured(&[write("call.svg", &traced.stdout)], true).await;
    let words = ["explain", "--user", OWNER, "--server", "everything", "--tool", "echo", "--format", "mermaid"];
    files.push(write("sets.mmd", &checkpoint.command(&words).await.stdout));

    let diagrams = drawn(&files).await;
    let grant = labels(&diagrams, "grant.mmd");
    for step in ["registers", "signs in", "lets the client in", "gets a token", "tools/call echo", "token passthrough"]
    {
        assert!(has(&grant, step), "{step}: {grant:?}");
    }
    assert!(has(&labels(&diagrams, "call.mmd"), "200 after"), "{diagrams:#}");
    assert!(has(&labels(&diagrams, "refused.mmd"), "403"), "{diagrams:#}");
    assert!(has(&labels(&diagrams, "doctor.mmd"), "RFC 9728"), "{diagrams:#}");
    // No diagram contains a secret or an argument.
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for secret in [tokens.access.as_str(), "CANARY-argument", "sks_", "eyJ"] {
            assert!(!text.contains(secret), "{}: {text}", file.display());
        }
    }
    // An operator's acts on the grant are part of its story.
    checkpoint.ask(&["grant", "revoke", alive["id"].as_str().unwrap()]).await;
    let ended = checkpoint.command(&["trace", alive["id"].as_str().unwrap()]).await;
    let diagrams = drawn(&[write("ended.mmd", &ended.stdout)]).await;
    let steps = labels(&diagrams, "ended.mmd");
    assert!(has(&steps, "ends the grant") && has(&steps, "operator"), "{steps:?}");
    assert_eq!(checkpoint.command(&["trace", "nonsense"]).await.code(), Some(2));
    let unknown = format!("rid_{}", "0".repeat(32));
    assert_eq!(checkpoint.command(&["trace", &unknown]).await.code(), Some(1));
}

/// Returns a title with markup or syntax, always the same for the same number.
fn hostile(seed: usize) -> String {
    const BITS: [&str; 24] = [
        "\"",
        "`",
        "#",
        ";",
        "<b>",
        "</b>",
        "<script>",
        "&amp;",
        "[x]",
        "(y)",
        "{z}",
        "|",
        "%%{init: {}}%%",
        "end",
        "subgraph",
        "click a",
        "style",
        "-->",
        "\u{202e}",
        "👩‍👩‍👧",
        "認可",
        "**b**",
        "1. ",
        "Token",
    ];
    (0..1 + seed % 7).map(|at| BITS[(seed * 31 + at * at * 17 + at * 7) % BITS.len()]).collect::<Vec<_>>().join(" ")
}

/// Returns a specification of hostile titles with links between them.
fn generated(seed: usize) -> String {
    (0..seed % 41)
        .map(|at| {
            let (level, to, title) = ("#".repeat(1 + (seed + at * 5) % 6), (at * 13 + seed) % 41, hostile(seed * 41 + at));
            format!("{level} {title} {{#p{at}}}\n\nA client MUST see [it](#p{to}) and [x](https://example.com/{at}). The *{title}* is a thing.\n\n")
        })
        .collect()
}

/// 200 specifications made to break a diagram, and the documents of this project: `mermaid` parses and draws each of
/// them, and with the browser's fonts nothing in the SVGs overlaps or leaves its box.
#[tokio::test(flavor = "multi_thread")]
async fn every_specification_is_read_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let specmap = async |source: &Path, more: &[&str]| -> String {
        let mut command = Command::new(binary());
        command.arg("specmap").arg(source).args(more).env("SEKISHO_DATA_DIR", folder.path().join("unused"));
        let process = Process::start(&mut command);
        assert!(process.ended().await.success(), "{}: {}", source.display(), process.stderr().now());
        process.stdout().now()
    };
    let mut sources: Vec<PathBuf> =
        (0..200).map(|seed| write(format!("generated-{seed}.md"), &generated(seed))).collect();
    let mut real = vec![node::root().join("README.md"), node::root().join("README.ja.md")];
    let mut open = vec![node::root().join("docs")];
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                real.push(path);
            }
        }
    }
    real.sort();
    assert!(real.len() >= 20, "{} documents", real.len());
    sources.extend(real);
    let (mut diagrams, mut pictures) = (Vec::new(), Vec::new());
    for (at, source) in sources.iter().enumerate() {
        let lines = ["10", "15", "30", "50", "120", "300"][at % 6];
        let external = ["all", "collapsed", "none"][at % 3];
        let text = specmap(source, &["--lines", lines, "--external", external]).await;
        assert!(text.lines().count() <= lines.parse().unwrap(), "{}", source.display());
        diagrams.push(write(format!("specmap-{at}.mmd"), &text));
        if at % 8 == 0 || at >= 200 {
            pictures.push(write(
                format!("specmap-{at}.svg"),
                &specmap(source, &["--lines", lines, "--format", "svg"]).await,
            ));
        }
    }
    // A few at a time, because the browser has its own timeout.
    for some in diagrams.chunks(60) {
        let arguments: Vec<String> = some.iter().map(|file| file.display().to_string()).collect();
        let outcome = node::run("mermaid", &arguments).await;
        assert!(outcome.ok, "{:#}\n{}", outcome.result["diagrams"], outcome.stderr);
        assert_eq!(outcome.result["diagrams"].as_array().unwrap().len(), some.len());
    }
    measured(&pictures, false).await;
}
