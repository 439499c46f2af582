//! The authorization server of Sekisho (OAuth 2.1): login, consent, codes, tokens, clients.
//!
//! It does not judge calls and never sees one: what it grants is a scope of a server, and `policy` and the gateway
//! decide what that is worth. It does not know where it listens, which machine it runs on, or how keys are kept.
//!
//! Start from [`Issuer`]: made of [`IssuerParts`], served by [`Issuer::programs`] and [`Issuer::pages`]. A person lets a client in along
//! the modules below, from top to bottom: `authorize` judges the request and keeps it, `consent` shows who asks,
//! `login` finds out who answers, `consent` again makes a code of the answer, and `token` an access token of the
//! code. Every request of a person enters as a `sekisho_web::Visit` (its only `now`, its name, its browser) and leaves through
//! `sekisho_web::frame` or `error`. What a signed-in person sees otherwise is in `console`.
//!
//! To add a check to authorization requests: a named function in `authorize::read_request`, at the place where its
//! failure is cheapest. To add an endpoint: an operation in a file of its own with an error enum beside it, a handler in
//! `endpoints`, a route in [`Issuer::programs`] or [`Issuer::pages`], and the mapping of the error in `error`.

mod endpoints;
mod issuer;

mod assertions;
mod authorize;
mod clients;
mod consent;
mod grant;
mod links;
pub mod login;
mod metadata;
mod redirect;
mod register;
mod revoke;
mod settings;
pub mod setup;
mod token;

mod error;
mod limits;
mod pages;
mod records;
#[cfg(test)]
mod testing;

pub use assertions::AssertionIssuer;
pub use consent::ListingRequest;
pub use issuer::{Issuer, IssuerParts};
pub use settings::{DocumentPolicy, IssuerSettings, RegistrationPolicy};
