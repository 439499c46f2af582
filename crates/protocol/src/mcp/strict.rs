//! One walk over the bytes that refuses whatever two parsers could read differently (ATK-66, ATK-69, ATK-93).
//!
//! A gateway decides on what *it* read and an upstream acts on what *it* read. The walk makes sure that these are
//! the same: no duplicate member names at any depth (compared after unescaping), no member that becomes a known
//! one when a lenient parser ignores case, width or separators, no numbers that overflow or vanish in one parser and not
//! in another, no byte order mark, comment, batch or trailing data. Everything is bounded, and depth costs heap, not stack.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use smallvec::SmallVec;

use super::scan::{self, Member};

mod error;
mod known;
mod numbers;
mod text;

pub use error::StrictError;
use known::Place;
pub use known::{loosely, same_when_folded};
pub use numbers::Numbers;
pub use text::is_exact;

/// Bounds of one message. The size of the whole is the surface's to bound, before it reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Objects and arrays inside one another, the message itself being 1.
    pub depth_max: usize,
    /// Members and elements in the whole message.
    pub members_max: usize,
    /// Bytes of one member name, as written.
    pub name_bytes_max: usize,
    /// Bytes of one number.
    pub number_bytes_max: usize,
    /// Bytes of one string value, as written.
    pub string_bytes_max: usize,
    /// How exact numbers have to be.
    pub numbers: Numbers,
}

impl Default for Limits {
    /// For messages of callers: depth 64 (half of what serde_json bears), 100 000 members, names of 4 KiB,
    /// numbers of 64 bytes, strings of 8 MiB (a picture in Base64), bounded numbers.
    fn default() -> Self {
        Self {
            depth_max: 64,
            members_max: 100_000,
            name_bytes_max: 4 << 10,
            number_bytes_max: 64,
            string_bytes_max: 8 << 20,
            numbers: Numbers::Bounded,
        }
    }
}

impl Limits {
    /// For messages of upstreams, which carry long lists, large contents and odd schemas.
    pub fn upstream() -> Self {
        Self {
            depth_max: 100,
            members_max: 1_000_000,
            number_bytes_max: 512,
            string_bytes_max: 64 << 20,
            numbers: Numbers::Finite,
            ..Self::default()
        }
    }
}

/// Refuses what is not exactly one JSON object that every parser reads alike.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), StrictError> {
    read(bytes, limits).map(drop)
}

/// A text that passed, with what the walk met on its way.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    /// All of it: bytes that passed are UTF-8.
    pub(super) text: &'a str,
    /// Where its object stands, without the blanks around it.
    pub(super) root: Range<usize>,
    /// Members with a name that is known in their place, of all objects that are read further, in order.
    pub(super) members: Vec<Member<'a>>,
}

/// The same, with what is in it.
pub(super) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Checked<'a>, StrictError> {
    // UTF-8, and UTF-16 in either order: none of them starts a JSON text (RFC 8259 §8.1).
    if bytes.starts_with(b"\xEF\xBB\xBF") || bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(StrictError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| StrictError::NotUtf8 { at: error.valid_up_to() })?;
    let members = Vec::with_capacity(MEMBERS_USUAL);
    let mut walk = Walk { text, at: 0, limits, counted: 0, frames: SmallVec::new(), names: SmallVec::new(), members };
    let root = walk.message()?;
    Ok(Checked { text, root, members: walk.members })
}

/// Objects and arrays inside one another, names in those that are open, and members that are read further, of most
/// messages: there is room for so many from the start.
const FRAMES_USUAL: usize = 6;
const NAMES_USUAL: usize = 16;
const MEMBERS_USUAL: usize = 12;
/// Up to this many names in one object are compared one by one; beyond it a set is cheaper.
const LINEAR_NAMES_MAX: usize = 16;

