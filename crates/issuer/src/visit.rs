//! What is read once at the door of every request.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use sekisho_protocol::caller::Recognition;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::secret::{CsrfToken, DoorToken};

use crate::door;
use crate::session::SessionSecret;
use crate::text::Language;
use crate::{Issuer, PeerAddress};

/// One request: when it came, under which name it is recorded, from where, in which browser.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The request's only `now`.
    pub(crate) now: Timestamp,
    /// The name on every page, error and record.
    pub(crate) request: RequestId,
    /// From where, if the listener says so.
    pub(crate) peer: Option<IpAddr>,
    /// The language of the pages.
    pub(crate) language: Language,
    /// The session that was shown; not looked up yet.
    pub(crate) session: Option<SessionSecret>,
    /// Its path and query, without the path of the issuer identifier and without a door.
    pub(crate) target: String,
    /// The door through which the request came, if somebody is signed in behind it.
    pub(crate) door: Option<DoorToken>,
    /// The browser that was shown, or a new one.
    pub(crate) browser: Browser,
    /// What was shown of an account that signed in here before; not opened yet.
    pub(crate) known: Option<String>,
    /// What the browser says of where the request was made.
    pub(crate) source: Source,
    /// Where to say that it is known who this is.
    pub(crate) recognition: Recognition,
}

/// The browser that forms are made for.
#[derive(Debug)]
pub(crate) enum Browser {
    /// It showed its cookie.
    Known(CsrfToken),
    /// It has none yet; a page with a form gives it this one.
    New(CsrfToken),
}

impl Browser {
    pub(crate) fn token(&self) -> &CsrfToken {
        match self {
            Self::Known(token) | Self::New(token) => token,
        }
    }
}

/// What the browser says of where a request was made (ATK-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// By a page of ours, or by the person, or the browser does not say.
    Ours,
    /// By somebody else's page.
    Foreign,
}

impl Source {
    fn of(headers: &HeaderMap, own_origin: &str) -> Self {
        let text =
            |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>();
        let site = text("sec-fetch-site");
        let origin = text(ORIGIN.as_str());
        match (site.as_slice(), origin.as_slice()) {
            // Our pages send no referrer, and a browser then writes `null`: it counts only with its own word on
            // the site beside it.
            (["same-origin"], [] | ["null"]) | ([], []) => Self::Ours,
            (["same-origin"] | [], [origin]) if *origin == own_origin => Self::Ours,
            _ => Self::Foreign,
        }
    }
}

impl Visit {
    /// What stands before every path of this visit's links: the path of the issuer identifier, and the door.
    pub(crate) fn prefix(&self, issuer: &Issuer) -> String {
        prefix(issuer, self.door.as_ref())
    }

    /// A path of ours as a link of this visit has it.
    pub(crate) fn path(&self, issuer: &Issuer, path: &str) -> String {
        self::path(issuer, self.door.as_ref(), path)
    }
}

fn prefix(issuer: &Issuer, door: Option<&DoorToken>) -> String {
    let base = issuer.settings.prefix();
    door.map_or_else(|| base.to_owned(), |door| door::prefix(base, door))
}

/// A path of ours, behind this door if there is one. The first page has no slash at the end of its path there: a path has
/// one spelling.
pub(crate) fn path(issuer: &Issuer, door: Option<&DoorToken>, path: &str) -> String {
    let prefix = prefix(issuer, door);
    if path == "/" && door.is_some() { prefix } else { format!("{prefix}{path}") }
}

impl FromRequestParts<Arc<Issuer>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, issuer: &Arc<Issuer>) -> Result<Self, Infallible> {
        let now = issuer.clock.now();
        let request = parts.extensions.get::<RequestId>().copied();
        let browser = issuer.cookies.browser(&parts.headers);
        let door = parts.extensions.get::<DoorToken>().cloned();
        let cookie = issuer.cookies.session(&parts.headers);
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = target.strip_prefix(issuer.settings.prefix()).unwrap_or(target).to_owned();
        Ok(Self {
            now,
            request: request.unwrap_or_else(|| RequestId::generate(now, &*issuer.entropy)),
            peer: parts.extensions.get::<PeerAddress>().map(|peer| peer.0),
            language: Language::accepted(parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())),
            session: cookie.and_then(|cookie| SessionSecret::shown(&issuer.settings, cookie, door.clone())),
            target,
            door,
            browser: browser.map_or_else(|| Browser::New(CsrfToken::generate(&*issuer.entropy)), Browser::Known),
            known: issuer.cookies.known(&parts.headers),
            source: Source::of(&parts.headers, &issuer.settings.origin()),
            recognition: parts.extensions.get::<Recognition>().cloned().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Source;

    /// ATK-10: what a browser says of the page that made a request.
    #[test]
    fn a_request_made_by_a_foreign_page_is_known() {
        let cases = [
            (None, None, Source::Ours),
            (Some("same-origin"), None, Source::Ours),
            (Some("same-origin"), Some("null"), Source::Ours),
            (Some("same-origin"), Some("http://localhost:8420"), Source::Ours),
            (None, Some("http://localhost:8420"), Source::Ours),
            (None, Some("null"), Source::Foreign),
            (None, Some("http://localhost:8421"), Source::Foreign),
            (None, Some("http://localhost:8420.evil.example"), Source::Foreign),
            (None, Some("https://localhost:8420"), Source::Foreign),
            (Some("same-site"), Some("http://localhost:9999"), Source::Foreign),
            (Some("cross-site"), Some("http://localhost:8420"), Source::Foreign),
            (Some("cross-site"), None, Source::Foreign),
            (Some("none"), None, Source::Foreign),
        ];
        for (site, origin, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert("origin", origin.parse().unwrap());
            }
            assert_eq!(Source::of(&headers, "http://localhost:8420"), expected, "{site:?} {origin:?}");
        }
    }
}
