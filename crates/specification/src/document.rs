//! A document as every reader builds it: sections in their order, each with its prose, links, definitions and steps.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use sekisho_protocol::label::clean;

use crate::definitions;
use crate::sentences::{self, Sentence};
use crate::source::Kind;

/// Words in the title of a section that explains terms.
const GLOSSARIES: [&str; 8] = ["term", "glossary", "definition", "concept", "vocabulary", "用語", "定義", "言葉"];
/// How many terms can share one meaning.
const TERMS_MAX: usize = 16;
/// How many levels of nested lists are distinguished.
const DEPTH_MAX: usize = 16;
/// The longest title that is kept, in characters.
const TITLE_CHARS_MAX: usize = 200;

/// One document with its sections in order. The first section is the document itself, with the text before any heading.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sections: Vec<Section>,
    /// The meanings of the labels in its bibliography: `RFC6749` → `RFC 6749`.
    pub(crate) labels: BTreeMap<String, String>,
    /// The number of the document, if it is an RFC.
    pub(crate) rfc: Option<u32>,
}

/// A heading with the text up to the next heading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// The level of the heading; 0 for the document itself.
    pub(crate) level: u8,
    pub(crate) parent: Option<usize>,
    /// The number of the section, such as `4.1`, `A.2`, `第3条`; may be empty.
    pub(crate) number: String,
    pub(crate) title: String,
    pub(crate) anchors: Vec<String>,
    /// The section's own text as it was written, without its subsections.
    pub(crate) source: String,
    /// The section's sentences as plain text, one block a line; code and pictures are left out.
    pub(crate) prose: String,
    pub(crate) sentences: Vec<Sentence>,
    pub(crate) links: Vec<Link>,
    pub(crate) definitions: Vec<Definition>,
    /// Entries of definition lists: the place of each in the prose, and the terms that it explains.
    pub(crate) entries: Vec<(Range<usize>, String)>,
    /// Ordered lists: the place of each item in the prose.
    pub(crate) steps: Vec<Vec<Range<usize>>>,
    /// Whether it is a bibliography, which names outside documents and says nothing of its own.
    pub(crate) bibliography: bool,
}

/// A link as it is written, and the place of its text in the prose.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) at: Range<usize>,
    pub(crate) target: String,
}

/// A term, and the place of its meaning in the prose.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) term: String,
    pub(crate) at: Range<usize>,
    pub(crate) rank: Rank,
    /// Whether the term is a symbol, such as the name of a parameter, that looks like an ordinary word. If so, only its
    /// quoted uses count.
    pub(crate) sign: bool,
}

/// How certain it is that a section defines a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A heading names the term.
    Heading,
    /// A sentence says what the term means.
    Sentence,
    /// A definition list or a glossary explains the term.
    List,
}

/// The kind of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// An entry of a list. `number` is set if the list is ordered; `depth` is 1 for the outermost list.
    Item { number: Option<u64>, depth: usize },
    /// The meaning of a term.
    Meaning,
    /// A paragraph, or a cell of a table.
    Paragraph,
    /// A term whose meaning follows.
    Term,
}

impl Section {
    /// Returns a part of the section's prose.
    pub(crate) fn part(&self, range: &Range<usize>) -> &str {
        self.prose.get(range.clone()).unwrap_or_default()
    }

    /// Whether the section has any text of its own.
    pub(crate) fn speaks(&self) -> bool {
        !self.prose.is_empty() && !self.bibliography
    }
}

/// Builds a document from the parts that a reader finds, in the order of the text.
#[derive(Debug)]
pub(crate) struct Builder {
    document: Document,
    slugs: HashMap<String, usize>,
    block: Option<Open>,
    /// For each depth of list: the sentence before it that ends with a colon.
    leads: Vec<Option<usize>>,
    terms: Vec<String>,
    last_number: Option<u64>,
    /// Whether the document names its own title.
    titled: bool,
}

