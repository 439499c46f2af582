//! Sealing at rest: what must be shown again later (upstream credentials, signing keys, family keys) is kept
//! encrypted, and each sealed value opens only in the row it was written to.
//!
//! A sealed value is `version (1) ‖ key id (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`: AES-256-GCM under a key
//! derived for the purpose by HKDF-SHA256 (RFC 5869); the associated data name table, column and row.

use std::fmt::{self, Debug};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hkdf, hmac};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Entropy, random};
use zeroize::Zeroizing;

/// The key that seals everything in one store. It is kept outside the store, in a file of its own.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// Makes a new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(random(entropy)))
    }

    /// Makes the key from the bytes of its file.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes, to write them to the key's file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

/// Thirty-two secret bytes for computing other values: the key of a refresh family, the key of a browser session's
/// forms. Stored sealed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Makes a new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(random(entropy)))
    }

    /// Makes a key of these bytes, which must be unpredictable.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Secret bytes of any length: the private half of a signing key, the arguments of a call. Kept sealed.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Wraps these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Why a sealed value could not be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was changed, or it belongs to another row.
    #[error("a sealed value does not open: it was changed, or moved from another row")]
    Broken,
    /// The cryptographic library failed for lack of memory or randomness.
    #[error("sealing failed")]
    Failed,
    /// It was sealed under another key.
    #[error("the seal key is not the one this store was made with: restore the key file that belongs to it")]
    OtherKey,
}

/// The purpose of a sealed value. Each purpose has its own key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    ApprovalArguments,
    AuditArguments,
    BrowserSession,
    LinkFlow,
    LinkedAccount,
    ProviderSession,
    RefreshFamily,
    RequestState,
    SignIn,
    SigningKey,
    UpstreamCredential,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::ApprovalArguments => b"seal approvals.arguments",
            Self::AuditArguments => b"seal audit_arguments.arguments",
            Self::BrowserSession => b"seal browser_sessions.csrf",
            Self::LinkFlow => b"seal link_flows.kept",
            Self::LinkedAccount => b"seal linked_accounts.secret",
            Self::ProviderSession => b"seal provider_sessions.id_token",
            Self::RefreshFamily => b"seal refresh_families.family_key",
            Self::RequestState => b"seal request state",
            Self::SignIn => b"seal sign_ins.kept",
            Self::SigningKey => b"seal signing_keys.private",
            Self::UpstreamCredential => b"seal credentials.secret",
        }
    }
}

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;

/// Seals and opens values of one store; also holds the key of the record chains.
pub(crate) struct Sealer {
    prk: hkdf::Prk,
    key_id: [u8; KEY_ID_LEN],
    audit: hmac::Key,
    heads: Ed25519KeyPair,
}

