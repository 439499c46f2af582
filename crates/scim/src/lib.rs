//! SCIM 2.0 (RFC 7643, RFC 7644) without a server: what a provisioning client asks, and what it makes of a resource.
//!
//! Pure: resources are JSON objects that the caller reads from the store and writes back; nothing here knows users, groups or
//! HTTP. What a person who is provisioned may do is not decided here either.
//!
//! Start from [`patch::Patch`] and [`filter::Filter`]. Both read what the specification has and what Entra ID and Okta send.
//! Attributes are a table, [`schema`]: to support another one, add a row there, and filters, patches, projections and the
//! document at `/Schemas` know it.

pub mod discovery;
pub mod error;
pub mod filter;
pub mod list;
pub mod patch;
pub mod path;
pub mod projection;
pub mod resource;
pub mod schema;

#[cfg(test)]
mod growth;
