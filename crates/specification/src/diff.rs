//! The changes between two revisions: sections are compared by path and title, demands by their words.
//!
//! Sections with the same path are the same section. Among the others, a title that occurs once in each revision is the
//! same section, moved; so are two sections that have most of their sentences in common.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;

use sekisho_protocol::label::mermaid_quoted;

use crate::ask::{self, AskError};
use crate::bounds::{LINES_MAX, LINES_MIN};
use crate::document::{Section, slug};
use crate::graph::Graph;
use crate::map::Map;
use crate::normative::{self, Requirement, cell};
use crate::sentences::Keyword;

/// How many demands of one section are compared word by word at most.
const COMPARED_MAX: usize = 200;
/// The share of equal words from which two demands count as the same one, changed. In hundredths.
const ALIKE: usize = 60;
/// The share of equal sentences from which two sections count as the same one. In hundredths.
const SAME: usize = 50;
const LABEL_CHARS_MAX: usize = 56;

/// The changes between two revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The sections that changed, in the order of the text.
    pub sections: Vec<SectionChange>,
    /// Demands that changed.
    pub sentences: Vec<SentenceChange>,
    /// How many sections did not change.
    pub unchanged: usize,
}

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// Its text has changed.
    Changed,
    /// It is in another place, or has another title.
    Moved,
    /// It is gone.
    Removed,
}

/// A section that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SectionChange {
    /// The kind of change.
    pub change: Change,
    /// The path of the section: the new one, or the old one if it was removed.
    pub section: String,
    /// The old path, if it moved.
    pub before: Option<String>,
    /// Whether a section that moved also has another text.
    pub rewritten: bool,
    /// The name of its document.
    pub document: String,
    /// How many demands were added, changed and removed in it.
    pub demands: usize,
}

/// A demand that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentenceChange {
    /// The kind of change.
    pub change: Change,
    /// The section.
    pub section: String,
    /// How strong the demand is, or was before it was removed.
    pub keyword: Keyword,
    /// The sentence, or the old one if it was removed.
    pub sentence: String,
    /// The old sentence, if it changed.
    pub before: Option<String>,
}

/// Compares two revisions.
pub fn diff(before: &Map, after: &Map) -> Difference {
    let pairs = pairs(&before.graph, &after.graph);
    let (mut sections, mut sentences, mut unchanged) = (Vec::new(), Vec::new(), 0);
    let (mut old_demands, mut new_demands) = (demands(before), demands(after));
    let was: HashMap<usize, usize> = pairs.iter().map(|(old, new)| (*new, *old)).collect();
    let kept: HashSet<usize> = pairs.iter().map(|(old, _)| *old).collect();
    let empty = Section::default();
    for new in 0..after.graph.nodes.len() {
        let path = ask::path(&after.graph, new);
        let old = was.get(&new).copied();
        let news = new_demands.remove(&new).unwrap_or_default();
        let olds = old.and_then(|old| old_demands.remove(&old)).unwrap_or_default();
        let changes = compare(&path, olds, news);
        let text = after.graph.text(new).unwrap_or(&empty);
        let old_text = old.and_then(|old| before.graph.text(old));
        let rewritten = old_text.is_some_and(|old| words(&old.source) != words(&text.source));
        let old_path = old.map(|old| ask::path(&before.graph, old));
        let moved = old_path.as_ref().is_some_and(|old| inner(old) != inner(&path));
        let change = match old {
            None => Some(Change::Added),
            Some(_) if moved => Some(Change::Moved),
            Some(_) if rewritten => Some(Change::Changed),
            Some(_) => None,
        };
        match change {
            Some(change) => sections.push(SectionChange {
                change,
                section: path,
                before: old_path.filter(|_| moved),
                rewritten,
                document: after.document_of(new).to_owned(),
                demands: changes.len(),
            }),
            None => unchanged += 1,
        }
        sentences.extend(changes);
    }
    for old in (0..before.graph.nodes.len()).filter(|old| !kept.contains(old)) {
        let path = ask::path(&before.graph, old);
        let changes = compare(&path, old_demands.remove(&old).unwrap_or_default(), Vec::new());
        sections.push(SectionChange {
            change: Change::Removed,
            section: path,
            before: None,
            rewritten: false,
            document: before.document_of(old).to_owned(),
            demands: changes.len(),
        });
        sentences.extend(changes);
    }
    Difference { sections, sentences, unchanged }
}

