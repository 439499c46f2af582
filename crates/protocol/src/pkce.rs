//! Proof Key for Code Exchange (RFC 7636), `S256` only (CL-28, AS-06).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::digest::Digest;
use crate::env::{Entropy, random};
use crate::secret::CodeVerifier;

/// A code challenge of method `S256`: 43 base64url characters (RFC 7636 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

/// A challenge or verifier that does not have its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PkceError {
    /// Not 43 base64url characters.
    #[error("`code_challenge` must be 43 base64url characters (RFC 7636 §4.2)")]
    Challenge,
    /// Not 43 to 128 unreserved characters.
    #[error("`code_verifier` must be 43 to 128 unreserved characters (RFC 7636 §4.1)")]
    Verifier,
}

impl CodeChallenge {
    /// The only method offered and accepted, case-exact.
    pub const METHOD: &'static str = "S256";

    /// Reads a challenge.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        let decoded = URL_SAFE_NO_PAD.decode(text).map_err(|_| PkceError::Challenge)?;
        if decoded.len() == 32 { Ok(Self(text.to_owned())) } else { Err(PkceError::Challenge) }
    }

    /// The challenge of a verifier.
    pub fn of(verifier: &CodeVerifier) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Digest::of(verifier.expose().as_bytes()).as_bytes()))
    }

    /// Whether `verifier` is the one this challenge was made from.
    pub fn is_met_by(&self, verifier: &CodeVerifier) -> bool {
        Self::of(verifier).0.as_bytes().ct_eq(self.0.as_bytes()).into()
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a verifier as a client sends it.
pub fn read_verifier(text: &str) -> Result<CodeVerifier, PkceError> {
    let unreserved = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    if unreserved && (43..=128).contains(&text.len()) {
        Ok(CodeVerifier::from_outside(text))
    } else {
        Err(PkceError::Verifier)
    }
}

/// A new verifier of 32 unpredictable bytes.
pub fn generate_verifier(entropy: &dyn Entropy) -> CodeVerifier {
    CodeVerifier::from_outside(URL_SAFE_NO_PAD.encode(random::<32>(entropy)))
}

#[cfg(test)]
mod tests {
    use super::{CodeChallenge, generate_verifier, read_verifier};
    use crate::env::SeededEntropy;

    /// RFC 7636 appendix B.
    #[test]
    fn the_example_of_the_rfc_is_met() {
        let verifier = read_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        let challenge = CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert_eq!(CodeChallenge::of(&verifier), challenge);
        assert!(challenge.is_met_by(&verifier));
        assert!(!challenge.is_met_by(&generate_verifier(&SeededEntropy::default())));
    }

    /// ATK-16: malformed verifiers and challenges are refused before any comparison.
    #[test]
    fn malformed_values_are_refused() {
        let short = "a".repeat(42);
        let long = "a".repeat(129);
        for bad in ["", short.as_str(), long.as_str(), &"ä".repeat(43), &" ".repeat(43)] {
            assert!(read_verifier(bad).is_err(), "{bad}");
        }
        let padded = format!("{}=", "a".repeat(43));
        for bad in ["", "a", padded.as_str(), &"+".repeat(43)] {
            assert!(CodeChallenge::parse(bad).is_err(), "{bad}");
        }
    }
}