impl Sealer {
    pub(crate) fn new(key: &SealKey) -> Result<Self, SealError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sekisho store").extract(key.expose());
        let key_id = derive::<KEY_ID_LEN>(&prk, b"key id")?;
        let audit = hmac::Key::new(hmac::HMAC_SHA256, &*derive::<32>(&prk, b"audit chain")?);
        let heads = Ed25519KeyPair::from_seed_unchecked(&*derive::<32>(&prk, b"audit heads")?);
        let heads = heads.map_err(|_| SealError::Failed)?;
        Ok(Self { prk, key_id: *key_id, audit, heads })
    }

    /// Signs the head of a chain for a second place, where nobody has our keys. Returns the public key and the
    /// signature.
    pub(crate) fn sign_head(&self, message: &[u8]) -> ([u8; 32], Vec<u8>) {
        (self.head_key(), self.heads.sign(message).as_ref().to_vec())
    }

    /// Returns the public key for checking our signed heads.
    pub(crate) fn head_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.heads.public_key().as_ref()) {
            *to = *from;
        }
        key
    }

    /// Returns a name for the key that reveals nothing about it.
    pub(crate) fn key_name(&self) -> String {
        self.key_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals `plain` for the row with the primary key `row` (part by part).
    pub(crate) fn seal(&self, purpose: Purpose, row: &[&str], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = plain.to_vec();
        // The nonce comes from the library's own generator and never from a source that a test may seed: a repeated
        // nonce would reveal the key.
        let nonce = self
            .key(purpose)?
            .seal_in_place_append_tag(Aad::from(associated(purpose, row)), &mut sealed)
            .map_err(|_| SealError::Failed)?;
        Ok([&[VERSION], self.key_id.as_slice(), nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] made for the same purpose and row.
    pub(crate) fn open(&self, purpose: Purpose, row: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let ([VERSION], rest) = sealed.split_at_checked(1).ok_or(SealError::Broken)? else {
            return Err(SealError::Broken);
        };
        let (key_id, rest) = rest.split_at_checked(KEY_ID_LEN).ok_or(SealError::Broken)?;
        if key_id != self.key_id {
            return Err(SealError::OtherKey);
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .key(purpose)?
            .open_in_place(nonce, Aad::from(associated(purpose, row)), &mut buffer)
            .map_err(|_| SealError::Broken)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Computes the keyed hash that chains a link to the one before it. Each part is preceded by its length.
    pub(crate) fn audit_mac(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.audit);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Digest::from_bytes(bytes)
    }

    fn key(&self, purpose: Purpose) -> Result<RandomizedNonceKey, SealError> {
        let key = derive::<32>(&self.prk, purpose.label())?;
        RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| SealError::Failed)
    }
}

impl Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.key_name())
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(prk: &hkdf::Prk, label: &[u8]) -> Result<Zeroizing<[u8; N]>, SealError> {
    let mut bytes = Zeroizing::new([0; N]);
    prk.expand(&[label], Length(N)).and_then(|okm| okm.fill(&mut *bytes)).map_err(|_| SealError::Failed)?;
    Ok(bytes)
}

/// Returns purpose (which names table and column) and row, each part preceded by its length, so that no two rows have
/// the same associated data.
fn associated(purpose: Purpose, row: &[&str]) -> Vec<u8> {
    let mut data = Vec::new();
    for part in std::iter::once(purpose.label()).chain(row.iter().map(|part| part.as_bytes())) {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::env::SeededEntropy;

    use super::{Purpose, SealError, SealKey, Sealer};

    fn sealer(seed: u64) -> Sealer {
        Sealer::new(&SealKey::generate(&SeededEntropy::from_seed(seed))).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_again_and_does_not_show_what_it_holds() {
        let sealer = sealer(1);
        let sealed = sealer.seal(Purpose::UpstreamCredential, &["notes", "authorization"], b"correct horse").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"horse"));
        let opened = sealer.open(Purpose::UpstreamCredential, &["notes", "authorization"], &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"correct horse");
    }

    #[test]
    fn the_same_value_is_never_sealed_the_same_way_twice() {
        let sealer = sealer(1);
        let seal = || sealer.seal(Purpose::SigningKey, &["key"], b"same").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_sealed_value_opens_only_for_its_purpose_and_its_row() {
        let sealer = sealer(1);
        let sealed = sealer.seal(Purpose::UpstreamCredential, &["ab", "c"], b"secret").unwrap();
        assert_eq!(sealer.open(Purpose::UpstreamCredential, &["a", "bc"], &sealed), Err(SealError::Broken));
        assert_eq!(sealer.open(Purpose::SigningKey, &["ab", "c"], &sealed), Err(SealError::Broken));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sealer = sealer(1);
        let sealed = sealer.seal(Purpose::SigningKey, &["key"], b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open(Purpose::SigningKey, &["key"], &changed).is_err(), "byte {at}");
            assert!(sealer.open(Purpose::SigningKey, &["key"], &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_key_is_named_as_the_reason() {
        let sealed = sealer(1).seal(Purpose::SigningKey, &["key"], b"secret").unwrap();
        assert_eq!(sealer(2).open(Purpose::SigningKey, &["key"], &sealed), Err(SealError::OtherKey));
    }

    #[test]
    fn debug_shows_no_key() {
        let key = SealKey::from_bytes([0x41; 32]);
        assert_eq!(format!("{key:?}"), "SealKey(…)");
        assert!(!format!("{:?}", Sealer::new(&key).unwrap()).contains("65"));
    }
}
