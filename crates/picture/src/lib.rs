//! Facts drawn. Pure: facts go in, text comes out.
//!
//! For now the one drawing is [`sequence`]: who said what to whom, in order, as a Mermaid sequence diagram.

pub mod sequence;