/// Returns a path without its document, which may have another name in the other revision.
fn inner(path: &str) -> &str {
    path.split_once(" › ").map_or("", |(_, inner)| inner)
}

/// Returns the pairs of sections that are the same: the one before and the one after.
fn pairs(before: &Graph, after: &Graph) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut old: Vec<usize> = (0..before.nodes.len()).collect();
    let mut new: Vec<usize> = (0..after.nodes.len()).collect();
    let mut round = |old_key: &dyn Fn(usize) -> String, new_key: &dyn Fn(usize) -> String| {
        let mut known: HashMap<String, Vec<usize>> = HashMap::new();
        for at in &old {
            known.entry(old_key(*at)).or_default().push(*at);
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for at in &new {
            *counts.entry(new_key(*at)).or_insert(0) += 1;
        }
        let mut taken_old = HashSet::new();
        let mut taken_new = HashSet::new();
        for at in &new {
            let key = new_key(*at);
            if let (Some([one]), Some(1)) = (known.get(&key).map(Vec::as_slice), counts.get(&key))
                && !key.is_empty()
            {
                pairs.push((*one, *at));
                taken_old.insert(*one);
                taken_new.insert(*at);
            }
        }
        old.retain(|at| !taken_old.contains(at));
        new.retain(|at| !taken_new.contains(at));
    };
    let title = |graph: &Graph, at: usize| graph.text(at).map(|text| slug(&text.title)).unwrap_or_default();
    let path = |graph: &Graph, at: usize| slug(&ask::path(graph, at));
    round(&|at| path(before, at), &|at| path(after, at));
    let within = |graph: &Graph, at: usize| slug(inner(&ask::path(graph, at)));
    round(&|at| within(before, at), &|at| within(after, at));
    round(&|at| title(before, at), &|at| title(after, at));
    // A revision may rename its document: if there is one on each side, they are the same.
    let roots = |graph: &Graph, open: &[usize]| -> Vec<usize> {
        open.iter().copied().filter(|at| graph.nodes.get(*at).is_some_and(|node| node.parent.is_none())).collect()
    };
    if let ([one], [other]) = (roots(before, &old).as_slice(), roots(after, &new).as_slice()) {
        pairs.push((*one, *other));
        let (one, other) = (*one, *other);
        old.retain(|at| *at != one);
        new.retain(|at| *at != other);
    }
    pairs.extend(alike(before, after, &old, &new));
    pairs
}

/// Pairs sections with other titles that have most sentences in common. A sentence in several sections does not count.
fn alike(before: &Graph, after: &Graph, old: &[usize], new: &[usize]) -> Vec<(usize, usize)> {
    let sentences = |graph: &Graph, at: usize| -> Vec<String> {
        graph
            .text(at)
            .map_or_else(Vec::new, |text| text.sentences.iter().map(|one| words(text.part(&one.at))).collect())
    };
    let mut homes: HashMap<String, Option<usize>> = HashMap::new();
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for at in old {
        let all = sentences(before, *at);
        sizes.insert(*at, all.len());
        for sentence in all {
            homes.entry(sentence).and_modify(|home| *home = home.filter(|home| home == at)).or_insert(Some(*at));
        }
    }
    let mut taken = HashSet::new();
    let mut pairs = Vec::new();
    for at in new {
        let all = sentences(after, *at);
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        for home in all.iter().filter_map(|sentence| homes.get(sentence).copied().flatten()) {
            *shared.entry(home).or_insert(0) += 1;
        }
        let best = shared.into_iter().max_by_key(|(home, count)| (*count, std::cmp::Reverse(*home)));
        if let Some((home, count)) = best
            && count * 100 >= SAME * all.len().max(sizes.get(&home).copied().unwrap_or(0)).max(1)
            && taken.insert(home)
        {
            pairs.push((home, *at));
        }
    }
    pairs
}

