//! Writes the figure as a Mermaid flowchart: one box for each region that has members.

use std::fmt::Write as _;

use super::model::SetsFigure;
use super::parts::{Parts, Tool, listed};
use super::words::{self, fill};
use sekisho_protocol::label::{mermaid, mermaid_quoted};

/// The longest label, in characters: Mermaid refuses texts of more than 50 000 characters in all.
const LABEL_CHARS_MAX: usize = 48;
/// How many tools a box names at most.
const NAMED_MAX: usize = 12;

pub(super) fn write(figure: &SetsFigure, parts: &Parts<'_>) -> String {
    let mut out = String::new();
    let mut title = words::title(figure);
    if !figure.need_declared {
        let _ = write!(title, " ({})", figure.captions.undeclared);
    }
    let _ = writeln!(out, "---\ntitle: \"{}\"\n---\nflowchart LR", mermaid(&title, 2 * LABEL_CHARS_MAX));
    let (mut nodes, mut before) = (0, None);
    for (at, part) in parts.parts.iter().enumerate().filter(|(_, part)| !part.tools.is_empty()) {
        let place = figure.captions.region(part.place.region, figure.need_declared);
        let head = format!("{place} ({})", part.tools.len());
        let _ =
            writeln!(out, "    subgraph r{at}[\"{}\"]\n        direction TB", mermaid_quoted(&head, LABEL_CHARS_MAX));
        let shown = listed(&part.tools, NAMED_MAX);
        let rest = part.tools.len() - shown.len();
        let labels = shown.iter().map(|tool| (label(figure, parts, tool), tool.chosen));
        let more = (rest > 0).then(|| (mermaid_quoted(&figure.captions.and_more(rest), LABEL_CHARS_MAX), false));
        let mut first = true;
        for (label, chosen) in labels.chain(more) {
            let class = if chosen { ":::chosen" } else { "" };
            // An invisible link puts the names in one box below one another.
            let link = if first { String::new() } else { format!("t{} ~~~ ", nodes - 1) };
            let _ = writeln!(out, "        {link}t{nodes}[\"{label}\"]{class}");
            (nodes, first) = (nodes + 1, false);
        }
        out.push_str("    end\n");
        // Invisible links also put the boxes in their order, the permitted tools first.
        if let Some(before) = before.replace(at) {
            let _ = writeln!(out, "    r{before} ~~~ r{at}");
        }
    }
    let stands = parts.parts.iter().flat_map(|part| &part.tools).any(|tool| tool.chosen);
    if let Some(chosen) = figure.chosen.as_ref().filter(|_| !stands) {
        let verdict = mermaid_quoted(&words::verdict(figure, chosen, parts), LABEL_CHARS_MAX);
        let _ =
            writeln!(out, "    chosen[\"{}<br/>{verdict}\"]:::chosen", mermaid_quoted(&chosen.name, LABEL_CHARS_MAX));
    }
    if parts.uncounted > 0 {
        let _ = writeln!(
            out,
            "    rest[\"{}\"]",
            mermaid_quoted(&figure.captions.and_more(parts.uncounted), LABEL_CHARS_MAX)
        );
    }
    if nodes == 0 {
        let _ =
            writeln!(out, "    nobody[\"{}\"]", mermaid_quoted(&fill(&figure.captions.tools, "0"), LABEL_CHARS_MAX));
    }
    if figure.chosen.is_some() {
        out.push_str("    classDef chosen stroke-width:4px,font-weight:bold\n");
    }
    out
}

/// Returns the name of a tool. For the call in question, the answer is added.
fn label(figure: &SetsFigure, parts: &Parts<'_>, tool: &Tool<'_>) -> String {
    let name = mermaid_quoted(&tool.member.name, LABEL_CHARS_MAX);
    match figure.chosen.as_ref().filter(|_| tool.chosen) {
        Some(chosen) => {
            let verdict = mermaid_quoted(&words::verdict(figure, chosen, parts), 2 * LABEL_CHARS_MAX);
            format!("{name}<br/>{verdict}")
        }
        None => name,
    }
}
