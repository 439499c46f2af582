//! A relying party of an OpenID provider (OpenID Connect Core 1.0): lets a person sign in at another provider.
//!
//! In order: [`provider::discover`] reads the provider's metadata; [`sign_in::begin`] creates the URL to which the
//! browser is sent, and the record to keep until it comes back; [`sign_in::SignIn::answer`] checks the answer;
//! [`sign_in::SignIn::exchange`] exchanges the code. The ID token is then checked by `token::verify_id_token` with the
//! keys from [`crate::jwks::KeySets::check`], and [`user_info`] fetches claims that are not in it.
//! [`logout::logout_url`] signs out. Nothing is stored here.

pub mod logout;
pub mod member_groups;
pub mod provider;
pub mod sign_in;
pub mod user_info;

/// The largest response of a provider, in bytes: a token response with an ID token that names 5,000 groups.
pub(crate) const BODY_BYTES_MAX: usize = 640 * 1024;
