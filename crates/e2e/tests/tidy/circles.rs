//! No circle of files inside a crate.
//!
//! File A *uses* file B of the same crate if A names an item that B defines: in a `use` line, or by a path in its code
//! (`crate::b::Item`, `super::Item`, `b::function()`). Several files form a circle if each of them uses the others,
//! directly or through files between them. Then no file of the circle can be understood before the rest.
//!
//! - A re-export belongs to the file that defines the item. `pub use b::Item` is no use of B, unless the same file names
//!   `Item` in its own code; and a third file that names `crate::a::Item` uses B, not A.
//! - A `mod` line is no use. A parent that calls its child does use it, and a child that names an item of its parent uses
//!   the parent; both together are a circle of two files.
//! - An import of a module (`use crate::b;`) counts for the items that are named through it (`b::function()`).
//! - What stands under `#[cfg(test)]` does not count, and neither do files that only tests have.
//! - A method that is called on a value is not seen: only names are.

#![expect(clippy::string_slice, reason = "every position was found in the same text, at a whole character")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::sources::{files, root};

#[test]
fn no_files_of_a_crate_form_a_circle() {
    let mut wrong = Vec::new();
    for folder in crates() {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let circles = Crate::read(&folder.join("src")).circles();
        wrong.extend(circles.iter().map(|circle| format!("a circle of `{name}`: {}", circle.join(" "))));
    }
    assert!(wrong.is_empty(), "move what two files need of each other into a file of its own: {}", wrong.join("\n"));
}

fn crates() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("crates")).expect("a folder can be read");
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.push(root().join("bench"));
    found.retain(|folder| folder.join("src").is_dir());
    found.sort();
    found
}

/// One crate, as its files describe it.
#[derive(Debug, Default)]
struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

/// One module. A module inside a file belongs to that file.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// The imports of its `use` lines: the local name, and the path as it is written.
    imports: BTreeMap<String, Import>,
    /// Every path in the code outside `use` lines.
    paths: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Import {
    path: Vec<String>,
    is_public: bool,
}

/// The target of a path.
enum Found {
    Item(Vec<String>),
    Module,
    /// An item of another crate.
    Outside,
}

impl Crate {
    fn read(source: &Path) -> Self {
        let texts = files(source, "rs").into_iter().map(|path| {
            let inside = path.strip_prefix(source).expect("it is inside").to_owned();
            (inside, std::fs::read_to_string(&path).expect("text"))
        });
        Self::of(texts.collect())
    }

    fn of(texts: Vec<(PathBuf, String)>) -> Self {
        let mut all = Self::default();
        let mut tests = Vec::new();
        for (path, text) in &texts {
            let own = module_of(path);
            let file = path.to_str().expect("text").to_owned();
            let mut reader = Reader { tokens: tokens(text), at: 0, file, all: &mut all, tests: &mut tests };
            reader.module(&own, false);
        }
        all.modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        all
    }

    /// Returns the module that a path names, or the one whose file defines the named item.
    fn find(&self, from: &[String], path: &[String], depth: usize) -> Found {
        let Some(first) = path.first().filter(|_| depth < 16) else { return Found::Outside };
        let mut at = from.to_vec();
        let mut rest = path;
        match first.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                let module = self.modules.get(from);
                let is_import = module.is_some_and(|module| module.imports.contains_key(name));
                let is_child = self.modules.contains_key(&[from, &[name.to_owned()]].concat());
                if !is_import && !is_child {
                    return Found::Outside;
                }
            }
        }
        while let Some((name, after)) = rest.split_first() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                (at, rest) = (child, after);
                continue;
            }
            let import = self.modules.get(&at).and_then(|module| module.imports.get(name));
            return match import {
                Some(import) => self.find(&at, &[&import.path[..], after].concat(), depth + 1),
                None => Found::Item(at),
            };
        }
        Found::Module
    }

    /// Returns the files that each file uses.
    fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (own, module) in &self.modules {
            let named: BTreeSet<&str> =
                module.paths.iter().filter_map(|path| path.first()).map(String::as_str).collect();
            let imported =
                module.imports.iter().filter(|(name, import)| !import.is_public || named.contains(name.as_str()));
            let imported = imported.map(|(_, import)| &import.path);
            let of = uses.entry(module.file.clone()).or_default();
            for path in imported.chain(&module.paths) {
                if let Found::Item(other) = self.find(own, path, 0)
                    && let Some(other) = self.modules.get(&other)
                    && other.file != module.file
                {
                    of.insert(other.file.clone());
                }
            }
        }
        uses
    }

    /// Returns the files that use one another, each circle once.
    fn circles(&self) -> Vec<Vec<String>> {
        let uses = self.uses();
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            uses.keys().map(|file| (file, reached(&uses, file))).collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            if others.contains(file) {
                let circle = others.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)));
                circles.insert(circle.map(|file| (*file).clone()).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }
}

