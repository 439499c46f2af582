//! What is read once of every request, before its page is chosen.

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

use crate::PeerAddress;
use crate::browser_name::browser_name;
use crate::language::Language;
use crate::seen::Seen;
use crate::session_secret::SessionSecret;
use crate::settings::behind_door;
use crate::site::{HasSite, Site};

/// One request to a page: its time, identifier, source address and browser.
#[derive(Debug)]
pub struct Visit {
    /// The time of the request, which everything in it uses as `now`.
    pub now: Timestamp,
    /// The identifier that pages, errors and records show.
    pub request: RequestId,
    /// The address it came from, if the listener knows.
    pub peer: Option<IpAddr>,
    /// The language of the pages.
    pub language: Language,
    /// The session secret in the request; not looked up yet.
    pub session: Option<SessionSecret>,
    /// Its path and query, without the path of the issuer identifier and without a door.
    pub target: String,
    /// The door through which the request came, if somebody is signed in behind it.
    pub door: Option<DoorToken>,
    /// The browser token in the request, or a new one.
    pub browser: Browser,
    /// The sealed cookie that says that an account signed in here before; not opened yet.
    pub known: Option<String>,
    /// What the browser says about the page that made the request.
    pub source: Source,
    /// Where to note that the person was recognized.
    pub recognition: Recognition,
    /// What the browser calls itself, in a few words for people; empty if it does not say. It proves nothing.
    pub browser_name: String,
    /// Where to note that its session was used.
    pub seen: Seen,
}

/// The browser that forms are made for.
#[derive(Debug)]
pub enum Browser {
    /// It sent its cookie.
    Known(CsrfToken),
    /// It has no cookie yet; a page with a form sets this one.
    New(CsrfToken),
}

impl Browser {
    /// Returns the value of its cookie.
    pub fn token(&self) -> &CsrfToken {
        match self {
            Self::Known(token) | Self::New(token) => token,
        }
    }
}

/// What the browser says about the page that made a request (ATK-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A page of ours or the person made it, or the browser does not say.
    Ours,
    /// By a page of another origin.
    Foreign,
}

impl Source {
    fn of(headers: &HeaderMap, own_origin: &str) -> Self {
        let text =
            |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>();
        let site = text("sec-fetch-site");
        let origin = text(ORIGIN.as_str());
        match (site.as_slice(), origin.as_slice()) {
            // Our pages send no referrer, so a browser sends `Origin: null`. That counts only together with
            // `Sec-Fetch-Site: same-origin`.
            (["same-origin"], [] | ["null"]) | ([], []) => Self::Ours,
            (["same-origin"] | [], [origin]) if *origin == own_origin => Self::Ours,
            _ => Self::Foreign,
        }
    }
}

impl Visit {
    /// Returns the prefix of every link in this visit: the path of the issuer identifier, and the door.
    pub fn prefix(&self, site: &Site) -> String {
        prefix(site, self.door.as_ref())
    }

    /// Returns a path of ours for a link in this visit.
    pub fn path(&self, site: &Site, path: &str) -> String {
        self::path(site, self.door.as_ref(), path)
    }
}

fn prefix(site: &Site, door: Option<&DoorToken>) -> String {
    let base = site.settings.prefix();
    door.map_or_else(|| base.to_owned(), |door| behind_door(base, door))
}

/// Returns a path of ours, behind this door if there is one. Behind a door, the home page has no slash at its end, so
/// that each path has only one spelling.
pub fn path(site: &Site, door: Option<&DoorToken>, path: &str) -> String {
    let prefix = prefix(site, door);
    if path == "/" && door.is_some() { prefix } else { format!("{prefix}{path}") }
}

impl<S: HasSite> FromRequestParts<Arc<S>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, Infallible> {
        Ok(Self::read(parts, state.site()))
    }
}

impl Visit {
    /// Reads a request; its time is the current one.
    pub fn read(parts: &Parts, site: &Site) -> Self {
        let now = site.clock.now();
        let request = parts.extensions.get::<RequestId>().copied();
        let browser = site.cookies.browser(&parts.headers);
        let door = parts.extensions.get::<DoorToken>().cloned();
        let cookie = site.cookies.session(&parts.headers);
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = target.strip_prefix(site.settings.prefix()).unwrap_or(target).to_owned();
        Self {
            now,
            request: request.unwrap_or_else(|| RequestId::generate(now, &*site.entropy)),
            peer: parts.extensions.get::<PeerAddress>().map(|peer| peer.0),
            language: Language::accepted(parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())),
            session: cookie.and_then(|cookie| SessionSecret::shown(&site.settings, cookie, door.clone())),
            target,
            door,
            browser: browser.map_or_else(|| Browser::New(CsrfToken::generate(&*site.entropy)), Browser::Known),
            known: site.cookies.known(&parts.headers),
            source: Source::of(&parts.headers, &site.settings.origin()),
            recognition: parts.extensions.get::<Recognition>().cloned().unwrap_or_default(),
            browser_name: browser_name(&parts.headers),
            seen: parts.extensions.get::<Seen>().cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Source;

    /// ATK-10: a request that a foreign page made is recognized by its headers.
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