/// Returns a text with every white space as one space, so that line breaks make no difference.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the demands by section, with each sentence and keyword once.
fn demands(map: &Map) -> HashMap<usize, Vec<Requirement>> {
    let mut by_path: HashMap<(String, String), usize> = HashMap::new();
    for at in 0..map.graph.nodes.len() {
        by_path.entry((map.document_of(at).to_owned(), ask::path(&map.graph, at))).or_insert(at);
    }
    let mut found: HashMap<usize, Vec<Requirement>> = HashMap::new();
    for row in normative::of(map) {
        if let Some(at) = by_path.get(&(row.document.clone(), row.section.clone())) {
            found.entry(*at).or_default().push(row);
        }
    }
    found
}

/// Compares the demands of one section before and after.
fn compare(section: &str, old: Vec<Requirement>, new: Vec<Requirement>) -> Vec<SentenceChange> {
    let key = |row: &Requirement| (row.keyword, words(&row.sentence));
    let known: HashSet<_> = old.iter().map(key).collect();
    let stays: HashSet<_> = new.iter().map(key).filter(|key| known.contains(key)).collect();
    let mut gone: Vec<Requirement> = old.into_iter().filter(|row| !stays.contains(&key(row))).collect();
    let mut changes = Vec::new();
    for row in new.into_iter().filter(|row| !stays.contains(&key(row))) {
        let near =
            gone.iter().take(COMPARED_MAX).enumerate().map(|(at, old)| (likeness(&old.sentence, &row.sentence), at));
        let best = near.max_by_key(|(alike, at)| (*alike, std::cmp::Reverse(*at))).filter(|(alike, _)| *alike >= ALIKE);
        let before = best.map(|(_, at)| gone.remove(at).sentence);
        let change = if before.is_some() { Change::Changed } else { Change::Added };
        changes.push(SentenceChange {
            change,
            section: section.to_owned(),
            keyword: row.keyword,
            sentence: row.sentence,
            before,
        });
    }
    changes.extend(gone.into_iter().map(|row| SentenceChange {
        change: Change::Removed,
        section: section.to_owned(),
        keyword: row.keyword,
        sentence: row.sentence,
        before: None,
    }));
    changes
}

/// Returns how many words two sentences have in common, in hundredths.
fn likeness(one: &str, other: &str) -> usize {
    let set = |text: &str| -> HashSet<String> {
        if text.is_ascii() || text.contains(' ') {
            text.split(' ').map(str::to_lowercase).collect()
        } else {
            // Japanese has no spaces: pairs of characters are used as words.
            text.chars().zip(text.chars().skip(1)).map(|(a, b)| format!("{a}{b}")).collect()
        }
    };
    let (one, other) = (set(one), set(other));
    let shared = one.intersection(&other).count();
    100 * shared / one.len().max(other.len()).max(1)
}

impl Difference {
    fn counted(&self, change: Change) -> (usize, usize) {
        let sections = self.sections.iter().filter(|section| section.change == change).count();
        let sentences = self.sentences.iter().filter(|sentence| sentence.change == change).count();
        (sections, sentences)
    }

