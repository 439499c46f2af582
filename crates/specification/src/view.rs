//! Chooses what a diagram shows: the most central sections, and the weightiest relations between them. Every other
//! section is folded into the nearest shown section that contains it. What is not shown is counted.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_protocol::diagram::{Arrow, Diagram, Node, OutsideDocument, Reference};
use serde::{Deserialize, Serialize};

use crate::ask::AskError;
use crate::bounds::{LINES_MAX, LINES_MIN};
use crate::graph::{Edge, Graph};
use crate::weight;

/// One line in this many is used for sections of the most important document, even if other sections weigh more.
const OPENED_PART: usize = 8;
/// How many terms a relation names at most.
const TERMS_MAX: usize = 2;
/// How many documents the node "presupposes" names at most.
const NAMES_MAX: usize = 16;
/// How many outside documents get a node of their own at most.
const OUTSIDE_MAX: usize = 40;

/// How documents that were not read are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum External {
    /// One node for each.
    All,
    /// One node with the names of all.
    #[default]
    Collapsed,
    /// Nothing.
    None,
}

/// The size of a diagram, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    /// The highest number of lines of Mermaid.
    pub(crate) lines: usize,
    pub(crate) external: External,
    /// The section to focus on: it is shown with its surroundings.
    pub(crate) focus: Option<usize>,
}

/// Chooses what is shown in this number of lines of Mermaid.
pub(crate) fn choose(graph: &Graph, selection: Selection) -> Result<Diagram, AskError> {
    if !(LINES_MIN..=LINES_MAX).contains(&selection.lines) {
        return Err(AskError::Lines { given: selection.lines });
    }
    let weights = selection.focus.map(|focus| weight::sections(graph, Some(focus)));
    let weights = weights.as_ref().unwrap_or(&graph.weights);
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|section| (std::cmp::Reverse(weights.get(*section).copied().unwrap_or(0)), *section));
    if selection.focus.is_none() {
        open_first(graph, weights, selection.lines / OPENED_PART, &mut order);
    }
    // Finds the highest number of sections that leaves room for one relation each.
    let (mut low, mut high) = (1, order.len().min(selection.lines));
    while low < high {
        let middle = (low + high).div_ceil(2);
        let draft = Draft::new(graph, order.get(..middle).unwrap_or(&order), selection);
        if draft.lines(draft.arrows.len().min(middle)) <= selection.lines {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let draft = Draft::new(graph, order.get(..low).unwrap_or(&order), selection);
    Ok(draft.fit(selection))
}

/// Moves sections of the most important document to the front, so that it is expanded before others are named. It is
/// the document to which all others refer most often; among several, the one whose sections weigh most.
fn open_first(graph: &Graph, weights: &[u64], count: usize, order: &mut [usize]) {
    let root = |section: usize| graph.ancestors(section).last().unwrap_or(section);
    let mut documents: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (section, weight) in weights.iter().enumerate() {
        let (_, sum) = documents.entry(root(section)).or_insert((0, 0));
        *sum = sum.saturating_add(*weight);
    }
    for edge in &graph.edges {
        let (from, to) = (root(edge.from), root(edge.to));
        if from != to
            && let Some((led_to, _)) = documents.get_mut(&to)
        {
            *led_to = led_to.saturating_add(edge.counts.sum());
        }
    }
    let most = documents.iter().max_by_key(|(section, important)| (**important, std::cmp::Reverse(**section)));
    let Some(most) = most.map(|(section, _)| *section) else { return };
    let inside: Vec<usize> =
        order.iter().copied().filter(|section| *section != most && root(*section) == most).take(count).collect();
    // The sort is stable: within both groups the weightiest stay first.
    order.sort_by_key(|section| !inside.contains(section));
}

/// A choice of sections with all relations between them, before the relations are chosen.
struct Draft<'a> {
    graph: &'a Graph,
    nodes: Vec<Node>,
    /// The section that each node shows.
    sections: Vec<usize>,
    /// The relations between the nodes, weightiest first.
    arrows: Vec<Arrow>,
    outside: Vec<OutsideDocument>,
    /// How many relations stay inside one node.
    inside: usize,
    /// How many sections are not in any node.
    lost: usize,
    /// How many relations begin or end at a section that is in no node.
    lost_arrows: usize,
    /// How many outside documents are not shown.
    unnamed: usize,
    has_focus: bool,
}

/// An arrow, while the relations that it stands for are collected.
struct DraftArrow {
    arrow: Arrow,
    /// The terms that the relations are about, by number.
    terms: BTreeSet<usize>,
    weight: u64,
}

