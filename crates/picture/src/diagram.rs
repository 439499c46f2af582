//! A diagram of sections, as a Mermaid flowchart, as SVG or for Graphviz.

use sekisho_protocol::diagram::Diagram;

mod dot;
mod mermaid;
mod svg;

/// Writes a Mermaid flowchart. It has at most `lines_max` lines, if the diagram was chosen for that number.
pub fn to_mermaid(diagram: &Diagram) -> String {
    mermaid::write(diagram)
}

/// Writes SVG, legible in light and dark, without scripts and ids.
pub fn to_svg(diagram: &Diagram) -> String {
    svg::write(diagram)
}

/// Writes the language of Graphviz.
pub fn to_dot(diagram: &Diagram) -> String {
    dot::write(diagram)
}

#[cfg(test)]
mod tests;
