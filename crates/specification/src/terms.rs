//! Terms: the sections that define each, and the sections that use it. One pass over the text finds all uses
//! (Aho-Corasick).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::definitions;
use crate::document::Rank;
use crate::graph::{Node, Term};

/// The total length of all terms, in bytes. Terms beyond it are counted, but their uses are not searched.
const TERM_BYTES_MAX: usize = 400_000;
/// In how many places a term may be explained. If there are more, it is an ordinary word.
const DEFINERS_MAX: usize = 3;

/// A term used in a section.
#[derive(Debug, Clone)]
pub(crate) struct TermUse {
    pub(crate) section: usize,
    pub(crate) term: usize,
    /// The places in the prose where the term is used.
    pub(crate) places: Vec<Range<usize>>,
}

/// How many uses of one term in one section are kept: a later one may contain a demand that the first ones do not.
const PLACES_MAX: usize = 64;

/// Returns the terms that the sections define, in the order of their first definition, and how many were left out.
pub(crate) fn defined(nodes: &[Node]) -> (Vec<Term>, usize) {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut terms: Vec<Term> = Vec::new();
    let mut add = |name: &str, section: usize, at: Range<usize>, rank: Rank, sign: bool| {
        let index = *known.entry(name.to_lowercase()).or_insert(terms.len());
        if index == terms.len() {
            terms.push(Term { name: name.to_owned(), definers: Vec::new(), rank, sign, used_in: 0 });
        }
        let Some(term) = terms.get_mut(index) else { return };
        if rank > term.rank {
            term.definers.clear();
            term.rank = rank;
            term.sign = sign;
        }
        if rank == term.rank && term.definers.last().is_none_or(|(last, _)| *last != section) {
            term.definers.push((section, at));
        }
    };
    for (section, node) in nodes.iter().enumerate() {
        for definition in &node.text.definitions {
            add(&definition.term, section, definition.at.clone(), definition.rank, definition.sign);
        }
        // A chapter without a text of its own explains nothing.
        if node.text.level > 0
            && node.text.speaks()
            && let Some(term) = definitions::of_title(&node.text.title)
        {
            let first = node.text.sentences.first().map_or(0..0, |sentence| sentence.at.clone());
            add(&term, section, first, Rank::Heading, false);
        }
    }
    terms.retain(|term| term.rank == Rank::Heading || term.definers.len() <= DEFINERS_MAX);
    let (mut bytes, before) = (0, terms.len());
    terms.retain(|term| {
        bytes += term.name.len();
        bytes <= TERM_BYTES_MAX
    });
    let left_out = before - terms.len();
    (terms, left_out)
}

impl Term {
    /// Returns the section that defines the term for a document: one of that document, or else one of another.
    pub(crate) fn definer(&self, document: usize, nodes: &[Node]) -> Option<usize> {
        let of = |section: usize| nodes.get(section).map(|node| node.document);
        let mut here =
            self.definers.iter().map(|(section, _)| *section).filter(|section| of(*section) == Some(document));
        let (first, second) = (here.next(), here.next());
        match (self.rank, first, second) {
            // If several sections have the term as their heading, it refers to none of them.
            (Rank::Heading, Some(_), Some(_)) => None,
            (_, Some(first), _) => Some(first),
            (Rank::Heading, None, _) if self.definers.len() > 1 => None,
            (_, None, _) => self.definers.first().map(|(section, _)| *section),
        }
    }
}

/// Returns the uses of the terms, sorted by section and then by term. Also counts, in each term, the sections that use
/// it.
pub(crate) fn used(nodes: &[Node], terms: &mut [Term]) -> Vec<TermUse> {
    let search = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(terms.iter().map(|term| term.name.as_str()));
    // This fails only for more patterns than `TERM_BYTES_MAX` permits.
    let Ok(search) = search else { return Vec::new() };
    let mut uses = Vec::new();
    for (section, node) in nodes.iter().enumerate().filter(|(_, node)| node.text.speaks()) {
        let mut here: BTreeMap<usize, TermUse> = BTreeMap::new();
        let prose = &node.text.prose;
        for found in search.find_iter(prose) {
            if !is_whole(prose, found.range()) {
                continue;
            }
            let term = found.pattern().as_usize();
            if terms.get(term).is_some_and(|term| term.sign) && !is_quoted(prose, found.range()) {
                continue;
            }
            let used = here.entry(term).or_insert_with(|| TermUse { section, term, places: Vec::new() });
            if used.places.len() < PLACES_MAX {
                used.places.push(found.range());
            }
        }
        for used in here.into_values() {
            if let Some(term) = terms.get_mut(used.term) {
                term.used_in += 1;
            }
            uses.push(used);
        }
    }
    uses
}

/// Whether a match is a word of its own, as `author` in `authorization` is not. A plural counts as the same word.
fn is_whole(prose: &str, found: Range<usize>) -> bool {
    let text = prose.get(found.clone()).unwrap_or_default();
    let rest = prose.get(found.end..).unwrap_or_default();
    let (first, last) = (text.chars().next(), text.chars().next_back());
    let before = prose.get(..found.start).and_then(|before| before.chars().next_back());
    let joins = |one: Option<char>, other: Option<char>| match (one.map(script), other.map(script)) {
        (Some(Script::Other), _) | (_, Some(Script::Other)) => false,
        (one, other) => one.is_some() && one == other,
    };
    let plural = ["es", "s"].iter().find_map(|ending| rest.strip_prefix(ending)).filter(|_| joins(last, Some('s')));
    let ends = |rest: &str| !joins(last, rest.chars().next());
    // `token_endpoint` is one word.
    let glued = |character: Option<char>| matches!(character, Some('_'));
    let after_glued = glued(rest.chars().next());
    !joins(before, first) && !glued(before) && !after_glued && (ends(rest) || plural.is_some_and(ends))
}

/// Whether a match is quoted or named as a symbol: `"state"`, "`state`", `state parameter`.
fn is_quoted(prose: &str, found: Range<usize>) -> bool {
    let before = prose.get(..found.start).unwrap_or_default();
    let after = prose.get(found.end..).unwrap_or_default();
    let kinds = [" parameter", " value", " claim", " header", " field", " member", " attribute", " element"];
    before.ends_with(['"', '“', '`', '\'']) || kinds.iter().any(|kind| after.starts_with(kind))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Kanji,
    Katakana,
    Letters,
    Other,
}

fn script(character: char) -> Script {
    match character {
        '\u{30a1}'..='\u{30fe}' => Script::Katakana,
        '\u{4e00}'..='\u{9fff}' | '々' => Script::Kanji,
        '\u{3040}'..='\u{309f}' => Script::Other,
        other if other.is_alphanumeric() => Script::Letters,
        _ => Script::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn only_whole_words_count() {
        for (prose, term, whole) in [
            ("an access token.", "access token", true),
            ("access tokens", "access token", true),
            ("accesses", "access", true),
            ("authorization", "author", false),
            ("the access token_endpoint", "access token", false),
            ("認可サーバーは", "サーバー", true),
            ("認可サーバーは", "認可", true),
            ("通行手形を", "手形", false),
            ("この手形を", "手形", true),
            ("サーバーサイド", "サーバー", false),
        ] {
            let at = prose.find(term).unwrap();
            assert_eq!(is_whole(prose, at..at + term.len()), whole, "{prose} {term}");
        }
    }
}
