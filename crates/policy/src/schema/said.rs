//! The text of a part of a schema, as a refusal quotes it: one line of JSON that is short enough for any message.
//!
//! A caller may not have seen the schema: many clients show their model neither `anyOf`, `oneOf` nor `if`, and the
//! bounds of a task are in no list. The text holds nothing that was sent.

use std::fmt::Write as _;

use sekisho_protocol::text::{is_invisible, push_json_escape};
use serde_json::Value;

/// The most characters of one part in a message.
const SAID_CHARS_MAX: usize = 300;
/// What stands at the end of a part that was cut.
const CUT: char = '…';
/// Keywords that restrict nothing, and those whose parts are quoted on their own.
const UNSAID: [&str; 13] = [
    "$comment",
    "$defs",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "properties",
    "readOnly",
    "required",
    "title",
    "writeOnly",
];

/// A text that stops growing at a maximum length.
struct Short {
    text: String,
    left: usize,
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(std::fmt::Error)?;
            if is_invisible(character) {
                push_json_escape(&mut self.text, character);
            } else {
                self.text.push(character);
            }
        }
        Ok(())
    }
}

/// Returns the text of what a schema says about one value. Empty if it says nothing.
pub(super) fn said(schema: &Value) -> Box<str> {
    let mut short = Short { text: String::new(), left: SAID_CHARS_MAX };
    let whole = match schema {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().filter(|(keyword, _)| !UNSAID.contains(&keyword.as_str())).collect();
            if members.is_empty() {
                return Box::default();
            }
            // Sorted, so that the text does not depend on the order in which the schema was read.
            members.sort_by_key(|(keyword, _)| *keyword);
            let write = || {
                let mut before = '{';
                for (keyword, value) in members {
                    write!(short, "{before}{}:{value}", Value::from(keyword.as_str()))?;
                    before = ',';
                }
                short.write_char('}')
            };
            write()
        }
        other => write!(short, "{other}"),
    };
    if whole.is_err() {
        short.text.push(CUT);
    }
    short.text.into()
}
