//! One running checkpoint. `wiring.rs` builds it, and each other file does one of its tasks.

mod listing;
pub(crate) mod login;
mod outbound;
mod questions;
mod recording;
mod reload;
mod settings;
mod upkeep;
mod upkeep_state;
mod upstreams;
mod wiring;

pub(crate) use questions::judge;
pub(crate) use wiring::{Instance, Parts};

pub(crate) use crate::definitions::Source;

#[cfg(test)]
mod tests;
