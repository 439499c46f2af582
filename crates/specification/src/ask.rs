//! Questions about a map: how sections are found by name, and the errors.

use serde::Serialize;

use sekisho_protocol::label;

use crate::bounds::{LINES_MAX, LINES_MIN, PACK_BYTES_MIN};
use crate::graph::Graph;

/// How many candidates an error names at most.
const CANDIDATES_MAX: usize = 8;
/// The separator between the titles in a path.
const SEPARATOR: &str = " › ";

/// Why a question about a map could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Several sections have this name or title.
    #[error("`{section}` may be {candidates}: name one by its anchor, number or whole title")]
    Ambiguous {
        /// The name that was asked for.
        section: String,
        /// The sections that it may mean.
        candidates: String,
    },
    /// The number of lines is out of bounds.
    #[error("{given} lines cannot be drawn: ask for {LINES_MIN} to {LINES_MAX}")]
    Lines {
        /// The number that was asked for.
        given: usize,
    },
    /// The size of the pack is below its minimum.
    #[error("{given} bytes hold nothing: ask for at least {PACK_BYTES_MIN}")]
    Size {
        /// The size that was asked for, in bytes.
        given: usize,
    },
    /// No section has this name.
    #[error("there is no section `{section}`: there are {candidates}")]
    Unknown {
        /// The name that was asked for.
        section: String,
        /// Sections with similar names, or the most central ones.
        candidates: String,
    },
}

/// A link whose target does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    /// The section that contains the link.
    pub section: String,
    /// The target as it is written.
    pub target: String,
}

/// Finds the section with this anchor, number or title, or the only one whose title begins with the name.
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
    // The sections whose titles contain the name; if there are none, the most central sections.
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

/// Returns a section's anchor and title.
fn named(graph: &Graph, section: usize) -> String {
    let Some(text) = graph.text(section) else { return String::new() };
    match text.anchors.first() {
        Some(anchor) if !text.number.is_empty() => format!("`{anchor}` ({} {})", text.number, text.title),
        Some(anchor) => format!("`{anchor}` ({})", path(graph, section)),
        None => format!("`{}`", text.title),
    }
}

/// Returns the path of a section: `Authorization › Access Token Usage › Token Handling`.
pub(crate) fn path(graph: &Graph, section: usize) -> String {
    let mut titles: Vec<&str> =
        graph.ancestors(section).filter_map(|at| graph.text(at)).map(|text| text.title.as_str()).collect();
    titles.reverse();
    titles.join(SEPARATOR)
}
