//! Builds the graph: finds the relations between sections.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use sekisho_protocol::diagram::{Relation, RelationCounts};

use crate::document::{Document, Rank, Section};
use crate::graph::{Edge, Graph, Node, Outside};
use crate::links::{Addresses, Target};
use crate::sentences::Keyword;
use crate::terms::{self, TermUse};
use crate::{references, weight};

/// The highest number of relations of one section. Further ones are only counted.
const RELATIONS_MAX: usize = 400;

/// How far from the beginning of a step its name may stand, in bytes: there is room for an article or a sign.
const STEP_BYTES_MAX: usize = 6;

/// How many bytes around a mention are read to understand it.
const VIEW_BYTES: usize = 400;

/// Builds the graph of the documents.
pub(crate) fn build(documents: Vec<Document>) -> Graph {
    let addresses = Addresses::new(&documents);
    let labels: Vec<BTreeMap<String, String>> = documents.iter().map(|document| document.labels.clone()).collect();
    let mut graph = Graph::default();
    for (document, read) in documents.into_iter().enumerate() {
        let first = graph.nodes.len();
        graph.nodes.extend(read.sections.into_iter().map(|text| Node {
            document,
            parent: text.parent.map(|parent| first + parent),
            text,
        }));
    }
    let (mut terms, terms_left_out) = terms::defined(&graph.nodes);
    let uses = terms::used(&graph.nodes, &mut terms);
    graph.terms = terms;
    graph.terms_left_out = terms_left_out;
    let mut uses = uses.into_iter().peekable();
    let mut outside: BTreeMap<String, Outside> = BTreeMap::new();
    for section in 0..graph.nodes.len() {
        let steps = graph.nodes.get(section).map(|node| node.text.steps.iter().flatten().map(|step| step.start));
        let begins = steps.into_iter().flatten().collect();
        let mut here = SectionRelations {
            graph: &graph,
            section,
            edges: BTreeMap::new(),
            targets: Vec::new(),
            begins,
            left_out: 0,
        };
        let (names, broken) = here.links(&addresses, &labels);
        while let Some(used) = uses.next_if(|used| used.section == section) {
            here.uses(&used);
        }
        let steps = here.steps();
        let SectionRelations { edges, left_out, .. } = here;
        graph.edges.extend(edges.into_values());
        graph.edges.extend(steps);
        graph.broken.extend(broken.into_iter().map(|target| (section, target)));
        graph.relations_left_out += left_out;
        for name in names {
            let known = outside.entry(name.clone()).or_insert_with(|| Outside { name, ..Outside::default() });
            *known.from.entry(section).or_insert(0) += 1;
        }
    }
    graph.edges.extend(titled_steps(&graph.nodes));
    graph.edges = merged(std::mem::take(&mut graph.edges));
    graph.outside = outside.into_values().collect();
    // The most referenced documents stand first.
    graph.outside.sort_by_key(|outside| std::cmp::Reverse(outside.from.values().sum::<u32>()));
    let terms = &graph.terms;
    for edge in &mut graph.edges {
        edge.terms.sort_by_key(|term| (terms.get(*term).map_or(0, |term| term.used_in), *term));
    }
    let mut titles: HashSet<&str> = HashSet::new();
    let several = graph.nodes.iter().map(|node| node.text.title.as_str()).filter(|title| !titles.insert(title));
    graph.repeated = several.map(str::to_owned).collect();
    graph.weights = weight::sections(&graph, None);
    graph
}

/// The relations of one section, while they are collected.
struct SectionRelations<'a> {
    graph: &'a Graph,
    section: usize,
    edges: BTreeMap<usize, Edge>,
    /// Places in the prose, with the section that is named there. They give the order of steps.
    targets: Vec<(usize, usize)>,
    /// Where the entries of the section's ordered lists begin.
    begins: Vec<usize>,
    left_out: usize,
}

