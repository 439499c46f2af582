//! Draws diagrams. Pure: data goes in, text comes out.
//!
//! [`sequence`]: the messages between parties, in order, as a Mermaid sequence diagram or SVG. [`sets`]: the three sets
//! that decide a call, with a server's tools in them, as SVG or as a Mermaid flowchart. [`diagram`]: sections and their
//! relations, as Mermaid, SVG or DOT. The output is valid whatever the names in it contain; a new drawing has to pass
//! foreign text through [`sekisho_protocol::label`].

pub mod diagram;
pub mod sequence;
pub mod sets;

mod layout;
mod measure;
