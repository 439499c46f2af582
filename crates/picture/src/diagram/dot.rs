//! Writes a diagram for Graphviz.

use std::fmt::Write as _;

use sekisho_protocol::diagram::{Diagram, Reference, Relation};
use sekisho_protocol::label::clean;

const LABEL_CHARS_MAX: usize = 60;
const LONG_CHARS_MAX: usize = 400;

pub(super) fn write(diagram: &Diagram) -> String {
    let mut out = String::from("digraph specmap {\n  rankdir=LR\n  node [shape=box]\n");
    let mut open: Vec<usize> = Vec::new();
    for (at, node) in diagram.nodes.iter().enumerate() {
        while open.last().is_some_and(|last| node.parent != Some(*last)) {
            open.pop();
            out.push_str("  }\n");
        }
        let label = labelled(&node.title, node.folded);
        if node.has_children {
            let _ = writeln!(out, "  subgraph cluster_{at} {{\n  label={label}");
            open.push(at);
        }
        if node.has_box {
            let style = if diagram.focus == Some(at) { ", penwidth=3" } else { "" };
            let _ = writeln!(out, "  s{at} [label={label}{style}]");
        }
    }
    out.push_str(&"  }\n".repeat(open.len()));
    for arrow in &diagram.arrows {
        let style = if arrow.has(Relation::Requires) {
            "bold"
        } else if arrow.has(Relation::Links) || arrow.has(Relation::Then) {
            "solid"
        } else {
            "dotted"
        };
        let label = quoted(&arrow.label(|label| label.chars().count() <= LABEL_CHARS_MAX), LABEL_CHARS_MAX);
        let _ = writeln!(out, "  s{} -> s{} [label={label}, style={style}]", arrow.from, arrow.to);
    }
    for (at, document) in diagram.outside.iter().enumerate() {
        let _ = writeln!(out, "  o{at} [shape=note, label={}]", quoted(&document.label, LONG_CHARS_MAX));
        for Reference { from, count } in &document.references {
            let _ = writeln!(out, "  s{from} -> o{at} [label=\"presupposes ×{count}\", style=dashed]");
        }
    }
    let _ = writeln!(out, "  label={}\n}}", quoted(&diagram.note, LONG_CHARS_MAX));
    out
}

fn labelled(title: &str, folded: usize) -> String {
    match folded {
        0 => quoted(title, LABEL_CHARS_MAX),
        1 => quoted(&format!("{} (+1 section)", clean(title, LABEL_CHARS_MAX)), LONG_CHARS_MAX),
        more => quoted(&format!("{} (+{more} sections)", clean(title, LABEL_CHARS_MAX)), LONG_CHARS_MAX),
    }
}

/// Quotes a string of DOT, in which only quotes and backslashes have a meaning.
fn quoted(text: &str, chars_max: usize) -> String {
    format!("\"{}\"", clean(text, chars_max).replace('\\', "\\\\").replace('"', "\\\""))
}
