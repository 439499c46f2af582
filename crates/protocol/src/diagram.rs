//! A diagram of sections and their relations: what `specification` chooses to show and what `picture` draws.

/// What is drawn, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagram {
    /// The title of the whole.
    pub title: String,
    /// The sections that are shown. A section stands after its parent.
    pub nodes: Vec<Node>,
    /// The relations that are shown.
    pub arrows: Vec<Arrow>,
    /// Documents that were not read, but are referred to.
    pub outside: Vec<OutsideDocument>,
    /// How much is not shown, in words.
    pub note: String,
    /// The node that the reader asked about, as its place in `nodes`.
    pub focus: Option<usize>,
    /// How many lines of Mermaid this was chosen for.
    pub lines_max: usize,
}

/// A section that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its number and title, as the text has them.
    pub title: String,
    /// The nearest section around it that is shown, as its place among the nodes.
    pub parent: Option<usize>,
    /// How many sections inside it are not shown.
    pub folded: usize,
    /// Whether others that are shown stand inside it: it is drawn around them.
    pub has_children: bool,
    /// Whether it has a box of its own: an arrow leads to or from it, or nothing stands inside it.
    pub has_box: bool,
}

/// The kinds of relations between sections, beside containment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The section links to the other, or says to see it.
    Links,
    /// A requirement of the section is about what the other defines or is.
    Requires,
    /// The other is the next step.
    Then,
    /// The section uses a term that the other defines.
    Uses,
}

/// How often one section relates to another, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelationCounts {
    links: u32,
    requires: u32,
    then: u32,
    uses: u32,
}

impl RelationCounts {
    /// How many relations of this kind there are.
    pub fn of(&self, relation: Relation) -> u32 {
        match relation {
            Relation::Links => self.links,
            Relation::Requires => self.requires,
            Relation::Then => self.then,
            Relation::Uses => self.uses,
        }
    }

    /// Adds so many of this kind. The sum stops at the largest number.
    pub fn add(&mut self, relation: Relation, count: u32) {
        let counter = match relation {
            Relation::Links => &mut self.links,
            Relation::Requires => &mut self.requires,
            Relation::Then => &mut self.then,
            Relation::Uses => &mut self.uses,
        };
        *counter = counter.saturating_add(count);
    }

    /// Adds all that another has.
    pub fn add_all(&mut self, other: Self) {
        for relation in [Relation::Links, Relation::Requires, Relation::Then, Relation::Uses] {
            self.add(relation, other.of(relation));
        }
    }

    /// How many relations there are of all kinds.
    pub fn sum(&self) -> u64 {
        [self.links, self.requires, self.then, self.uses].map(u64::from).iter().sum()
    }
}

/// Relations from one node to another, drawn as one arrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrow {
    /// Where it begins, as a place among the nodes.
    pub from: usize,
    /// Where it ends, as a place among the nodes.
    pub to: usize,
    /// How many relations of each kind it stands for.
    pub counts: RelationCounts,
    /// The terms that it is about; only the first few.
    pub terms: Vec<String>,
    /// How many other terms it is about.
    pub terms_left_out: usize,
}

impl Arrow {
    /// Whether it stands for a relation of this kind.
    pub fn has(&self, relation: Relation) -> bool {
        self.counts.of(relation) > 0
    }

    /// Its kinds in words, and as many of its terms as fit. At least one term is named.
    pub fn label(&self, fits: impl Fn(&str) -> bool) -> String {
        let mut count = self.terms.len();
        loop {
            let label = self.label_with(count);
            if count <= 1 || fits(&label) {
                return label;
            }
            count -= 1;
        }
    }

    /// The label with so many terms, and the number of the others.
    fn label_with(&self, count: usize) -> String {
        let of = |relation| self.counts.of(relation);
        let (links, requires) = (of(Relation::Links), of(Relation::Requires));
        let named = |word: &str, count: u32| if count > 1 { format!("{word} ×{count}") } else { word.to_owned() };
        // A requirement about a term is a use of the term.
        let uses = if requires > 0 { 0 } else { of(Relation::Uses) };
        let links = if requires > 0 && self.terms.is_empty() && links <= requires { 0 } else { links };
        let kinds = [("requires", requires), ("then", of(Relation::Then)), ("links", links), ("uses", uses)];
        let words: Vec<String> =
            kinds.iter().filter(|(_, count)| *count > 0).map(|(word, count)| named(word, *count)).collect();
        let mut terms: Vec<String> = self.terms.iter().take(count).cloned().collect();
        let more = self.terms_left_out + self.terms.len().saturating_sub(count);
        if more > 0 {
            terms.push(format!("{more} more"));
        }
        if terms.is_empty() { words.join(", ") } else { format!("{}: {}", words.join(", "), terms.join(", ")) }
    }
}

/// A document that was not read, or several under one label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutsideDocument {
    /// Its name, or the names of all.
    pub label: String,
    /// The nodes that refer to it.
    pub references: Vec<Reference>,
}

/// References from one node to a document outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Where they stand, as a place among the nodes.
    pub from: usize,
    /// How many there are.
    pub count: u32,
}
