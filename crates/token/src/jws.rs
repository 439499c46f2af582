//! The compact form (RFC 7515 §7.1), read in one spelling only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::verify::VerifyError;

/// The longest token that is read, in bytes. Ours have about one thousand.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The decoded parts of one signed token, before its signature is checked.
pub(crate) struct Compact<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits a token into exactly three parts of base64url, without padding, line ends or unused bits. Encrypted
    /// tokens have five parts, so they are refused.
    pub(crate) fn read(token: &'a str) -> Result<Self, VerifyError> {
        Self::read_up_to(token, TOKEN_BYTES_MAX)
    }

    /// Does the same for a token of another issuer, which may be longer: an ID token can name thousands of groups.
    pub(crate) fn read_up_to(token: &'a str, bytes_max: usize) -> Result<Self, VerifyError> {
        if token.len() > bytes_max {
            return Err(VerifyError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::Malformed)?;
        if payload.contains('.') || header.is_empty() || payload.is_empty() {
            return Err(VerifyError::Malformed);
        }
        decode(signature)?;
        Ok(Self { header: decode(header)?, payload: decode(payload)?, signature, signed })
    }

    /// Verifies that `key` signed the token with `algorithm`. The caller chooses the algorithm by the key and not by
    /// the token's own header (RFC 8725 §3.1).
    pub(crate) fn verify(&self, key: &DecodingKey, algorithm: Algorithm) -> Result<(), VerifyError> {
        match jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(VerifyError::Signature),
        }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Malformed)
}
