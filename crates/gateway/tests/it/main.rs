//! The gateway through its public face: the real router on a real socket, a real store, tokens that the token crate
//! signed, and upstreams that are told how to behave.

mod fake;
mod world;

mod discovery;
mod happy;
mod identity;
mod messages;
mod policy;
mod sessions;
mod streams;
mod upstreams;
