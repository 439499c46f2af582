//! A diagram of sections, as a Mermaid flowchart, as SVG or for Graphviz.

use sekisho_protocol::diagram::Diagram;

mod dot;
mod mermaid;
mod svg;

/// As a Mermaid flowchart of at most `lines_max` lines, if the diagram was chosen for so many.
pub fn to_mermaid(diagram: &Diagram) -> String {
    mermaid::write(diagram)
}

/// As SVG, legible in light and dark, with neither script nor id.
pub fn to_svg(diagram: &Diagram) -> String {
    svg::write(diagram)
}

/// In the language of Graphviz.
pub fn to_dot(diagram: &Diagram) -> String {
    dot::write(diagram)
}

#[cfg(test)]
mod tests;
