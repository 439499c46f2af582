//! `sekisho specmap`: reads texts from files, folders and the web; what it prints, and its errors.

use std::path::Path;

use serde_json::Value;

use super::sekisho;

const SPEC: &str = "# Gate\n\n## Terms\n\nThe *permit* is the proof.\n\n## Asking\n\nA client MUST show the permit. See [it](#terms) and \
                    [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749).\n\n## Lonely \"Title\" <b>x</b> \u{202e}\n\nNothing.\n";

async fn run(folder: &Path, words: &[&str]) -> sekisho_e2e::harness::Finished {
    let mut all = vec!["specmap"];
    all.extend_from_slice(words);
    sekisho(&folder.join("data"), &all, "").await
}

/// A file and a folder give the same diagram in every run; every format and every question works.
#[tokio::test(flavor = "multi_thread")]
async fn a_specification_is_drawn_and_answers_questions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("specs/gate.md");
    std::fs::create_dir_all(folder.path().join("specs/.hidden")).unwrap();
    std::fs::write(&path, SPEC).unwrap();
    std::fs::write(folder.path().join("specs/.hidden/other.md"), "# Hidden\n").unwrap();
    std::fs::write(folder.path().join("specs/picture.png"), [0_u8, 159, 146, 150]).unwrap();
    let (file, specs) = (path.display().to_string(), folder.path().join("specs").display().to_string());

    let drawn = run(folder.path(), &[&file]).await;
    assert!(drawn.status.success(), "{}", drawn.stderr);
    assert!(
        drawn.stdout.starts_with("flowchart LR\n") && drawn.stdout.contains("requires, links: permit"),
        "{}",
        drawn.stdout
    );
    assert!(!drawn.stdout.contains("<b>") && !drawn.stdout.contains('\u{202e}'), "{}", drawn.stdout);
    assert!(drawn.stdout.lines().count() <= 50 && drawn.stdout.contains("presupposes: RFC 6749"), "{}", drawn.stdout);
    assert_eq!(run(folder.path(), &[&specs]).await.stdout, drawn.stdout);

    let svg = run(folder.path(), &[&file, "--format", "svg", "--focus", "asking"]).await.stdout;
    assert!(svg.starts_with("<svg ") && svg.contains("role=\"img\"") && !svg.contains("<script"), "{svg}");
    assert!(run(folder.path(), &[&file, "--format", "dot"]).await.stdout.starts_with("digraph"));
    let json: Value = serde_json::from_str(&run(folder.path(), &[&file, "--json"]).await.stdout).unwrap();
    assert_eq!((json["sections"].as_array().unwrap().len(), &json["relations"][0]["requires"]), (4, &Value::from(1)));
    let order = run(folder.path(), &[&file, "--reading-order"]).await.stdout;
    assert!(order.find("Gate › Terms").unwrap() < order.find("Gate › Asking").unwrap(), "{order}");
    let pack = run(folder.path(), &[&file, "--pack", "Asking", "--size", "2000"]).await.stdout;
    assert!(
        pack.contains("A client MUST show the permit.") && pack.contains("**permit**") && pack.len() <= 2000,
        "{pack}"
    );
    let table = run(folder.path(), &[&file, "--normative"]).await.stdout;
    assert!(table.contains("| Gate › Asking | MUST | client | A client MUST show the permit. |"), "{table}");
    let rows: Value =
        serde_json::from_str(&run(folder.path(), &[&file, "--normative", "--format", "json"]).await.stdout).unwrap();
    assert_eq!((&rows[0]["keyword"], &rows[0]["actors"][0]), (&Value::from("MUST"), &Value::from("client")));

    let later = folder.path().join("later.md");
    std::fs::write(
        &later,
        SPEC.replace("MUST show", "MUST hand over").replace("## Lonely", "## New one\n\nText.\n\n## Lonely"),
    )
    .unwrap();
    let later = later.display().to_string();
    let changes = run(folder.path(), &["diff", &file, &later]).await;
    assert!(changes.status.success(), "{}", changes.stderr);
    for part in ["```mermaid\nflowchart LR\n", "1 added, 1 changed", "before: A client MUST show the permit."] {
        assert!(changes.stdout.contains(part), "{part}: {}", changes.stdout);
    }
}

/// The error has one line that says what is wrong and one that says what to do; nothing is drawn.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_drawn_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let spec = write("spec.md", SPEC.as_bytes());
    let binary = write("binary.md", &[0xff, 0xfe, 0]);
    let large = write("large.md", "a MUST b. ".repeat(5_300_000).as_bytes());
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    let missing = folder.path().join("missing.md").display().to_string();
    for (words, code, part) in [
        (vec![spec.as_str(), "--focus", "nothing"], 2, "there is no section `nothing`"),
        (vec![&spec, "--pack", ""], 2, "there is no section"),
        (vec![&spec, "--pack", "asking", "--size", "5"], 2, "5 bytes hold nothing"),
        (vec![&spec, "--lines", "3"], 2, "3 lines cannot be drawn"),
        (vec![&spec, "--format", "markdown"], 2, "not written in this format"),
        (vec![&binary], 2, "is not a text"),
        (vec![&large], 2, "at most 33554432 are read"),
        (vec![&empty], 2, "there is no text to read"),
        (vec![&missing], 3, "cannot be read"),
        (vec!["http://192.0.2.1/spec.md"], 3, "only https is called"),
        (vec!["https://127.0.0.1/spec.md"], 3, "must not be called"),
        (vec![], 2, "required"),
    ] {
        let refused = run(folder.path(), &words).await;
        let told = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        assert_eq!((refused.code(), refused.stdout.as_str()), (Some(code), ""), "{words:?}: {told}");
        assert!(told.contains(part), "{words:?}: {told}");
    }
}
