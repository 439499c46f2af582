//! The shared vocabulary of Sekisho: identifiers, secrets, scopes, OAuth documents, MCP messages, audit words.
//!
//! Pure types and total functions: no I/O, no async, no clock of its own. Two crates on one floor never name
//! each other; what they must agree on is a type in here.
//!
//! Start from [`caller::Caller`] (who speaks), [`mcp::message::Message`] (what is asked) and
//! [`refusal::Refusal`] (what a refused caller is told). To add a method of the protocol, add a row to
//! [`mcp::method`]; to add a word to the records, add a variant to [`audit`].

pub mod account;
pub mod audit;
pub mod caller;
pub mod canonical;
pub mod catalogue;
pub mod challenge;
pub mod connect_lines;
pub mod decimal;
pub mod diagram;
pub mod digest;
pub mod env;
pub mod external;
#[cfg(feature = "test-util")]
pub mod growth;
pub mod ids;
pub mod json;
pub mod label;
pub mod mcp;
pub mod metadata;
pub mod oauth_error;
pub mod openid;
pub mod pkce;
pub mod redirect;
pub mod refusal;
pub mod registration;
pub mod resource;
pub mod role;
pub mod scope;
pub mod secret;
pub mod server;
pub mod task;
pub mod text;
pub mod uri;