/// Returns every file that this one uses, directly or through others.
fn reached<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, file: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = uses.get(file).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(uses.get(next).into_iter().flatten());
        }
    }
    reached
}

/// Returns the module of a file: `forward/http.rs` is `forward::http`; `lib.rs` and `main.rs` are the root.
fn module_of(path: &Path) -> Vec<String> {
    let mut own: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_str().expect("text").to_owned()).collect();
    if own == ["lib"] || own == ["main"] || own.last().is_some_and(|last| last == "mod") {
        own.pop();
    }
    own
}

/// Reads the tokens of one file.
struct Reader<'a> {
    tokens: Vec<String>,
    at: usize,
    file: String,
    all: &'a mut Crate,
    /// The modules that exist only in tests.
    tests: &'a mut Vec<Vec<String>>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    /// Reads one module, up to its closing brace or to the end of the file.
    fn module(&mut self, own: &[String], is_inline: bool) {
        let mut module = Module { file: self.file.clone(), ..Module::default() };
        let (mut depth, mut is_public) = (0_usize, false);
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "#" if self.is_test_attribute() => self.skip_item(own),
                "#" => self.skip_attribute(),
                "{" => (self.at, depth) = (self.at + 1, depth + 1),
                "}" if depth == 0 && is_inline => {
                    self.at += 1;
                    break;
                }
                "}" => (self.at, depth) = (self.at + 1, depth.saturating_sub(1)),
                "mod" if is_word(self.peek(1)) && self.peek(2) == "{" => {
                    let inner = [own, &[self.peek(1).to_owned()]].concat();
                    self.at += 3;
                    self.module(&inner, true);
                }
                "pub" => {
                    self.at += 1;
                    if self.peek(0) == "(" {
                        self.skip_to(")");
                    }
                    is_public = true;
                    continue;
                }
                "use" => {
                    self.at += 1;
                    self.tree(&[], is_public, &mut module);
                }
                // A field or a method is not a path.
                "." if is_word(self.peek(1)) => self.at += 2,
                word if is_word(word) => {
                    let mut path = vec![word.to_owned()];
                    self.at += 1;
                    while self.peek(0) == "::" && is_word(self.peek(1)) {
                        path.push(self.peek(1).to_owned());
                        self.at += 2;
                    }
                    module.paths.push(path);
                }
                _ => self.at += 1,
            }
            is_public = false;
        }
        match self.all.modules.get_mut(own) {
            // `main.rs` beside `lib.rs` belongs to the same root.
            Some(root) => {
                root.imports.extend(module.imports);
                root.paths.extend(module.paths);
            }
            None => {
                self.all.modules.insert(own.to_vec(), module);
            }
        }
    }

    fn is_test_attribute(&self) -> bool {
        (0..7).map(|ahead| self.peek(ahead)).eq(["#", "[", "cfg", "(", "test", ")", "]"])
    }

    fn skip_attribute(&mut self) {
        self.at += 1;
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "[" => depth += 1,
                "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 && self.tokens.get(self.at - 1).is_some_and(|last| last == "]") {
                return;
            }
        }
    }

    fn skip_to(&mut self, end: &str) {
        while self.at < self.tokens.len() && self.peek(0) != end {
            self.at += 1;
        }
        self.at += 1;
    }

    /// Skips an item under `#[cfg(test)]`.
    fn skip_item(&mut self, own: &[String]) {
        while self.peek(0) == "#" {
            self.skip_attribute();
        }
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "mod" if depth == 0 && self.peek(2) == ";" => {
                    self.tests.push([own, &[self.peek(1).to_owned()]].concat());
                }
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let is_end = depth == 0 && matches!(self.peek(0), "}" | ";");
            self.at += 1;
            if is_end {
                return;
            }
        }
    }

    /// Reads the tree of a `use` line.
    fn tree(&mut self, before: &[String], is_public: bool, module: &mut Module) {
        let mut path = before.to_vec();
        loop {
            match self.peek(0).to_owned().as_str() {
                "{" => {
                    self.at += 1;
                    while self.at < self.tokens.len() && self.peek(0) != "}" {
                        self.tree(&path, is_public, module);
                    }
                    self.at += 1;
                    while matches!(self.peek(0), "," | ";") {
                        self.at += 1;
                    }
                    return;
                }
                "::" => self.at += 1,
                "as" => {
                    let name = self.peek(1).to_owned();
                    self.at += 2;
                    import(module, name, path.clone(), is_public);
                    path.clear();
                }
                end @ ("," | ";" | "}" | "") => {
                    if let Some(last) = path.last().cloned() {
                        import(module, last, path, is_public);
                    }
                    if end != "}" {
                        self.at += 1;
                    }
                    return;
                }
                word => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
            }
        }
    }
}

