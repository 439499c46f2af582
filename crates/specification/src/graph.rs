//! The graph: every section of every document, the terms, and the relations between sections.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use sekisho_protocol::diagram::RelationCounts;

use crate::document::{Rank, Section};

/// A section of any document.
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
    /// The terms that the relation is about, rarest first.
    pub(crate) terms: Vec<usize>,
    pub(crate) weight: u64,
}

/// A document that was not read, with the sections that refer to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    pub(crate) name: String,
    /// The sections that refer to it, with the number of references.
    pub(crate) from: BTreeMap<usize, u32>,
}

/// The graph, and the problems that were found while it was built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// The relations, sorted by the section from which they lead, then by the section to which they lead.
    pub(crate) edges: Vec<Edge>,
    pub(crate) outside: Vec<Outside>,
    pub(crate) terms: Vec<Term>,
    /// Broken links: the section and the target of each.
    pub(crate) broken: Vec<(usize, String)>,
    pub(crate) terms_left_out: usize,
    pub(crate) relations_left_out: usize,
    /// The titles that several sections have.
    pub(crate) repeated: HashSet<String>,
    /// How central each section is (see `weight.rs`).
    pub(crate) weights: Vec<u64>,
}

/// A term that sections define.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) name: String,
    /// The sections that define it, each with the place of the definition.
    pub(crate) definers: Vec<(usize, Range<usize>)>,
    pub(crate) rank: Rank,
    /// Whether only quoted uses of the term count.
    pub(crate) sign: bool,
    /// In how many sections it is used.
    pub(crate) used_in: u32,
}

impl Graph {
    /// Returns a section and the sections that contain it, up to the document.
    pub(crate) fn ancestors(&self, section: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(section), |section| self.nodes.get(*section).and_then(|node| node.parent))
    }

    pub(crate) fn text(&self, section: usize) -> Option<&Section> {
        self.nodes.get(section).map(|node| &node.text)
    }

    /// Returns the relations that lead away from a section.
    pub(crate) fn edges_from(&self, section: usize) -> &[Edge] {
        let from = self.edges.partition_point(|edge| edge.from < section);
        let to = self.edges.partition_point(|edge| edge.from <= section);
        self.edges.get(from..to).unwrap_or_default()
    }
}
