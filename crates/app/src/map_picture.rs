//! A map of a specification as text: `specification` chooses what is shown, `picture` draws it.

use sekisho_picture::diagram;
use sekisho_specification::{AskError, Map, Options};
use serde::Deserialize;

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For Graphviz.
    Dot,
    /// The whole graph with its facts, for programs.
    Json,
    /// A Mermaid flowchart.
    #[default]
    Mermaid,
    /// A picture, legible in light and dark.
    Svg,
}

/// Writes a map in this format. The options are checked for each format alike, also where it shows everything.
pub(crate) fn draw(map: &Map, options: &Options, format: Format) -> Result<String, AskError> {
    let chosen = map.diagram(options)?;
    Ok(match format {
        Format::Dot => diagram::to_dot(&chosen),
        Format::Json => map.to_json(),
        Format::Mermaid => diagram::to_mermaid(&chosen),
        Format::Svg => diagram::to_svg(&chosen),
    })
}
