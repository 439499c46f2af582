//! Drives the real binary from outside, as a user, a client and an attacker would. Never shipped.
//!
//! This library is what the tests in `tests/it` are written with; start from [`harness::Checkpoint`], which is one
//! running `sekisho` with a data directory of its own. A [`harness::Person`] signs in and decides without a browser,
//! an [`harness::Agent`] is an OAuth client, a [`harness::Mcp`] speaks to a server in any revision. What the real
//! clients, the real browser and the public suites do is started through [`harness::node`].
//!
//! A step that cannot be taken ends the test there and says why, so most functions here panic rather than return
//! errors. Nothing waits for time to pass: everything waits for a condition, with a deadline.
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