impl<'a> Draft<'a> {
    fn new(graph: &'a Graph, chosen: &[usize], selection: Selection) -> Self {
        let kept = with_surroundings(graph, chosen);
        let places: BTreeMap<usize, usize> =
            kept.iter().enumerate().map(|(place, section)| (*section, place)).collect();
        // Parents stand before their children, so one pass finds the node of each section.
        let mut home: Vec<Option<usize>> = Vec::with_capacity(graph.nodes.len());
        let mut nodes: Vec<Node> = Vec::with_capacity(kept.len());
        let mut sections = Vec::with_capacity(kept.len());
        let mut lost = 0;
        for (section, node) in graph.nodes.iter().enumerate() {
            let above = node.parent.and_then(|parent| home.get(parent).copied().flatten());
            let own = places.get(&section).copied();
            if own.is_some() {
                let title = full_title(graph, section);
                nodes.push(Node { title, parent: above, folded: 0, has_children: false, has_box: true });
                sections.push(section);
                if let Some(around) = above.and_then(|above| nodes.get_mut(above)) {
                    around.has_children = true;
                }
            } else if let Some(into) = above.and_then(|above| nodes.get_mut(above)) {
                into.folded += 1;
            } else {
                lost += 1;
            }
            home.push(own.or(above));
        }
        let place = |section: usize| home.get(section).copied().flatten();
        let (mut inside, mut lost_arrows) = (0, 0);
        let mut merged: BTreeMap<(usize, usize), DraftArrow> = BTreeMap::new();
        for edge in &graph.edges {
            let (Some(from), Some(to)) = (place(edge.from), place(edge.to)) else {
                lost_arrows += 1;
                continue;
            };
            if from == to {
                inside += 1;
                continue;
            }
            merged.entry((from, to)).or_insert_with(|| DraftArrow::new(from, to)).add(graph, edge);
        }
        let mut arrows: Vec<DraftArrow> = merged.into_values().collect();
        let focus = selection.focus.and_then(place);
        // With a focus, the relations of that section come first.
        let touches = |arrow: &Arrow| focus.is_some_and(|focus| arrow.from == focus || arrow.to == focus);
        arrows.sort_by_key(|draft| {
            (std::cmp::Reverse((touches(&draft.arrow), draft.weight)), draft.arrow.from, draft.arrow.to)
        });
        let arrows = arrows.into_iter().map(|draft| draft.arrow).collect();
        let (outside, unnamed) = documents_outside(graph, selection, &place);
        let has_focus = selection.focus.is_some();
        Self { graph, nodes, sections, arrows, outside, inside, lost, lost_arrows, unnamed, has_focus }
    }

    /// Returns how many lines the diagram takes with this number of arrows, the weightiest.
    fn lines(&self, arrows: usize) -> usize {
        let touched: BTreeSet<usize> = self.touched(arrows);
        let nodes = self.nodes.iter().enumerate();
        let lines: usize =
            nodes.map(|(at, node)| if node.has_children { 2 + usize::from(touched.contains(&at)) } else { 1 }).sum();
        let outside: usize = self.outside.iter().map(|document| 1 + document.references.len()).sum();
        // The first line, the note, and the style of the focus.
        2 + usize::from(self.has_focus) + lines + outside + arrows
    }

    fn touched(&self, arrows: usize) -> BTreeSet<usize> {
        let ends = self.arrows.iter().take(arrows).flat_map(|arrow| [arrow.from, arrow.to]);
        ends.chain(self.outside.iter().flat_map(|document| document.references.iter().map(|reference| reference.from)))
            .collect()
    }

    /// Keeps as many arrows as there is room for.
    fn fit(mut self, selection: Selection) -> Diagram {
        // Outside documents are dropped first, then arrows.
        while self.lines(0) > selection.lines {
            let several = self.outside.len() > 1;
            match self.outside.iter_mut().rev().find(|document| !document.references.is_empty()) {
                Some(document) => document.references.clear(),
                None if several => {
                    self.outside.pop();
                    self.unnamed += 1;
                }
                None => break,
            }
        }
        let (mut low, mut high) = (0, self.arrows.len());
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.lines(middle) <= selection.lines { low = middle } else { high = middle - 1 }
        }
        let touched = self.touched(low);
        for (at, node) in self.nodes.iter_mut().enumerate() {
            node.has_box = !node.has_children || touched.contains(&at);
        }
        let note = self.note(low);
        let mut arrows = self.arrows;
        arrows.truncate(low);
        arrows.sort_by_key(|arrow| (arrow.from, arrow.to));
        let documents: Vec<&str> =
            self.graph.nodes.iter().filter(|node| node.parent.is_none()).map(|node| node.text.title.as_str()).collect();
        let title = match documents.as_slice() {
            [one] => (*one).to_owned(),
            [one, other] => format!("{one}, {other}"),
            [one, more @ ..] => format!("{one} and {} more", more.len()),
            [] => String::new(),
        };
        let focus = selection.focus.and_then(|focus| self.sections.iter().position(|section| *section == focus));
        Diagram { title, nodes: self.nodes, arrows, outside: self.outside, note, focus, lines_max: selection.lines }
    }

    /// Writes the note that says how much of the map is shown.
    fn note(&self, arrows: usize) -> String {
        let sections = self.graph.nodes.len();
        let folded: usize = self.nodes.iter().map(|node| node.folded).sum();
        let mut parts = vec![format!("{} of {sections} sections", self.nodes.len())];
        if folded > 0 {
            parts.push(format!("{folded} folded into these"));
        }
        if self.lost > 0 {
            parts.push(format!("{} in documents that are not shown", self.lost));
        }
        parts.push(format!("{arrows} of {} relations between them", self.arrows.len()));
        if self.inside > 0 {
            parts.push(format!("{} within", self.inside));
        }
        if self.lost_arrows > 0 {
            parts.push(format!("{} elsewhere", self.lost_arrows));
        }
        if self.unnamed > 0 {
            parts.push(format!("{} outside documents not shown", self.unnamed));
        }
        if !self.graph.broken.is_empty() {
            parts.push(format!("{} broken links", self.graph.broken.len()));
        }
        let left_out = self.graph.relations_left_out + self.graph.terms_left_out;
        if left_out > 0 {
            parts.push(format!("{left_out} terms and relations beyond the bounds"));
        }
        parts.join(", ")
    }
}

