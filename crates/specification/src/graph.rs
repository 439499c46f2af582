//! The graph: every section of every document, the terms, and how sections relate.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use sekisho_protocol::diagram::RelationCounts;

use crate::document::{Rank, Section};

/// A section among all.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) document: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) text: Section,
}

/// A relation of one section to another, of one or several kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) counts: RelationCounts,
    /// The terms it is about, rarest first.
    pub(crate) terms: Vec<usize>,
    pub(crate) weight: u64,
}

/// A document outside, and who presupposes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    pub(crate) name: String,
    /// Sections, and how often.
    pub(crate) from: BTreeMap<usize, u32>,
}

/// The graph, and what was met on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// By section from which they lead, then by section to which.
    pub(crate) edges: Vec<Edge>,
    pub(crate) outside: Vec<Outside>,
    pub(crate) terms: Vec<Term>,
    /// Section and target.
    pub(crate) broken: Vec<(usize, String)>,
    pub(crate) terms_left_out: usize,
    pub(crate) relations_left_out: usize,
    /// Titles that several sections have.
    pub(crate) repeated: HashSet<String>,
    /// By section: how central it is (see `weight.rs`).
    pub(crate) weights: Vec<u64>,
}

/// A term.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) name: String,
    /// The sections that define it, each with the place of the definition.
    pub(crate) definers: Vec<(usize, Range<usize>)>,
    pub(crate) rank: Rank,
    /// Only quoted it is meant.
    pub(crate) sign: bool,
    /// In how many sections it is used.
    pub(crate) used_in: u32,
}

impl Graph {
    /// From a section up to its document, itself first.
    pub(crate) fn ancestors(&self, section: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(section), |section| self.nodes.get(*section).and_then(|node| node.parent))
    }

    pub(crate) fn text(&self, section: usize) -> Option<&Section> {
        self.nodes.get(section).map(|node| &node.text)
    }

    /// The relations that lead away from a section.
    pub(crate) fn edges_from(&self, section: usize) -> &[Edge] {
        let from = self.edges.partition_point(|edge| edge.from < section);
        let to = self.edges.partition_point(|edge| edge.from <= section);
        self.edges.get(from..to).unwrap_or_default()
    }
}
