//! The files of the project, and the tests in them with the ids that they cite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Returns the root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// Returns all files below `folder` with this extension, without `target` and `node_modules`.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !matches!(name.to_str(), Some("target" | "node_modules" | ".git")) {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|own| own == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns every test by name, with the requirement and attack ids in its doc comment.
pub(crate) fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&root().join("crates"), "rs") {
        let text = std::fs::read_to_string(&path).expect("a source file is text");
        collect(&text, &mut tests);
    }
    tests
}

fn collect(text: &str, tests: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut comment = String::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
            comment.push('\n');
        } else if line.starts_with("#[") || line.starts_with("#![") {
            marked |= line.contains("test]") || line.contains("test(") || line.contains("::test");
        } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
            if marked {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                tests.entry(name).or_default().extend(ids(&comment));
            }
            comment.clear();
            marked = false;
        } else if !line.starts_with("//") && !line.is_empty() {
            comment.clear();
            marked = false;
        }
    }
}

/// Returns the ids in a text, such as `RS-01` and `ATK-100`; `RS-15..RS-18` and `ATK-15, 16` count as each of their
/// ids.
pub(crate) fn ids(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.')))
        .filter(|word| !word.is_empty())
        .collect();
    let mut last: Option<(&str, u32, usize)> = None;
    for word in words {
        let word = word.trim_end_matches('.').trim_end_matches('-');
        let (first, second) = word.split_once("..").unwrap_or((word, ""));
        let Some((role, number, width)) = id(first).or_else(|| continued(first, last)) else {
            last = None;
            continue;
        };
        let end = id(second).map(|(_, number, _)| number).or_else(|| second.parse().ok()).unwrap_or(number);
        for number in number..=end.max(number) {
            found.insert(format!("{role}-{number:0width$}"));
        }
        last = Some((role, end.max(number), width));
    }
    found
}

fn id(word: &str) -> Option<(&str, u32, usize)> {
    let (role, number) = word.split_once('-')?;
    let known = matches!(role, "RS" | "AS" | "CL" | "PX" | "ST" | "TR" | "ATK");
    let digits = number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit());
    (known && digits).then(|| number.parse().ok().map(|number| (role, number, 2)))?
}

fn continued<'a>(word: &str, last: Option<(&'a str, u32, usize)>) -> Option<(&'a str, u32, usize)> {
    let (role, _, width) = last?;
    let digits = (2..=3).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| word.parse().ok().map(|number| (role, number, width)))?
}

#[test]
fn ids_are_found_in_all_their_spellings() {
    let found = ids("RS-15..RS-18, ATK-65, 66: and TR-30; not 2026 nor RS-1.");
    let expected = ["ATK-65", "ATK-66", "RS-15", "RS-16", "RS-17", "RS-18", "TR-30"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
