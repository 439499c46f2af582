//! Where an answer may go, as a type: only a redirect that was proven to be the client's can be answered at.

use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::Client;
use url::form_urlencoded::Serializer;

/// Proof that an address is one that the client registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvenRedirect(RedirectUri);

impl ProvenRedirect {
    /// Proves a requested redirect (AS-09, AS-10, AS-28): byte for byte one of the client's, but for the port of a
    /// loopback address. It must be named: what is not said cannot be repeated at the token endpoint.
    pub(crate) fn prove(client: &Client, requested: Option<&str>) -> Option<Self> {
        let requested = requested?;
        let admitted = client.redirect_uris.iter().any(|registered| registered.admits(requested));
        RedirectUri::parse(requested).ok().filter(|_| admitted).map(Self)
    }

    /// The characters, as requested.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host to show to a person.
    pub(crate) fn host(&self) -> String {
        self.0.host()
    }

    /// Whether some program on the user's machine listens there.
    pub(crate) fn is_local(&self) -> bool {
        self.0.is_local()
    }

    /// Whether the address has a private-use scheme, that is, no host.
    pub(crate) fn is_private_scheme(&self) -> bool {
        !self.as_str().starts_with("http://") && !self.as_str().starts_with("https://")
    }

    /// The address with these parameters and our name (RFC 6749 §4.1.2, RFC 9207 §2). What was there stays as it was
    /// written.
    pub(crate) fn answer(&self, issuer: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
        let separator = match self.as_str() {
            uri if uri.ends_with(['?', '&']) => "",
            uri if uri.contains('?') => "&",
            _ => "?",
        };
        format!("{}{separator}{}", self.as_str(), query.finish())
    }

    /// The source expression that lets a form lead there (CSP Level 3 §2.3.1), with a space before it. None where
    /// there is no such expression: it has no notation for IPv6 addresses.
    pub(crate) fn form_target(&self) -> Option<String> {
        if self.is_private_scheme() {
            let scheme = self.as_str().split(':').next()?;
            return Some(format!(" {scheme}:"));
        }
        let url = url::Url::parse(self.as_str()).ok()?;
        match url.host()? {
            url::Host::Ipv6(_) => None,
            _ => Some(format!(" {}", url.origin().ascii_serialization())),
        }
    }
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::redirect::RedirectUri;

    use super::ProvenRedirect;

    fn proven(text: &str) -> ProvenRedirect {
        ProvenRedirect(RedirectUri::parse(text).unwrap())
    }

    /// AS-18: the answer carries what it must and leaves the rest of the address alone.
    #[test]
    fn an_answer_is_added_to_the_address_as_it_was_written() {
        let issuer = "https://h.example";
        let answer = |uri: &str, state| proven(uri).answer(issuer, state, &[("code", "c/1")]);
        assert_eq!(answer("https://c.example/cb", None), "https://c.example/cb?code=c%2F1&iss=https%3A%2F%2Fh.example");
        assert_eq!(
            answer("https://c.example/cb?a=%7E", Some("s 1")),
            "https://c.example/cb?a=%7E&code=c%2F1&state=s+1&iss=https%3A%2F%2Fh.example"
        );
        assert!(answer("com.example.app:/cb", None).starts_with("com.example.app:/cb?code="));
        assert!(answer("https://c.example/cb?", None).starts_with("https://c.example/cb?code="));
        assert!(answer("https://c.example/cb?a=1&", None).starts_with("https://c.example/cb?a=1&code="));
    }

    /// ATK-07: a person is shown who listens, and whether that is any program on their own machine.
    #[test]
    fn a_redirect_says_who_listens() {
        for (uri, host, local) in [
            ("https://c.example/cb", "c.example", false),
            ("http://127.0.0.1:6276/cb", "127.0.0.1", true),
            ("com.example.app:/cb", "com.example.app:", true),
        ] {
            let redirect = proven(uri);
            assert_eq!((redirect.host().as_str(), redirect.is_local()), (host, local), "{uri}");
        }
    }

    /// ATK-09: a form may lead to exactly one place beyond this site.
    #[test]
    fn a_form_may_lead_to_the_redirect_and_nowhere_else() {
        let cases = [
            ("https://c.example/cb", Some(" https://c.example")),
            ("http://127.0.0.1:6276/oauth/callback", Some(" http://127.0.0.1:6276")),
            ("http://localhost:3999/callback", Some(" http://localhost:3999")),
            ("http://[::1]:3999/callback", None),
            ("cursor://anysphere.cursor-mcp/callback", Some(" cursor:")),
        ];
        for (uri, expected) in cases {
            assert_eq!(proven(uri).form_target().as_deref(), expected, "{uri}");
        }
    }
}
