//! Common mistakes, each with a way to recognise it and a name.

use serde::Serialize;
use url::Url;

use crate::http::Reach;

/// A known trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trap {
    /// The metadata names a host that only the server itself can reach.
    BehindAProxy,
    /// The challenge cannot be parsed.
    ChallengeUnreadable,
    /// Microsoft Entra compares `resource` with its own identifiers.
    EntraAndResource,
    /// The issuer uses another name for itself.
    IssuerMismatch,
    /// The metadata needs a login.
    MetadataProtected,
    /// The metadata was moved, and a redirect leads there.
    MetadataRedirects,
    /// `iss` is not announced, or announced and not sent.
    MissingIss,
    /// PKCE with S256 is not announced.
    NoS256,
    /// The status for a missing or wrong token is not 401.
    NotA401,
    /// Something else than a document is returned, with status 200.
    NotADocument,
    /// The document describes the origin, or another path.
    PathAgainstOrigin,
    /// No client can register itself.
    RegistrationClosed,
    /// The names differ in a slash at the end.
    TrailingSlash,
    /// The server asks for no token.
    Unprotected,
    /// The server is called by `https`, and its metadata says `http`.
    WrongScheme,
    /// The issuer's path stands before the well-known part of the URL.
    WrongWellKnown,
}

impl Trap {
    /// Returns the title of the trap, and how to fix it.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::BehindAProxy => (
                "metadata names a host behind the proxy",
                "configure the public URL; do not make it of the request's Host",
            ),
            Self::ChallengeUnreadable => (
                "a challenge that cannot be parsed",
                "quote every value, escape quotes inside, separate parameters by commas, give each once",
            ),
            Self::EntraAndResource => (
                "Microsoft Entra and `resource`",
                "Entra takes `resource` only if it equals the application's identifier URI: add the server's URL as one, or put an authorization server in front that takes it (Sekisho does)",
            ),
            Self::IssuerMismatch => (
                "the issuer calls itself otherwise",
                "name in `authorization_servers` exactly what the metadata has as `issuer`, to the last slash",
            ),
            Self::MetadataProtected => (
                "metadata behind the login",
                "let /.well-known/ pass without a token: it is how clients learn where to log in",
            ),
            Self::MetadataRedirects => (
                "metadata that redirects",
                "serve it at the well-known place itself: clients follow no redirects there (RFC 9728 §7.7)",
            ),
            Self::MissingIss => (
                "`iss` is not promised",
                "send `iss` with every authorization response and set `authorization_response_iss_parameter_supported`",
            ),
            Self::NoS256 => (
                "PKCE is not promised",
                "list `S256` under `code_challenge_methods_supported`: clients refuse to log in without it",
            ),
            Self::NotA401 => {
                ("not a 401", "answer 401 with a challenge: it is the only status from which clients begin to log in")
            }
            Self::NotADocument => (
                "a page where a document should be",
                "do not let the catch-all of a web application answer /.well-known/: send JSON or 404",
            ),
            Self::PathAgainstOrigin => {
                ("the origin in place of the path", "write the whole URL of the server as `resource`, path included")
            }
            Self::RegistrationClosed => (
                "no client can become known",
                "support client ID metadata documents or registration, or tell users which identifier to enter",
            ),
            Self::TrailingSlash => ("a slash at the end", "write the URL as it is called, without a slash that is not"),
            Self::Unprotected => ("no login at all", "put a checkpoint in front: `sekisho run --http URL`"),
            Self::WrongScheme => (
                "http behind https",
                "tell the server that TLS ends before it (X-Forwarded-Proto from a trusted proxy, or a configured public URL)",
            ),
            Self::WrongWellKnown => (
                "the well-known part in the wrong place",
                "for an issuer with a path it goes between host and path: https://host/.well-known/oauth-authorization-server/path",
            ),
        }
    }
}

/// Guesses which trap explains two different names that should be the same.
pub(super) fn of_names(called: &str, named: &str) -> Option<Trap> {
    let (called_url, named_url) = (Url::parse(called).ok()?, Url::parse(named).ok()?);
    let (host, other) = (called_url.host_str()?, named_url.host_str()?);
    if host != other {
        return (is_internal(&named_url) && (!is_internal(&called_url) || named_url.port() != called_url.port()))
            .then_some(Trap::BehindAProxy);
    }
    if called_url.scheme() != named_url.scheme() {
        return Some(Trap::WrongScheme);
    }
    if called_url.port_or_known_default() != named_url.port_or_known_default() {
        return Some(Trap::BehindAProxy);
    }
    let bare = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    if bare(called) == bare(named) {
        return Some(Trap::TrailingSlash);
    }
    Some(Trap::PathAgainstOrigin)
}

/// Hosts of Microsoft Entra (workforce and external tenants, national clouds).
pub(super) fn is_entra(host: &str) -> bool {
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "sts.windows.net"]
        .contains(&host)
        || host.ends_with(".ciamlogin.com")
}

/// Whether a URL leads inside of somewhere: to this machine, or into a private network.
fn is_internal(url: &Url) -> bool {
    Reach::of(url).is_some_and(|reach| reach < Reach::Public)
}
