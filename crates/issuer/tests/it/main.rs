//! The issuer through its public face: its router, a temporary store, a clock that is moved by hand.

mod harness;

mod flow;
