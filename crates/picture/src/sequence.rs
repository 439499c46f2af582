//! Sequence diagrams (Mermaid, SVG): the messages between the parties, in order.

mod steps;
mod svg;

use std::fmt::Write as _;

use sekisho_protocol::label;

use steps::{LABEL_CHARS_MAX, NOTE_CHARS_MAX, Step};

pub use steps::Sequence;

impl Sequence {
    /// Writes the diagram in Mermaid's language. Valid whatever the labels contain.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "---\ntitle: \"{}\"\n---\nsequenceDiagram", plain(&self.title));
        for party in &self.parties {
            let _ = writeln!(out, "    participant {} as {}", self.short(party), plain(party));
        }
        for step in &self.steps {
            let _ = match step {
                Step::Answer { from, to, label } => {
                    writeln!(out, "    {}-->>{}: {}", self.short(from), self.short(to), plain(label))
                }
                Step::Message { from, to, label } => {
                    writeln!(out, "    {}->>{}: {}", self.short(from), self.short(to), plain(label))
                }
                Step::Note { over, text } => {
                    writeln!(out, "    note over {}: {}", self.short(over), label::mermaid(text, NOTE_CHARS_MAX))
                }
            };
        }
        out
    }
}

impl Sequence {
    /// Writes the diagram as SVG, legible in light and dark. Valid whatever the labels contain.
    pub fn to_svg(&self) -> String {
        svg::figure(self).to_svg(&self.title)
    }
}

/// Cleans a label of this diagram.
fn plain(text: &str) -> String {
    label::mermaid(text, LABEL_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::Sequence;

    #[test]
    fn parties_stand_in_the_order_they_appear() {
        let mut sequence = Sequence::new("A call");
        sequence.message("client", "checkpoint", "POST /mcp/notes");
        sequence.answer("checkpoint", "client", "401");
        sequence.note("checkpoint", "no token");
        assert_eq!(
            sequence.to_mermaid(),
            "---\ntitle: \"A call\"\n---\nsequenceDiagram\n    participant p0 as client\n    participant p1 as checkpoint\n    \
             p0->>p1: POST /mcp/notes\n    p1-->>p0: 401\n    note over p1: no token\n"
        );
    }

    #[test]
    fn a_hostile_label_stays_one_line_of_text() {
        let mut sequence = Sequence::new("\"; end");
        sequence.message("a\nb", "c", "x\nparticipant evil\n%%{init: {}}%%\u{202e} <script>;");
        let text = sequence.to_mermaid();
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(!text.contains("<script>") && !text.contains("%%") && !text.contains('\u{202e}'), "{text}");
    }
}
