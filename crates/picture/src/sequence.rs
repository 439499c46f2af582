//! Sequence diagrams (Mermaid, SVG): the messages between the parties, in order.

mod svg;

use std::fmt::Write as _;

use sekisho_protocol::label;

/// The longest label, in characters; what is longer is cut with an ellipsis.
const LABEL_CHARS_MAX: usize = 160;

/// The longest remark, in characters: it names rules, whose names are their authors'.
const NOTE_CHARS_MAX: usize = 600;

/// A diagram in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    title: String,
    parties: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Answer { from: String, to: String, label: String },
    Message { from: String, to: String, label: String },
    Note { over: String, text: String },
}

impl Sequence {
    /// An empty diagram.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// A message from one party to another; parties stand in the order of their first appearance.
    pub fn message(&mut self, from: &str, to: &str, label: &str) {
        self.meet(from);
        self.meet(to);
        self.steps.push(Step::Message { from: from.to_owned(), to: to.to_owned(), label: label.to_owned() });
    }

    /// The answer to a message.
    pub fn answer(&mut self, from: &str, to: &str, label: &str) {
        self.meet(from);
        self.meet(to);
        self.steps.push(Step::Answer { from: from.to_owned(), to: to.to_owned(), label: label.to_owned() });
    }

    /// A remark beside a party.
    pub fn note(&mut self, over: &str, text: &str) {
        self.meet(over);
        self.steps.push(Step::Note { over: over.to_owned(), text: text.to_owned() });
    }

    fn meet(&mut self, party: &str) {
        if !self.parties.iter().any(|known| known == party) {
            self.parties.push(party.to_owned());
        }
    }

    fn short(&self, party: &str) -> String {
        let at = self.parties.iter().position(|known| known == party).unwrap_or_default();
        format!("p{at}")
    }

    /// The diagram in Mermaid's language. Valid whatever the labels contain.
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
    /// The diagram as a picture, legible in light and dark. Valid whatever the labels contain.
    pub fn to_svg(&self) -> String {
        svg::figure(self).to_svg(&self.title)
    }
}

/// A label of this diagram.
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
