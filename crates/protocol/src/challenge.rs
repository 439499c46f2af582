//! `WWW-Authenticate` challenges of the `Bearer` scheme (RFC 6750 §3, RFC 9728 §5.1).

use crate::scope::ScopeSet;

/// Why the bearer token was not enough; absent if no token was sent (RS-16, RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeError {
    /// The token is good, the scopes are too few.
    InsufficientScope,
    /// The request for authorization itself is malformed.
    InvalidRequest,
    /// Expired, revoked, malformed, or not for this server.
    InvalidToken,
}

impl ChallengeError {
    /// The registered word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
        }
    }
}

/// One `Bearer` challenge. Each parameter occurs at most once (RS-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What was wrong with the token, if one was shown.
    pub error: Option<ChallengeError>,
    /// A sentence for a developer; says nothing about keys, claims or upstreams (RS-26).
    pub description: Option<&'static str>,
    /// The URL of the protected resource metadata (RFC 9728 §5.1).
    pub resource_metadata: String,
    /// The scopes that the request needs (RS-17, RS-20).
    pub scope: ScopeSet,
}

impl Challenge {
    /// The header's value. `scope` comes before `error_description`, and the description holds no `scope=`: the
    /// TypeScript and Python SDKs take the first `scope=` anywhere in the header, also in a quoted sentence (npm
    /// `@modelcontextprotocol/sdk` 1.32.2 and `client` 2.4.0, PyPI `mcp` 2.3.0; see `findings/scope-read-out-of-prose.sh`).
    pub fn to_header(&self) -> String {
        let mut header = String::from("Bearer ");
        if let Some(error) = self.error {
            push(&mut header, "error", error.as_str());
        }
        if !self.scope.is_empty() {
            push(&mut header, "scope", &self.scope.to_string());
        }
        if let Some(description) = self.description {
            push(&mut header, "error_description", description);
        }
        push(&mut header, "resource_metadata", &self.resource_metadata);
        header
    }
}

/// Appends `name="value"` as a quoted string (RFC 9110 §5.6.4).
fn push(header: &mut String, name: &str, value: &str) {
    if !header.ends_with(' ') {
        header.push_str(", ");
    }
    header.push_str(name);
    header.push_str("=\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => header.extend(['\\', character]),
            ' '..='~' => header.push(character),
            // A character that a header cannot hold is replaced (ATK-13).
            _ => header.push('?'),
        }
    }
    header.push('"');
}

#[cfg(test)]
mod tests {
    use super::{Challenge, ChallengeError};

    /// The TypeScript and Python SDKs take the first `scope=` in the header (npm `@modelcontextprotocol/sdk` 1.32.2 and
    /// `client` 2.4.0, PyPI `mcp` 2.3.0): the parameter comes before every sentence and every URL.
    #[test]
    fn the_scope_comes_before_what_may_hold_the_word() {
        let challenge = Challenge {
            error: Some(ChallengeError::InsufficientScope),
            description: Some("ask again with scope=everything"),
            resource_metadata: "http://h/?scope=everything".to_owned(),
            scope: "mcp:read tool:x".parse().unwrap(),
        };
        let header = challenge.to_header();
        assert_eq!(header.split("scope=").nth(1).unwrap().split(", ").next(), Some("\"mcp:read tool:x\""));
        assert!(header.starts_with("Bearer "), "the TypeScript SDKs look at the first scheme only");
    }

    /// RS-18, ATK-13: quotes are escaped and line ends cannot start another header.
    #[test]
    fn a_hostile_value_stays_one_parameter() {
        let challenge = Challenge {
            error: Some(ChallengeError::InvalidToken),
            description: None,
            resource_metadata: "http://h/\"\r\nSet-Cookie: a=b".to_owned(),
            scope: "mcp:read".parse().unwrap(),
        };
        assert_eq!(
            challenge.to_header(),
            "Bearer error=\"invalid_token\", scope=\"mcp:read\", resource_metadata=\"http://h/\\\"??Set-Cookie: a=b\""
        );
    }
}
