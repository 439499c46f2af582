//! Administration: what an operator or an owner can do, as functions.
//!
//! The command line is one voice of it; pages and a JSON API will be others. Every act is a value
//! ([`acts::Act`]) so that it can travel over the control socket, and is performed by
//! [`acts::perform`] in one transaction together with its record.

pub mod acts;