fn import(module: &mut Module, name: String, mut path: Vec<String>, is_public: bool) {
    let mut name = name;
    // `use a::b::{self}` brings in `b`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
        if name == "self" {
            name = path.last().cloned().unwrap_or_default();
        }
    }
    // A trait that is imported as `_` gets a unique name here.
    if name == "_" {
        name = format!("_{}", path.join("::"));
    }
    module.imports.insert(name, Import { path, is_public });
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Splits code into words, `::`, and single other characters, without comments, string literals and numbers.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = text_length(rest) {
            length
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            if is_word(&rest[..length]) {
                found.push(rest[..length].to_owned());
            }
            length
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    found
}

/// Returns the length of the string, character or lifetime that begins here.
fn text_length(rest: &str) -> Option<usize> {
    let quoted = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - quoted.len();
    if let Some(raw) = quoted.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = prefix + 1 + hashes + 1;
            return Some(rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len()));
        }
        return None;
    }
    if quoted.starts_with('"') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(prefix + at + 1),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    let after = quoted.strip_prefix('\'')?;
    let mut characters = after.char_indices();
    match characters.next()? {
        (_, '\\') => after.find('\'').map(|end| match after[..2].ends_with('\'') {
            true => prefix + 4,
            false => prefix + 1 + end + 1,
        }),
        _ => match characters.next() {
            Some((at, '\'')) => Some(prefix + 1 + at + 1),
            _ => Some(prefix + 1),
        },
    }
}

fn circles_of(texts: &[(&str, &str)]) -> Vec<String> {
    let texts = texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    Crate::of(texts.collect()).circles().iter().map(|circle| circle.join(" ")).collect()
}

/// The definition at the top of this file, with one case for each sentence.
#[test]
fn a_circle_is_found_and_what_is_none_is_not() {
    let root = "mod a; mod b; mod c;";
    for (files, circles) in [
        (vec![("lib.rs", root), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "")], vec![]),
        (vec![("lib.rs", root), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")], vec!["a.rs b.rs"]),
        (
            vec![
                ("lib.rs", root),
                ("a.rs", "use crate::b::{B as X};"),
                ("b.rs", "use super::c;\nfn f() { c::g() }"),
                ("c.rs", "fn g() { crate::a::f(\"//\") }"),
            ],
            vec!["a.rs b.rs c.rs"],
        ),
        // An import of a module through which no item is named.
        (vec![("lib.rs", root), ("a.rs", "use crate::b;"), ("b.rs", "use crate::a::A;")], vec![]),
        // In a test, in a comment, in a string.
        (
            vec![
                ("lib.rs", root),
                (
                    "a.rs",
                    "#[cfg(test)]\nmod tests { use crate::b::B; }\n// crate::b::B\nconst A: &str = r#\"crate::b::B\"#;",
                ),
                ("b.rs", "use crate::a::A;"),
            ],
            vec![],
        ),
        (
            vec![
                ("lib.rs", root),
                ("a.rs", "#[cfg(test)]\nmod t;"),
                ("a/t.rs", "use crate::b::B;"),
                ("b.rs", "use crate::a::A;"),
            ],
            vec![],
        ),
    ] {
        assert_eq!(circles_of(&files), circles, "{files:?}");
    }
}

/// The same for parents and their children, and for modules inside a file.
#[test]
fn a_parent_and_its_child_can_be_a_circle() {
    for (files, circles) in [
        // A child names an item of its parent, which uses the child; in the other case, it names a re-export.
        (
            vec![("lib.rs", "mod a;"), ("a.rs", "mod x;\nuse x::X;\nstruct A;"), ("a/x.rs", "use super::A;")],
            vec!["a.rs a/x.rs"],
        ),
        (
            vec![("lib.rs", "mod a;"), ("a.rs", "mod x;\nfn f() { x::g() }"), ("a/x.rs", "fn g(_: super::A) {}")],
            vec!["a.rs a/x.rs"],
        ),
        (
            vec![
                ("lib.rs", "mod a;"),
                ("a.rs", "mod x; mod y;\npub use x::X;\nstruct A;"),
                ("a/x.rs", "use super::A;"),
            ],
            vec![],
        ),
        (
            vec![
                ("lib.rs", "mod a;"),
                ("a.rs", "mod x; mod y;\npub use x::X;\nfn f(_: X) {}"),
                ("a/x.rs", ""),
                ("a/y.rs", "use super::X;"),
            ],
            vec![],
        ),
        // A module that exists only in its parent's file.
        (
            vec![("lib.rs", "mod a { use crate::b::B; pub struct A; }\nmod b;"), ("b.rs", "use crate::a::A;")],
            vec!["b.rs lib.rs"],
        ),
        // A field and a lifetime with the name of a module.
        (
            vec![
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "fn f<'b>(x: &'b X) { x.b::<u8>(); '\\''; '\"'; }"),
                ("b.rs", "use crate::a::A;"),
            ],
            vec![],
        ),
    ] {
        assert_eq!(circles_of(&files), circles, "{files:?}");
    }
}
