//! What of the graph is shown: the most central sections, each other one folded into the nearest section shown that it
//! stands in, and the weightiest relations between them. Nothing goes without being counted.

use std::collections::{BTreeMap, BTreeSet};

use super::relations::{Graph, Relation};
use super::{AskError, External, LINES_MAX, LINES_MIN, weight};

/// Of so many lines, one shows a section of the most important document, whatever the others weigh.
const OPENED_PART: usize = 8;
/// How many terms a relation names.
const TERMS_MAX: usize = 2;
/// How many documents the node "presupposes" names.
const NAMES_MAX: usize = 16;
/// How many outside documents have a node each.
const OUTSIDE_MAX: usize = 40;

/// What is shown, in the order of the text.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) title: String,
    pub(super) boxes: Vec<Shown>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) outside: Vec<Beyond>,
    /// What is not shown, in words.
    pub(super) note: String,
    pub(super) focus: Option<usize>,
}

/// A section that is shown.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) section: usize,
    pub(super) title: String,
    /// The nearest section shown that it stands in, as its place among the boxes.
    pub(super) within: Option<usize>,
    /// How many sections are folded into it.
    pub(super) folded: usize,
    /// It holds others that are shown: it is drawn around them.
    pub(super) holds: bool,
    /// An arrow leads to or from it, or it holds nothing.
    pub(super) stands: bool,
}

/// A relation that is shown, between boxes.
#[derive(Debug, Clone)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) counts: [u32; 4],
    pub(super) terms: Vec<String>,
    /// How many other terms it is about.
    more: usize,
    /// All of them, by number.
    known: BTreeSet<usize>,
    weight: u64,
}

/// Documents outside, with the boxes that presuppose them.
#[derive(Debug, Clone)]
pub(super) struct Beyond {
    pub(super) label: String,
    /// Box and how often.
    pub(super) from: Vec<(usize, u32)>,
}

/// What is asked of a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) lines: usize,
    pub(super) external: External,
    pub(super) focus: Option<usize>,
}

impl Arrow {
    pub(super) fn has(&self, relation: Relation) -> bool {
        let [links, requires, then, uses] = self.counts;
        let count = match relation {
            Relation::Links => links,
            Relation::Requires => requires,
            Relation::Then => then,
            Relation::Uses => uses,
        };
        count > 0
    }

    /// Its kinds in words, and the terms it is about, as far as there is room for them: at least one is named.
    pub(super) fn label(&self, fits: impl Fn(&str) -> bool) -> String {
        let mut count = self.terms.len();
        loop {
            let label = self.labelled(count);
            if count <= 1 || fits(&label) {
                return label;
            }
            count -= 1;
        }
    }

    /// The same with so many terms; of the others, how many they are.
    fn labelled(&self, count: usize) -> String {
        let [links, requires, then, uses] = self.counts;
        let named = |word: &str, count: u32| if count > 1 { format!("{word} ×{count}") } else { word.to_owned() };
        // What is demanded of a term is a use of it.
        let uses = if requires > 0 { 0 } else { uses };
        let links = if requires > 0 && self.terms.is_empty() && links <= requires { 0 } else { links };
        let kinds = [("requires", requires), ("then", then), ("links", links), ("uses", uses)];
        let words: Vec<String> =
            kinds.iter().filter(|(_, count)| *count > 0).map(|(word, count)| named(word, *count)).collect();
        let mut terms: Vec<String> = self.terms.iter().take(count).cloned().collect();
        let more = self.more + self.terms.len().saturating_sub(count);
        if more > 0 {
            terms.push(format!("{more} more"));
        }
        if terms.is_empty() { words.join(", ") } else { format!("{}: {}", words.join(", "), terms.join(", ")) }
    }
}

