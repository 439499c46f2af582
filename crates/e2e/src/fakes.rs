//! The other parties of an attack, in this process and on loopback: an upstream that misbehaves on request, a host of
//! client metadata documents, a canary that must stay silent; and a browser, an OAuth client and an MCP client whose
//! every byte a test decides on.

pub mod browser;
pub mod call;
pub mod canary;
pub mod documents;
pub mod oauth;
pub mod provider;
pub mod upstream;
pub mod wire;
