//! A view written for Graphviz.

use std::fmt::Write as _;

use super::relations::Relation;
use super::view::View;
use crate::text::clean;

const LABEL_CHARS_MAX: usize = 60;
const LONG_CHARS_MAX: usize = 400;

pub(super) fn write(view: &View) -> String {
    let mut out = String::from("digraph specmap {\n  rankdir=LR\n  node [shape=box]\n");
    let mut open: Vec<usize> = Vec::new();
    for (at, shown) in view.boxes.iter().enumerate() {
        while open.last().is_some_and(|last| shown.within != Some(*last)) {
            open.pop();
            out.push_str("  }\n");
        }
        let label = labelled(&shown.title, shown.folded);
        if shown.holds {
            let _ = writeln!(out, "  subgraph cluster_{at} {{\n  label={label}");
            open.push(at);
        }
        if shown.stands {
            let style = if view.focus == Some(at) { ", penwidth=3" } else { "" };
            let _ = writeln!(out, "  s{at} [label={label}{style}]");
        }
    }
    out.push_str(&"  }\n".repeat(open.len()));
    for arrow in &view.arrows {
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
    for (at, beyond) in view.outside.iter().enumerate() {
        let _ = writeln!(out, "  o{at} [shape=note, label={}]", quoted(&beyond.label, LONG_CHARS_MAX));
        for (from, count) in &beyond.from {
            let _ = writeln!(out, "  s{from} -> o{at} [label=\"presupposes ×{count}\", style=dashed]");
        }
    }
    let _ = writeln!(out, "  label={}\n}}", quoted(&view.note, LONG_CHARS_MAX));
    out
}

fn labelled(title: &str, folded: usize) -> String {
    match folded {
        0 => quoted(title, LABEL_CHARS_MAX),
        1 => quoted(&format!("{} (+1 section)", clean(title, LABEL_CHARS_MAX)), LONG_CHARS_MAX),
        more => quoted(&format!("{} (+{more} sections)", clean(title, LABEL_CHARS_MAX)), LONG_CHARS_MAX),
    }
}

/// A string of DOT: only quotes and backslashes mean anything in it.
fn quoted(text: &str, chars_max: usize) -> String {
    format!("\"{}\"", clean(text, chars_max).replace('\\', "\\\\").replace('"', "\\\""))
}