/// Chooses what is shown in this many lines of Mermaid.
pub(super) fn choose(graph: &Graph, asked: Asked) -> Result<View, AskError> {
    if !(LINES_MIN..=LINES_MAX).contains(&asked.lines) {
        return Err(AskError::Lines { given: asked.lines });
    }
    let weights = asked.focus.map(|focus| weight::sections(graph, Some(focus)));
    let weights = weights.as_ref().unwrap_or(&graph.weights);
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|section| (std::cmp::Reverse(weights.get(*section).copied().unwrap_or(0)), *section));
    if asked.focus.is_none() {
        open_first(graph, weights, asked.lines / OPENED_PART, &mut order);
    }
    // As many sections as leave room for a relation each. The more sections, the fewer lines are left.
    let (mut low, mut high) = (1, order.len().min(asked.lines));
    while low < high {
        let middle = (low + high).div_ceil(2);
        let draft = Draft::new(graph, order.get(..middle).unwrap_or(&order), asked);
        if draft.lines(draft.arrows.len().min(middle)) <= asked.lines {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let draft = Draft::new(graph, order.get(..low).unwrap_or(&order), asked);
    Ok(draft.fit(asked))
}

/// Puts sections of the most important document first: it is opened before others are named. It is the one to which all
/// others refer most often; of several, the one whose sections weigh most.
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
            *led_to = edge.counts.iter().fold(*led_to, |sum, count| sum.saturating_add(u64::from(*count)));
        }
    }
    let most = documents.iter().max_by_key(|(section, important)| (**important, std::cmp::Reverse(**section)));
    let Some(most) = most.map(|(section, _)| *section) else { return };
    let inside: Vec<usize> =
        order.iter().copied().filter(|section| *section != most && root(*section) == most).take(count).collect();
    // Stable: among the others, and among these, the weightiest stay first.
    order.sort_by_key(|section| !inside.contains(section));
}

/// A choice of sections with everything between them, before arrows are chosen.
struct Draft<'a> {
    graph: &'a Graph,
    boxes: Vec<Shown>,
    /// Weightiest first.
    arrows: Vec<Arrow>,
    outside: Vec<Beyond>,
    /// Relations within a box, and sections in no box.
    inside: usize,
    lost: usize,
    lost_arrows: usize,
    unnamed: usize,
    focused: bool,
}

impl<'a> Draft<'a> {
    fn new(graph: &'a Graph, chosen: &[usize], asked: Asked) -> Self {
        let kept = with_surroundings(graph, chosen);
        let places: BTreeMap<usize, usize> =
            kept.iter().enumerate().map(|(place, section)| (*section, place)).collect();
        // Parents stand before their children, so that one pass finds for each section its box.
        let mut home: Vec<Option<usize>> = Vec::with_capacity(graph.nodes.len());
        let mut boxes: Vec<Shown> = Vec::with_capacity(kept.len());
        let mut lost = 0;
        for (section, node) in graph.nodes.iter().enumerate() {
            let above = node.parent.and_then(|parent| home.get(parent).copied().flatten());
            let own = places.get(&section).copied();
            if own.is_some() {
                let title = titled(graph, section);
                boxes.push(Shown { section, title, within: above, folded: 0, holds: false, stands: true });
                if let Some(around) = above.and_then(|above| boxes.get_mut(above)) {
                    around.holds = true;
                }
            } else if let Some(into) = above.and_then(|above| boxes.get_mut(above)) {
                into.folded += 1;
            } else {
                lost += 1;
            }
            home.push(own.or(above));
        }
        let place = |section: usize| home.get(section).copied().flatten();
        let (mut inside, mut lost_arrows) = (0, 0);
        let mut merged: BTreeMap<(usize, usize), Arrow> = BTreeMap::new();
        for edge in &graph.edges {
            let (Some(from), Some(to)) = (place(edge.from), place(edge.to)) else {
                lost_arrows += 1;
                continue;
            };
            if from == to {
                inside += 1;
                continue;
            }
            let new =
                || Arrow { from, to, counts: [0; 4], terms: Vec::new(), more: 0, known: BTreeSet::new(), weight: 0 };
            let arrow = merged.entry((from, to)).or_insert_with(new);
            for (sum, count) in arrow.counts.iter_mut().zip(edge.counts) {
                *sum += count;
            }
            arrow.weight = weight::sum(arrow.weight, edge.weight);
            for number in &edge.terms {
                let Some(name) = graph.terms.get(*number).map(|term| &term.name) else { continue };
                if !arrow.known.insert(*number) || arrow.terms.contains(name) {
                    continue;
                }
                if arrow.terms.len() < TERMS_MAX {
                    arrow.terms.push(name.clone());
                } else {
                    arrow.more += 1;
                }
            }
        }
        let mut arrows: Vec<Arrow> = merged.into_values().collect();
        let focused = asked.focus.and_then(place);
        // With a focus, what touches it comes first.
        let touches = |arrow: &Arrow| focused.is_some_and(|focus| arrow.from == focus || arrow.to == focus);
        arrows.sort_by_key(|arrow| (std::cmp::Reverse((touches(arrow), arrow.weight)), arrow.from, arrow.to));
        let (outside, unnamed) = beyond(graph, asked, &place);
        Self { graph, boxes, arrows, outside, inside, lost, lost_arrows, unnamed, focused: asked.focus.is_some() }
    }