/// The block that is being read.
#[derive(Debug)]
struct Open {
    block: Block,
    text: String,
    marks: Vec<Range<usize>>,
    links: Vec<Link>,
    mark: Option<usize>,
    link: Option<(usize, String)>,
}

impl Builder {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        let root = Section { title: clean(stem(name), TITLE_CHARS_MAX), ..Section::default() };
        let document =
            Document { name: name.to_owned(), kind, sections: vec![root], labels: BTreeMap::new(), rfc: None };
        Self {
            document,
            slugs: HashMap::new(),
            block: None,
            leads: Vec::new(),
            terms: Vec::new(),
            last_number: None,
            titled: false,
        }
    }

    /// Sets the title of the whole document.
    pub(crate) fn title(&mut self, title: &str) {
        if let Some(root) = self.document.sections.first_mut().filter(|_| !title.trim().is_empty()) {
            root.title = clean(title, TITLE_CHARS_MAX);
            self.titled = true;
        }
    }

    pub(crate) fn rfc(&mut self, number: u32) {
        self.document.rfc = Some(number);
    }

    /// Sets the meaning of a label in brackets.
    pub(crate) fn label(&mut self, label: &str, name: String) {
        self.document.labels.insert(label.to_owned(), name);
    }

    /// Adds another name of the open section.
    pub(crate) fn anchor(&mut self, anchor: &str) {
        let anchor = anchor.trim();
        if !anchor.is_empty() {
            self.section().anchors.push(anchor.to_lowercase());
        }
    }

    pub(crate) fn bibliography(&mut self) {
        self.section().bibliography = true;
    }

    /// Begins a new section under the nearest one of a lower level. If no number is given, the title may contain one.
    pub(crate) fn heading(&mut self, level: u8, title: &str, number: Option<&str>) {
        self.end();
        self.leads.clear();
        self.terms.clear();
        self.last_number = None;
        let whole = clean(title, TITLE_CHARS_MAX);
        let (number, title) = match number {
            Some(number) => (number.to_owned(), whole.clone()),
            None => numbered(&whole),
        };
        let slug = slug(&whole);
        let count = self.slugs.entry(slug.clone()).or_insert(0);
        let slug = if *count == 0 { slug } else { format!("{slug}-{count}") };
        *count += 1;
        let sections = &self.document.sections;
        let mut parent = sections.len() - 1;
        while let Some(above) = sections.get(parent).filter(|above| above.level >= level) {
            parent = above.parent.unwrap_or(0);
        }
        let anchors = if slug.is_empty() { Vec::new() } else { vec![slug] };
        let section =
            Section { level: level.max(1), parent: Some(parent), number, title, anchors, ..Section::default() };
        self.document.sections.push(section);
    }

    /// Adds to the open section's text as it was written.
    pub(crate) fn source(&mut self, text: &str) {
        self.section().source.push_str(text);
    }

    /// Begins a block. An open block ends.
    pub(crate) fn begin(&mut self, block: Block) {
        self.end();
        self.block =
            Some(Open { block, text: String::new(), marks: Vec::new(), links: Vec::new(), mark: None, link: None });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.block.is_some()
    }

    /// Returns the text of the open block so far.
    pub(crate) fn open_text(&self) -> Option<&str> {
        self.block.as_ref().map(|open| open.text.as_str())
    }

    /// Adds text to the open block, or to a new paragraph. White space becomes one space.
    pub(crate) fn text(&mut self, text: &str) {
        if self.block.is_none() {
            if text.trim().is_empty() {
                return;
            }
            self.begin(Block::Paragraph);
        }
        let Some(open) = &mut self.block else { return };
        for character in text.chars() {
            if !character.is_whitespace() {
                open.text.push(character);
            } else if !open.text.is_empty() && !open.text.ends_with(' ') {
                open.text.push(' ');
            }
        }
    }

    /// Begins a marked piece of text: bold, italic or code.
    pub(crate) fn mark(&mut self) {
        if let Some(open) = &mut self.block
            && open.mark.is_none()
        {
            open.mark = Some(open.text.len());
        }
    }

    pub(crate) fn unmark(&mut self) {
        if let Some(open) = &mut self.block
            && let Some(from) = open.mark.take()
            && from < open.text.len()
        {
            open.marks.push(from..open.text.len());
        }
    }

    /// Begins the text of a link.
    pub(crate) fn link(&mut self, target: &str) {
        if self.block.is_none() {
            self.begin(Block::Paragraph);
        }
        if let Some(open) = &mut self.block {
            open.link = Some((open.text.len(), target.to_owned()));
        }
    }

    pub(crate) fn unlink(&mut self) {
        if let Some(open) = &mut self.block
            && let Some((from, target)) = open.link.take()
        {
            open.links.push(Link { at: from..open.text.len(), target });
        }
    }

    /// Ends the open block, and adds its sentences, links, definitions and list entry to the section.
    pub(crate) fn end(&mut self) {
        self.unlink();
        self.unmark();
        let Some(open) = self.block.take() else { return };
        let text = open.text.trim_end();
        if text.is_empty() {
            return;
        }
        if open.block == Block::Term && self.terms.len() < TERMS_MAX {
            self.terms.push(text.to_owned());
        }
        let terms = if open.block == Block::Meaning { std::mem::take(&mut self.terms) } else { Vec::new() };
        let (lead, depth) = match open.block {
            Block::Item { depth, .. } => {
                let depth = depth.min(DEPTH_MAX);
                (self.leads.iter().take(depth).next_back().copied().flatten(), depth)
            }
            Block::Meaning | Block::Paragraph | Block::Term => (None, 0),
        };
        let (continued, ordered) = match open.block {
            Block::Item { number: Some(number), depth: 1 } => {
                let before = self.last_number.replace(number);
                (before.is_some_and(|before| before.checked_add(1) == Some(number)), true)
            }
            _ => (false, false),
        };
        let rfc = self.document.kind == Kind::Rfc;
        let section = self.section();
        if !section.prose.is_empty() {
            section.prose.push('\n');
        }
        let from = section.prose.len();
        section.prose.push_str(text);
        let first = section.sentences.len();
        sentences::split(text, from, lead, &mut section.sentences);
        let whole = from..section.prose.len();
        section.links.extend(open.links.into_iter().map(|link| Link {
            at: (link.at.start + from).min(whole.end)..(link.at.end + from).min(whole.end),
            target: link.target,
        }));
        // `**term**: …` is a definition in a section that explains terms; elsewhere it is only a style for entries.
        let title = section.title.to_lowercase();
        let explains = GLOSSARIES.iter().any(|word| title.contains(word)) || text.starts_with('`');
        let item = matches!(open.block, Block::Item { .. }) && explains;
        let found = definitions::of_block(text, &open.marks, item);
        let found = found.into_iter().map(|term| (term, Rank::Sentence));
        if !terms.is_empty() {
            section.entries.push((whole.clone(), terms.join(", ")));
        }
        let listed = terms.into_iter().filter_map(|term| definitions::fit(&term)).map(|term| (term, Rank::List));
        let added: Vec<Definition> = found
            .chain(listed)
            .map(|(term, rank)| {
                let sign = is_plain_word(&term) && (rfc || text.contains(&format!("`{term}`")));
                Definition { term, at: whole.clone(), rank, sign }
            })
            .collect();
        section.definitions.extend(added);
        if ordered {
            match section.steps.last_mut().filter(|_| continued) {
                Some(steps) => steps.push(whole.clone()),
                None => section.steps.push(vec![whole.clone()]),
            }
        }
        let last = section.sentences.len().checked_sub(1).filter(|last| *last >= first);
        let colon = text.ends_with([':', '：']);
        self.leads.resize(depth, None);
        self.leads.push(if colon { last } else { lead });
    }

    /// Returns the document. If there is a single heading at the top that contains all others, it becomes the document
    /// itself.
    pub(crate) fn finish(mut self) -> Document {
        self.end();
        let sections = &self.document.sections;
        let silent = sections.first().is_some_and(|root| root.prose.is_empty());
        let top = sections.iter().skip(1).map(|section| section.level).min().unwrap_or(0);
        let single = sections.iter().skip(1).filter(|section| section.level == top).count() == 1;
        let leads = sections.get(1).is_some_and(|section| section.level == top);
        if silent && single && leads && (top == 1 || !self.titled) {
            let root = self.document.sections.remove(0);
            if let Some(first) = self.document.sections.first_mut() {
                first.level = 0;
                first.parent = None;
                first.anchors.extend(root.anchors);
            }
            for section in self.document.sections.iter_mut().skip(1) {
                section.parent = section.parent.map(|parent| parent.saturating_sub(1));
            }
        }
        self.document
    }

    fn section(&mut self) -> &mut Section {
        if self.document.sections.is_empty() {
            self.document.sections.push(Section::default());
        }
        let last = self.document.sections.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is a first section from the beginning, and none is removed")]
        &mut self.document.sections[last]
    }
}

