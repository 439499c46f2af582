//! What every reader makes of a text: sections in their order, each with its prose, links, definitions and steps.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use sekisho_protocol::label::clean;

use crate::definitions;
use crate::sentences::{self, Sentence};
use crate::source::Kind;

/// What a section is called that explains terms.
const GLOSSARIES: [&str; 8] = ["term", "glossary", "definition", "concept", "vocabulary", "用語", "定義", "言葉"];
/// How many terms share one meaning.
const TERMS_MAX: usize = 16;
/// How deep lists are told apart.
const DEPTH_MAX: usize = 16;
/// The longest title that is kept, in characters.
const TITLE_CHARS_MAX: usize = 200;

/// One document, its sections in order. The first section is the document itself, with what stands before any heading.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sections: Vec<Section>,
    /// What the labels of its bibliography stand for: `RFC6749` → `RFC 6749`.
    pub(crate) labels: BTreeMap<String, String>,
    /// The number of the RFC that this is.
    pub(crate) rfc: Option<u32>,
}

/// One heading with the text up to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// 0 for the document itself.
    pub(crate) level: u8,
    pub(crate) parent: Option<usize>,
    /// `4.1`, `A.2`, `第3条`; empty where there is none.
    pub(crate) number: String,
    pub(crate) title: String,
    pub(crate) anchors: Vec<String>,
    /// Its own text as it was written, without its subsections.
    pub(crate) source: String,
    /// Its sentences as plain text, one block a line; code and pictures are left out.
    pub(crate) prose: String,
    pub(crate) sentences: Vec<Sentence>,
    pub(crate) links: Vec<Link>,
    pub(crate) definitions: Vec<Definition>,
    /// Entries of definition lists: where in the prose each stands, and the terms that it is the meaning of.
    pub(crate) entries: Vec<(Range<usize>, String)>,
    /// Ordered lists: where each item stands in the prose.
    pub(crate) steps: Vec<Vec<Range<usize>>>,
    /// A bibliography: it names outside documents and says nothing of its own.
    pub(crate) bibliography: bool,
}

/// A link as it is written, and where its text stands in the prose.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) at: Range<usize>,
    pub(crate) target: String,
}

/// A term, and where in the prose its meaning is said.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) term: String,
    pub(crate) at: Range<usize>,
    pub(crate) rank: Rank,
    /// It is a sign, such as the name of a parameter, that looks like an ordinary word: only quoted it is meant.
    pub(crate) sign: bool,
}

/// How surely a section defines a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A heading names it.
    Heading,
    /// A sentence says what it is.
    Sentence,
    /// A definition list, a glossary.
    List,
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// One entry of a list; `number` if it is ordered, `depth` 1 for the outermost.
    Item { number: Option<u64>, depth: usize },
    /// What a term means.
    Meaning,
    /// A paragraph, or a cell of a table.
    Paragraph,
    /// A term whose meaning follows.
    Term,
}

impl Section {
    /// A piece of its prose.
    pub(crate) fn part(&self, range: &Range<usize>) -> &str {
        self.prose.get(range.clone()).unwrap_or_default()
    }

    /// Whether it says anything itself.
    pub(crate) fn speaks(&self) -> bool {
        !self.prose.is_empty() && !self.bibliography
    }
}

/// Collects what a reader meets, in the order of the text.
#[derive(Debug)]
pub(crate) struct Builder {
    document: Document,
    slugs: HashMap<String, usize>,
    block: Option<Open>,
    /// By depth of list: the sentence before it that ends with a colon.
    leads: Vec<Option<usize>>,
    terms: Vec<String>,
    last_number: Option<u64>,
    /// The document says how it is called.
    titled: bool,
}

/// The block that is being written.
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

    /// The title of the whole document.
    pub(crate) fn title(&mut self, title: &str) {
        if let Some(root) = self.document.sections.first_mut().filter(|_| !title.trim().is_empty()) {
            root.title = clean(title, TITLE_CHARS_MAX);
            self.titled = true;
        }
    }

    pub(crate) fn rfc(&mut self, number: u32) {
        self.document.rfc = Some(number);
    }

    /// What a label in brackets stands for.
    pub(crate) fn label(&mut self, label: &str, name: String) {
        self.document.labels.insert(label.to_owned(), name);
    }

    /// Another name of the section that is open.
    pub(crate) fn anchor(&mut self, anchor: &str) {
        let anchor = anchor.trim();
        if !anchor.is_empty() {
            self.section().anchors.push(anchor.to_lowercase());
        }
    }

    pub(crate) fn bibliography(&mut self) {
        self.section().bibliography = true;
    }

    /// A heading: a new section under the nearest one of a lower level. Without a number given, one is looked for in
    /// the title.
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

    /// Adds to the text as it was written.
    pub(crate) fn source(&mut self, text: &str) {
        self.section().source.push_str(text);
    }

    /// Begins a piece of text; one that is open ends.
    pub(crate) fn begin(&mut self, block: Block) {
        self.end();
        self.block =
            Some(Open { block, text: String::new(), marks: Vec::new(), links: Vec::new(), mark: None, link: None });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.block.is_some()
    }

    /// What the open block says so far.
    pub(crate) fn open_text(&self) -> Option<&str> {
        self.block.as_ref().map(|open| open.text.as_str())
    }

    /// Text of the open block, or of a paragraph that begins here. Of white space, one space stays.
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

    /// What follows is set off: bold, italic, code.
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

    /// What follows is the text of a link.
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

    /// Ends the open block: its sentences, links, definitions and its place in a list go to the section.
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
        // `**term**: …` explains a term where terms are explained; elsewhere it is only a way to begin an entry.
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

    /// The document. A single heading at the top that holds all others is the document's own.
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

/// `state`, `scope`: a word that prose uses for itself.
fn is_plain_word(term: &str) -> bool {
    term.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// The name of a file without its folders and ending.
pub(crate) fn stem(name: &str) -> &str {
    let file = name.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    if stem.is_empty() { name } else { stem }
}

/// How a title is written in a link, as GitHub and most generators have it.
pub(crate) fn slug(title: &str) -> String {
    let kept = title.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        other if other.is_alphanumeric() => Some(other),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// `4.1. Title`, `A.2 Title`, `第3条 題`: the number and the rest. A bare `4 Title` has to have a point.
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
