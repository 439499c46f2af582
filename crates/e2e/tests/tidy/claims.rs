//! The claims of the documents: every row names a test that exists and that cites the row.

use std::collections::BTreeSet;

use crate::sources::{files, ids, root, tests};

/// Returns the rows of docs/conformance.md and docs/threats.md: `| ID | what | how it is shown |`.
fn rows(document: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs").join(document)).expect("the document is there");
    let cells = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 3 && ids(cells[0]).len() == 1)
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[2].to_owned()))
        .collect()
}

/// Returns the names in backticks.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn check(document: &str, wanted: &BTreeSet<String>) {
    let tests = tests();
    let rows = rows(document);
    let found: BTreeSet<String> = rows.iter().map(|(id, _)| id.clone()).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(missing.is_empty(), "docs/{document} has no row for {missing:?}");
    let mut wrong = Vec::new();
    for (id, shown) in &rows {
        let off = ["off:", "later:", "not ours:", "open:"].iter().any(|word| shown.starts_with(word));
        let names = named(shown);
        if names.is_empty() && !off {
            wrong.push(format!("{id}: names no test and is not said to be off"));
        }
        for name in names {
            match tests.get(name) {
                None => wrong.push(format!("{id}: there is no test `{name}`")),
                Some(cited) if !cited.contains(id) => wrong.push(format!("{id}: the test `{name}` does not cite it")),
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "docs/{document}:\n{}", wrong.join("\n"));
}

/// Whether a row says that the feature does not exist.
fn says_absent(shown: &str) -> bool {
    ["off:", "later:"].iter().any(|word| shown.starts_with(word))
}

/// Returns the folder and the word of `not in FOLDER: "WORD"` in a cell.
fn absent(cell: &str) -> Option<(&str, &str)> {
    let (folder, rest) = cell.split_once("not in ")?.1.split_once(": \"")?;
    Some((folder, rest.split_once('"')?.0))
}

/// Returns the files below this folder that contain a word in shipped code; comments and tests do not count.
fn files_with(folder: &str, word: &str) -> Vec<String> {
    let top = root().join("crates").join(folder);
    let mut found = Vec::new();
    for path in files(&top, "rs") {
        let name = path.strip_prefix(&top).expect("below").to_string_lossy().into_owned();
        if name.split('/').any(|part| matches!(part, "tests" | "tests.rs")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file is text");
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        if product.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| line.contains(word)) {
            found.push(format!("crates/{folder}/{name}"));
        }
    }
    found
}

/// A feature that a page calls switched off or not built is not in the code.
#[test]
fn what_is_said_to_be_absent_is_absent() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for document in ["conformance.md", "threats.md"] {
        for (id, shown) in rows(document).into_iter().filter(|(_, shown)| says_absent(shown)) {
            let Some((folder, word)) = absent(&shown) else {
                if document == "conformance.md" {
                    wrong.push(format!(
                        "{id}: says that something is absent, and not what: add `not in FOLDER: \"WORD\"`"
                    ));
                }
                continue;
            };
            checked += 1;
            if !root().join("crates").join(folder).is_dir() {
                wrong.push(format!("{id}: there is no folder crates/{folder}"));
                continue;
            }
            let there = files_with(folder, word);
            if !there.is_empty() {
                wrong.push(format!("{id}: `{word}` is said to be absent and is in {there:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 20, "only {checked} rows were checked");
}

#[test]
fn a_word_that_is_there_is_found() {
    assert_eq!(absent("off: no; not in issuer/src: \"device_code\"; `a_test`"), Some(("issuer/src", "device_code")));
    assert_eq!(absent("off: no; `a_test`"), None);
    assert!(files_with("issuer/src", "authorization_code").iter().any(|file| file.contains("issuer/src")));
    assert_eq!(files_with("issuer/src", "no_such_word_in_the_issuer"), Vec::<String>::new());
}

/// Returns the ids that must have a row, from the list beside this file: `RS-01 RS-02 …`.
fn listed(file: &str) -> BTreeSet<String> {
    ids(&std::fs::read_to_string(root().join("crates/e2e/tests/tidy").join(file)).expect("the list is there"))
}

#[test]
fn every_requirement_has_a_row_that_is_true() {
    check("conformance.md", &listed("requirements.txt"));
}

#[test]
fn every_attack_has_a_row_that_is_true() {
    check("threats.md", &listed("attacks.txt"));
}
