//! A crate uses only crates of lower floors, and none of its own floor.

use std::process::Command;

use serde_json::Value;

use crate::sources::{files, root};

/// The packages and their floors.
const FLOORS: [(&str, u8); 15] = [
    ("sekisho-protocol", 0),
    ("sekisho-client", 1),
    ("sekisho-picture", 1),
    ("sekisho-policy", 1),
    ("sekisho-scim", 1),
    ("sekisho-specification", 1),
    ("sekisho-store", 1),
    ("sekisho-token", 1),
    ("sekisho-acts", 2),
    ("sekisho-web", 2),
    ("sekisho-console", 3),
    ("sekisho-demo", 3),
    ("sekisho-gateway", 3),
    ("sekisho-issuer", 3),
    ("sekisho", 4),
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    metadata["packages"].as_array().expect("there are packages").clone()
}

/// Returns the names of the packages from which a package is built, without those for tests.
fn dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().expect("a list");
    all.iter()
        .filter(|one| one["kind"].is_null())
        .map(|one| one["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

#[test]
fn a_crate_uses_lower_floors_only() {
    let mut seen = 0;
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let Some(own) = floor(&name) else {
            assert!(
                matches!(name.as_str(), "sekisho-e2e" | "sekisho-bench"),
                "`{name}` has no floor: give it one here, with a reason in docs/decisions/"
            );
            continue;
        };
        seen += 1;
        for dependency in dependencies(&package) {
            if let Some(other) = floor(&dependency) {
                assert!(other < own, "`{name}` (floor {own}) names `{dependency}` (floor {other})");
            }
            assert!(!(name == "sekisho-console" && dependency == "sekisho-client"), "`console` does not use `client`");
            assert!(
                !matches!(dependency.as_str(), "rmcp" | "reqwest" | "passkey"),
                "`{name}` ships `{dependency}`, which is for tests"
            );
        }
    }
    assert_eq!(seen, FLOORS.len());
}

#[test]
fn vocabulary_policy_pictures_and_specifications_are_pure() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        if !matches!(
            name,
            "sekisho-protocol" | "sekisho-policy" | "sekisho-picture" | "sekisho-scim" | "sekisho-specification"
        ) {
            continue;
        }
        for dependency in dependencies(&package) {
            assert!(
                !matches!(dependency.as_str(), "tokio" | "sqlx" | "reqwest" | "hyper" | "axum"),
                "`{name}` names `{dependency}`"
            );
        }
        let folder = root().join("crates").join(name.trim_start_matches("sekisho-")).join("src");
        for path in files(&folder, "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            for word in ["std::fs", "std::env", "std::net", "std::process"] {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    }
}

#[test]
fn end_to_end_tests_see_the_vocabulary_only() {
    let packages = packages();
    let e2e = packages.iter().find(|package| package["name"] == "sekisho-e2e").expect("e2e is there");
    let all = e2e["dependencies"].as_array().expect("a list");
    for name in all.iter().filter_map(|one| one["name"].as_str()).filter(|name| name.starts_with("sekisho")) {
        assert_eq!(name, "sekisho-protocol");
    }
}

/// Production builds have no demo, and so no vulnerable proxy. A default build has it, so this test can fail.
#[test]
fn what_ships_has_no_demo() {
    let has_demo = |features: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--package", "sekisho", "--edges", "normal", "--prefix", "none"])
            .args(features)
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line.starts_with("sekisho-demo "))
    };
    assert!(!has_demo(&["--no-default-features"]), "the demo is in what ships");
    assert!(has_demo(&[]), "the demo is in no build");
    let release = std::fs::read_to_string(root().join("scripts/release")).expect("scripts/release is there");
    assert!(release.contains("features=(--no-default-features)"), "scripts/release builds with the default features");
}

/// A dependency that no file uses costs build time for nothing.
#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for package in packages() {
        let manifest = std::path::PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        let folder = manifest.parent().expect("a folder");
        let shipped: String = sources_of(&folder.join("src")) + &sources_of(&folder.join("examples"));
        let tests = sources_of(&folder.join("tests")) + &sources_of(&folder.join("benches"));
        for dependency in package["dependencies"].as_array().expect("a list") {
            let name = dependency["rename"].as_str().or(dependency["name"].as_str()).unwrap_or_default();
            let is_shipped = !matches!(dependency["kind"].as_str(), Some("dev" | "build"));
            let word = name.replace('-', "_");
            let named = is_named(&shipped, &word) || (!is_shipped && is_named(&tests, &word));
            if !named && dependency["kind"] != "build" {
                unused.push(format!("{}: {name}", package["name"]));
            }
        }
    }
    assert!(unused.is_empty(), "these dependencies are named by no file, so remove them: {unused:?}");
}

/// All Rust files below a folder, one after another, and the files elsewhere that they include by `#[path]`; empty if there is
/// no such folder.
fn sources_of(folder: &std::path::Path) -> String {
    if !folder.is_dir() {
        return String::new();
    }
    let read = |file: &std::path::Path| std::fs::read_to_string(file).expect("a source file is text");
    let mut all = String::new();
    for file in files(folder, "rs") {
        let text = read(&file);
        let beside = file.parent().expect("a folder");
        let included = text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
        all.extend(included.map(|path| read(&beside.join(path))));
        all.push_str(&text);
    }
    all
}

/// Whether a text contains this word.
fn is_named(text: &str, word: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(word).any(|(at, _)| {
        let bytes = text.as_bytes();
        !is_part(at.checked_sub(1).and_then(|before| bytes.get(before))) && !is_part(bytes.get(at + word.len()))
    })
}
