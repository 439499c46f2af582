//! What a sequence diagram is made of.

/// The longest label, in characters; what is longer is cut with an ellipsis.
pub(super) const LABEL_CHARS_MAX: usize = 160;

/// The longest remark, in characters: it names rules, whose names are their authors'.
pub(super) const NOTE_CHARS_MAX: usize = 600;

/// A diagram in the making.
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

    pub(super) fn short(&self, party: &str) -> String {
        let at = self.parties.iter().position(|known| known == party).unwrap_or_default();
        format!("p{at}")
    }
}
