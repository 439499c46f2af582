//! Where the members of an object and the elements of an array stand in a JSON text that was checked before.
//!
//! Total on any text: what is not JSON gives `None`, never a panic; but only after [`super::strict::check`] do
//! the answers mean anything. Iterative, so depth costs no stack.

use std::borrow::Cow;
use std::ops::Range;

/// One member of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Unescaped.
    pub(super) name: Cow<'a, str>,
    /// Where the opening quote of the name stands.
    pub(super) start: usize,
    /// Where the value stands, without surrounding blanks.
    pub(super) value: Range<usize>,
}

impl Member<'_> {
    /// Name, colon and value.
    pub(super) fn whole(&self) -> Range<usize> {
        self.start..self.value.end
    }
}

/// The text without the blanks around it.
pub(super) fn root(text: &str) -> Range<usize> {
    let bytes = text.as_bytes();
    let start = skip_blanks(bytes, 0);
    let trailing = bytes.iter().rev().take_while(|byte| is_blank(**byte)).count();
    start..bytes.len().saturating_sub(trailing).max(start)
}

/// The members of the object that stands at `object`, in order.
pub(super) fn members(text: &str, object: Range<usize>) -> Option<Vec<Member<'_>>> {
    let bytes = text.as_bytes();
    let mut at = expect(bytes, object.start, b'{')?;
    let mut members = Vec::new();
    at = skip_blanks(bytes, at);
    if byte_at(bytes, at)? == b'}' {
        return Some(members);
    }
    loop {
        let start = at;
        let end = skip_string(bytes, start)?;
        let name = unescape(text.get(start..end)?)?;
        at = expect(bytes, skip_blanks(bytes, end), b':')?;
        at = skip_blanks(bytes, at);
        let end = skip_value(bytes, at)?;
        members.push(Member { name, start, value: at..end });
        at = skip_blanks(bytes, end);
        match byte_at(bytes, at)? {
            b',' => at = skip_blanks(bytes, at + 1),
            b'}' => return Some(members),
            _ => return None,
        }
    }
}

/// The elements of the array that stands at `array`, in order.
pub(super) fn elements(text: &str, array: Range<usize>) -> Option<Vec<Range<usize>>> {
    let bytes = text.as_bytes();
    let mut at = skip_blanks(bytes, expect(bytes, array.start, b'[')?);
    let mut elements = Vec::new();
    if byte_at(bytes, at)? == b']' {
        return Some(elements);
    }
    loop {
        let end = skip_value(bytes, at)?;
        elements.push(at..end);
        at = skip_blanks(bytes, end);
        match byte_at(bytes, at)? {
            b',' => at = skip_blanks(bytes, at + 1),
            b']' => return Some(elements),
            _ => return None,
        }
    }
}

/// The value of a JSON string with its quotes; borrowed unless something was escaped.
pub(super) fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr2(b'"', b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(quoted).ok().map(Cow::Owned),
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(super) fn skip_blanks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_blank(**byte)).count()
}

fn byte_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn expect(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    (byte_at(bytes, at)? == wanted).then_some(at + 1)
}

fn skip_string(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = expect(bytes, from, b'"')?;
    loop {
        let rest = bytes.get(at..)?;
        at += memchr::memchr2(b'"', b'\\', rest)?;
        if byte_at(bytes, at)? == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn skip_value(bytes: &[u8], from: usize) -> Option<usize> {
    match byte_at(bytes, from)? {
        b'"' => skip_string(bytes, from),
        b'{' | b'[' => skip_container(bytes, from),
        _ => {
            let rest = bytes.get(from..)?;
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b':' | b'"') || is_blank(*byte))
                .unwrap_or(rest.len());
            (length > 0).then_some(from + length)
        }
    }
}

fn skip_container(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
        match byte_at(bytes, at)? {
            b'"' => {
                at = skip_string(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            _ => depth = depth.checked_sub(1)?,
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}
