//! Every secret is its own type. `Debug` prints the name only; there is no `Display` and no `Serialize`;
//! equality takes constant time; memory is wiped; and every reading says [`expose`](AccessToken::expose).

use std::fmt::{self, Debug};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::env::{Entropy, random};

/// A text that does not have the form of the secret it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed {0}")]
pub struct SecretError(&'static str);

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            /// Takes what came from outside, as it came.
            pub fn from_outside(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into()))
            }

            /// The characters. Every reading of a secret goes through here.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// The digest under which the secret is known where it is kept.
            pub fn digest(&self) -> Digest {
                Digest::of(self.0.as_bytes())
            }
        }

        impl Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
            }
        }

        impl Eq for $name {}
    };
}

macro_rules! opaque {
    ($name:ident, $prefix:literal) => {
        impl $name {
            /// What the text begins with, for scanners that look for leaked secrets.
            pub const PREFIX: &'static str = $prefix;

            /// A new one: the prefix, 32 unpredictable bytes, and a checksum.
            pub fn generate(entropy: &dyn Entropy) -> Self {
                Self::from_key(random(entropy))
            }

            /// The one that these 32 bytes make. The bytes must be unpredictable.
            pub fn from_key(key: [u8; 32]) -> Self {
                Self(Zeroizing::new(write_opaque($prefix, &key)))
            }

            /// Reads one that we could have made: the only spelling that `generate` writes (ATK-57).
            pub fn parse(text: &str) -> Result<Self, SecretError> {
                read_opaque($prefix, text).ok_or(SecretError(stringify!($name)))?;
                Ok(Self::from_outside(text))
            }
        }
    };
}

/// Prefix, base64url of the key, six digits of checksum over both.
fn write_opaque(prefix: &str, key: &[u8; 32]) -> String {
    let body = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(key));
    let checksum = checksum(&body);
    format!("{body}{checksum}")
}

fn read_opaque(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let rest = text.strip_prefix(prefix)?;
    let (encoded, found) = rest.split_at_checked(43)?;
    let key: [u8; 32] = URL_SAFE_NO_PAD.decode(encoded).ok()?.try_into().ok()?;
    // Writing it again refuses every other spelling, also in the last character's unused bits.
    (found.len() == 6 && write_opaque(prefix, &key) == text).then_some(key)
}

/// Six base64url characters of a SHA-256: lets a scanner tell a token of ours from a look-alike.
fn checksum(body: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(body.as_bytes()).as_bytes()).chars().take(6).collect()
}

secret!(
    /// An access token (RFC 6750): ours is a JWT (RFC 9068).
    AccessToken
);
secret!(
    /// A refresh token (RFC 6749 §1.5): opaque, single use.
    RefreshToken
);
opaque!(RefreshToken, "sks_rt_");
secret!(
    /// An authorization code (RFC 6749 §1.3.1): opaque, single use, at most 60 seconds.
    AuthorizationCode
);
opaque!(AuthorizationCode, "sks_ac_");
secret!(
    /// The secret of a confidential client (RFC 6749 §2.3.1).
    ClientSecret
);
opaque!(ClientSecret, "sks_cs_");
secret!(
    /// The value of the browser's session cookie.
    SessionToken
);
opaque!(SessionToken, "sks_bs_");
secret!(
    /// The part of a browser's session that stands in the path of its pages where cookies know no ports.
    DoorToken
);
opaque!(DoorToken, "sks_bd_");
secret!(
    /// The link with which the owner sets a first password: single use, short-lived.
    SetupToken
);
opaque!(SetupToken, "sks_su_");
secret!(
    /// The value that ties a form to the browser it was made for (double submit).
    CsrfToken
);
opaque!(CsrfToken, "sks_cf_");
secret!(
    /// The session of an MCP client of the older revisions (`Mcp-Session-Id`). It authenticates nobody.
    McpSessionToken
);
opaque!(McpSessionToken, "sks_ms_");
secret!(
    /// The token of a provisioning client (SCIM, RFC 7644 §2).
    ScimToken
);
opaque!(ScimToken, "sks_sp_");
secret!(
    /// A PKCE code verifier (RFC 7636 §4.1).
    CodeVerifier
);
secret!(
    /// What a person types to log in.
    Password
);
secret!(
    /// A credential for an upstream: the value of a header or of an environment variable.
    UpstreamSecret
);
secret!(
    /// A signed statement with which a client proves itself (RFC 7523 §2.2).
    ClientAssertion
);
secret!(
    /// A signed statement about a user or a workload that is traded for a token (RFC 7523 §2.1, RFC 8693 §2.1).
    SubjectToken
);

#[cfg(test)]
mod tests {
    use super::{AuthorizationCode, ClientSecret, RefreshToken};
    use crate::env::SeededEntropy;

    /// RS-38, ATK-58: printing a secret for debugging shows its name only.
    #[test]
    fn debug_shows_no_secret() {
        let token = RefreshToken::generate(&SeededEntropy::default());
        assert_eq!(format!("{token:?}"), "RefreshToken(…)");
    }

    /// RFC 6749 §2.3.1 form-encodes a secret before it stands in a header. Some clients do not, such as npm
    /// `@modelcontextprotocol/client` 2.4.0 and PyPI `authlib` 1.9.10. With these characters both ways are the same.
    #[test]
    fn a_client_secret_needs_no_encoding() {
        let secret = ClientSecret::generate(&SeededEntropy::default());
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(secret.expose().bytes().all(unreserved), "{}", secret.expose());
    }

    /// ATK-57: no other spelling of an opaque token is read.
    #[test]
    #[expect(clippy::string_slice, reason = "an opaque token is ASCII")]
    fn only_the_written_spelling_is_read() {
        let token = RefreshToken::generate(&SeededEntropy::default());
        let text = token.expose();
        assert!(RefreshToken::parse(text).is_ok());
        assert!(AuthorizationCode::parse(text).is_err());
        for cut in 0..text.len() {
            assert!(RefreshToken::parse(&text[..cut]).is_err());
        }
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let mutant = String::from_utf8(bytes).unwrap();
                assert!(RefreshToken::parse(&mutant).is_err(), "{mutant}");
            }
        }
        for extra in ["=", "A", " ", "\n"] {
            assert!(RefreshToken::parse(&format!("{text}{extra}")).is_err());
        }
    }
}
