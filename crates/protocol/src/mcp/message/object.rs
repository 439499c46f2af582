//! Reading the members of one object by name and type, with errors that name the member from the top.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::error::ReadError;
use super::id::Id;
use crate::mcp::scan::{self, Member};
use crate::mcp::strict::Checked;

/// One object of a checked text.
#[derive(Clone, Copy)]
pub(super) struct Object<'a, 'm> {
    text: &'a str,
    /// The position of the object in the text.
    start: usize,
    /// Its members, and maybe those of other objects.
    members: &'m [Member<'a>],
}

impl<'a, 'm> Object<'a, 'm> {
    /// Returns the object that begins at `start`.
    pub(super) fn of(checked: &'m Checked<'a>, start: usize) -> Self {
        Self { text: checked.text, start, members: &checked.members }
    }

    /// Returns the object at `range`, or `None` if there is none.
    pub(super) fn at(checked: &'m Checked<'a>, range: &Range<usize>) -> Option<Self> {
        Self::of(checked, range.start).is_object().then(|| Self::of(checked, range.start))
    }

    /// The object that is all of a text, with the members that [`scan::members`] found in it.
    pub(super) fn scanned(text: &'a str, members: &'m [Member<'a>]) -> Self {
        Self { text, start: scan::root(text).start, members }
    }

    fn is_object(&self) -> bool {
        self.text.as_bytes().get(self.start) == Some(&b'{')
    }

    /// Returns the members of the object, in order.
    pub(super) fn members(&self) -> impl Iterator<Item = &'m Member<'a>> {
        let start = self.start;
        self.members.iter().filter(move |member| member.of == start)
    }

    pub(super) fn range(&self, name: &str) -> Option<Range<usize>> {
        self.members().find(|member| member.name == name).map(|member| member.value.clone())
    }

    /// Returns the text of a member's value; `null` counts as absent, as in every MCP implementation.
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
    pub(super) fn object(&self, name: &str, member: &'static str) -> Result<Option<&'a str>, ReadError> {
        let Some(raw) = self.text(name) else { return Ok(None) };
        if !raw.starts_with('{') {
            return Err(ReadError::WrongType { member, expected: "an object" });
        }
        Ok(Some(raw))
    }

    /// An object, to be read further.
    pub(super) fn inner(&self, name: &str, member: &'static str) -> Result<Option<Self>, ReadError> {
        let Some(range) = self.range(name).filter(|_| self.text(name).is_some()) else { return Ok(None) };
        let inner = Self { start: range.start, ..*self };
        if inner.is_object() { Ok(Some(inner)) } else { Err(ReadError::WrongType { member, expected: "an object" }) }
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

/// A value that was checked, as the rest of the workspace takes it.
pub(super) fn raw_value(raw: &str) -> Option<&RawValue> {
    serde_json::from_str(raw).ok()
}
