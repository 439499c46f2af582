//! Finds what authority an entry of a client's file has today.

use std::collections::{BTreeMap, HashSet};

use sekisho_protocol::redirect::is_loopback_host;
use serde::Serialize;
use url::Url;

use super::parts::{Part, Parts};
use super::references::Piece;
use crate::os;

/// Something worth knowing about an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) says: String,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Weight {
    /// A fact.
    Note,
    /// A problem.
    Warning,
}

impl Finding {
    pub(super) fn warning(says: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, says: says.into() }
    }

    fn note(says: impl Into<String>) -> Self {
        Self { weight: Weight::Note, says: says.into() }
    }
}

/// The parts of an entry that are examined.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryContents<'a> {
    pub(super) command: &'a [Parts],
    pub(super) url: Option<&'a Parts>,
    pub(super) environment: &'a BTreeMap<String, Parts>,
    pub(super) headers: &'a BTreeMap<String, Parts>,
}

impl<'a> EntryContents<'a> {
    /// Returns all texts of the entry, each with its name; words of the command have none.
    pub(super) fn texts(self) -> impl Iterator<Item = (&'a str, &'a Parts)> {
        let pairs = self.environment.iter().chain(self.headers).map(|(name, parts)| (name.as_str(), parts));
        self.command.iter().chain(self.url).map(|parts| ("", parts)).chain(pairs)
    }
}

/// Returns what authority an entry carries, the most serious findings first.
pub(super) fn of(entry: EntryContents<'_>, env_file: Option<&str>) -> Vec<Finding> {
    let mut found = secrets(entry);
    found.extend(references(entry));
    found.extend(entry.url.iter().flat_map(|url| of_url(entry, url)));
    let words: Vec<String> = entry.command.iter().map(Parts::shown).collect();
    if let Some(package) = unpinned(&words) {
        found.push(Finding::warning(format!("`{package}` is not pinned: each start runs whatever was published last")));
    }
    let line = words.join(" ");
    for (sign, says) in [
        ("sudo", "runs as root"),
        ("sh -c", "a shell that takes a whole line"),
        (".ssh", "reaches your SSH keys"),
        (".aws", "reaches your cloud credentials"),
    ] {
        if line.split(' ').any(|word| word == sign) || (sign.contains([' ', '.']) && line.contains(sign)) {
            found.push(Finding::warning(says));
        }
    }
    if words.iter().skip(1).any(|word| matches!(word.as_str(), "/" | "~" | "${env:HOME}")) {
        found.push(Finding::warning("is given your whole home, or the whole disk"));
    }
    if let Some(file) = env_file {
        found.push(Finding::note(format!("the variables of `{file}` are copied: later changes of it do not count")));
    }
    if !entry.command.is_empty() {
        found.push(Finding::note("runs as you, with your files; who calls which tool is recorded nowhere"));
    }
    found
}

fn secrets(entry: EntryContents<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (what, pairs) in [("variable", entry.environment), ("header", entry.headers)] {
        for (name, _) in pairs.iter().filter(|(_, parts)| parts.has_secret()) {
            found.push(Finding::warning(format!("a secret in plain text: {what} {name}")));
        }
    }
    if entry.command.iter().any(Parts::has_secret) {
        let says = "a secret on the command line, where every program of this machine can read it";
        found.push(Finding::warning(says));
    }
    if entry.url.is_some_and(Parts::has_secret) {
        found.push(Finding::warning("a secret in the URL, where logs keep it"));
    }
    found
}

/// Reports the values that will be filled in on the checkpoint's machine and no longer on the client's.
fn references(entry: EntryContents<'_>) -> Vec<Finding> {
    let (mut found, mut said) = (Vec::new(), HashSet::new());
    for (name, piece) in entry.texts().flat_map(|(name, parts)| parts.references().map(move |piece| (name, piece))) {
        let whose = if name.is_empty() { "a part of it" } else { name };
        let says = match piece {
            Piece::Input(id) => {
                format!("{whose} is asked for (`{id}`) when it is moved, and kept in a file of its own")
            }
            Piece::Variable { name, default } => {
                let unset = default.is_none() && os::variable(name).is_none();
                let here = if unset { "; it is not set here" } else { "" };
                format!("{whose} is what `${{env:{name}}}` is where the checkpoint runs{here}")
            }
            Piece::Text(_) | Piece::Unknown(_) => continue,
        };
        if said.insert(says.clone()) {
            found.push(Finding::warning(says));
        }
    }
    found
}

fn of_url(entry: EntryContents<'_>, url: &Parts) -> Vec<Finding> {
    let plain: String = url
        .0
        .iter()
        .map(|part| match part {
            Part::Secret(text) | Part::Text(text) => text.as_str(),
            Part::Reference(_) => "x",
        })
        .collect();
    let Ok(plain) = Url::parse(&plain) else { return Vec::new() };
    let mut found = Vec::new();
    let local = plain.host_str().is_some_and(is_loopback_host);
    if plain.scheme() == "http" && !local {
        let host = plain.host_str().unwrap_or_default();
        found.push(Finding::warning(format!("plain http to {host}: every machine on the way can read what is sent")));
    }
    if local && entry.headers.is_empty() {
        let says = "a port of this machine without a credential: every program and every web page can try it";
        found.push(Finding::warning(says));
    }
    found
}

/// Returns the package that a runner fetches again at each start, if no version is given.
fn unpinned(command: &[String]) -> Option<&str> {
    let program = command.first()?.rsplit('/').next()?;
    let words = || command.iter().skip(1).map(String::as_str);
    let first = || words().find(|word| !word.starts_with('-'));
    match program {
        "npx" | "bunx" | "pnpx" => first().filter(|package| !package.trim_start_matches('@').contains('@')),
        "uvx" | "pipx" => words()
            .find(|word| !word.starts_with('-') && *word != "run")
            .filter(|package| !package.contains(['=', '@'])),
        "docker" | "podman" => {
            let image = words().filter(|word| !word.starts_with('-')).find(|word| word.contains('/'));
            image.filter(|image| {
                !image.contains('@')
                    && image.rsplit('/').next().is_some_and(|last| !last.contains(':') || last.ends_with(":latest"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::unpinned;

    #[test]
    fn a_runner_without_a_version_is_known() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, expected) in [
            ("npx pkg", Some("pkg")),
            ("npx -y @a/b@latest", None),
            ("/usr/bin/npx @a/b", Some("@a/b")),
            ("uvx tool", Some("tool")),
            ("uvx tool==1.0", None),
            ("pipx run tool", Some("tool")),
            ("docker run -i --rm ghcr.io/a/b", Some("ghcr.io/a/b")),
            ("docker run ghcr.io/a/b:latest", Some("ghcr.io/a/b:latest")),
            ("docker run ghcr.io/a/b:1.2", None),
            ("docker run ghcr.io/a/b@sha256:00", None),
            ("node server.js", None),
        ] {
            assert_eq!(unpinned(&words(line)), expected, "{line}");
        }
    }
}
