//! The console through its public face: its pages beside those of the issuer, a temporary store, a clock that is moved by hand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "the tests of the issuer use the rest of what both share")]
#[path = "../../../issuer/tests/it/given.rs"]
mod given;
#[allow(dead_code, reason = "the tests of the issuer use the rest of what both share")]
#[path = "../../../issuer/tests/it/harness.rs"]
mod harness;

mod access;
mod agents;
mod approvals;
mod company;
mod parity;
mod records;
mod scim;
mod scim_changes;
mod tasks;
mod tools;
