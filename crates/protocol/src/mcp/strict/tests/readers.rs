//! Other people's parsers, as simple as they can be: first member wins, last member wins, case does not matter,
//! separators do not matter. They are the oracle that accepted messages are held against.

use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::mcp::message::{Kind, Message};

/// JSON with every member in order, duplicates and all.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other(String),
    Text(String),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Other(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Other(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Other(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Other(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other("null".to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = access.next_element()? {
                    elements.push(element);
                }
                Ok(Json::Array(elements))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    First,
    Last,
    LastIgnoringCase,
    LastIgnoringSeparators,
}

const READERS: [Reader; 4] = [Reader::First, Reader::Last, Reader::LastIgnoringCase, Reader::LastIgnoringSeparators];

impl Reader {
    fn get<'a>(self, json: &'a Json, name: &str) -> Option<&'a Json> {
        let Json::Object(members) = json else { return None };
        let mut matching = members.iter().filter(|(other, _)| self.takes(other, name));
        let found = match self {
            Self::First => matching.next(),
            _ => matching.next_back(),
        };
        found.map(|(_, value)| value)
    }

    fn takes(self, other: &str, name: &str) -> bool {
        let lower = |text: &str| {
            text.chars()
                .map(|char| match char {
                    'ſ' => 's',
                    '\u{212A}' => 'k',
                    'İ' | 'ı' => 'i',
                    _ => char.to_ascii_lowercase(),
                })
                .collect::<String>()
        };
        let bare = |text: &str| lower(text).replace(['_', '-'], "");
        match self {
            Self::First | Self::Last => other == name,
            Self::LastIgnoringCase => lower(other) == lower(name),
            Self::LastIgnoringSeparators => bare(other) == bare(name),
        }
    }
}

fn text(json: Option<&Json>) -> Option<&str> {
    match json {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

/// Every reader takes the message for the same call with the same parameters as we do.
pub(super) fn assert_all_agree(message: &Message<'_>) {
    let json: Json = serde_json::from_slice(message.bytes()).unwrap();
    for reader in READERS {
        let top = |name| reader.get(&json, name);
        assert_eq!(text(top("method")), message.method(), "{reader:?} {json:?}");
        let is_response = top("result").is_some() || top("error").is_some();
        assert_eq!(is_response, matches!(message.kind(), Kind::Response { .. }), "{reader:?}");
        assert_eq!(
            top("id").is_some_and(|id| *id != Json::Other("null".to_owned())),
            message.id().is_some(),
            "{reader:?} {json:?}"
        );
        let Some(params) = message.params() else { continue };
        let inside = |name| reader.get(top("params").unwrap(), name);
        assert_eq!(text(inside("name")), params.name.as_deref(), "{reader:?} {json:?}");
        assert_eq!(text(inside("uri")), params.uri.as_deref(), "{reader:?} {json:?}");
        assert_eq!(text(inside("taskId")), params.task_id.as_deref(), "{reader:?} {json:?}");
        assert_eq!(text(inside("requestState")), params.request_state.as_deref(), "{reader:?} {json:?}");
        let ours = params.arguments.map(|raw| serde_json::from_str::<Json>(raw).unwrap());
        let theirs = inside("arguments").filter(|json| **json != Json::Other("null".to_owned()));
        assert_eq!(theirs, ours.as_ref(), "{reader:?}");
        if let Some(meta) = inside("_meta") {
            let version = reader.get(meta, "io.modelcontextprotocol/protocolVersion");
            assert_eq!(text(version), params.meta.protocol_version.as_deref(), "{reader:?}");
        }
    }
}

fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let fold = name.replacen('s', "ſ", 1).replacen('k', "\u{212A}", 1).replacen('i', "ı", 1);
    let escaped: String = name.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
    prop_oneof![
        8 => Just(name.to_owned()),
        1 => Just(name.to_uppercase()),
        1 => Just(fold),
        1 => Just(escaped),
        1 => Just(format!("{name}\\u0000")),
        1 => Just(name.replace("Id", "_id").replace("_meta", "meta")),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t"), 1 => Just("/**/")]
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn members(
    names: &'static [&'static str],
    value: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = String> {
    let member =
        proptest::sample::select(names).prop_flat_map(spelled).prop_flat_map(move |name| (Just(name), value.clone()));
    proptest::collection::vec(member, 0..5).prop_map(object)
}

/// Messages out of the words that matter, in any number, order and spelling.
pub(super) fn message_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("\"tools/call\"".to_owned()),
        Just("\"t\\u006fols/call\"".to_owned()),
        Just("\"2.0\"".to_owned()),
        Just("1".to_owned()),
        Just("1.0".to_owned()),
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("\"safe\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
    ];
    let arguments = members(&["path", "name", "value"], word.clone());
    let meta = members(&["io.modelcontextprotocol/protocolVersion", "progressToken"], word.clone());
    let value = prop_oneof![3 => word.clone().boxed(), 1 => arguments.boxed(), 1 => meta.boxed()].boxed();
    let params = members(&["name", "uri", "arguments", "_meta", "taskId", "requestState"], value.clone());
    let more = members(&["jsonrpc", "id", "method", "params", "result", "error"], value);
    (params, more, blank(), 0u8..4).prop_map(|(params, more, blank, how)| {
        let call =
            format!("{blank}\"jsonrpc\":\"2.0\",{blank}\"id\":1,\"method\"{blank}:\"tools/call\",\"params\":{params}");
        let more = more.strip_prefix('{').and_then(|more| more.strip_suffix('}')).unwrap().to_owned();
        match how {
            0 | 1 => format!("{{{call}}}"),
            2 if !more.is_empty() => format!("{{{call},{more}}}"),
            _ => format!("{{{more}}}"),
        }
    })
}

/// Messages with distinct names that mean nothing, in any structure, spacing and escaping.
pub(super) fn plain_text() -> impl Strategy<Value = String> {
    let space = proptest::sample::select(vec!["", " ", "\n", "\t\r\n"]);
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| serde_json::to_string(&number).unwrap()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<char>().prop_map(|char| {
            let mut units = [0; 2];
            let units = char.encode_utf16(&mut units).iter();
            format!("\"{}\"", units.map(|unit| format!("\\u{unit:04X}")).collect::<String>())
        }),
        Just("true".to_owned()),
        Just("null".to_owned()),
    ];
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        let spaced = (space.clone(), inner.clone()).prop_map(|(space, value)| format!("{space}{value}{space}"));
        prop_oneof![
            proptest::collection::vec(spaced.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            proptest::collection::vec(spaced, 0..20).prop_map(|values| {
                let members = values.into_iter().enumerate().map(|(index, value)| (format!("x\\u00e9{index}"), value));
                object(members.collect())
            }),
        ]
    });
    value.prop_map(|value| format!("{{\"x\":{value}}}"))
}
