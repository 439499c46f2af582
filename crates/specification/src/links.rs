//! Resolves links: to a section that was read, to a document that was not read, or to nothing.

use std::collections::{BTreeSet, HashMap};

use crate::document::{Document, slug, stem};
use crate::outside;

/// How many parts at the end of a path are compared.
const TAIL_PARTS_MAX: usize = 4;

/// The target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing: no document that was read contains the target.
    Broken,
    /// Something that is not a text, such as a picture.
    Ignored,
    /// A document that was not read, by name.
    Outside(String),
    /// A section, by its number among all sections.
    Section(usize),
}

/// Finds documents and sections by their names.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The names of the documents, as they were given.
    names: Vec<String>,
    /// The first section of each document.
    roots: Vec<usize>,
    by_name: HashMap<String, usize>,
    by_key: HashMap<String, Option<usize>>,
    by_rfc: HashMap<u32, usize>,
    anchors: HashMap<(usize, String), usize>,
    numbers: HashMap<(usize, String), usize>,
    numbered: Vec<bool>,
}

impl Addresses {
    pub(crate) fn new(documents: &[Document]) -> Self {
        let mut addresses = Self {
            names: documents.iter().map(|document| document.name.clone()).collect(),
            roots: Vec::new(),
            by_name: HashMap::new(),
            by_key: HashMap::new(),
            by_rfc: HashMap::new(),
            anchors: HashMap::new(),
            numbers: HashMap::new(),
            numbered: Vec::new(),
        };
        let mut next = 0;
        for (at, document) in documents.iter().enumerate() {
            addresses.roots.push(next);
            addresses.by_name.entry(document.name.trim_end_matches('/').to_owned()).or_insert(at);
            let title = document.sections.first().map_or("", |root| &root.title);
            let mut keys: BTreeSet<String> = tails(&document.name).collect();
            keys.insert(key(&slug(title)));
            for key in keys {
                // If two documents have the same name, the name resolves to neither.
                addresses.by_key.entry(key).and_modify(|known| *known = None).or_insert(Some(at));
            }
            if let Some(number) = document.rfc.or_else(|| outside::rfc_number(stem(&document.name))) {
                addresses.by_rfc.entry(number).or_insert(at);
            }
            let mut numbered = false;
            for (offset, section) in document.sections.iter().enumerate() {
                for anchor in &section.anchors {
                    addresses.anchors.entry((at, anchor.clone())).or_insert(next + offset);
                }
                if !section.number.is_empty() {
                    numbered = true;
                    addresses.numbers.entry((at, section.number.clone())).or_insert(next + offset);
                }
            }
            addresses.numbered.push(numbered);
            next += document.sections.len();
        }
        addresses
    }

    /// Whether the sections of a document have numbers.
    pub(crate) fn is_numbered(&self, document: usize) -> bool {
        self.numbered.get(document).copied().unwrap_or(false)
    }

    /// Returns the section with this number.
    pub(crate) fn number(&self, document: usize, number: &str) -> Option<usize> {
        self.numbers.get(&(document, number.to_owned())).copied()
    }

    /// Returns the document that is this RFC.
    pub(crate) fn rfc(&self, number: u32) -> Option<usize> {
        self.by_rfc.get(&number).and_then(|document| self.roots.get(*document)).copied()
    }

