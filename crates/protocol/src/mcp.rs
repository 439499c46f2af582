//! What MCP messages look like on the wire: the method table, the strict reading, headers against bodies,
//! event streams, and edits that leave every other byte alone.
//!
//! Nothing here is typed end to end: what was authorised is what is forwarded, so a message is *viewed* in its
//! own bytes and never built anew. A message enters through [`message::Message::read`] (which runs
//! [`strict::check`] first), is met by its row of [`method::lookup`], is compared with its HTTP headers by
//! [`headers::agree`], and leaves as the same bytes or as a splice of them made in [`splice`].
//!
//! To add a method: a variant of [`method::Method`] and one row per direction in its table.

pub mod error;
pub mod headers;
pub mod message;
pub mod method;
pub mod mirror;
pub mod splice;
pub mod sse;
pub mod strict;

pub(crate) mod scan;
