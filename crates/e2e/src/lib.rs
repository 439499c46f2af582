//! Drives the real binary from outside, as a user, a client and an attacker would. Never shipped.
//!
//! The tests in `tests/it` use this library. Start from [`harness::Checkpoint`], which is one running `sekisho` with
//! its own data directory. A [`harness::Person`] signs in and decides without a browser, an [`harness::Agent`] is an
//! OAuth client, a [`harness::Mcp`] speaks to a server in any revision. [`harness::node`] runs real clients, a real
//! browser and public test suites.
//!
//! If a step fails, the test ends there and says why, so most functions here panic and do not return errors. Nothing
//! sleeps for a fixed time: everything waits for a condition, with a deadline.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test harness: a step that fails ends its test, with the reason"
)]

pub mod fakes;
pub mod harness;
pub mod jar;
pub mod refusals;
pub mod strangers;