    /// How many lines it takes with so many arrows, the weightiest.
    fn lines(&self, arrows: usize) -> usize {
        let touched: BTreeSet<usize> = self.touched(arrows);
        let boxes = self.boxes.iter().enumerate();
        let lines: usize =
            boxes.map(|(at, shown)| if shown.holds { 2 + usize::from(touched.contains(&at)) } else { 1 }).sum();
        let outside: usize = self.outside.iter().map(|beyond| 1 + beyond.from.len()).sum();
        // The first line, the note, and how the focus looks.
        2 + usize::from(self.focused) + lines + outside + arrows
    }

    fn touched(&self, arrows: usize) -> BTreeSet<usize> {
        let ends = self.arrows.iter().take(arrows).flat_map(|arrow| [arrow.from, arrow.to]);
        ends.chain(self.outside.iter().flat_map(|beyond| beyond.from.iter().map(|(at, _)| *at))).collect()
    }

    /// As many arrows as there is room for.
    fn fit(mut self, asked: Asked) -> View {
        // Outside documents give way first, then arrows.
        while self.lines(0) > asked.lines {
            let several = self.outside.len() > 1;
            match self.outside.iter_mut().rev().find(|beyond| !beyond.from.is_empty()) {
                Some(beyond) => beyond.from.clear(),
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
            if self.lines(middle) <= asked.lines { low = middle } else { high = middle - 1 }
        }
        let touched = self.touched(low);
        for (at, shown) in self.boxes.iter_mut().enumerate() {
            shown.stands = !shown.holds || touched.contains(&at);
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
        let focus = asked.focus.and_then(|focus| self.boxes.iter().position(|shown| shown.section == focus));
        View { title, boxes: self.boxes, arrows, outside: self.outside, note, focus }
    }

    /// What is shown of how much.
    fn note(&self, arrows: usize) -> String {
        let sections = self.graph.nodes.len();
        let folded: usize = self.boxes.iter().map(|shown| shown.folded).sum();
        let mut parts = vec![format!("{} of {sections} sections", self.boxes.len())];
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

/// The sections with their documents, and with the chapters that two of them share.
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

pub(super) fn titled(graph: &Graph, section: usize) -> String {
    let Some(text) = graph.text(section) else { return String::new() };
    let above = graph.nodes.get(section).and_then(|node| node.parent).and_then(|parent| graph.text(parent));
    match above {
        _ if !text.number.is_empty() => format!("{} {}", text.number, text.title),
        // Several sections have this title: what it stands in tells it from them.
        Some(above) if graph.repeated.contains(&text.title) => format!("{} ({})", text.title, above.title),
        _ => text.title.clone(),
    }
}

/// The documents outside: all in one node, or one node each. And how many are not there.
fn beyond(graph: &Graph, asked: Asked, place: &impl Fn(usize) -> Option<usize>) -> (Vec<Beyond>, usize) {
    let by_box = |sections: &mut dyn Iterator<Item = (usize, u32)>| -> Vec<(usize, u32)> {
        let mut boxes: BTreeMap<usize, u32> = BTreeMap::new();
        for (section, count) in sections {
            if let Some(at) = place(section) {
                *boxes.entry(at).or_insert(0) += count;
            }
        }
        boxes.into_iter().collect()
    };
    let all = graph.outside.len();
    match asked.external {
        External::None => (Vec::new(), all),
        _ if all == 0 => (Vec::new(), 0),
        External::All => {
            let count = all.min(OUTSIDE_MAX).min(asked.lines / 5);
            let nodes = graph.outside.iter().take(count).map(|outside| Beyond {
                label: outside.name.clone(),
                from: by_box(&mut outside.from.iter().map(|(section, count)| (*section, *count))),
            });
            (nodes.collect(), all - count)
        }
        External::Collapsed => {
            let names: Vec<&str> = graph.outside.iter().take(NAMES_MAX).map(|outside| outside.name.as_str()).collect();
            let more = all - names.len();
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            // One arrow for each document: who refers to what in it is left to the text.
            let root = |section: usize| graph.ancestors(section).last().unwrap_or(section);
            let mut roots = graph
                .outside
                .iter()
                .flat_map(|outside| outside.from.iter().map(|(section, count)| (root(*section), *count)));
            let mut from = by_box(&mut roots);
            from.truncate(asked.lines / 10);
            (vec![Beyond { label: format!("presupposes: {}{rest}", names.join(", ")), from }], 0)
        }
    }
}
