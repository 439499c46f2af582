//! Finds the positions of the members of an object and the elements of an array in a JSON text that was checked before.
//!
//! Total on any text: text that is not JSON gives `None`, never a panic; but the answers mean something only after
//! [`super::strict::check`]. Iterative, so depth costs no stack.

use std::borrow::Cow;
use std::ops::Range;

/// One member of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Where the object stands whose member it is.
    pub(super) of: usize,
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
        members.push(Member { of: object.start, name, start, value: at..end });
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
pub(crate) fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if plain_length(inner.as_bytes()) == inner.len() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// How many bytes from the start stand for themselves in a string: up to a quote, a backslash or a control character.
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    /// Most strings are short. Beyond this the search by vectors pays for being set up.
    const WORDS_MAX: usize = 5;
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words.iter().take(WORDS_MAX) {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += word.len();
    }
    let rest = bytes.get(length..).unwrap_or_default();
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let plain = rest.get(..end).unwrap_or_default();
    length + plain.iter().position(|byte| *byte < b' ').unwrap_or(end)
}

/// Marks the quotes, backslashes and control characters among eight bytes, each in its highest bit. What is marked first,
/// from the lowest byte, is one; above it a borrow may mark another by mistake.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHEST;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\')
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(crate) fn skip_blanks(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while bytes.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

fn byte_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn expect(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    (byte_at(bytes, at)? == wanted).then_some(at + 1)
}

pub(crate) fn skip_string(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = expect(bytes, from, b'"')?;
    loop {
        at += plain_length(bytes.get(at..)?);
        match byte_at(bytes, at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

pub(crate) fn skip_value(bytes: &[u8], from: usize) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_length;

    fn one_by_one(bytes: &[u8]) -> usize {
        bytes.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len())
    }

    proptest! {
        /// Eight at a time finds what one at a time finds: ATK-66 rests on it.
        #[test]
        fn what_stands_for_itself_is_found_as_if_byte_by_byte(
            plain in 0usize..90,
            filler in prop::sample::select(vec![b'a', b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xA2, 0xDC, 0xFF]),
            rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = vec![filler; plain];
            bytes.extend(rest);
            prop_assert_eq!(plain_length(&bytes), one_by_one(&bytes));
        }
    }

    #[test]
    fn every_byte_at_every_place_is_seen_for_what_it_is() {
        for byte in 0..=u8::MAX {
            for place in 0..70 {
                for around in [b'a', byte, 0x80, 0xFF] {
                    let mut bytes = vec![around; 70];
                    bytes[place] = byte;
                    assert_eq!(plain_length(&bytes), one_by_one(&bytes), "{byte:#x} at {place} among {around:#x}");
                }
            }
        }
    }
}
