//! Redirect URIs (RFC 6749 §3.1.2): which may be registered, and when a requested one is the registered one.

use core::net::IpAddr;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// A redirect URI that may be registered: `https`, `http` on loopback, or a private-use scheme in
/// reverse-domain form (RFC 8252 §7.1). Kept as the text it was written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RedirectUri(String);

/// Why a redirect URI cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Plain `http` to a host that is not loopback.
    #[error("plain http is for loopback only: use https")]
    Insecure,
    /// Not an absolute URL, or one that two readers could take for different ones.
    #[error("not an absolute URL without fragment, user information, backslash or encoded separator")]
    Malformed,
    /// Its query holds a parameter that the authorization response sets (ATK-05).
    #[error("its query must not hold `code`, `state`, `iss`, `error`, `error_description` or `error_uri`")]
    ReservedParameter,
    /// A scheme that runs code, reads files or anybody can claim (ATK-03).
    #[error(
        "its scheme is not allowed: use https, http on loopback, or a private-use scheme such as `com.example.app`"
    )]
    Scheme,
}

impl RedirectUri {
    /// The longest redirect URI accepted, in bytes.
    pub const BYTES_MAX: usize = 2048;

    /// Reads a redirect URI for registration (AS-08, ATK-03).
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if !visible
            || text.len() > Self::BYTES_MAX
            || text.contains(['#', '\\', '"', '<', '>', '`', '{', '}', '|', '^'])
        {
            return Err(RedirectUriError::Malformed);
        }
        let url = url::Url::parse(text).map_err(|_| RedirectUriError::Malformed)?;
        let scheme = text.split(':').next().unwrap_or_default();
        if scheme.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(RedirectUriError::Malformed);
        }
        match scheme {
            "http" | "https" => Self::check_http(text, &url)?,
            private if is_private_use(private) => {}
            _ => return Err(RedirectUriError::Scheme),
        }
        if reserved_parameter(&url) {
            return Err(RedirectUriError::ReservedParameter);
        }
        Ok(Self(text.to_owned()))
    }

    fn check_http(text: &str, url: &url::Url) -> Result<(), RedirectUriError> {
        let rest = text.split_once("://").ok_or(RedirectUriError::Malformed)?.1;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        // Whatever the parser changed in the authority, another parser may leave.
        let plain = authority.strip_prefix(host).is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok() && !p.starts_with('0'))
        });
        let path = rest.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let dotted = path.split('/').skip(1).any(|segment| matches!(segment.replace("%2e", ".").as_str(), "." | ".."));
        let encoded = ["%00", "%0d", "%0a", "%2f", "%5c"].iter().any(|bad| path.contains(bad));
        if !plain || dotted || encoded || host.ends_with('.') {
            return Err(RedirectUriError::Malformed);
        }
        if url.scheme() == "http" && !is_loopback_host(host) {
            return Err(RedirectUriError::Insecure);
        }
        Ok(())
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host to show to a person, or the scheme where there is no host.
    pub fn host(&self) -> String {
        let url = url::Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(url::Url::host_str).filter(|host| !host.is_empty()).map(str::to_owned);
        host.unwrap_or_else(|| self.0.split(':').next().unwrap_or_default().to_owned() + ":")
    }

    /// Whether whoever listens there is some program on the user's own machine: loopback or a private-use
    /// scheme. Such a client can be impersonated (ATK-07) and never skips consent.
    pub fn is_local(&self) -> bool {
        match url::Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url.host_str().is_some_and(is_loopback_host),
            _ => true,
        }
    }

    /// Whether `requested` is this registered URI: byte for byte, but for the port of an `http` loopback
    /// redirect (AS-09, AS-10; RFC 8252 §7.3, which practice extends to `localhost`).
    pub fn admits(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        match (loopback_parts(&self.0), loopback_parts(requested)) {
            (Some(own), Some(other)) => own == other && Self::parse(requested).is_ok(),
            _ => false,
        }
    }
}

/// `http://HOST[:PORT]REST` on loopback, as host and rest.
fn loopback_parts(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix("http://")?;
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let numeric =
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0) && !port.starts_with(['0', '+']));
    (numeric && is_loopback_host(host)).then_some((host, rest))
}

/// `localhost`, `127.0.0.0/8` or `[::1]`.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// RFC 8252 §7.1: a reverse-domain scheme names its owner; a bare word anybody can claim.
fn is_private_use(scheme: &str) -> bool {
    let labels: Vec<&str> = scheme.split('.').collect();
    let named =
        labels.iter().all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    // Editors registered these before anybody asked for a domain; their own documents name them.
    labels.len() >= 2 && named || matches!(scheme, "cursor" | "vscode" | "vscode-insiders")
}

fn reserved_parameter(url: &url::Url) -> bool {
    let reserved = ["code", "state", "iss", "error", "error_description", "error_uri"];
    url.query_pairs().any(|(name, _)| reserved.contains(&name.as_ref()))
}

impl Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
