//! Strings and numbers as RFC 8259 §6 and §7 have them, and what about them is still ambiguous.

use super::{Numbers, StrictError};
use crate::mcp::scan;

/// Where the string that starts at `start` ends, its closing quote included, and whether anything in it is escaped.
/// Refuses raw control characters, unknown escapes and halves of surrogate pairs.
pub(super) fn string_end(bytes: &[u8], start: usize) -> Result<(usize, bool), StrictError> {
    if bytes.get(start) != Some(&b'"') {
        return Err(StrictError::Syntax { at: start });
    }
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        at += scan::plain_length(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => at = escape_end(bytes, at)?,
            Some(_) => return Err(StrictError::ControlCharacter { at }),
            None => return Err(StrictError::Syntax { at }),
        }
        escaped = true;
    }
}

/// Where the escape that starts at the backslash `at` ends, both halves of a pair included.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, StrictError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(bytes, at)? {
            0xD800..=0xDBFF if matches!(unit(bytes, at + 6), Ok(0xDC00..=0xDFFF)) => Ok(at + 12),
            0xD800..=0xDFFF => Err(StrictError::LoneSurrogate { at }),
            _ => Ok(at + 6),
        },
        _ => Err(StrictError::Syntax { at }),
    }
}

/// The UTF-16 unit that the `\uXXXX` at `at` stands for.
fn unit(bytes: &[u8], at: usize) -> Result<u32, StrictError> {
    let error = StrictError::Syntax { at };
    let Some([b'\\', b'u', digits @ ..]) = bytes.get(at..at + 6) else { return Err(error) };
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or_else(|| error.clone())?;
        Ok(value * 16 + digit)
    })
}

/// The number at the start of `text`, by the grammar of RFC 8259 §6: no plus, no leading zero, no bare point.
pub(super) fn number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digits =
        |from: usize| bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    text.get(..at)
}

/// An integer of so many digits is one in every parser.
const SURELY_HELD_DIGITS: usize = 15;

/// Whether a number may stand in a message.
pub(super) fn is_admitted(number: &str, numbers: Numbers) -> bool {
    if is_surely_held(number) {
        return true;
    }
    let Ok(double) = number.parse::<f64>() else { return false };
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = || mantissa.bytes().all(|byte| matches!(byte, b'-' | b'.' | b'0'));
    double.is_finite() && (numbers == Numbers::Finite || double != 0.0 || is_zero())
}

/// Most numbers: integers far below 2^53.
fn is_surely_held(number: &str) -> bool {
    number.len() <= SURELY_HELD_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether every program reads this number as the same value: an integer that a double would round is read by one program
/// as it stands and by another as one nearby. Numbers with a fraction or an exponent are read alike as doubles. Who
/// compares a number takes one that is not exact for something that cannot be compared (decision 5).
pub fn is_exact(number: &str) -> bool {
    if is_surely_held(number) || number.contains(['.', 'e', 'E']) {
        return true;
    }
    let Ok(double) = number.parse::<f64>() else { return false };
    // Beyond 64 bits integers become doubles in some parsers and errors in others.
    match number.parse::<i128>() {
        Ok(integer) => (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer) && exact(integer, double),
        Err(_) => false,
    }
}

/// Whether a double holds this integer, as against one nearby.
fn exact(integer: i128, double: f64) -> bool {
    // At most 2^64 in size, where a double is integral; the cast would saturate, not wrap.
    double as i128 == integer
}
