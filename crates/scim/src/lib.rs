//! SCIM 2.0 (RFC 7643, RFC 7644) without a server: the requests of a provisioning client, and their effect on a
//! resource.
//!
//! Pure: resources are JSON objects that the caller reads from the store and writes back; nothing here knows users,
//! groups or HTTP. Nor does this crate decide what a provisioned person may do.
//!
//! Start from [`patch::Patch`] and [`filter::Filter`]. Both accept the forms of the specification and those that Entra
//! ID and Okta send. Attributes are a table, [`schema`]: to support another one, add a row there; filters, patches,
//! projections and the document at `/Schemas` then know it.

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
