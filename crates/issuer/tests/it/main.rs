//! The issuer through its public face: its router, a temporary store, a clock that is moved by hand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod given;
mod harness;

mod access;
mod agents;
mod approvals;
mod auditing;
mod consent;
mod csrf;
mod documents;
mod doors;
mod endpoints;
mod flow;
mod login;
mod pages;
mod tasks;
mod tools;
