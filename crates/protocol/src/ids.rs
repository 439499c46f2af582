//! Every identifier is its own type: prefixed, sortable by the time it was made, never a bare string.

use std::borrow::Borrow;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::env::{Entropy, Timestamp, random};

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {what} identifier: expected `{prefix}_` and 32 hexadecimal digits")]
pub struct IdError {
    what: &'static str,
    prefix: &'static str,
}

/// A UUID version 7 (RFC 9562 §5.7) of this moment.
fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random::<10>(entropy)).into_uuid()
}

/// Of the text form of every identifier: a prefix of three letters, an underscore, and the digits.
pub(crate) const TEXT_BYTES: usize = 4 + uuid::fmt::Simple::LENGTH;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the text form, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier, made now.
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(now, entropy))
            }
        }

        impl $name {
            /// Writes the text form into a buffer without the formatting machinery, because each call writes its
            /// identifier several times.
            pub(crate) fn encode<'b>(&self, text: &'b mut [u8; TEXT_BYTES]) -> &'b str {
                let (prefix, hex) = text.split_at_mut(TEXT_BYTES - uuid::fmt::Simple::LENGTH);
                prefix.copy_from_slice(concat!($prefix, "_").as_bytes());
                self.0.simple().encode_lower(hex);
                std::str::from_utf8(text).unwrap_or_default()
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.encode(&mut [0; TEXT_BYTES]))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, prefix: $prefix };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(error)?;
                let canonical = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !canonical {
                    return Err(error);
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| error)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.encode(&mut [0; TEXT_BYTES]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One authorization request that a person has not answered yet.
    PendingId, "req", "authorization request"
);
id!(
    /// What a user consented to for one client and one server.
    GrantId, "grt", "grant"
);
id!(
    /// One exchange with the outside: on every leg, page, error and record.
    RequestId, "rid", "request"
);
impl RequestId {
    /// Returns the smallest identifier of an exchange at this time: identifiers of earlier exchanges are smaller, also
    /// in their text form.
    pub fn first_at(at: Timestamp) -> Self {
        // RFC 9562 §5.7: 48 bits of milliseconds come first.
        let millis = u128::try_from(at.as_millisecond()).unwrap_or(0);
        Self(Uuid::from_u128(millis.min((1 << 48) - 1) << 80))
    }

    /// Returns when the exchange began, in milliseconds since the epoch; the identifier begins with it.
    pub fn began_at_millisecond(&self) -> i64 {
        i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX)
    }
}

id!(
    /// One access token (`jti`, RFC 7519 §4.1.7).
    TokenId, "tok", "token"
);
id!(
    /// A declared piece of work.
    TaskId, "tsk", "task"
);
id!(
    /// A person's yes to one exact call, asked for and not yet given.
    ApprovalId, "apr", "approval"
);
id!(
    /// What somebody asked an owner for, and what became of it.
    AccessRequestId, "acc", "access request"
);
id!(
    /// Access that an owner lent for a time.
    LoanId, "lon", "loan"
);
id!(
    /// A group that a provisioning client made (SCIM, RFC 7643 §4.2).
    ScimGroupId, "sgr", "group"
);
id!(
    /// A local user. Its namespace is disjoint from that of clients (RFC 9700 §4.15).
    UserId, "usr", "user"
);
id!(
    /// The server process that keeps one chain of records.
    NodeId, "nod", "node"
);
id!(
    /// A signing key (`kid`, RFC 7517 §4.5).
    KeyId, "key", "key"
);

/// An OAuth client: one we named (`cli_…`), or the URL of its metadata document.
///
/// Equality is that of the characters (draft-ietf-oauth-client-id-metadata-document, "simple string comparison"). Cheap
/// to clone: every call carries it to its record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(Arc<str>);

/// Why a text cannot be a client identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a client identifier: 1 to {} visible ASCII characters are allowed", ClientId::BYTES_MAX)]
pub struct ClientIdError;

impl ClientId {
    /// The longest identifier accepted, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// A new identifier for a client that we register. It never looks like a URL (AS-38).
    pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
        Self(format!("cli_{}", uuid_v7(now, entropy).simple()).into())
    }

    /// Reads an identifier as a client or an operator gives it (RFC 6749 appendix A.1: visible ASCII).
    pub fn parse(text: &str) -> Result<Self, ClientIdError> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        let sized = !text.is_empty() && text.len() <= Self::BYTES_MAX;
        if visible && sized { Ok(Self(text.into())) } else { Err(ClientIdError) }
    }

    /// Whether this is the URL of a metadata document. Only such identifiers contain `://`.
    pub fn is_metadata_document(&self) -> bool {
        self.0.starts_with("https://") || self.0.starts_with("http://")
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The name of a protected server: the last segment of `{base_url}/mcp/{name}`. Cheap to clone, like [`ClientId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ServerName(Arc<str>);

/// Why a text cannot name a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a server: use 1 to 63 lower-case letters, digits and hyphens, beginning with a letter")]
pub struct ServerNameError(String);

impl ServerName {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let letters = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if letters && begins && text.len() <= 63 && !text.ends_with('-') {
            Ok(Self(text.into()))
        } else {
            Err(ServerNameError(text.chars().take(80).collect()))
        }
    }
}

/// Allows looking a server up by a segment of a path; a text that is not a name matches no server.
impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientId, GrantId, RequestId, ServerName, UserId};
    use crate::env::{Clock, ManualClock, SeededEntropy, Timestamp};

    #[test]
    fn an_identifier_survives_writing_and_reading() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let id = GrantId::generate(clock.now(), &entropy);
        assert_eq!(id.to_string().parse::<GrantId>(), Ok(id));
    }

    /// AS-38; RFC 9700 §4.15: users and clients have disjoint namespaces.
    #[test]
    fn an_identifier_of_one_kind_is_not_one_of_another() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let user = UserId::generate(clock.now(), &entropy);
        assert!(user.to_string().parse::<GrantId>().is_err());
        assert!(!ClientId::generate(clock.now(), &entropy).is_metadata_document());
    }

    #[test]
    fn identifiers_sort_by_the_time_they_were_made() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let first = GrantId::generate(clock.now(), &entropy);
        clock.advance_seconds(1);
        assert!(first.to_string() < GrantId::generate(clock.now(), &entropy).to_string());
    }

    /// Identifiers of earlier exchanges are smaller than those of later ones, whatever time is given.
    #[test]
    fn the_first_name_of_a_moment_is_less_than_all_of_it() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
        let before = RequestId::generate(clock.now(), &entropy);
        clock.advance_seconds(1);
        let first = RequestId::first_at(clock.now());
        let after = RequestId::generate(clock.now(), &entropy);
        assert!(before < first && first < after);
        assert!(before.to_string() < first.to_string() && first.to_string() < after.to_string());
        assert!(RequestId::first_at(Timestamp::MIN) < before && after < RequestId::first_at(Timestamp::MAX));
        assert_eq!(after.began_at_millisecond(), clock.now().as_millisecond());
        assert_eq!(first.began_at_millisecond(), clock.now().as_millisecond());
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        for bad in [
            "",
            "usr_",
            "usr_0",
            "USR_0",
            "usr_0193ffffffff7fffbfffffffffffffffG",
            "usr_{0193ffff-ffff-7fff-bfff-ffffffffffff}",
        ] {
            assert!(bad.parse::<UserId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_name_is_one_plain_path_segment() {
        for good in ["a", "notes", "notes-2"] {
            assert!(good.parse::<ServerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "2a", "A", "a b", "a/b", "a.b", "..", "é"] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }
}
