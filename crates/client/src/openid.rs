//! Being a relying party of an OpenID provider (OpenID Connect Core 1.0): the way on which a person signs in somewhere else.
//!
//! In order: [`provider::discover`] reads what the provider says of itself; [`sign_in::begin`] makes the URL to which the
//! browser is sent, and what has to be kept until it comes back; [`sign_in::SignIn::answer`] checks what came back;
//! [`sign_in::SignIn::exchange`] trades the code. The ID token is then checked by `token::verify_id_token` with the keys
//! that [`crate::jwks::KeySets::check`] gives, and [`user_info`] asks for claims that are not in it.
//! [`logout::logout_url`] is the way out. Nothing is remembered here.

pub mod logout;
pub mod member_groups;
pub mod provider;
pub mod sign_in;
pub mod user_info;

/// How long an answer of a provider may be, in bytes: a token response with an ID token of 5,000 groups.
pub(crate) const BODY_BYTES_MAX: usize = 640 * 1024;
