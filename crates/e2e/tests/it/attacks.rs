//! The attacks that can be shown from outside, against the real binary.
//!
//! A test passes only if the attack was refused as specified, the refusal is in the records, nothing reached the
//! upstream or the canary, and the next honest call works.

#![expect(
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "what is cut is ASCII that the test wrote itself; what is long is a list of attacks"
)]

mod field;
mod folding;

mod accounts;
mod argument_spellings;
mod arguments;
mod assertions;
mod client_browsers;
mod client_files;
mod client_issuers;
mod client_named;
mod client_stores;
mod client_streams;
mod client_terminal;
mod connections;
mod external_issuers;
mod faults_of_clocks;
mod faults_of_disks;
mod gateway_bodies;
mod gateway_doors;
mod gateway_sessions;
mod gateway_streams;
mod gateway_tokens;
mod gateway_upstream;
mod gateway_wire;
mod hostile;
mod issuer_clients;
mod issuer_codes;
mod issuer_documents;
mod issuer_pages;
mod issuer_requests;
mod issuer_tokens;
mod issuers_outside;
mod linked_accounts;
mod logins;
mod many_streams;
mod memory;
mod neighbours;
mod operator_tools;
mod patterns;
mod program;
mod programs;
pub(crate) mod providers;
mod provisioned_people;
mod provisioning;
mod provisioning_outside;
mod records;
mod records_that_end;
mod session_ids;
mod sessions;
mod sign_outs;
mod spellings;
mod strangers;
mod strangers_texts;
mod tables;
mod waiting;
mod ways;