impl DraftArrow {
    fn new(from: usize, to: usize) -> Self {
        Self { arrow: Arrow { from, to, ..Arrow::default() }, terms: BTreeSet::new(), weight: 0 }
    }

    fn add(&mut self, graph: &Graph, edge: &Edge) {
        self.arrow.counts.add_all(edge.counts);
        self.weight = weight::sum(self.weight, edge.weight);
        for number in &edge.terms {
            let Some(name) = graph.terms.get(*number).map(|term| &term.name) else { continue };
            if !self.terms.insert(*number) || self.arrow.terms.contains(name) {
                continue;
            }
            if self.arrow.terms.len() < TERMS_MAX {
                self.arrow.terms.push(name.clone());
            } else {
                self.arrow.terms_left_out += 1;
            }
        }
    }
}

/// Returns the chosen sections with their documents, and with the chapters that two of them share.
fn with_surroundings(graph: &Graph, chosen: &[usize]) -> BTreeSet<usize> {
    let mut kept: BTreeSet<usize> = chosen.iter().copied().collect();
    let mut chapters: BTreeMap<usize, usize> = BTreeMap::new();
    for section in chosen {
        let above: Vec<usize> = graph.ancestors(*section).collect();
        kept.extend(above.last());
        if let Some(chapter) = above.iter().rev().nth(1).filter(|chapter| *chapter != section) {
            *chapters.entry(*chapter).or_insert(0) += 1;
        }
    }
    kept.extend(chapters.into_iter().filter(|(_, count)| *count > 1).map(|(chapter, _)| chapter));
    kept
}

fn full_title(graph: &Graph, section: usize) -> String {
    let Some(text) = graph.text(section) else { return String::new() };
    let above = graph.nodes.get(section).and_then(|node| node.parent).and_then(|parent| graph.text(parent));
    match above {
        _ if !text.number.is_empty() => format!("{} {}", text.number, text.title),
        // If several sections have this title, the title of the section around it is added.
        Some(above) if graph.repeated.contains(&text.title) => format!("{} ({})", text.title, above.title),
        _ => text.title.clone(),
    }
}

/// Adds the documents that were not read: all in one node, or one node each. Returns how many are not shown.
fn documents_outside(
    graph: &Graph,
    selection: Selection,
    place: &impl Fn(usize) -> Option<usize>,
) -> (Vec<OutsideDocument>, usize) {
    let by_node = |sections: &mut dyn Iterator<Item = (usize, u32)>| -> Vec<Reference> {
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        for (section, count) in sections {
            if let Some(at) = place(section) {
                *counts.entry(at).or_insert(0) += count;
            }
        }
        counts.into_iter().map(|(from, count)| Reference { from, count }).collect()
    };
    let all = graph.outside.len();
    match selection.external {
        External::None => (Vec::new(), all),
        _ if all == 0 => (Vec::new(), 0),
        External::All => {
            let count = all.min(OUTSIDE_MAX).min(selection.lines / 5);
            let nodes = graph.outside.iter().take(count).map(|outside| OutsideDocument {
                label: outside.name.clone(),
                references: by_node(&mut outside.from.iter().map(|(section, count)| (*section, *count))),
            });
            (nodes.collect(), all - count)
        }
        External::Collapsed => {
            let names: Vec<&str> = graph.outside.iter().take(NAMES_MAX).map(|outside| outside.name.as_str()).collect();
            let more = all - names.len();
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            // One arrow for each document: details are left to the text.
            let root = |section: usize| graph.ancestors(section).last().unwrap_or(section);
            let mut roots = graph
                .outside
                .iter()
                .flat_map(|outside| outside.from.iter().map(|(section, count)| (root(*section), *count)));
            let mut references = by_node(&mut roots);
            references.truncate(selection.lines / 10);
            (vec![OutsideDocument { label: format!("presupposes: {}{rest}", names.join(", ")), references }], 0)
        }
    }
}
