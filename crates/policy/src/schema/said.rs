//! What a part of a schema says, as a refusal quotes it: one line of JSON that is short enough for any message.
//!
//! A caller may not have seen the schema: many clients show their model neither `anyOf`, `oneOf` nor `if`, and bounds of a
//! task stand in no list. Nothing of what was sent is in it.

use std::fmt::Write as _;

use sekisho_protocol::text::{is_invisible, push_json_escape};
use serde_json::Value;

/// Characters of one part in a message.
const SAID_CHARS_MAX: usize = 300;
/// What follows a part that was cut off.
const CUT: char = '…';
/// Keywords that bind nothing, and those whose own parts are told by themselves.
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

/// A text that takes no more than it may.
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

/// What a schema says of one value. Empty where it says nothing.
pub(super) fn said(schema: &Value) -> Box<str> {
    let mut short = Short { text: String::new(), left: SAID_CHARS_MAX };
    let whole = match schema {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().filter(|(keyword, _)| !UNSAID.contains(&keyword.as_str())).collect();
            if members.is_empty() {
                return Box::default();
            }
            // In one order, whatever order the schema was read in.
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
