//! How central a section is.
//!
//! The weights come from a random walk over the graph. A reader at a section goes on, with [`ON`] of [`WHOLE`], along
//! one of its relations, chosen by weight; otherwise the reader starts again at a section that is chosen by its
//! demands. A section's weight is how often the walk visits it (a personalised page rank). The weight of a relation is
//! that of its weightiest mention, plus up to 3 for each further mention:
//!
//! | Mention | Weight |
//! |---|---|
//! | a link in a sentence with MUST, SHALL or REQUIRED | 10 |
//! | the next step | 5 |
//! | any other link | 4 |
//! | a term that at most two sections use | 4 |
//! | one that at most five use | 3 |
//! | one that at most twelve use | 2 |
//! | one that fewer than a quarter of the sections use | 1 |
//! | any other term | 0 |
//! | a term in a sentence with MUST, SHALL or REQUIRED | twice that |
//! | from a section to the one it stands in | 1 |
//!
//! In the opposite direction, a relation counts for a third of its weight, because a section that makes demands about a
//! central section is of interest too. A start counts 1, and 1 more for every sentence of the section with MUST or MUST
//! NOT, up to eight. With a focus, every walk starts there, and follows relations equally in both directions.
//!
//! The computation uses whole numbers and [`ROUNDS`] rounds, so that the result is the same on every machine.

use sekisho_protocol::diagram::Relation;

use crate::graph::{Graph, Term};

/// How often the walk goes on, out of [`WHOLE`].
const ON: u64 = 85;
/// The whole of which [`ON`] is a part.
const WHOLE: u64 = 100;
/// How many times more a relation counts in its direction than against it.
const AHEAD: u64 = 3;
const ROUNDS: usize = 20;
/// The number of all walks together.
const MASS: u64 = 1 << 40;
const DEMANDS_MAX: u64 = 8;

/// Returns the weight that one mention adds to a relation.
pub(crate) fn of(relations: &[Relation], term: Option<&Term>, sections: usize) -> u64 {
    let has = |relation| relations.contains(&relation);
    let demands = has(Relation::Requires);
    let term = term.map_or(0, |term| rarity(term, sections)) * if demands { 2 } else { 1 };
    let links = match (has(Relation::Links), demands) {
        (true, true) => 10,
        (true, false) => 4,
        (false, _) => 0,
    };
    let then = if has(Relation::Then) { 5 } else { 0 };
    links + then + if has(Relation::Uses) { term } else { 0 }
}

/// Returns the weight of a relation with one more mention. Many mentions of the same thing count little.
pub(crate) fn sum(weight: u64, more: u64) -> u64 {
    weight.max(more) + (weight.min(more)).min(3)
}

/// Returns the weight of a term. A word that a quarter of the sections use says little about any of them.
fn rarity(term: &Term, sections: usize) -> u64 {
    let used_in = usize::try_from(term.used_in).unwrap_or(usize::MAX);
    match used_in {
        0..=2 => 4,
        3..=5 => 3,
        6..=12 => 2,
        _ if used_in.saturating_mul(4) < sections => 1,
        _ => 0,
    }
}

/// Returns the weight of every section.
pub(crate) fn sections(graph: &Graph, focus: Option<usize>) -> Vec<u64> {
    let count = graph.nodes.len();
    let begin: Vec<u64> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| match focus {
            Some(focus) => u64::from(at == focus),
            None => {
                let strict = |sentence: &&crate::sentences::Sentence| {
                    sentence.keywords.iter().any(|(keyword, _)| keyword.is_strict())
                };
                let demands = node.text.sentences.iter().filter(strict).count();
                1 + DEMANDS_MAX.min(demands.try_into().unwrap_or(DEMANDS_MAX))
            }
        })
        .collect();
    let beginnings: u64 = begin.iter().sum::<u64>().max(1);
    // The ways out of each section: the target and the weight.
    let mut ways: Vec<(usize, usize, u64)> = Vec::new();
    for edge in &graph.edges {
        let ahead = if focus.is_some() { edge.weight } else { AHEAD * edge.weight };
        ways.push((edge.from, edge.to, ahead));
        ways.push((edge.to, edge.from, edge.weight));
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        if let Some(parent) = node.parent {
            ways.push((at, parent, 1));
            if focus.is_some() {
                ways.push((parent, at, 1));
            }
        }
    }
    let mut out = vec![0_u64; count];
    for (from, _, weight) in &ways {
        if let Some(sum) = out.get_mut(*from) {
            *sum += weight;
        }
    }
    let share = |mass: u64, part: u64, whole: u64| {
        // No product is larger than 2^40 · 2^20: weights are small, and the number of relations bounds their sums.
        u64::try_from(u128::from(mass) * u128::from(part) / u128::from(whole.max(1))).unwrap_or(mass)
    };
    let mut mass: Vec<u64> = begin.iter().map(|begin| share(MASS, *begin, beginnings)).collect();
    for _ in 0..ROUNDS {
        let mut next = vec![0_u64; count];
        let mut gone_on = 0;
        for (from, to, weight) in &ways {
            let here = mass.get(*from).copied().unwrap_or(0);
            let part = share(share(here, ON, WHOLE), *weight, out.get(*from).copied().unwrap_or(0));
            if let Some(there) = next.get_mut(*to) {
                *there += part;
                gone_on += part;
            }
        }
        let anew = MASS.saturating_sub(gone_on);
        for (there, begin) in next.iter_mut().zip(&begin) {
            *there += share(anew, *begin, beginnings);
        }
        mass = next;
    }
    mass
}
