//! Tokens that `sign` would never make, for tests of code that must refuse them. Feature `test-util` only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::SigningKey;
use crate::sign::compact;

/// Returns the compact form of any header and payload, with a valid ES256 signature by `key`.
pub fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    compact(key, header, payload).unwrap_or_default()
}

/// Returns the compact form of any header and payload, with any bytes as its signature.
pub fn with_signature(header: &str, payload: &str, signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(signature))
}
