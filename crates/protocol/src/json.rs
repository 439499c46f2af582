//! Reads a JSON text in place: the kind of a value, its members, its elements, its text. Only texts with escapes are
//! copied.
//!
//! For texts that have passed [`crate::mcp::strict`]. On any other text, every function still ends and never panics;
//! [`Broken`] says that the text is not JSON.

use std::borrow::Cow;

use crate::mcp::scan;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON")]
pub struct Broken;

/// The kinds of JSON values (RFC 8259 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `[…]`
    Array,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
    /// A number, as it is written.
    Number,
    /// `{…}`
    Object,
    /// `"…"`
    String,
}

impl Kind {
    /// Returns the name of the kind in JSON Schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Null => "null",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}

/// One value, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// One member of an object: its name, and its value.
pub type Member<'a> = (Cow<'a, str>, Raw<'a>);

impl<'a> Raw<'a> {
    /// Wraps a text as a value, without the blanks around it.
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// Returns the value as it is written.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Its kind, by its first byte.
    pub fn kind(self) -> Result<Kind, Broken> {
        match self.0.as_bytes().first() {
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') if matches!(self.0, "true" | "false") => Ok(Kind::Boolean),
            Some(b'n') if self.0 == "null" => Ok(Kind::Null),
            _ => Err(Broken),
        }
    }

    /// Returns the unescaped content of a string.
    pub fn string(self) -> Result<Cow<'a, str>, Broken> {
        scan::unescape(self.0).ok_or(Broken)
    }

    /// The members of an object, in order.
    pub fn members(self) -> Members<'a> {
        Members(Items::of(self.0, b'{'))
    }

    /// The elements of an array, in order.
    pub fn elements(self) -> Elements<'a> {
        Elements(Items::of(self.0, b'['))
    }
}

/// The items of an object or an array.
#[derive(Debug, Clone)]
struct Items<'a> {
    text: &'a str,
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read yet.
    Fresh,
    /// At least one item was read.
    Within,
    /// The end was reached, or the text broke off.
    Over,
}

impl<'a> Items<'a> {
    fn of(text: &'a str, open: u8) -> Self {
        let opens = text.as_bytes().first() == Some(&open);
        // If the text does not start with the right bracket, reading the first item reports it as broken.
        Self { text, at: usize::from(opens), state: State::Fresh }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        self.at = scan::skip_blanks(self.text.as_bytes(), self.at);
    }

    /// Whether another item begins here.
    fn advance(&mut self, close: u8) -> Result<bool, Broken> {
        if self.state == State::Over {
            return Ok(false);
        }
        if self.at == 0 {
            return Err(Broken);
        }
        self.skip_blanks();
        match (self.byte(), self.state) {
            (Some(byte), _) if byte == close => {
                self.state = State::Over;
                return Ok(false);
            }
            (Some(b','), State::Within) => {
                self.at += 1;
                self.skip_blanks();
            }
            (Some(_), State::Fresh) => self.state = State::Within,
            _ => return Err(Broken),
        }
        Ok(true)
    }

    fn value(&mut self) -> Result<Raw<'a>, Broken> {
        let end = scan::skip_value(self.text.as_bytes(), self.at).ok_or(Broken)?;
        let raw = self.text.get(self.at..end).ok_or(Broken)?;
        self.at = end;
        Ok(Raw(raw))
    }

    fn name(&mut self) -> Result<Cow<'a, str>, Broken> {
        let end = scan::skip_string(self.text.as_bytes(), self.at).ok_or(Broken)?;
        let name = self.text.get(self.at..end).and_then(scan::unescape).ok_or(Broken)?;
        self.at = scan::skip_blanks(self.text.as_bytes(), end);
        if self.byte() != Some(b':') {
            return Err(Broken);
        }
        self.at += 1;
        self.skip_blanks();
        Ok(name)
    }

    fn next<T>(&mut self, close: u8, read: impl FnOnce(&mut Self) -> Result<T, Broken>) -> Option<Result<T, Broken>> {
        let item = match self.advance(close) {
            Ok(false) => return None,
            Ok(true) => read(self),
            Err(broken) => Err(broken),
        };
        if item.is_err() {
            self.state = State::Over;
        }
        Some(item)
    }
}

/// See [`Raw::members`].
#[derive(Debug, Clone)]
pub struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(b'}', |items| Ok((items.name()?, items.value()?)))
    }
}

/// See [`Raw::elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a>(Items<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Raw<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(b']', Items::value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Broken, Kind, Raw};

    /// The same value, read by this module alone.
    fn read(raw: Raw<'_>) -> Result<Value, Broken> {
        Ok(match raw.kind()? {
            Kind::Array => Value::Array(raw.elements().map(|item| read(item?)).collect::<Result<_, _>>()?),
            Kind::Boolean => Value::Bool(raw.text() == "true"),
            Kind::Null => Value::Null,
            Kind::Number => serde_json::from_str(raw.text()).map_err(|_| Broken)?,
            Kind::Object => {
                let members = raw.members().map(|member| {
                    let (name, value) = member?;
                    Ok((name.into_owned(), read(value)?))
                });
                Value::Object(members.collect::<Result<_, _>>()?)
            }
            Kind::String => Value::String(raw.string()?.into_owned()),
        })
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}|[\"\\\\\n\u{7f}é]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"é]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_read_where_it_stands(value in values(), spaced in any::<bool>()) {
            let text = if spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            prop_assert_eq!(read(Raw::new(&text.unwrap())), Ok(value));
        }

        #[test]
        fn any_text_ends(text in "[\\[\\]{}:,\"\\\\ a1tn]{0,24}") {
            let raw = Raw::new(&text);
            prop_assert!(raw.members().count() <= 24 && raw.elements().count() <= 24);
            let _ = read(raw);
        }
    }

    #[test]
    fn what_is_no_value_is_broken() {
        for text in ["", "tru", "nul", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "[1 2]", "[1,", "{\"a\":", "x"] {
            assert_eq!(read(Raw::new(text)), Err(Broken), "{text}");
        }
        assert_eq!(Raw::new("7").members().next(), Some(Err(Broken)));
    }
}
