//! docs/clients.md is the last output of `scripts/clients`, for the versions that are pinned now.

use aws_lc_rs::digest::{SHA256, digest};

use crate::sources::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("the file is there")
}

/// Nobody edited the page: its last line is the digest of the text above.
#[test]
fn the_page_of_clients_was_written_by_its_program() {
    let page = read("docs/clients.md");
    let (body, last) = page.rsplit_once("\n<!-- sha256 ").expect("the page ends with its digest");
    let digest: String = digest(&SHA256, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(last, format!("{digest} -->\n"), "docs/clients.md was changed by hand: run `scripts/clients`");
}

/// If another version of a package is pinned, the page has to be written again.
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

/// The doctor names the clients that refuse an issuer with a slash at its end: exactly those that refused it on the
/// page.
#[test]
fn the_doctor_names_the_clients_that_mind_a_closing_slash() {
    let (page, doctor) = (read("docs/clients.md"), read("crates/client/src/doctor/clients.rs"));
    let section = page.split("\n## ").find(|part| part.starts_with("Slash behind the issuer")).expect("the section");
    let row = |line: &str| -> Option<(String, String)> {
        let (client, does) = line.strip_prefix("| ")?.split_once(" | ")?;
        Some((client.to_owned(), does.to_owned()))
    };
    let refusing = section.lines().filter_map(row).filter(|(_, does)| does.contains("refuses: "));
    let refusing: std::collections::BTreeSet<String> = refusing.map(|(client, _)| client).collect();
    let named =
        doctor.lines().filter(|line| line.contains("Trap::IssuerMismatch, [") && line.contains("closing slash"));
    let named = named.filter_map(|line| Some(line.trim().strip_prefix("known(\"")?.split_once('"')?.0.to_owned()));
    assert_eq!(named.collect::<std::collections::BTreeSet<_>>(), refusing);
    assert!(refusing.len() >= 3, "{refusing:?}");
}
