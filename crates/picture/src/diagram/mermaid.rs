//! Writes a diagram as a Mermaid flowchart: a section that contains others is drawn around them.

use std::fmt::Write as _;

use sekisho_protocol::diagram::{Arrow, Diagram, Reference, Relation};
use sekisho_protocol::label::mermaid_quoted as quoted;

/// The longest label, in characters. With many lines it is shorter, because Mermaid refuses texts of more than 50 000
/// characters.
const LABEL_CHARS_MAX: usize = 56;
const LABELS_CHARS_MAX: usize = 7_500;
const LABEL_CHARS_MIN: usize = 24;
/// The longest label of the note and of the node that names all outside documents, in characters.
const LONG_CHARS_MAX: usize = 400;

pub(super) fn write(diagram: &Diagram) -> String {
    let chars = (LABELS_CHARS_MAX / diagram.lines_max.max(1)).clamp(LABEL_CHARS_MIN, LABEL_CHARS_MAX);
    let mut out = String::from("flowchart LR\n");
    let mut open: Vec<usize> = Vec::new();
    for (at, node) in diagram.nodes.iter().enumerate() {
        while open.last().is_some_and(|last| node.parent != Some(*last)) {
            open.pop();
            close(&mut out, open.len());
        }
        let label = labelled(&node.title, node.folded, chars);
        let class = if diagram.focus == Some(at) { ":::focus" } else { "" };
        if node.has_children {
            let _ = writeln!(out, "{}subgraph g{at}[\"{label}\"]", pad(open.len()));
            open.push(at);
            if node.has_box {
                // A node for arrows to the whole section: Mermaid draws no arrow between a section and one around it.
                let _ = writeln!(out, "{}s{at}([\"{}\"]){class}", pad(open.len()), quoted(&node.title, chars));
            }
        } else {
            let _ = writeln!(out, "{}s{at}[\"{label}\"]{class}", pad(open.len()));
        }
    }
    while open.pop().is_some() {
        close(&mut out, open.len());
    }
    for arrow in &diagram.arrows {
        let (line, head) = drawn(arrow);
        let label = quoted(&arrow.label(|label| label.chars().count() <= chars), chars);
        let _ = writeln!(out, "  s{} {line}{head}|\"{label}\"| s{}", arrow.from, arrow.to);
    }
    for (at, document) in diagram.outside.iter().enumerate() {
        let long = if diagram.outside.len() == 1 { LONG_CHARS_MAX } else { chars };
        let _ = writeln!(out, "  o{at}[/\"{}\"/]", quoted(&document.label, long));
        for Reference { from, count } in &document.references {
            let _ = writeln!(out, "  s{from} -.->|\"presupposes ×{count}\"| o{at}");
        }
    }
    let _ = writeln!(out, "  note>\"{}\"]", quoted(&diagram.note, LONG_CHARS_MAX));
    if diagram.focus.is_some() {
        out.push_str("  classDef focus stroke-width:4px,font-weight:bold\n");
    }
    out
}

fn pad(depth: usize) -> String {
    "  ".repeat(depth.min(20) + 1)
}

fn close(out: &mut String, depth: usize) {
    let _ = writeln!(out, "{}end", pad(depth));
}

/// `Title +3 sections`
pub(super) fn labelled(title: &str, folded: usize, chars: usize) -> String {
    let title = quoted(title, chars);
    match folded {
        0 => title,
        1 => format!("{title}<br/>+1 section"),
        more => format!("{title}<br/>+{more} sections"),
    }
}

/// Returns the signs of an arrow: a thick line for a demand, a dotted line for a mere use.
fn drawn(arrow: &Arrow) -> (&'static str, &'static str) {
    if arrow.has(Relation::Requires) {
        ("==", ">")
    } else if arrow.has(Relation::Links) || arrow.has(Relation::Then) {
        ("--", ">")
    } else {
        ("-.-", ">")
    }
}