    /// Writes the largest changes, in at most this many lines, as a Mermaid flowchart.
    pub fn to_mermaid(&self, lines: usize) -> Result<String, AskError> {
        if !(LINES_MIN..=LINES_MAX).contains(&lines) {
            return Err(AskError::Lines { given: lines });
        }
        let chars = (7_500 / lines).clamp(24, LABEL_CHARS_MAX);
        let mut order: Vec<&SectionChange> = self.sections.iter().collect();
        // Sections with most changed demands come first; among equals, those that were added or removed.
        let weigh = |change: &SectionChange| match change.change {
            Change::Added | Change::Removed => 2,
            Change::Changed => 1,
            Change::Moved => 0,
        };
        order.sort_by_key(|change| std::cmp::Reverse((change.demands, weigh(change))));
        // Two lines around each kind of change, one at the beginning, one for the note, four for the colours.
        let room = lines.saturating_sub(1 + 1 + if lines >= 20 { 4 + 8 } else { 8 });
        let shown: Vec<&SectionChange> = order.into_iter().take(room).collect();
        let mut out = String::from("flowchart LR\n");
        let mut node = 0;
        let kinds = [
            (Change::Added, "added"),
            (Change::Changed, "changed"),
            (Change::Moved, "moved"),
            (Change::Removed, "removed"),
        ];
        for (change, word) in kinds {
            let (all, _) = self.counted(change);
            let mut here = shown.iter().filter(|section| section.change == change).peekable();
            if here.peek().is_none() {
                continue;
            }
            let _ = writeln!(out, "  subgraph g_{word}[\"{word} ({all})\"]");
            for section in here {
                let short = section.section.rsplit(" › ").take(2).collect::<Vec<_>>();
                let title = short.into_iter().rev().collect::<Vec<_>>().join(" › ");
                let demands = match section.demands {
                    0 => String::new(),
                    1 => "<br/>1 demand".to_owned(),
                    more => format!("<br/>{more} demands"),
                };
                let _ = writeln!(out, "    d{node}[\"{}{demands}\"]:::{word}", mermaid_quoted(&title, chars));
                node += 1;
            }
            out.push_str("  end\n");
        }
        let left_out = self.sections.len() - node;
        let note =
            format!("{} Not shown: {left_out} of these. Unchanged: {} sections.", self.summary(), self.unchanged);
        let _ = writeln!(out, "  note>\"{}\"]", mermaid_quoted(&note, 400));
        if lines >= 20 {
            out.push_str("  classDef added stroke:#1d7044,stroke-width:3px\n  classDef changed stroke:#85560a,stroke-width:3px\n");
            out.push_str("  classDef moved stroke:#2a3f8f,stroke-width:3px\n  classDef removed stroke:#b83a27,stroke-width:3px,stroke-dasharray:4\n");
        }
        Ok(out)
    }

    fn summary(&self) -> String {
        let of = |change| self.counted(change);
        let (added, changed, moved, removed) =
            (of(Change::Added), of(Change::Changed), of(Change::Moved), of(Change::Removed));
        format!(
            "Sections: {} added, {} changed, {} moved, {} removed. Demands: {} added, {} changed, {} removed.",
            added.0, changed.0, moved.0, removed.0, added.1, changed.1, removed.1
        )
    }

    /// Writes all changes as a list in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("{} Unchanged: {} sections.\n", self.summary(), self.unchanged);
        let named = |change: Change| match change {
            Change::Added => "added",
            Change::Changed => "changed",
            Change::Moved => "moved",
            Change::Removed => "removed",
        };
        if !self.sections.is_empty() {
            out.push_str("\n## Sections\n\n");
        }
        for section in &self.sections {
            let from = section.before.as_ref().map(|before| format!(" (was {})", cell(before))).unwrap_or_default();
            let also = if section.rewritten && section.change == Change::Moved { ", rewritten" } else { "" };
            let _ = writeln!(out, "- {}{also}: {}{from}", named(section.change), cell(&section.section));
        }
        if !self.sentences.is_empty() {
            out.push_str("\n## Demands\n\n");
        }
        for change in &self.sentences {
            let _ = writeln!(
                out,
                "- {}, {} ({}): {}",
                named(change.change),
                change.keyword.word(),
                cell(&change.section),
                cell(&change.sentence)
            );
            if let Some(before) = &change.before {
                let _ = writeln!(out, "  - before: {}", cell(before));
            }
        }
        out
    }
}
