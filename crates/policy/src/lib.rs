//! Decides whether a caller may make a call. Rights, grant and task go in; one decision comes out.
//!
//! Pure, total, not async: no store, no clock, no network. [`decide::decide`] is the central function. Only it makes a
//! [`permit::Permit`], without which nothing is forwarded. What is unknown is refused.
//!
//! A request enters as a [`sekisho_protocol::caller::Caller`], the [`model::Authority`] behind it and a
//! [`model::Call`], and leaves as a [`decide::Decision`]. To add a reason to refuse, add a variant to
//! [`decide::Reason`]. To let policies speak of something new, add it to `rights/schema.cedarschema` and to
//! `rights/request.rs`.

pub mod advise;
mod authority;
pub mod bounds;
pub mod case;
pub mod decide;
pub mod explain;
pub mod grant;
pub mod lending;
pub mod model;
pub mod permit;
mod reason;
pub mod replay;
pub mod rights;
pub mod schema;
pub mod task;
