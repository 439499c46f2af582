//! The reading order: sections that define or explain something come before those that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::Serialize;

use sekisho_protocol::diagram::Relation;

use crate::ask;
use crate::graph::Graph;

/// How many sections a reason names at most.
const NAMED_MAX: usize = 3;

/// Sections in an order in which each can be understood from the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadingOrder {
    /// Documents that were not read and on which the texts build, the most referenced ones first.
    pub presupposes: Vec<String>,
    /// The sections that have a text of their own.
    pub sections: Vec<Reading>,
}

/// A section in the reading order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The titles from the document down to the section.
    pub section: String,
    /// The section's name in links.
    pub anchor: String,
    /// Why the section has this position.
    pub because: String,
}

/// The sections that must come before a section, with how much it needs each.
type Needs = BTreeMap<usize, u64>;

pub(crate) fn of(graph: &Graph) -> ReadingOrder {
    let count = graph.nodes.len();
    let mut needs: Vec<Needs> = vec![Needs::new(); count];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut need = |who: usize, what: usize, weight: u64| {
        if let (Some(needs), Some(needed_by)) = (needs.get_mut(who), needed_by.get_mut(what)) {
            if !needs.contains_key(&what) {
                needed_by.push(who);
            }
            *needs.entry(what).or_insert(0) += weight;
        }
    };
    for (at, node) in graph.nodes.iter().enumerate() {
        if let Some(parent) = node.parent {
            need(at, parent, 1);
        }
    }
    // A relation without weight (a term that every section uses) does not affect the order.
    for edge in graph.edges.iter().filter(|edge| edge.weight > 0) {
        if edge.counts.of(Relation::Then) > 0 {
            need(edge.to, edge.from, 5);
        }
        // A link back is a reminder; a link ahead means that its target is needed here.
        let ahead = edge.counts.of(Relation::Links) > 0 && edge.to > edge.from;
        if edge.counts.of(Relation::Requires) + edge.counts.of(Relation::Uses) > 0 || ahead {
            need(edge.from, edge.to, edge.weight);
        }
    }
    let mut ready: BTreeSet<usize> =
        needs.iter().enumerate().filter(|(_, needs)| needs.is_empty()).map(|(at, _)| at).collect();
    // How much each section still needs. The sums are kept, because a section that needs thousands of others is ranked
    // again after each.
    let mut open: Vec<u64> = needs.iter().map(|needs| needs.values().sum()).collect();
    // Sections that wait are ranked by the least need, then by weight, then by their order in the text.
    let rank = |open: u64, at: usize| (open, std::cmp::Reverse(graph.weights.get(at).copied().unwrap_or(0)), at);
    let waits = needs.iter().zip(&open).enumerate().filter(|(_, (needs, _))| !needs.is_empty());
    let mut waiting: BTreeSet<_> = waits.map(|(at, (_, open))| rank(*open, at)).collect();
    let mut sections = Vec::new();
    loop {
        let (at, circular) = match (ready.pop_first(), waiting.first().copied()) {
            (Some(at), _) => (at, false),
            (None, Some(entry)) => {
                waiting.remove(&entry);
                (entry.2, true)
            }
            (None, None) => break,
        };
        let unmet = needs.get_mut(at).map(std::mem::take).unwrap_or_default();
        for who in needed_by.get_mut(at).map(std::mem::take).unwrap_or_default() {
            let (Some(needs), Some(open)) = (needs.get_mut(who), open.get_mut(who)) else { continue };
            let Some(weight) = needs.remove(&at) else { continue };
            waiting.remove(&rank(*open, who));
            *open = open.saturating_sub(weight);
            if needs.is_empty() {
                ready.insert(who);
            } else {
                waiting.insert(rank(*open, who));
            }
        }
        if let Some(text) = graph.text(at).filter(|text| text.speaks()) {
            sections.push(Reading {
                section: ask::path(graph, at),
                anchor: text.anchors.first().cloned().unwrap_or_default(),
                because: because(graph, at, if circular { Some(&unmet) } else { None }),
            });
        }
    }
    ReadingOrder { presupposes: graph.outside.iter().map(|outside| outside.name.clone()).collect(), sections }
}

/// Says on which sections this one builds, or that it builds on none. If two sections need each other, says which one
/// was put first.
fn because(graph: &Graph, at: usize, open: Option<&Needs>) -> String {
    let named = |sections: &mut dyn Iterator<Item = usize>| {
        let all: Vec<&str> = sections.filter_map(|to| graph.text(to)).map(|text| text.title.as_str()).collect();
        let names: Vec<&str> = all.iter().take(NAMED_MAX).copied().collect();
        let more = all.len().saturating_sub(NAMED_MAX);
        if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
    };
    if let Some(open) = open {
        return format!("it and {} need each other; it needs least", named(&mut open.keys().copied()));
    }
    let edges = graph.edges_from(at);
    let terms: Vec<&str> = edges
        .iter()
        .filter(|edge| edge.counts.of(Relation::Uses) > 0)
        .flat_map(|edge| edge.terms.first())
        .filter_map(|term| graph.terms.get(*term))
        .map(|term| term.name.as_str())
        .take(NAMED_MAX)
        .collect();
    let rests: Vec<usize> = edges.iter().filter(|edge| edge.weight > 0).map(|edge| edge.to).collect();
    match (rests.is_empty(), terms.is_empty()) {
        (true, _) => "it rests on nothing else here".to_owned(),
        (false, true) => format!("after {}", named(&mut rests.into_iter())),
        (false, false) => format!("after {}, for {}", named(&mut rests.into_iter()), terms.join(", ")),
    }
}

impl Display for ReadingOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.presupposes.is_empty() {
            writeln!(f, "Presupposes: {}\n", self.presupposes.join(", "))?;
        }
        for (at, reading) in self.sections.iter().enumerate() {
            writeln!(f, "{}. {} — {}", at + 1, reading.section, reading.because)?;
        }
        Ok(())
    }
}
