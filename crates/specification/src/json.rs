//! The whole graph with all its data, for programs.

use sekisho_protocol::diagram::Relation;
use serde::Serialize;

use crate::ask::{self, BrokenLink};
use crate::graph::Graph;
use crate::map::{DocumentName, Map};
use crate::source::Kind;

#[derive(Serialize)]
struct Whole<'a> {
    documents: Vec<DocumentFacts<'a>>,
    sections: Vec<SectionFacts<'a>>,
    relations: Vec<RelationFacts<'a>>,
    terms: Vec<TermFacts<'a>>,
    outside: Vec<OutsideFacts<'a>>,
    broken_links: Vec<BrokenLink>,
    left_out: LeftOut,
}

#[derive(Serialize)]
struct DocumentFacts<'a> {
    name: &'a str,
    kind: Kind,
}

impl<'a> DocumentFacts<'a> {
    fn of(document: &'a DocumentName) -> Self {
        Self { name: &document.name, kind: document.kind }
    }
}

#[derive(Serialize)]
struct SectionFacts<'a> {
    id: usize,
    document: usize,
    parent: Option<usize>,
    level: u8,
    number: &'a str,
    title: &'a str,
    anchors: &'a [String],
    /// The weight, in millionths of the sum of all weights.
    weight: u64,
    demands: usize,
}

#[derive(Serialize)]
struct RelationFacts<'a> {
    from: usize,
    to: usize,
    requires: u32,
    then: u32,
    links: u32,
    uses: u32,
    terms: Vec<&'a str>,
}

#[derive(Serialize)]
struct TermFacts<'a> {
    name: &'a str,
    defined_in: Vec<usize>,
    used_in: u32,
}

#[derive(Serialize)]
struct OutsideFacts<'a> {
    name: &'a str,
    referred_to_by: Vec<usize>,
}

#[derive(Serialize)]
struct LeftOut {
    relations: usize,
    terms: usize,
}

pub(crate) fn write(map: &Map) -> String {
    let graph = &map.graph;
    let whole = Whole {
        documents: map.documents.iter().map(DocumentFacts::of).collect(),
        sections: sections(graph),
        relations: graph
            .edges
            .iter()
            .map(|edge| RelationFacts {
                from: edge.from,
                to: edge.to,
                requires: edge.counts.of(Relation::Requires),
                then: edge.counts.of(Relation::Then),
                links: edge.counts.of(Relation::Links),
                uses: edge.counts.of(Relation::Uses),
                terms: edge
                    .terms
                    .iter()
                    .filter_map(|term| graph.terms.get(*term))
                    .map(|term| term.name.as_str())
                    .collect(),
            })
            .collect(),
        terms: graph
            .terms
            .iter()
            .map(|term| TermFacts {
                name: &term.name,
                defined_in: term.definers.iter().map(|(section, _)| *section).collect(),
                used_in: term.used_in,
            })
            .collect(),
        outside: graph
            .outside
            .iter()
            .map(|outside| OutsideFacts { name: &outside.name, referred_to_by: outside.from.keys().copied().collect() })
            .collect(),
        broken_links: graph
            .broken
            .iter()
            .map(|(section, target)| BrokenLink { section: ask::path(graph, *section), target: target.clone() })
            .collect(),
        left_out: LeftOut { relations: graph.relations_left_out, terms: graph.terms_left_out },
    };
    // Serialising fails only for maps whose keys are not texts, and there are none.
    serde_json::to_string(&whole).unwrap_or_default() + "\n"
}

fn sections(graph: &Graph) -> Vec<SectionFacts<'_>> {
    let all: u64 = graph.weights.iter().sum::<u64>().max(1);
    graph
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| SectionFacts {
            id,
            document: node.document,
            parent: node.parent,
            level: node.text.level,
            number: &node.text.number,
            title: &node.text.title,
            anchors: &node.text.anchors,
            weight: graph.weights.get(id).map_or(0, |weight| weight.saturating_mul(1_000_000) / all),
            demands: node.text.sentences.iter().filter(|sentence| !sentence.keywords.is_empty()).count(),
        })
        .collect()
}
