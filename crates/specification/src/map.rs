//! The result of reading: the documents and the graph of their sections.

use crate::graph::Graph;
use crate::source::Kind;

/// The specifications that were read: their sections and how these relate.
#[derive(Debug, Clone)]
pub struct Map {
    /// The documents, in the order in which they were given.
    pub(crate) documents: Vec<DocumentName>,
    pub(crate) graph: Graph,
}

/// A document that was read.
#[derive(Debug, Clone)]
pub(crate) struct DocumentName {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

impl Map {
    /// Returns the name of the document that contains a section.
    pub(crate) fn document_of(&self, section: usize) -> &str {
        let document = self.graph.nodes.get(section).map_or(0, |node| node.document);
        self.documents.get(document).map_or("", |document| document.name.as_str())
    }
}
