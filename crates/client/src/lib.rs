//! Being an OAuth and MCP client: discovery, registration, the code flow, tokens, keys of other issuers. Its HTTP client
//! fetches every address that a stranger names; calls to upstream servers are sent by `gateway`.
//!
//! Not here: what our own tokens look like (`token`), who may do what (`policy`). Nothing is remembered but key
//! sets, for a while.
//!
//! Start from [`http::SafeHttp`], the only thing that opens a connection. A login reads from top to bottom as the
//! modules below: a 401 is read by [`challenge`], [`discovery`] finds the resource and its issuer,
//! [`registration`] makes a client known there, [`authorization`] sends a person and checks what comes back
//! (caught by [`callback`]), [`token`] trades the code, [`mcp`] calls with what it got. Each step is a function of
//! an [`http::HttpClient`] and the step before; what needs no network is pure.
//!
//! A person who signs in at somebody else's provider is [`openid`], step by step in the same way.
//!
//! To add a request to an authorization server: a function beside the others, with its own error enum, that builds an
//! [`http::Request`] and reads an [`http::Response`]. Wrap the client in [`http::Recording`] to see the legs.

pub mod authorization;
pub mod bridge;
pub mod callback;
pub mod challenge;
pub mod discovery;
pub mod doctor;
pub mod exchange;
pub mod http;
pub mod introspection;
pub mod jwks;
pub mod legs;
pub mod login;
pub mod mcp;
pub mod openid;
pub mod registration;
pub mod session;
pub mod signing;
pub mod token;
pub mod token_store;

mod text;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod growth;
