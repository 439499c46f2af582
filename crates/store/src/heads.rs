//! Heads of the chains, signed to be stored in a second place: even somebody who has the store and its keys cannot
//! change what is stored elsewhere.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::audit::AuditHead;
use crate::store::Store;

/// The signed head of a chain at some time (Ed25519). Key and signature are hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The node of the chain.
    pub node: NodeId,
    /// The sequence number of the chain's last record.
    pub seq: i64,
    /// The hash of that record.
    pub mac: Digest,
    /// When the head was signed.
    pub at: Timestamp,
    /// The public key for checking the signature: the same as long as the store has the same seal key.
    pub key: String,
    /// The signature.
    pub signature: String,
}

impl SignedHead {
    /// Returns whether the head was signed with this key and is unchanged.
    pub fn is_signed_by(&self, key: &str) -> bool {
        let (Some(public), Some(signature)) = (unhex(key), unhex(&self.signature)) else { return false };
        let message = message(self.node, AuditHead { seq: self.seq, mac: self.mac }, self.at);
        self.key == key && UnparsedPublicKey::new(&ED25519, public).verify(message.as_bytes(), &signature).is_ok()
    }
}

impl Store {
    /// Signs the head of a chain.
    pub fn sign_head(&self, node: NodeId, head: AuditHead, at: Timestamp) -> SignedHead {
        // The time is written with milliseconds, so it is signed like that.
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        let (key, signature) = self.sealer().sign_head(message(node, head, at).as_bytes());
        SignedHead { node, seq: head.seq, mac: head.mac, at, key: hex(&key), signature: hex(&signature) }
    }

    /// Returns the public key of [`Store::sign_head`], which reveals nothing about the seal key.
    pub fn head_key(&self) -> String {
        hex(&self.sealer().head_key())
    }
}

fn message(node: NodeId, head: AuditHead, at: Timestamp) -> String {
    format!("sekisho audit head\n{node}\n{}\n{}\n{}\n", head.seq, head.mac, at.as_millisecond())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole.then(|| pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
