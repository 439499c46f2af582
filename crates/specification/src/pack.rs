//! A pack, the text for one question: a whole section, the definitions it uses, then its neighbours by weight, within a
//! size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sekisho_protocol::diagram::Relation;
use sekisho_protocol::label;

use crate::ask::{self, AskError};
use crate::bounds::PACK_BYTES_MIN;
use crate::document::Rank;
use crate::graph::Graph;
use crate::map::Map;

/// How many bytes are reserved for the list of what was left out.
const REST_BYTES: usize = 400;
/// How many left-out sections that list names.
const NAMED_MAX: usize = 6;
/// The longest name in that list, in characters.
const NAME_CHARS_MAX: usize = 40;

pub(crate) fn write(map: &Map, section: &str, bytes_max: usize) -> Result<String, AskError> {
    if bytes_max < PACK_BYTES_MIN {
        return Err(AskError::Size { given: bytes_max });
    }
    let graph = &map.graph;
    let section = ask::find(graph, section)?;
    let mut pack = Pack { map, out: String::new(), room: bytes_max - REST_BYTES, left_out: Vec::new() };
    let within: Vec<usize> = (section..graph.nodes.len())
        .take_while(|at| *at == section || graph.ancestors(*at).skip(1).any(|above| above == section))
        .collect();
    for at in &within {
        pack.section(*at, "asked for");
    }
    let inside: BTreeSet<usize> = within.iter().copied().collect();
    definitions(&mut pack, &inside);
    for (at, why) in neighbours(graph, &inside) {
        pack.section(at, &why);
    }
    Ok(pack.finish())
}

struct Pack<'a> {
    map: &'a Map,
    out: String,
    /// How many bytes are left.
    room: usize,
    left_out: Vec<String>,
}

impl Pack<'_> {
    /// Adds a piece if it fits. If it does not fit, its name is noted.
    fn add(&mut self, piece: &str, name: &str) -> bool {
        let fits = self.out.len() + piece.len() <= self.room;
        if fits {
            self.out.push_str(piece);
        } else {
            self.left_out.push(label::clean(name, NAME_CHARS_MAX));
        }
        fits
    }

    /// Adds a section with a heading that says where it is from. If the first section is too long, it is cut at the end
    /// of a line.
    fn section(&mut self, at: usize, why: &str) {
        let graph = &self.map.graph;
        let Some(text) = graph.text(at) else { return };
        let source = text.source.trim_matches('\n');
        if source.trim().is_empty() {
            return;
        }
        let path = label::clean(&ask::path(graph, at), 300);
        let document = label::clean(self.map.document_of(at), 120);
        let first = self.out.is_empty();
        let head = format!("{}# {path}\n\n> From {document}; {why}.\n\n", if first { "" } else { "\n" });
        if !first {
            self.add(&format!("{head}{source}\n"), &text.title);
            return;
        }
        let mut piece = head;
        let (mut taken, mut lines) = (0, source.lines());
        for line in lines.by_ref() {
            if piece.len() + line.len() + 1 > self.room {
                self.left_out.push(format!("the rest of it, {} lines", lines.count() + 1));
                break;
            }
            piece.push_str(line);
            piece.push('\n');
            taken += 1;
        }
        // A heading without any text would say nothing.
        if taken > 0 || self.left_out.is_empty() || piece.len() <= self.room {
            self.out = piece.get(..piece.floor_char_boundary(self.room)).unwrap_or_default().to_owned();
        }
    }

    fn finish(mut self) -> String {
        if self.left_out.is_empty() {
            return self.out;
        }
        let names: Vec<&str> = self.left_out.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = self.left_out.len().saturating_sub(NAMED_MAX);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let line = format!("\n> Left out for want of room: {}{rest}.\n", names.join(", "));
        let line = line.get(..line.floor_char_boundary(REST_BYTES)).unwrap_or_default();
        self.out.push_str(line);
        self.out
    }
}

/// Adds the meanings of terms that the section uses and does not define itself.
fn definitions(pack: &mut Pack<'_>, inside: &BTreeSet<usize>) {
    let graph = &pack.map.graph;
    let terms: BTreeSet<usize> =
        inside.iter().flat_map(|at| graph.edges_from(*at)).flat_map(|edge| edge.terms.iter().copied()).collect();
    let mut opened = false;
    for term in terms.iter().filter_map(|term| graph.terms.get(*term)).filter(|term| term.rank > Rank::Heading) {
        let Some((section, at)) = term.definers.iter().find(|(section, _)| !inside.contains(section)) else { continue };
        let Some(text) = graph.text(*section) else { continue };
        let head = if opened { "" } else { "\n# Terms used\n\n" };
        let from = label::clean(&ask::path(graph, *section), 200);
        let mut piece = String::new();
        let _ = writeln!(piece, "{head}- **{}**: {} ({from})", term.name, text.part(at));
        opened |= pack.add(&piece, &term.name);
    }
}

/// Returns the sections that relate to it, the weightiest first, each with the reason.
fn neighbours(graph: &Graph, inside: &BTreeSet<usize>) -> Vec<(usize, String)> {
    let mut near: BTreeMap<usize, (u64, String)> = BTreeMap::new();
    for edge in &graph.edges {
        let (other, ahead) = match (inside.contains(&edge.from), inside.contains(&edge.to)) {
            (true, false) => (edge.to, true),
            (false, true) => (edge.from, false),
            _ => continue,
        };
        let kind = if edge.counts.of(Relation::Requires) > 0 {
            ("required by it", "requires it")
        } else if edge.counts.of(Relation::Then) > 0 {
            ("the next step", "the step before")
        } else if edge.counts.of(Relation::Links) > 0 {
            ("linked from it", "links to it")
        } else {
            ("explains a term of it", "uses a term of it")
        };
        let why = if ahead { kind.0 } else { kind.1 };
        // Sections that it needs come before sections that need it.
        let weight = if ahead { 2 * edge.weight } else { edge.weight };
        let known = near.entry(other).or_insert((0, why.to_owned()));
        known.0 += weight;
    }
    let mut sorted: Vec<(usize, u64, String)> = near.into_iter().map(|(at, (weight, why))| (at, weight, why)).collect();
    sorted.sort_by_key(|(at, weight, _)| (std::cmp::Reverse(*weight), *at));
    sorted.into_iter().map(|(at, _, why)| (at, why)).collect()
}
