//! Text from outside, before a person reads it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Controls, format characters, fillers, variation selectors, tags and private use.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}'
            | '\u{fffe}' | '\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

/// Foreign text on one line: whatever is not seen where it stands, or moves what is, is written as its number (ATK-95,
/// ATK-231).
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_invisible, |out, character| out.extend(character.escape_default()))
}

/// Text of several lines for a terminal: the same, but line feeds and tabs stay (ATK-231).
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let stays = |character| matches!(character, '\n' | '\t');
    let is_hidden = |character| is_invisible(character) && !stays(character);
    escaped(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// JSON for a terminal: the same characters as JSON escapes them, so that it means what it meant (RFC 8259 §7). Line
/// feeds stay; they stand between its parts only.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escaped(
        json,
        |character| is_invisible(character) && character != '\n',
        |out, character| {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hidden(character) { escape(&mut out, character) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{is_invisible, visible, visible_json, visible_lines};

    /// ATK-75: what hides a sentence from a reader is found, and writing of all kinds is not.
    #[test]
    fn what_hides_is_invisible_and_writing_is_not() {
        for hidden in ['\u{7}', '\n', '\u{200b}', '\u{202e}', '\u{feff}', '\u{e0041}', '\u{ad}'] {
            assert!(is_invisible(hidden), "{hidden:?}");
        }
        for seen in [' ', 'a', 'é', '関', '—', '“', '🔥', 'ا', '\u{fffd}'] {
            assert!(!is_invisible(seen), "{seen:?}");
        }
    }

    /// ATK-231: no character that a terminal obeys, or that turns writing around, is left by any of the three.
    #[test]
    fn what_is_shown_commands_nothing() {
        let hostile = "a\u{1b}]0;x\u{7}\u{9b}31m\u{202e}b\r\n\tc\u{e0041}d";
        for shown in [visible(hostile), visible_lines(hostile), visible_json(hostile)] {
            assert!(!shown.chars().any(|c| is_invisible(c) && !matches!(c, '\n' | '\t')), "{shown:?}");
        }
        assert_eq!(visible("a\nb"), "a\\nb");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\r");
        assert!(matches!(visible_lines("plain — 古い"), std::borrow::Cow::Borrowed(_)));
        let value = serde_json::json!({ "a\u{202e}": hostile });
        let text = serde_json::to_string(&value).unwrap();
        let back: serde_json::Value = serde_json::from_str(&visible_json(&text)).unwrap();
        assert_eq!(back, value);
    }
}
