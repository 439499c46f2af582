//! What people, operators and agents do with the checkpoint, and the questions about it.
//!
//! An **act** is one function: it checks its input against one set of bounds, changes rows, and writes exactly one
//! [`sekisho_protocol::audit::Act`] into the records, all in the transaction that it is given. Pages, the command line and
//! the gateway call the same function, so what one of them refuses, the others refuse with the same words, and what one of
//! them does leaves the same record but for the actor. A **question** ([`question`]) changes nothing.
//!
//! This crate knows no HTTP, no page and no configuration file, and no act knows which database it writes to. What the OAuth
//! endpoints do (codes, tokens, registrations, consent) is in `issuer`, which writes the same kind of record through
//! [`Performer::record`].
//!
//! Start from [`Performer`]. An act does not commit: its caller does, so that a failure on the way leaves nothing half-done.
//! [`command`] makes of acts and questions what can travel over the control socket.
//!
//! To add an act: a function in the file of its noun, a kind in [`sekisho_protocol::audit::ActKind`] with what it says about
//! rights, a variant of [`command::Command`] if the command line offers it, and a row in `tests/it/parity.rs`.

pub mod access;
pub mod approval;
pub mod client;
pub mod command;
pub mod external;
pub mod grant;
pub mod identity;
pub mod link;
pub mod password;
mod performer;
pub mod question;
pub mod reading;
pub mod records;
mod role;
pub mod scim;
pub mod server;
pub mod session;
pub mod settings;
pub mod task;
pub mod tool;
pub mod user;

mod error;
mod limits;

pub use error::{ActError, Invalid};
pub use performer::Performer;
