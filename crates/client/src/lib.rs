//! An OAuth and MCP client: discovery, registration, the code flow, tokens, keys of other issuers. Its HTTP client
//! fetches every URL that a stranger names; calls to upstream servers are sent by `gateway`.
//!
//! Not here: the format of our own tokens (`token`), and who may do what (`policy`). Of other servers' responses, only
//! key sets and answers about opaque tokens are cached, for a bounded time.
//!
//! Start from [`http::SafeHttp`], the only thing that opens a connection. A login uses the modules below in this order:
//! [`challenge`] reads a 401, [`discovery`] finds the resource and its issuer, [`registration`] registers a client
//! there, [`authorization`] sends a person to the issuer and checks the answer (received by [`callback`]), [`token`]
//! exchanges the code, and [`mcp`] calls with the token. Each step is a function of an [`http::HttpClient`] and the
//! step before; steps that need no network are pure.
//!
//! [`openid`] signs people in at other providers, with steps in the same style.
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
pub mod issuers;
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
pub mod vendor;

mod text;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod growth;
