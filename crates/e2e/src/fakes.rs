//! The other parties of an attack, in this process and on loopback: an upstream that misbehaves on request, a host of
//! client metadata documents, and a canary that nobody may contact; also a browser, an OAuth client and an MCP client,
//! for which a test decides on every byte.

pub mod browser;
pub mod call;
pub mod canary;
pub mod documents;
pub mod oauth;
pub mod provider;
pub mod upstream;
pub mod vendor;
pub mod wire;
