//! Facts drawn. Pure: facts go in, text comes out.
//!
//! [`sequence`]: who said what to whom, in order, as a Mermaid sequence diagram or SVG. [`sets`]: the three sets that
//! decide a call, with a server's tools in them, as SVG or as a Mermaid flowchart. [`diagram`]: sections and their
//! relations, as Mermaid, SVG or DOT. Whatever the names in them contain, what comes out is valid; a new drawing takes
//! foreign text only through [`sekisho_protocol::label`].

pub mod diagram;
pub mod sequence;
pub mod sets;

mod layout;
mod measure;
