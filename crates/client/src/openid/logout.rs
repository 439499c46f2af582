//! Signing out at the provider as well (OpenID Connect RP-Initiated Logout 1.0 §2). Pure.

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::secret::SubjectToken;
use url::Url;

use super::provider::Provider;
use crate::http::{Destination, Named};

/// A sign-out at a provider: who is signed out, and where the browser goes then.
#[derive(Debug, Clone, Copy)]
pub struct LogoutWish<'a> {
    /// Our client identifier there.
    pub client: &'a ClientId,
    /// The ID token of the sign-in, if it was kept: without it, many providers ask the person.
    pub id_token: Option<&'a SubjectToken>,
    /// Where the browser is sent back to; it has to be registered at the provider.
    pub post_logout_redirect_uri: Option<&'a str>,
    /// The `state` that the browser brings back.
    pub state: Option<&'a str>,
}

/// Returns the URL to send the browser to. `None`: the provider has no such page. It contains the ID token, so it must
/// not be logged.
pub fn logout_url(provider: &Provider, wish: LogoutWish<'_>) -> Option<String> {
    let endpoint = provider.end_session_endpoint.as_ref()?;
    let named = Destination::named(Named::EndSessionEndpoint, provider.issuer(), endpoint).ok()?;
    let mut url = Url::parse(named.as_str()).ok()?;
    let mut pairs = url.query_pairs_mut();
    pairs.append_pair("client_id", wish.client.as_str());
    for (name, value) in [
        ("id_token_hint", wish.id_token.map(SubjectToken::expose)),
        ("post_logout_redirect_uri", wish.post_logout_redirect_uri),
        ("state", wish.state),
    ] {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    drop(pairs);
    Some(url.into())
}
