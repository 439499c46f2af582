//! Resource identifiers (RFC 8707 §2, RFC 9728 §1.2): kept as the text they were written in.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// The identifier of a protected server: an absolute `http(s)` URL without fragment and userinfo.
///
/// URL libraries add a slash to `https://host`; the identifier is therefore kept as text and only its scheme
/// and host are folded for comparison (RS-41, trap 6).
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct ResourceId(String);

/// A text that identifies no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a resource identifier: expected an absolute http(s) URL without fragment and user information")]
pub struct ResourceIdError;

impl ResourceId {
    /// The longest identifier accepted, in bytes.
    pub const BYTES_MAX: usize = 2048;

    /// Reads an identifier.
    pub fn parse(text: &str) -> Result<Self, ResourceIdError> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if !visible || text.len() > Self::BYTES_MAX || text.contains(['#', '\\']) {
            return Err(ResourceIdError);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ResourceIdError)?;
        let http = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if !http || authority.is_empty() || authority.contains('@') || url::Url::parse(text).is_err() {
            return Err(ResourceIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme and host in lower case, the rest as it is, and no lone slash after the host.
    pub fn canonical(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let path = if path == "/" { "" } else { path };
        format!("{}://{}{path}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
    }
}

impl PartialEq for ResourceId {
    /// Equal but for the case of scheme and host (RS-41): `/mcp` and `/mcp/` differ.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.canonical() == other.canonical()
    }
}

impl Eq for ResourceId {}

impl Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceId;

    fn same(left: &str, right: &str) -> bool {
        ResourceId::parse(left).unwrap() == ResourceId::parse(right).unwrap()
    }

    /// RS-41: case of scheme and host is folded, nothing else.
    #[test]
    fn only_scheme_and_host_fold() {
        assert!(same("HTTPS://Host/mcp", "https://host/mcp"));
        assert!(same("https://host", "https://host/"));
        assert!(!same("https://host/mcp", "https://host/MCP"));
        assert!(!same("https://host/mcp", "https://host/mcp/"));
        assert!(!same("https://host/mcp", "https://host:443/mcp"));
        assert!(!same("https://host/mcp", "http://host/mcp"));
    }

    /// RS-06: no fragment; and nothing two readers could take for different hosts.
    #[test]
    fn an_ambiguous_identifier_is_refused() {
        for bad in [
            "",
            "api",
            "/mcp",
            "https://",
            "https://h/#f",
            "https://u@h/",
            "https://h\\@e/",
            "ftp://h/",
            "https://h/ x",
            "javascript://h",
        ] {
            assert!(ResourceId::parse(bad).is_err(), "{bad}");
        }
    }
}
