//! Where a request goes, and who named that URL. Every request needs a destination: a URL out of a stranger's document
//! can only be called as something [`Named`], and must not be less secure than the party that named it (CL-43, CL-46,
//! ATK-85, ATK-86, ATK-222).

use sekisho_protocol::redirect::is_loopback_host;
use url::{Host, Url};

use super::HttpError;
use super::address::is_public;
use super::named::Named;

/// A URL that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    url: String,
    /// What kind of link it is, if a stranger named it.
    what: Option<Named>,
    /// The host of the document that contained it. `None`: it did not come from a document with an address.
    by: Option<String>,
}

impl Destination {
    /// A URL that a person typed, or that the configuration contains. It is trusted, so it is compared with nothing.
    pub fn given(url: impl Into<String>) -> Self {
        Self { url: url.into(), what: None, by: None }
    }

    /// A URL from a client or an agent that has no address of its own. Only the settings of the HTTP client restrict
    /// where it leads; the settings for such requests allow no loopback.
    pub fn brought(what: Named, url: impl Into<String>) -> Self {
        Self { url: url.into(), what: Some(what), by: None }
    }

    /// A URL that the party at `by` names in a document or in a response. It must be at least as secure as that party
    /// ([`is_as_secure`]).
    pub fn named(what: Named, by: &str, url: &str) -> Result<Self, HttpError> {
        if !may_name(what, by, url) {
            let by = crate::text::presentable(by);
            return Err(HttpError::Named { by, what: what.row().what });
        }
        let by = Url::parse(by).ok().and_then(|by| by.host_str().map(str::to_owned));
        Ok(Self { url: url.to_owned(), what: Some(what), by })
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The kind of link, if a stranger named the URL.
    pub fn what(&self) -> Option<Named> {
        self.what
    }

    /// The host that named it.
    pub(super) fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// Returns the destination with one more parameter in its query, which is added as it is.
    #[must_use]
    pub fn with_parameter(self, name: &str, value: &str) -> Self {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        Self { url: format!("{}{separator}{name}={value}", self.url), ..self }
    }
}

/// Whether the party at `from` may name `to` as a link of this kind.
pub fn may_name(what: Named, from: &str, to: &str) -> bool {
    // A page that a person opens may end in a fragment, as single-page applications do. A URL that we call may not.
    let bare = if what.row().is_page { to.split('#').next().unwrap_or(to) } else { to };
    is_as_secure(from, bare)
}

/// Whether a party at `from` may send us on to `to`. `to` must be a URL without user information and fragment, https
/// unless both are plain http on loopback, and its host must not be further inside than that of `from`. So nobody
/// outside can point at something on this machine or in a private network.
///
/// Host names are judged here as they are written. Where a name leads is looked up once, when it is called, and judged
/// then.
pub fn is_as_secure(from: &str, to: &str) -> bool {
    let visible = to.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'\'' | b'`' | b'<' | b'>'));
    let (Ok(to), Ok(from)) = (Url::parse(to), Url::parse(from)) else { return false };
    let bare = to.username().is_empty() && to.password().is_none() && to.fragment().is_none();
    let (Some(there), Some(here)) = (Reach::of(&to), Reach::of(&from)) else { return false };
    let secure = match to.scheme() {
        "https" => true,
        "http" => from.scheme() == "http" && there == Reach::Loopback,
        _ => false,
    };
    visible && bare && secure && there >= here
}

/// From where a host can be reached, as far as its name tells. The order matters: a host may only name hosts that can
/// be reached from at least as far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Only from this machine.
    Loopback,
    /// From a private network: an address that is not public, or a name that only a private network resolves.
    Private,
    /// From everywhere.
    Public,
}

impl Reach {
    /// Returns the reach of the host of this URL, if it has one.
    pub fn of(url: &Url) -> Option<Self> {
        let address = match url.host()? {
            Host::Domain(name) => return Some(Self::of_name(name)),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        Some(match is_public(address) {
            true => Self::Public,
            false if super::address::plain(address).is_loopback() => Self::Loopback,
            false => Self::Private,
        })
    }

    fn of_name(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if is_loopback_host(&name) || name.ends_with(".localhost") {
            return Self::Loopback;
        }
        // Names that the public DNS does not contain (RFC 6762, RFC 8375; `internal` is reserved by ICANN).
        let private = [".home.arpa", ".internal", ".local"].iter().any(|end| name.ends_with(end));
        if private || !name.contains('.') { Self::Private } else { Self::Public }
    }
}

#[cfg(test)]
mod tests {
    use super::{Destination, is_as_secure, may_name};
    use crate::http::{HttpError, Named};

    /// ATK-222: every pair of places, in both directions.
    #[test]
    fn nobody_names_what_lies_further_inside() {
        let loopback_http = ["http://localhost:1/a", "http://127.0.0.1:2", "http://[::1]:3"];
        let loopback = [
            "https://localhost:1/a",
            "https://127.8.0.1",
            "https://[::1]",
            "https://a.localhost",
            "https://LOCALHOST./",
        ];
        let private = [
            "https://10.0.0.1",
            "https://[fd00::1]",
            "https://169.254.169.254",
            "https://intranet",
            "https://a.internal",
            "https://printer.local/",
            "https://[::ffff:10.0.0.1]",
            "https://0.0.0.0",
        ];
        let public = ["https://example.com", "https://1.1.1.1", "https://[2606:4700::1111]"];
        let groups: [&[&str]; 4] = [&loopback_http, &loopback, &private, &public];
        // What each group may name, in the order of `groups`.
        let may = [
            [true, true, true, true],
            [false, true, true, true],
            [false, false, true, true],
            [false, false, false, true],
        ];
        for (from_group, may) in groups.iter().zip(may) {
            for (to_group, may) in groups.iter().zip(may) {
                for (from, to) in from_group.iter().flat_map(|from| to_group.iter().map(move |to| (from, to))) {
                    assert_eq!(is_as_secure(from, to), may, "{from} names {to}");
                }
            }
        }
        for plain in ["http://example.com", "http://10.0.0.1", "http://intranet"] {
            for from in groups.concat() {
                assert!(!is_as_secure(from, plain), "{from} names {plain}");
            }
        }
    }

    #[test]
    fn a_page_may_end_in_a_fragment_and_nothing_else_may() {
        let (by, page) = ("https://server.test", "https://app.test/#/connect");
        assert!(may_name(Named::ElicitationPage, by, page) && may_name(Named::ApprovalPage, by, page));
        assert!(!may_name(Named::TokenEndpoint, by, page) && !may_name(Named::AuthorizationEndpoint, by, page));
        assert!(!may_name(Named::ElicitationPage, by, "javascript:alert(1)#"));
        let error =
            Destination::named(Named::TokenEndpoint, "https://e\u{1b}vil.test", "http://localhost:1").unwrap_err();
        assert!(matches!(&error, HttpError::Named { by, .. } if !by.contains('\u{1b}')), "{error}");
    }
}
