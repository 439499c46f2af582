//! Reading the members of one object by name and type, with errors that name the member from the top.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::{Id, ReadError, raw_value};
use crate::mcp::scan::{self, Member};

/// One object of a checked text.
pub(super) struct Object<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// `None` when no object stands there.
    pub(super) fn read(text: &'a str, range: Range<usize>) -> Option<Self> {
        Some(Self { text, members: scan::members(text, range)? })
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    pub(super) fn range(&self, name: &str) -> Option<Range<usize>> {
        self.members.iter().find(|member| member.name == name).map(|member| member.value.clone())
    }

    /// The text of a member's value; `null` counts as absent, as every MCP implementation has it.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.text.get(self.range(name)?).filter(|raw| *raw != "null")
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.text(name).and_then(raw_value)
    }

    pub(super) fn string(&self, name: &str, member: &'static str) -> Result<Option<Cow<'a, str>>, ReadError> {
        let Some(raw) = self.text(name) else { return Ok(None) };
        match scan::unescape(raw) {
            Some(text) => Ok(Some(text)),
            None => Err(ReadError::WrongType { member, expected: "a string" }),
        }
    }

    pub(super) fn id(&self, name: &str, member: &'static str) -> Result<Option<Id>, ReadError> {
        let Some(raw) = self.text(name) else { return Ok(None) };
        match Id::read(raw) {
            Some(id) => Ok(Some(id)),
            None => Err(ReadError::WrongType { member, expected: "a string or an integer" }),
        }
    }

    pub(super) fn boolean(&self, name: &str, member: &'static str) -> Result<Option<bool>, ReadError> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ReadError::WrongType { member, expected: "true or false" }),
        }
    }

    /// An object, as its bytes.
    pub(super) fn object(&self, name: &str, member: &'static str) -> Result<Option<&'a RawValue>, ReadError> {
        let Some(raw) = self.text(name) else { return Ok(None) };
        if !raw.starts_with('{') {
            return Err(ReadError::WrongType { member, expected: "an object" });
        }
        Ok(raw_value(raw))
    }

    /// An object, to be read further.
    pub(super) fn inner(&self, name: &str, member: &'static str) -> Result<Option<Object<'a>>, ReadError> {
        if self.text(name).is_none() {
            return Ok(None);
        }
        let object = self.range(name).and_then(|range| Object::read(self.text, range));
        object.map(Some).ok_or(ReadError::WrongType { member, expected: "an object" })
    }

    pub(super) fn strings(&self, name: &str, member: &'static str) -> Result<Vec<Cow<'a, str>>, ReadError> {
        if self.text(name).is_none() {
            return Ok(Vec::new());
        }
        let error = ReadError::WrongType { member, expected: "an array of strings" };
        let elements = self.range(name).and_then(|range| scan::elements(self.text, range));
        elements
            .ok_or_else(|| error.clone())?
            .into_iter()
            .map(|range| self.text.get(range).and_then(scan::unescape).ok_or_else(|| error.clone()))
            .collect()
    }
}
