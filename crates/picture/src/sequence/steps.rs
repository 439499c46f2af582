//! The parts of a sequence diagram.

/// The longest label, in characters; a longer one is cut with an ellipsis.
pub(super) const LABEL_CHARS_MAX: usize = 160;

/// The longest remark, in characters. It names rules, whose authors choose the names.
pub(super) const NOTE_CHARS_MAX: usize = 600;

/// A sequence diagram that is being built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    pub(super) title: String,
    pub(super) parties: Vec<String>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Answer { from: String, to: String, label: String },
    Message { from: String, to: String, label: String },
    Note { over: String, text: String },
}

impl Sequence {
    /// Creates an empty diagram.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds a message from one party to another. Parties stand in the order of their first appearance.
    pub fn message(&mut self, from: &str, to: &str, label: &str) {
        self.meet(from);
        self.meet(to);
        self.steps.push(Step::Message { from: from.to_owned(), to: to.to_owned(), label: label.to_owned() });
    }

    /// Adds the answer to a message.
    pub fn answer(&mut self, from: &str, to: &str, label: &str) {
        self.meet(from);
        self.meet(to);
        self.steps.push(Step::Answer { from: from.to_owned(), to: to.to_owned(), label: label.to_owned() });
    }

    /// Adds a remark beside a party.
    pub fn note(&mut self, over: &str, text: &str) {
        self.meet(over);
        self.steps.push(Step::Note { over: over.to_owned(), text: text.to_owned() });
    }

    fn meet(&mut self, party: &str) {
        if !self.parties.iter().any(|known| known == party) {
            self.parties.push(party.to_owned());
        }
    }

    pub(super) fn short(&self, party: &str) -> String {
        let at = self.parties.iter().position(|known| known == party).unwrap_or_default();
        format!("p{at}")
    }
}
