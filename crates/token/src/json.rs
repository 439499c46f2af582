//! JSON that every reader reads the same way: a member that occurs twice is refused, at every depth (ATK-54, ATK-55).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The error for bytes that are not JSON of the expected shape, or are ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotStrict;

/// Reads one JSON object. `serde_json` bounds the depth (128), the caller the size.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotStrict> {
    serde_json::from_slice::<Unambiguous>(bytes).map_err(|_| NotStrict)?;
    // A derived struct can also be read from an array of its fields in order. Here only objects are accepted.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(NotStrict);
    }
    serde_json::from_slice(bytes).map_err(|_| NotStrict)
}

/// Any JSON value without duplicate members. Its content is only checked, not kept.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((name, Unambiguous)) = members.next_entry::<String, Unambiguous>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    /// ATK-55: duplicates are refused at every depth, even when spelled with escapes.
    #[test]
    fn a_member_occurs_once() {
        for good in [r#"{"a":1,"b":{"a":[{"a":null}]}}"#, "{}"] {
            assert!(read::<serde_json::Value>(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#, "[]", "1", "{} x", "", "{\"a\":\"\u{1}\"}"] {
            assert!(read::<serde_json::Value>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