/// Whether a term is a plain word, such as `state` or `scope`, that prose also uses in its ordinary sense.
fn is_plain_word(term: &str) -> bool {
    term.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Returns the name of a file without its folders and its extension.
pub(crate) fn stem(name: &str) -> &str {
    let file = name.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    if stem.is_empty() { name } else { stem }
}

/// Returns a title as it is written in links, by the rules of GitHub and most generators.
pub(crate) fn slug(title: &str) -> String {
    let kept = title.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        other if other.is_alphanumeric() => Some(other),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// Splits a title such as `4.1. Title`, `A.2 Title` or `第3条 題` into its number and the rest. A single number has to end
/// with a point.
fn numbered(title: &str) -> (String, String) {
    let none = || (String::new(), title.to_owned());
    let Some((word, rest)) = title.split_once([' ', '\u{3000}']) else { return none() };
    let number = word.trim_end_matches('.');
    let parts: Vec<&str> = number.split('.').collect();
    let digits = |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (first, others) = parts.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
    let letter = first.len() == 1 && first.bytes().all(|byte| byte.is_ascii_uppercase()) && !others.is_empty();
    let decimal = (digits(first) || letter)
        && others.iter().all(|part| digits(part))
        && (word.ends_with('.') || !others.is_empty());
    let japanese = word.starts_with('第') && word.ends_with(['条', '章', '節', '項']);
    if (decimal || japanese) && !rest.trim().is_empty() { (number.to_owned(), rest.trim().to_owned()) } else { none() }
}

#[cfg(test)]
mod tests {
    use super::{numbered, slug, stem};

    #[test]
    fn a_number_is_told_from_a_title() {
        for (title, number, rest) in [
            ("4.1. Token Endpoint", "4.1", "Token Endpoint"),
            ("2. Terms", "2", "Terms"),
            ("3 reasons", "", "3 reasons"),
            ("A.2 Syntax", "A.2", "Syntax"),
            ("A Title", "", "A Title"),
            ("第3条 定義", "第3条", "定義"),
            ("Title", "", "Title"),
        ] {
            assert_eq!(numbered(title), (number.to_owned(), rest.to_owned()), "{title}");
        }
    }

    #[test]
    fn a_title_is_found_by_its_slug() {
        assert_eq!(slug("Token Audience: Binding & Validation"), "token-audience-binding--validation");
        assert_eq!(slug("認可サーバー の 発見"), "認可サーバー-の-発見");
        assert_eq!(stem("docs/a.b.md"), "a.b");
        assert_eq!(stem("https://example.com/spec/"), "spec");
    }
}
