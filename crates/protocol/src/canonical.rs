//! The canonical spelling of a JSON value: members sorted, no blanks, one form for each number (after RFC 8785).
//!
//! For digests only; nothing that is forwarded is written by this. Two texts with the same meaning have the same
//! digest, so an approval, a record or an accepted definition does not depend on the order of members.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::mcp::message::Meta;
use serde_json::Value;
use serde_json::value::RawValue;

/// Returns the digest of a value's canonical form. Text that is not JSON, or is nested deeper than serde_json reads, is
/// digested as it is.
pub fn digest(raw: &RawValue) -> Digest {
    match serde_json::from_str(raw.get()) {
        Ok(value) => Digest::of(write(&value).as_bytes()),
        Err(_) => Digest::of(raw.get().as_bytes()),
    }
}

/// Returns arguments in the canonical spelling that is digested and shown to a person. Without arguments, this is `{}`.
///
/// Arguments are left as they are if a number has a fraction, an exponent or more digits than an integer holds: parsing
/// it could lose digits, and an approval must not cover something that is only almost the same.
pub fn arguments(text: Option<&[u8]>) -> Cow<'_, str> {
    let Some(text) = text else { return Cow::Borrowed("{}") };
    match serde_json::from_slice::<Value>(text) {
        Ok(value) if is_exact(&value) => Cow::Owned(write(&value)),
        Ok(_) | Err(_) => String::from_utf8_lossy(text),
    }
}

/// Returns the digest of arguments in their canonical spelling.
pub fn digest_of_text(text: Option<&[u8]>) -> Digest {
    Digest::of(arguments(text).as_bytes())
}

/// Returns whether a member of `params` is a part of the call itself or brings back an answer: approvals and digests of
/// calls cover these separately.
fn is_part_of_call(name: &str) -> bool {
    matches!(name, "arguments" | "inputResponses" | "name" | "ref" | "requestState" | "uri")
}

/// Returns whether a member of `params._meta` belongs to the exchange and not to the call: it may differ each time that
/// the same call is made, and no server may act on it (2026-07-28 Overview, `_meta`; W3C Trace Context §3.2, §3.3).
fn is_mechanics(name: &str) -> bool {
    matches!(name, Meta::PROGRESS_TOKEN | "traceparent" | "tracestate")
        || matches!(name, Meta::CLIENT_CAPABILITIES | Meta::CLIENT_INFO | Meta::LOG_LEVEL | Meta::PROTOCOL_VERSION)
}

/// Returns what a call sends besides its target and its arguments: `_meta`, `task`, and other members of `params`, in
/// the canonical spelling that is digested and shown to a person. `None`: nothing.
pub fn beside(params: Option<&[u8]>) -> Option<String> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(params?).ok()?;
    members.retain(|name, _| !is_part_of_call(name));
    let mut meta: BTreeMap<String, &RawValue> =
        members.remove("_meta").and_then(|meta| serde_json::from_str(meta.get()).ok()).unwrap_or_default();
    meta.retain(|name, _| !is_mechanics(name));
    let mut texts: BTreeMap<String, String> =
        members.iter().map(|(name, raw)| (name.clone(), arguments(Some(raw.get().as_bytes())).into_owned())).collect();
    if !meta.is_empty() {
        let meta =
            meta.iter().map(|(name, raw)| (name.clone(), arguments(Some(raw.get().as_bytes())).into_owned())).collect();
        texts.insert("_meta".to_owned(), object(&meta));
    }
    (!texts.is_empty()).then(|| object(&texts))
}

/// An object of members that are texts of JSON.
fn object(members: &BTreeMap<String, String>) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, text)| format!("{}:{text}", Value::String(name.clone()))).collect();
    format!("{{{}}}", members.join(","))
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Number(number) => !number.is_f64(),
        Value::Bool(_) | Value::Null | Value::String(_) => true,
    }
}

/// Returns the canonical text of a value.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}

fn push(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // RFC 8785 §3.2.3 sorts by UTF-16 units, whatever order the map of this build keeps.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                push(out, value);
            }
            out.push('}');
        }
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Bool(_) | Value::Null | Value::String(_) => out.push_str(&value.to_string()),
    }
}

/// `1`, `1.0` and `1e0` are one number.
fn number_text(number: &serde_json::Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    match number.as_f64() {
        // Doubles below 2^53 that are integral are written as integers.
        Some(double) if double.fract() == 0.0 && double.abs() < 9_007_199_254_740_992.0 => {
            format!("{double:.0}").replace("-0", "0")
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{beside, digest, digest_of_text, write};

    fn canonical(text: &str) -> String {
        write(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn one_value_has_one_spelling() {
        for (text, expected) in [
            (r#"{ "b" : 1, "a" : [ true , null ] }"#, r#"{"a":[true,null],"b":1}"#),
            (r#"{"a":1.0,"b":1e2,"c":-0.0}"#, r#"{"a":1,"b":100,"c":0}"#),
            (r#"{"a":0.5,"b":-10.0}"#, r#"{"a":0.5,"b":-10}"#),
            (r#""\u0041\/""#, r#""A/""#),
            // U+10000 sorts before U+FFFD in UTF-16, after it in UTF-8.
            ("{\"\u{FFFD}\":1,\"\u{10000}\":2}", "{\"\u{10000}\":2,\"\u{FFFD}\":1}"),
        ] {
            assert_eq!(canonical(text), expected);
        }
    }

    /// ATK-133: what is sent beside the arguments is a part of what a person says yes to, down to the last digit; what only
    /// belongs to the exchange is not.
    #[test]
    fn what_is_beside_the_arguments_is_told_apart() {
        let of = |text: &str| beside(Some(text.as_bytes()));
        for nothing in [
            r#"{"name":"t","arguments":{"a":1}}"#,
            r#"{"name":"t","_meta":{}}"#,
            r#"{"name":"t","_meta":{"progressToken":7,"traceparent":"00-a"},"requestState":"s","inputResponses":{}}"#,
            r#"{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        ] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
        assert_eq!(beside(None), None);
        let both =
            of(r#"{ "task" : {"ttl": 60000}, "name":"t", "_meta":{"b":1e2,"a":{"y":2,"x":1},"progressToken":1}}"#);
        assert_eq!(both.as_deref(), Some(r#"{"_meta":{"a":{"x":1,"y":2},"b":1e2},"task":{"ttl":60000}}"#));
        assert_ne!(of(r#"{"task":{"ttl":0.1}}"#), of(r#"{"task":{"ttl":0.10000000000000000001}}"#));
        assert_ne!(of(r#"{"unknown":1}"#), None);
    }

    #[test]
    fn arguments_that_differ_have_different_digests() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(digest(&raw(r#"{"a":1,"b":2}"#)), digest(&raw(r#"{"b":2,"a":1}"#)));
        assert_ne!(digest(&raw(r#"{"a":1}"#)), digest(&raw(r#"{"a":"1"}"#)));
        let of = |text: &str| digest_of_text(Some(text.as_bytes()));
        assert_eq!(digest_of_text(None), of("{ }"));
        assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{ "b":[2], "a":1 }"#));
        // Alike once read as doubles, and yet not the same to whoever reads more digits.
        for (one, other) in [
            (r#"{"id":12345678901234567890123}"#, r#"{"id":12345678901234567890124}"#),
            (r#"{"to":[{"sum":0.1}]}"#, r#"{"to":[{"sum":0.10000000000000000001}]}"#),
        ] {
            assert_ne!(of(one), of(other));
        }
    }
}
