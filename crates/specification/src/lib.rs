//! Reads a specification as a graph: its sections, their relations, and what it demands of whom.
//!
//! [`read`] reads texts (Markdown, MDX, RFCs as plain text, HTML) into a [`Map`]. [`Map::diagram`] chooses what to show
//! within a number of lines (`picture` draws it), [`Map::reading_order`] says what to read first, [`Map::pack`]
//! extracts the text for one question, [`Map::normative`] lists the demands, and [`diff()`] compares two maps. All
//! results follow from the text by fixed rules, so they are the same each time; nothing is guessed.
//!
//! Sections relate in five ways. One *contains* another. It *links* to another, by a link or by "see Section 4.1". It
//! *uses* a term that another defines: in a definition list or glossary, by a sentence that says what the term means
//! (also 「…」とは and 「…をいう」), or by its heading. It is *then* followed by another, by an ordered list or by numbered
//! titles. And it *requires* another if a sentence with MUST, SHALL or REQUIRED (しなければならない, してはならない) is about a term
//! that the other defines, or links to it. `weight` describes the weights by which a small diagram is chosen.

mod bounds;
mod definitions;
mod document;
mod graph;
mod html;
mod kramdown;
mod links;
mod map;
mod markdown;
mod outside;
mod references;
mod relations;
mod rfc;
mod sentences;
mod source;
mod terms;
mod view;
mod weight;

mod ask;
mod diff;
mod json;
mod normative;
mod order;
mod pack;

use sekisho_protocol::diagram::Diagram;

pub use ask::{AskError, BrokenLink};
pub use bounds::{
    BYTES_MAX, LINES_DEFAULT, LINES_MAX, LINES_MIN, PACK_BYTES_DEFAULT, PACK_BYTES_MIN, SECTIONS_MAX, SOURCES_MAX,
};
pub use diff::{Change, Difference, SectionChange, SentenceChange, diff};
pub use map::Map;
pub use normative::{Requirement, normative_markdown};
pub use order::{Reading, ReadingOrder};
pub use sentences::Keyword;
pub use source::{Kind, Source};
pub use view::External;

use map::DocumentName;

/// What a diagram shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The number of lines of Mermaid that it may take. It bounds the other formats in the same way.
    pub lines: usize,
    /// How documents that were not read are shown.
    pub external: External,
    /// The section to focus on: it is shown with its surroundings.
    pub focus: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lines: LINES_DEFAULT, external: External::default(), focus: None }
    }
}

/// Why texts could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no text.
    #[error("there is no text to read: name a file, a folder with Markdown, MDX, HTML or text files in it, or a URL")]
    Empty,
    /// A source is not text.
    #[error("`{name}` is not a text: give Markdown, MDX, HTML, or an RFC as plain text")]
    NotText {
        /// The name of the source.
        name: String,
    },
    /// A tag of a source has more attributes than any real page.
    #[error("`{name}` is not read: one of its tags has too many attributes")]
    TooManyAttributes {
        /// The name of the source.
        name: String,
    },
    /// There are too many sources.
    #[error("these are {count} texts, and at most {SOURCES_MAX} are read at once: name fewer")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// The sources have too many sections.
    #[error("`{name}` brings the sections beyond {SECTIONS_MAX}: read fewer texts at once")]
    TooManySections {
        /// The source that exceeded the bound.
        name: String,
    },
    /// The sources are too large.
    #[error("these texts have {bytes} bytes, and at most {BYTES_MAX} are read at once: name fewer")]
    TooLarge {
        /// Their size in bytes.
        bytes: usize,
    },
}

/// Reads texts into one map. Links between them are resolved by their names.
pub fn read(sources: &[Source]) -> Result<Map, ReadError> {
    if sources.is_empty() {
        return Err(ReadError::Empty);
    }
    if sources.len() > SOURCES_MAX {
        return Err(ReadError::TooMany { count: sources.len() });
    }
    let bytes = sources.iter().map(|source| source.text.len()).sum();
    if bytes > BYTES_MAX {
        return Err(ReadError::TooLarge { bytes });
    }
    let mut documents = Vec::with_capacity(sources.len());
    let mut sections = 0;
    for source in sources {
        if source.text.contains('\0') {
            return Err(ReadError::NotText { name: source.name.clone() });
        }
        let document = match source.kind {
            Kind::Html => html::read(&source.name, &source.text)
                .map_err(|html::TooManyAttributes| ReadError::TooManyAttributes { name: source.name.clone() })?,
            Kind::Markdown | Kind::Mdx => markdown::read(&source.name, &source.text, source.kind),
            Kind::Rfc => rfc::read(&source.name, &source.text),
        };
        sections += document.sections.len();
        if sections > SECTIONS_MAX {
            return Err(ReadError::TooManySections { name: source.name.clone() });
        }
        documents.push(document);
    }
    let named =
        documents.iter().map(|document| DocumentName { name: document.name.clone(), kind: document.kind }).collect();
    Ok(Map { documents: named, graph: relations::build(documents) })
}

impl Map {
    /// Chooses what a diagram of the map shows.
    pub fn diagram(&self, options: &Options) -> Result<Diagram, AskError> {
        let focus = options.focus.as_ref().map(|name| ask::find(&self.graph, name)).transpose()?;
        view::choose(&self.graph, view::Selection { lines: options.lines, external: options.external, focus })
    }

    /// Returns the whole graph with all its data, for programs.
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// Returns the order in which to read the sections.
    pub fn reading_order(&self) -> ReadingOrder {
        order::of(&self.graph)
    }

    /// Returns one section and the text that is needed to understand it, as Markdown of at most `bytes_max` bytes.
    pub fn pack(&self, section: &str, bytes_max: usize) -> Result<String, AskError> {
        pack::write(self, section, bytes_max)
    }

    /// Returns every demand: what is demanded, of whom, and where.
    pub fn normative(&self) -> Vec<Requirement> {
        normative::of(self)
    }

    /// Returns the links to sections and documents that do not exist.
    pub fn broken_links(&self) -> Vec<BrokenLink> {
        let named = |(section, target): &(usize, String)| BrokenLink {
            section: ask::path(&self.graph, *section),
            target: target.clone(),
        };
        self.graph.broken.iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests;