/// One object or array that is open.
struct Frame<'a> {
    is_object: bool,
    /// No member or element was read yet.
    fresh: bool,
    place: Place,
    /// Whether what is known of its members is kept for readers.
    is_read: bool,
    /// Where it stands.
    start: usize,
    /// Which of `Walk::members` it is the value of.
    value_of: Option<usize>,
    /// Where this object's names start in `Walk::names`.
    names_from: usize,
    /// The same names, once they are many.
    seen: Option<HashSet<Cow<'a, str>>>,
}

struct Walk<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l Limits,
    counted: usize,
    frames: SmallVec<[Frame<'a>; FRAMES_USUAL]>,
    /// The names of all open objects, outermost first.
    names: SmallVec<[Cow<'a, str>; NAMES_USUAL]>,
    /// See [`Checked::members`].
    members: Vec<Member<'a>>,
}

impl<'a> Walk<'a, '_> {
    /// Where the object stands that is the whole.
    fn message(&mut self) -> Result<Range<usize>, StrictError> {
        self.skip_blanks();
        let start = self.at;
        match self.peek() {
            None => return Err(StrictError::Empty),
            Some(b'[') => return Err(StrictError::Batch),
            Some(b'{') => self.open(true, Place::Message, None)?,
            Some(_) => {
                // A lone scalar is JSON but no message; anything else is not JSON.
                self.value(Place::Free, None)?;
                return Err(StrictError::NotObject);
            }
        }
        while !self.frames.is_empty() {
            self.step()?;
        }
        let end = self.at;
        self.skip_blanks();
        if self.peek().is_some() {
            return Err(StrictError::Trailing { at: self.at });
        }
        Ok(start..end)
    }

    /// One member, one element, or the end of the innermost open object or array.
    fn step(&mut self) -> Result<(), StrictError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let (is_object, place) = (frame.is_object, frame.place);
        let (is_read, of) = (frame.is_read, frame.start);
        let fresh = std::mem::replace(&mut frame.fresh, false);
        self.skip_blanks();
        let close = if is_object { b'}' } else { b']' };
        if self.peek() == Some(close) {
            self.at += 1;
            self.close();
            return Ok(());
        }
        if !fresh {
            self.expect(b',')?;
            self.skip_blanks();
        }
        self.counted += 1;
        if self.counted > self.limits.members_max {
            return Err(StrictError::Members { at: self.at, max: self.limits.members_max });
        }
        if !is_object {
            return self.value(place.element(), None);
        }
        let start = self.at;
        let name = self.name()?;
        let child = place.child(&name);
        let is_known = place.knows(&name);
        let kept = (is_read && is_known).then(|| name.clone());
        self.remember(name, place, is_known, start)?;
        self.skip_blanks();
        self.expect(b':')?;
        self.skip_blanks();
        let value = self.at..self.at;
        let value_of = kept.map(|name| {
            self.members.push(Member { of, name, start, value });
            self.members.len() - 1
        });
        self.value(child, value_of)
    }

    fn open(&mut self, is_object: bool, place: Place, value_of: Option<usize>) -> Result<(), StrictError> {
        if self.frames.len() >= self.limits.depth_max {
            return Err(StrictError::Depth { at: self.at, max: self.limits.depth_max });
        }
        let is_read = is_object && self.frames.last().is_none_or(|around| around.is_read && place.is_read());
        let (start, names_from) = (self.at, self.names.len());
        self.at += 1;
        self.frames.push(Frame { is_object, fresh: true, place, is_read, start, value_of, names_from, seen: None });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.names.truncate(frame.names_from);
            self.end_value(frame.value_of);
        }
    }

    /// What was the value of this member ends here.
    fn end_value(&mut self, value_of: Option<usize>) {
        if let Some(member) = value_of.and_then(|member| self.members.get_mut(member)) {
            member.value.end = self.at;
        }
    }

    fn value(&mut self, place: Place, value_of: Option<usize>) -> Result<(), StrictError> {
        match self.peek() {
            // These end when they are closed.
            Some(b'{') => return self.open(true, place, value_of),
            Some(b'[') => return self.open(false, place, value_of),
            Some(b'"') => {
                let at = self.at;
                let (quoted, _) = self.string()?;
                if quoted.len() > self.limits.string_bytes_max {
                    return Err(StrictError::StringTooLong { at, max: self.limits.string_bytes_max });
                }
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ => return Err(StrictError::Syntax { at: self.at }),
        }
        self.end_value(value_of);
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), StrictError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(StrictError::Syntax { at: self.at });
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), StrictError> {
        let at = self.at;
        let rest = self.text.get(at..).unwrap_or_default();
        let number = text::number(rest).ok_or(StrictError::Syntax { at })?;
        if number.len() > self.limits.number_bytes_max || !text::is_admitted(number, self.limits.numbers) {
            return Err(StrictError::Number { at });
        }
        self.at += number.len();
        Ok(())
    }

    /// A string with its quotes, and whether anything in it is escaped.
    fn string(&mut self) -> Result<(&'a str, bool), StrictError> {
        let start = self.at;
        let (end, escaped) = text::string_end(self.text.as_bytes(), start)?;
        self.at = end;
        let quoted = self.text.get(start..end).ok_or(StrictError::Syntax { at: start })?;
        Ok((quoted, escaped))
    }

    fn name(&mut self) -> Result<Cow<'a, str>, StrictError> {
        let at = self.at;
        let (quoted, escaped) = self.string()?;
        if quoted.len() > self.limits.name_bytes_max {
            return Err(StrictError::NameTooLong { at, max: self.limits.name_bytes_max });
        }
        if !escaped {
            return Ok(Cow::Borrowed(quoted.get(1..quoted.len() - 1).unwrap_or_default()));
        }
        let name = scan::unescape(quoted).ok_or(StrictError::Syntax { at })?;
        // A parser in C takes the name to end here.
        if name.contains('\0') {
            return Err(StrictError::NulInName { at });
        }
        Ok(name)
    }

    /// Refuses a name that was seen in this object, or that could be taken for one that is known here.
    fn remember(&mut self, name: Cow<'a, str>, place: Place, is_known: bool, at: usize) -> Result<(), StrictError> {
        if !is_known && let Some(known) = place.taken_for(&name) {
            return Err(StrictError::Folded { name: shown(&name), known: known.to_owned(), at });
        }
        // What a tool takes its arguments by is not known here, so two that differ by case alone are refused.
        let key = match place {
            Place::Arguments => match &name {
                Cow::Borrowed(name) => known::folded(name),
                Cow::Owned(name) => Cow::Owned(known::folded(name).into_owned()),
            },
            _ => name.clone(),
        };
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let names = self.names.get(frame.names_from..).unwrap_or_default();
        let is_new = match &mut frame.seen {
            Some(seen) => seen.insert(key.clone()),
            None if names.len() < LINEAR_NAMES_MAX => !names.contains(&key),
            None => {
                let mut seen: HashSet<_> = names.iter().cloned().collect();
                let is_new = seen.insert(key.clone());
                frame.seen = Some(seen);
                is_new
            }
        };
        if !is_new {
            return Err(StrictError::Duplicate { name: shown(&name), at });
        }
        if frame.seen.is_none() {
            self.names.push(key);
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), StrictError> {
        if self.peek() != Some(wanted) {
            return Err(StrictError::Syntax { at: self.at });
        }
        self.at += 1;
        Ok(())
    }

    fn skip_blanks(&mut self) {
        self.at = scan::skip_blanks(self.text.as_bytes(), self.at);
    }
}

/// A foreign name, fit for a message: escaped and short.
fn shown(name: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = name.escape_debug().take(SHOWN_MAX).collect();
    if name.escape_debug().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Where a range stands in `text`, for readers that sliced it from there.
pub(super) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

#[cfg(test)]
mod tests;
