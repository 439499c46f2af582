//! `WWW-Authenticate` challenges of the `Bearer` scheme (RFC 6750 §3, RFC 9728 §5.1).

use crate::scope::ScopeSet;

/// Why the bearer token was not enough; absent where no token was shown (RS-16, RFC 6750 §3.1).
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
    /// The header's value.
    pub fn to_header(&self) -> String {
        let mut header = String::from("Bearer ");
        if let Some(error) = self.error {
            push(&mut header, "error", error.as_str());
        }
        // SDKs look for the first `scope=` in the whole header, quoted text included: it stands before any sentence.
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
            // What a header cannot hold is not passed on (ATK-13).
            _ => header.push('?'),
        }
    }
    header.push('"');
}

#[cfg(test)]
mod tests {
    use super::{Challenge, ChallengeError};

    /// `@modelcontextprotocol/sdk` 1.32.2 and Python `mcp` 2.3.0 take the first `scope=` anywhere in the header and miss a
    /// Bearer challenge that stands behind another scheme: `Bearer` is first, and no sentence stands before the scopes.
    #[test]
    fn bearer_is_first_and_the_scopes_stand_before_any_sentence() {
        let challenge = Challenge {
            error: Some(ChallengeError::InsufficientScope),
            description: Some("send scope=\"none\" again"),
            resource_metadata: "http://h/".to_owned(),
            scope: "mcp:read mcp:write".parse().unwrap(),
        };
        let header = challenge.to_header();
        assert!(header.starts_with("Bearer "), "{header}");
        let (_, after) = header.split_once("scope=").unwrap();
        assert!(after.starts_with("\"mcp:read mcp:write\""), "{header}");
        assert!(header.find("scope=") < header.find("error_description="), "{header}");
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