    /// Resolves a link in a document.
    pub(crate) fn resolve(&self, from: usize, target: &str) -> Target {
        let target = target.trim();
        if target.is_empty() || !outside::is_text(target) {
            return Target::Ignored;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        let path = path.split('?').next().unwrap_or_default();
        let document = if path.is_empty() { Some(from) } else { self.document(from, path) };
        match document {
            Some(document) => self.within(document, fragment),
            None => Target::Outside(outside::name_of(target)),
        }
    }

    fn document(&self, from: usize, path: &str) -> Option<usize> {
        if let Some(found) = self.by_name.get(path.trim_end_matches('/')) {
            return Some(*found);
        }
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if path.contains("://") {
            return outside::rfc_number(last).and_then(|number| self.by_rfc.get(&number)).copied();
        }
        let folder = self.names.get(from).and_then(|name| name.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let joined = joined(folder, path);
        let endings = ["", ".md", ".mdx", ".html", ".txt", "/index.md", "/index.mdx", "/README.md"];
        let found = endings.iter().find_map(|ending| self.by_name.get(&format!("{joined}{ending}")));
        // Takes the longest end of the path that names one document: files are often stored elsewhere than they are
        // published.
        found.copied().or_else(|| tails(path).filter_map(|tail| self.by_key.get(&tail).copied().flatten()).last())
    }

    fn within(&self, document: usize, fragment: &str) -> Target {
        if fragment.is_empty() {
            return self.roots.get(document).map_or(Target::Broken, |root| Target::Section(*root));
        }
        let anchor = decoded(fragment).to_lowercase();
        let found = self.anchors.get(&(document, anchor.clone())).or_else(|| {
            // Generators treat the signs between words differently.
            let loose = anchor.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
            let loose = loose.trim_start_matches("name-").to_owned();
            self.anchors.get(&(document, loose))
        });
        found.map_or(Target::Broken, |section| Target::Section(*section))
    }
}

/// Returns the last one, two, … parts of a path as one name, without the extension. `index` and `README` stand for
/// their folder.
fn tails(path: &str) -> impl Iterator<Item = String> {
    let path = path.trim_end_matches('/');
    let cut = path.len() - path.rsplit('/').next().map_or(0, str::len);
    let mut parts: Vec<&str> = path.get(..cut).unwrap_or_default().split('/').filter(|part| !part.is_empty()).collect();
    let last = stem(path);
    if !matches!(last, "index" | "README") || parts.is_empty() {
        parts.push(last);
    }
    (1..=TAIL_PARTS_MAX.min(parts.len()))
        .map(move |count| key(&parts.get(parts.len() - count..).unwrap_or_default().join("-")))
}

fn key(name: &str) -> String {
    name.to_lowercase().replace(['_', ' '], "-")
}

/// Resolves a path from a folder, without `.` and `..`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// Decodes `%E8%AA%8D` and the like. A text that cannot be decoded stays as it was.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Target, joined};
    use crate::markdown;
    use crate::source::Kind;

    #[test]
    fn a_link_leads_where_it_says() {
        let documents = [
            markdown::read("docs/one.md", "# One\n\n## First Part\n\ntext\n\n## 第二 部\n\ntext\n", Kind::Markdown),
            markdown::read(
                "docs/sub/security_two.md",
                "---\ntitle: Second Thing\n---\n\n## Part: A & B\n\ntext\n",
                Kind::Mdx,
            ),
        ];
        let addresses = Addresses::new(&documents);
        for (target, expected) in [
            ("#first-part", Target::Section(1)),
            ("#%E7%AC%AC%E4%BA%8C-%E9%83%A8", Target::Section(2)),
            ("sub/security_two.md#part-a--b", Target::Section(4)),
            ("./sub/security_two", Target::Section(3)),
            ("/anywhere/second_thing", Target::Section(3)),
            ("/published/security/two", Target::Section(3)),
            ("#nowhere", Target::Broken),
            ("sub/security_two.md#nowhere", Target::Broken),
            ("other.md#x", Target::Outside("other.md".to_owned())),
            ("https://example.com/x", Target::Outside("example.com/x".to_owned())),
            ("logo.svg", Target::Ignored),
            ("mailto:somebody@example.com", Target::Ignored),
        ] {
            assert_eq!(addresses.resolve(0, target), expected, "{target}");
        }
        assert_eq!(joined("docs/sub", "../one"), "docs/one");
        assert_eq!(joined("/tmp/docs", "x"), "/tmp/docs/x");
    }
}
