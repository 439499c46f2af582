//! What the documents claim: every row names a test that exists and cites it.

use std::collections::BTreeSet;

use crate::sources::{ids, root, tests};

/// The rows of docs/conformance.md and docs/threats.md: `| ID | what | how it is shown |`.
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

/// Names in backticks.
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

/// `RS-01 RS-02 …`: what has to have a row, from the list beside this file.
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
