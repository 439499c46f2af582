//! docs/clients.md is what `scripts/clients` wrote last, for the versions that are pinned now.

use aws_lc_rs::digest::{SHA256, digest};

use crate::sources::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("the file is there")
}

/// Nobody wrote in it: its last line is the digest of what stands above.
#[test]
fn the_page_of_clients_was_written_by_its_program() {
    let page = read("docs/clients.md");
    let (body, last) = page.rsplit_once("\n<!-- sha256 ").expect("the page ends with its digest");
    let digest: String = digest(&SHA256, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(last, format!("{digest} -->\n"), "docs/clients.md was changed by hand: run `scripts/clients`");
}

/// A package that is pinned to another version does other things: the page has to be written again.
#[test]
fn the_page_of_clients_is_about_the_pinned_versions() {
    let (page, pins, lock) = (read("docs/clients.md"), read("scripts/versions.env"), read("Cargo.lock"));
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        match cells[..] {
            [_, package, version] if package.contains(' ') => Some((package, version)),
            _ => None,
        }
    });
    let mut count = 0;
    for (package, version) in rows {
        let (registry, name) = package.split_once(' ').expect("a registry and a name");
        let pinned = match registry {
            "npm" => pins.contains(&format!(" {name}@{version}\"")),
            "PyPI" => {
                let is_it = |line: &str| {
                    let (variable, value) = line.split_once('=').unwrap_or_default();
                    variable.starts_with(&format!("PYPI_{}", name.split('-').next().unwrap_or_default().to_uppercase()))
                        && value == version
                };
                pins.lines().any(is_it)
            }
            _ => lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")),
        };
        assert!(pinned, "{package} {version} is not the pinned version: run `scripts/clients`");
        count += 1;
    }
    assert!(count >= 10, "{count} clients");
}
