//! Questions about a map: how sections are named, and what goes wrong.

use serde::Serialize;

use sekisho_protocol::label;

use crate::bounds::{LINES_MAX, LINES_MIN, PACK_BYTES_MIN};
use crate::graph::Graph;

/// How many candidates an error names.
const CANDIDATES_MAX: usize = 8;
/// What separates the parts of a path.
const SEPARATOR: &str = " › ";

/// Why a question about a map could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Several sections have this name.
    #[error("`{section}` may be {candidates}: name one by its anchor, number or whole title")]
    Ambiguous {
        /// What was asked for.
        section: String,
        /// What it may be.
        candidates: String,
    },
    /// The bound is out of bounds.
    #[error("{given} lines cannot be drawn: ask for {LINES_MIN} to {LINES_MAX}")]
    Lines {
        /// What was asked for.
        given: usize,
    },
    /// The pack is too small.
    #[error("{given} bytes hold nothing: ask for at least {PACK_BYTES_MIN}")]
    Size {
        /// What was asked for.
        given: usize,
    },
    /// No section has this name.
    #[error("there is no section `{section}`: there are {candidates}")]
    Unknown {
        /// What was asked for.
        section: String,
        /// What there is.
        candidates: String,
    },
}

/// A link to what is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    /// Where it is.
    pub section: String,
    /// As it is written.
    pub target: String,
}

/// The section of this anchor, number or title, or whose title begins so, if there is only one.
pub(crate) fn find(graph: &Graph, name: &str) -> Result<usize, AskError> {
    let wanted = name.trim().trim_start_matches('#').to_lowercase();
    let sections = || graph.nodes.iter().enumerate().map(|(at, node)| (at, &node.text));
    let number = wanted.trim_start_matches("section ").trim_start_matches('§').trim();
    let exact = |at: usize| path(graph, at).to_lowercase() == wanted;
    let rounds: [Vec<usize>; 4] = [
        sections().filter(|(_, text)| text.anchors.contains(&wanted)).map(|(at, _)| at).collect(),
        sections()
            .filter(|(_, text)| !number.is_empty() && text.number.to_lowercase() == number)
            .map(|(at, _)| at)
            .collect(),
        sections().filter(|(at, text)| text.title.to_lowercase() == wanted || exact(*at)).map(|(at, _)| at).collect(),
        sections()
            .filter(|(_, text)| !wanted.is_empty() && text.title.to_lowercase().starts_with(&wanted))
            .map(|(at, _)| at)
            .collect(),
    ];
    for found in &rounds {
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                return Err(AskError::Ambiguous {
                    section: shown(name),
                    candidates: listed(graph, several.iter().copied()),
                });
            }
        }
    }
    // What holds the word, or else what is most central.
    let mut near: Vec<usize> = sections()
        .filter(|(_, text)| !wanted.is_empty() && text.title.to_lowercase().contains(&wanted))
        .map(|(at, _)| at)
        .collect();
    if near.is_empty() {
        near = (0..graph.nodes.len()).collect();
        near.sort_by_key(|at| (std::cmp::Reverse(graph.weights.get(*at).copied()), *at));
    }
    Err(AskError::Unknown { section: shown(name), candidates: listed(graph, near.into_iter()) })
}

fn shown(name: &str) -> String {
    label::clean(name, 80)
}

fn listed(graph: &Graph, sections: impl ExactSizeIterator<Item = usize>) -> String {
    let more = sections.len().saturating_sub(CANDIDATES_MAX);
    let named: Vec<String> = sections.take(CANDIDATES_MAX).map(|at| named(graph, at)).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", named.join(", "))
}

/// Anchor and title.
fn named(graph: &Graph, section: usize) -> String {
    let Some(text) = graph.text(section) else { return String::new() };
    match text.anchors.first() {
        Some(anchor) if !text.number.is_empty() => format!("`{anchor}` ({} {})", text.number, text.title),
        Some(anchor) => format!("`{anchor}` ({})", path(graph, section)),
        None => format!("`{}`", text.title),
    }
}

/// Where a section stands: `Authorization › Access Token Usage › Token Handling`.
pub(crate) fn path(graph: &Graph, section: usize) -> String {
    let mut titles: Vec<&str> =
        graph.ancestors(section).filter_map(|at| graph.text(at)).map(|text| text.title.as_str()).collect();
    titles.reverse();
    titles.join(SEPARATOR)
}