impl SectionRelations<'_> {
    fn add(&mut self, to: usize, relations: &[Relation], term: Option<usize>) {
        let weight = weight::of(relations, term.and_then(|term| self.graph.terms.get(term)), self.graph.nodes.len());
        if to == self.section {
            return;
        }
        if self.edges.len() >= RELATIONS_MAX && !self.edges.contains_key(&to) {
            self.left_out += 1;
            return;
        }
        let from = self.section;
        let edge = self.edges.entry(to).or_insert_with(|| Edge {
            from,
            to,
            counts: RelationCounts::default(),
            terms: Vec::new(),
            weight: 0,
        });
        for relation in relations {
            edge.counts.add(*relation, 1);
        }
        edge.weight = weight::sum(edge.weight, weight);
        if let Some(term) = term.filter(|term| !edge.terms.contains(term)) {
            edge.terms.push(term);
        }
    }

    /// Adds the section's links and references by number. Returns the documents that were not read, and the broken
    /// links.
    fn links(&mut self, addresses: &Addresses, labels: &[BTreeMap<String, String>]) -> (Vec<String>, Vec<String>) {
        let (mut names, mut broken) = (Vec::new(), Vec::new());
        let Some(node) = self.graph.nodes.get(self.section) else { return (names, broken) };
        if node.text.bibliography {
            return (names, broken);
        }
        let mut found: Vec<(Range<usize>, Target, &str)> = node
            .text
            .links
            .iter()
            .map(|link| (link.at.clone(), addresses.resolve(node.document, &link.target), link.target.as_str()))
            .collect();
        let none = BTreeMap::new();
        let labels = labels.get(node.document).unwrap_or(&none);
        for reference in references::of(&node.text, node.document, addresses, labels) {
            found.push((reference.at, reference.target, reference.text));
        }
        for (at, target, written) in found {
            match target {
                Target::Broken => broken.push(written.to_owned()),
                Target::Ignored => {}
                Target::Outside(name) => names.push(name),
                Target::Section(to) => {
                    let demands = demands(&node.text, at.start);
                    self.targets.push((at.start, to));
                    self.add(
                        to,
                        if demands { &[Relation::Links, Relation::Requires] } else { &[Relation::Links] },
                        None,
                    );
                }
            }
        }
        (names, broken)
    }

    /// Adds the section's uses of a term that another section defines.
    fn uses(&mut self, used: &TermUse) {
        let nodes = &self.graph.nodes;
        let (Some(node), Some(term)) = (nodes.get(self.section), self.graph.terms.get(used.term)) else { return };
        let Some(to) = term.definer(node.document, nodes) else { return };
        let defines = term.definers.iter().any(|(section, _)| *section == self.section);
        // A section may use the terms of the sections around it without a relation.
        let related = self.graph.ancestors(self.section).any(|above| above == to)
            || self.graph.ancestors(to).any(|above| above == self.section);
        if defines {
            return;
        }
        for place in &used.places {
            // A term in the text of a link adds no relation, because the link adds one.
            let link = node.text.links.partition_point(|link| link.at.end <= place.start);
            if node.text.links.get(link).is_some_and(|link| link.at.start <= place.start) {
                continue;
            }
            if lends(&node.text, place.start) {
                continue;
            }
            if term.rank == Rank::Heading && !stands_alone(&node.text.prose, place) {
                continue;
            }
            // A step is named by the term at its beginning.
            let begun = self.begins.partition_point(|begin| *begin <= place.start).checked_sub(1);
            let near =
                begun.and_then(|step| self.begins.get(step)).is_some_and(|begin| place.start < begin + STEP_BYTES_MAX);
            if term.rank == Rank::Heading && near {
                self.targets.push((place.start, to));
            }
            let seen = term.rank == Rank::Heading && says_to_see(&node.text.prose, place);
            let relation = if seen { Relation::Links } else { Relation::Uses };
            if related && !seen {
                continue;
            }
            if demands(&node.text, place.start) {
                self.add(to, &[relation, Relation::Requires], Some(used.term));
            } else {
                self.add(to, &[relation], Some(used.term));
            }
        }
    }

    /// Returns the order of steps, from the first section that each entry of an ordered list names.
    fn steps(&mut self) -> Vec<Edge> {
        self.targets.sort_unstable();
        let Some(text) = self.graph.text(self.section) else { return Vec::new() };
        let mut edges = Vec::new();
        for steps in text.steps.iter().filter(|steps| steps.len() > 1 && !are_demands(text, steps)) {
            let mut before: Option<usize> = None;
            let apart =
                steps.windows(2).any(|pair| pair.first().zip(pair.last()).is_some_and(|(a, b)| a.end + 1 < b.start));
            for (index, step) in steps.iter().enumerate() {
                // The text after an entry belongs to it, up to the next entry. If there are paragraphs between entries,
                // one after the last entry belongs to that entry too.
                let after = text.prose.get(step.end + 1..).filter(|_| apart).and_then(|rest| rest.lines().next());
                let last = step.end + after.map_or(0, |line| line.len() + 1);
                let end = steps.get(index + 1).map_or(last, |next| next.start);
                let first = self.targets.partition_point(|(at, _)| *at < step.start);
                let named = self.targets.get(first).filter(|(at, to)| *at < end && *to != self.section);
                if let Some((_, to)) = named {
                    if let Some(from) = before.filter(|from| from != to) {
                        edges.push(then(from, *to));
                    }
                    before = Some(*to);
                }
            }
        }
        edges
    }
}

/// Whether at least half of the entries contain a demand. Such a list enumerates demands, not steps.
fn are_demands(text: &Section, steps: &[Range<usize>]) -> bool {
    let demanding = |step: &&Range<usize>| {
        let first = text.sentences.partition_point(|sentence| sentence.at.start < step.start);
        let mut here = text.sentences.iter().skip(first).take_while(|sentence| sentence.at.start < step.end);
        here.any(|sentence| !sentence.keywords.is_empty())
    };
    2 * steps.iter().filter(demanding).count() >= steps.len()
}

fn then(from: usize, to: usize) -> Edge {
    let weight = weight::of(&[Relation::Then], None, 0);
    let mut edge = Edge { from, to, counts: RelationCounts::default(), terms: Vec::new(), weight };
    edge.counts.add(Relation::Then, 1);
    edge
}

