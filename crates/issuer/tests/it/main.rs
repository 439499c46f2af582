//! The issuer through its public face: its router, a temporary store, a clock that is moved by hand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "the tests of the console use the rest of what both share")]
mod given;
#[allow(dead_code, reason = "the tests of the console use the rest of what both share")]
mod harness;

mod consent;
mod csrf;
mod documents;
mod doors;
mod endpoints;
mod first_consent;
mod flow;
mod id_jag;
mod identities;
mod login;
mod pages;
mod ways;
