//! A specification read as a graph: what its parts are, how they relate, and what is demanded of whom.
//!
//! [`read`] takes texts (Markdown, MDX, RFCs as plain text, HTML) and gives a [`Map`]. [`Map::draw`] draws it within a
//! number of lines, [`Map::reading_order`] says what to read first, [`Map::pack`] cuts out what one question needs,
//! [`Map::normative`] lists the demands, and [`diff()`] compares two maps. All of it is made from the text by rules, the
//! same each time; nothing is guessed that the text does not say.
//!
//! Sections relate in five ways. One *contains* another. It *links* to another, by a link or by "see Section 4.1". It
//! *uses* a term that another defines: in a definition list or glossary, by a sentence that says what it is (also
//! 「…」とは and 「…をいう」), or by its heading. It is *then* followed by another, as an ordered list or numbered titles
//! say. And it *requires* another where a sentence with MUST, SHALL or REQUIRED (しなければならない, してはならない) is
//! about a thing that the other defines, or links to it. What is drawn within few lines is chosen by the weight that
//! `weight` describes.

use serde::{Deserialize, Serialize};

mod definitions;
mod document;
mod flowchart;
mod html;
mod kramdown;
mod links;
mod markdown;
mod outside;
mod references;
mod relations;
mod rfc;
mod sentences;
mod terms;
mod view;
mod weight;

mod ask;
mod diff;
mod dot;
mod json;
mod normative;
mod order;
mod pack;
mod svg;

pub use ask::{AskError, BrokenLink};
pub use diff::{Change, Difference, SectionChange, SentenceChange, diff};
pub use normative::{Requirement, normative_markdown};
pub use order::{Reading, ReadingOrder};
pub use sentences::Keyword;

/// How many bytes all sources together may have.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many sources there may be.
pub const SOURCES_MAX: usize = 2_000;
/// How many sections all sources together may have.
pub const SECTIONS_MAX: usize = 50_000;
/// In fewer lines than these nothing can be drawn.
pub const LINES_MIN: usize = 10;
/// With more lines than these Mermaid refuses to draw.
pub const LINES_MAX: usize = 300;
/// What fits on a screen.
pub const LINES_DEFAULT: usize = 50;
/// In fewer bytes than these a pack says nothing.
pub const PACK_BYTES_MIN: usize = 1_000;
/// What a question to a model bears well.
pub const PACK_BYTES_DEFAULT: usize = 20_000;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A page of the web.
    Html,
    /// Markdown.
    Markdown,
    /// Markdown with JSX in it.
    Mdx,
    /// An RFC or an Internet-Draft as plain text.
    Rfc,
}

/// A text to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path or address: links between sources are followed by it.
    pub name: String,
    /// What it says.
    pub text: String,
    /// How it is written.
    pub kind: Kind,
}

impl Source {
    /// A source; how it is written is seen from its name, or else from the text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        let kind = Kind::of(&name, &text);
        Self { name, text, kind }
    }
}

impl Kind {
    fn of(name: &str, text: &str) -> Self {
        let name = name.split(['?', '#']).next().unwrap_or_default().to_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let begins: String = text.trim_start().chars().take(16).collect::<String>().to_lowercase();
        if ends(&[".mdx"]) {
            Self::Mdx
        } else if ends(&[".md", ".markdown"]) {
            Self::Markdown
        } else if ends(&[".html", ".htm", ".xhtml"])
            || ["<!doctype", "<html", "<?xml"].iter().any(|tag| begins.starts_with(tag))
        {
            Self::Html
        } else if rfc::is_rfc(text) {
            Self::Rfc
        } else {
            Self::Markdown
        }
    }
}

/// How a map is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
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

/// What is shown of documents that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum External {
    /// One node for each.
    All,
    /// One node with the names of all.
    #[default]
    Collapsed,
    /// Nothing.
    None,
}

/// What is drawn, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many lines of Mermaid it may take; it bounds the other pictures alike.
    pub lines: usize,
    /// How it is written.
    pub format: Format,
    /// What is shown of documents outside.
    pub external: External,
    /// The section that gets the room, with what is around it.
    pub focus: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lines: LINES_DEFAULT, format: Format::default(), external: External::default(), focus: None }
    }
}

/// Why texts could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing was given.
    #[error("there is no text to read: name a file, a folder with Markdown, MDX, HTML or text files in it, or a URL")]
    Empty,
    /// It is no text.
    #[error("`{name}` is not a text: give Markdown, MDX, HTML, or an RFC as plain text")]
    NotText {
        /// Which.
        name: String,
    },
    /// A tag of it has more attributes than a page has.
    #[error("`{name}` is not read: one of its tags has too many attributes")]
    TooManyAttributes {
        /// Which.
        name: String,
    },
    /// There are too many.
    #[error("these are {count} texts, and at most {SOURCES_MAX} are read at once: name fewer")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// They have too many sections.
    #[error("`{name}` brings the sections beyond {SECTIONS_MAX}: read fewer texts at once")]
    TooManySections {
        /// With which.
        name: String,
    },
    /// They are too large.
    #[error("these texts have {bytes} bytes, and at most {BYTES_MAX} are read at once: name fewer")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
}

/// Specifications, read: sections and how they relate.
#[derive(Debug, Clone)]
pub struct Map {
    /// The documents: name and kind, in the order in which they were given.
    documents: Vec<(String, Kind)>,
    graph: relations::Graph,
}

/// Reads texts into one map. Links between them are followed by their names.
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
    let named = documents.iter().map(|document| (document.name.clone(), document.kind)).collect();
    Ok(Map { documents: named, graph: relations::build(documents) })
}

impl Map {
    /// Draws it.
    pub fn draw(&self, options: &Options) -> Result<String, AskError> {
        let focus = options.focus.as_ref().map(|name| ask::find(&self.graph, name)).transpose()?;
        let asked = view::Asked { lines: options.lines, external: options.external, focus };
        let view = view::choose(&self.graph, asked)?;
        Ok(match options.format {
            Format::Dot => dot::write(&view),
            Format::Json => json::write(self),
            Format::Mermaid => flowchart::write(&view, options.lines),
            Format::Svg => svg::write(&view),
        })
    }

    /// What to read first.
    pub fn reading_order(&self) -> ReadingOrder {
        order::of(&self.graph)
    }

    /// One section with what it needs to be understood, as Markdown of at most `bytes_max` bytes.
    pub fn pack(&self, section: &str, bytes_max: usize) -> Result<String, AskError> {
        pack::write(self, section, bytes_max)
    }

    /// What is demanded, of whom, where.
    pub fn normative(&self) -> Vec<Requirement> {
        normative::of(self)
    }

    /// Links to sections and documents that are not there.
    pub fn broken_links(&self) -> Vec<BrokenLink> {
        let named = |(section, target): &(usize, String)| BrokenLink {
            section: ask::path(&self.graph, *section),
            target: target.clone(),
        };
        self.graph.broken.iter().map(named).collect()
    }

    /// The name of the document that a section is in.
    fn document_of(&self, section: usize) -> &str {
        let document = self.graph.nodes.get(section).map_or(0, |node| node.document);
        self.documents.get(document).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests;