/// Whether the sentence at this place contains a strict demand, or else the sentence that introduces its list.
fn demands(text: &Section, at: usize) -> bool {
    let index = text.sentences.partition_point(|sentence| sentence.at.end <= at);
    let Some(sentence) = text.sentences.get(index).filter(|sentence| sentence.at.start <= at) else { return false };
    let strict = |keywords: &[(Keyword, usize)]| keywords.iter().any(|(keyword, _)| keyword.is_strict());
    let lead = sentence.lead.and_then(|lead| text.sentences.get(lead));
    strict(&sentence.keywords) || (sentence.keywords.is_empty() && lead.is_some_and(|lead| strict(&lead.keywords)))
}

/// Whether the sentence takes terms from another document: `uses the terms "access token" … defined by OAuth 2.0`.
fn lends(text: &Section, at: usize) -> bool {
    let index = text.sentences.partition_point(|sentence| sentence.at.end <= at);
    let Some(sentence) = text.sentences.get(index) else { return false };
    // The part of the text around the mention.
    let prose = text.prose.as_str();
    let from = prose.ceil_char_boundary(sentence.at.start.max(at.saturating_sub(VIEW_BYTES)));
    let to = prose.floor_char_boundary(sentence.at.end.min(at + VIEW_BYTES));
    let near = prose.get(from..to).unwrap_or_default();
    near.contains("the terms ") && near.contains("defined ")
}

/// Whether the words around a title point to it: `see Token Handling`, `the Token Handling section`, 「…」を参照.
fn says_to_see(prose: &str, place: &Range<usize>) -> bool {
    let before = prose.get(..place.start).unwrap_or_default().trim_end_matches(['"', '“', '「', '*', '_', ' ']);
    let after = prose.get(place.end..).unwrap_or_default().trim_start_matches(['"', '”', '」', '*', '_', ' ']);
    let sees = ["see", "See", "see the", "See the", "see also", "See also", "section", "described in", "defined in"];
    let whole =
        |word: &str| before.strip_suffix(word).is_some_and(|rest| !rest.ends_with(|last: char| last.is_alphanumeric()));
    sees.iter().any(|word| whole(word))
        || after.starts_with("section")
        || after.starts_with("を参照")
        || after.starts_with("の節")
}

/// Whether the title stands alone, and is not part of a longer phrase: `access token handling` is not about "Token
/// Handling".
fn stands_alone(prose: &str, place: &Range<usize>) -> bool {
    let from = prose.ceil_char_boundary(place.start.saturating_sub(VIEW_BYTES));
    let before = prose.get(from..place.start).unwrap_or_default();
    if !prose.get(place.clone()).unwrap_or_default().is_ascii() || !before.ends_with(' ') {
        return true;
    }
    let word = before.trim_end().rsplit([' ', '\n', '(', '"', '“']).next().unwrap_or_default();
    let lower = word.to_lowercase();
    !word.ends_with(|last: char| last.is_alphanumeric()) || LEADS.contains(&lower.as_str())
}

/// Words that may stand before a title that is mentioned as such.
const LEADS: [&str; 40] = [
    "a",
    "about",
    "after",
    "all",
    "an",
    "and",
    "any",
    "as",
    "at",
    "before",
    "by",
    "called",
    "does",
    "during",
    "each",
    "for",
    "from",
    "implement",
    "in",
    "into",
    "is",
    "its",
    "of",
    "on",
    "or",
    "our",
    "perform",
    "see",
    "support",
    "that",
    "the",
    "their",
    "this",
    "through",
    "to",
    "use",
    "using",
    "via",
    "with",
    "without",
];

/// Returns the order of neighbouring sections with numbered titles: `Step 1: …`, `手順1 …`.
fn titled_steps(nodes: &[Node]) -> Vec<Edge> {
    let mut last: BTreeMap<usize, (u32, usize)> = BTreeMap::new();
    let mut edges = Vec::new();
    for (section, node) in nodes.iter().enumerate() {
        let (Some(parent), Some(step)) = (node.parent, step_of(&node.text.title)) else { continue };
        if let Some((before, from)) = last.insert(parent, (step, section))
            && before.checked_add(1) == Some(step)
        {
            edges.push(then(from, section));
        }
    }
    edges
}

fn step_of(title: &str) -> Option<u32> {
    let words = ["Step ", "STEP ", "step ", "Phase ", "手順", "ステップ", "段階"];
    let rest = words.iter().find_map(|word| title.strip_prefix(word))?.trim_start();
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// Merges the edges between the same two sections, and sorts all.
fn merged(mut edges: Vec<Edge>) -> Vec<Edge> {
    edges.sort_by_key(|edge| (edge.from, edge.to));
    let mut out: Vec<Edge> = Vec::with_capacity(edges.len());
    for edge in edges {
        match out.last_mut().filter(|last| (last.from, last.to) == (edge.from, edge.to)) {
            Some(last) => {
                last.counts.add_all(edge.counts);
                last.terms.extend(edge.terms);
                last.weight = weight::sum(last.weight, edge.weight);
            }
            None => out.push(edge),
        }
    }
    out
}
