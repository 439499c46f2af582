//! No file over 600 lines, unless it is a table and says so in its first line.

use crate::sources::{files, root};

const LINES_MAX: usize = 600;

#[test]
fn no_file_is_too_long_to_read() {
    for folder in ["crates", "bench"] {
        for path in files(&root().join(folder), "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            let first = text.lines().next().unwrap_or_default();
            let table = first.to_lowercase().contains("table");
            let lines = text.lines().count();
            assert!(table || lines <= LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for path in files(&root().join("crates"), "rs") {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !matches!(stem, "utils" | "util" | "helpers" | "helper" | "common" | "manager" | "misc"),
            "{}",
            path.display()
        );
    }
}

/// No file contains a path of the machine on which it was written.
#[test]
fn no_path_of_a_machine_is_written_down() {
    let root = root();
    let root = root.to_str().expect("text");
    for ending in ["rs", "md", "toml", "html", "sql", "mjs", "sh"] {
        for path in files(std::path::Path::new(root), ending) {
            let text = std::fs::read_to_string(&path).expect("text");
            assert!(!text.contains(&format!("{root}/")), "{} names a path of this machine", path.display());
        }
    }
}
