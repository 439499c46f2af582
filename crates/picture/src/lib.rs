//! Facts drawn. Pure: facts go in, text comes out.
//!
//! [`sequence`]: who said what to whom, in order, as a Mermaid sequence diagram or SVG. [`sets`]: the three sets that
//! decide a call, with a server's tools in them, as SVG or as a Mermaid flowchart. [`spec`]: how the sections of a
//! specification relate, read from its text, as Mermaid, SVG, DOT or JSON. Whatever the names in them contain, what comes
//! out is valid; a new drawing takes foreign text only through `text` or `mermaid`.

pub mod sequence;
pub mod sets;
pub mod spec;

mod layout;
mod measure;
mod mermaid;
mod text;
