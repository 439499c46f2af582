//! Text from outside: what of it a person does not see, how it is shown, and which texts a server may take for one another.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

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

/// Text from outside as people may see it: one line, nothing invisible, nothing that turns the direction of
/// writing, at most `chars_max` characters (ATK-11). Escaping is the template's business.
pub fn plain_text(text: &str, chars_max: usize) -> String {
    let mut plain = String::new();
    let mut marks = 0;
    for character in text.chars() {
        let character = if character.is_whitespace() { ' ' } else { character };
        if is_invisible(character) || (character == ' ' && (plain.is_empty() || plain.ends_with(' '))) {
            continue;
        }
        marks = if is_combining(character) { marks + 1 } else { 0 };
        // Towers of marks reach into the lines above.
        if marks <= 2 {
            plain.push(character);
        }
    }
    let cut: String = plain.chars().take(chars_max).collect();
    cut.trim_end().to_owned()
}

fn is_combining(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Why a text is not the name of a tool or a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Two spellings look alike: a server that normalises would take one for the other.
    #[error("it is not in Unicode Normalization Form C")]
    Form,
    /// Controls, marks of direction, fillers.
    #[error("it has an invisible character")]
    Invisible,
    /// Nothing, or blanks at one of its ends.
    #[error("it is empty, or begins or ends with a blank")]
    Blank,
}

/// Whether a text can be the name of a tool or a prompt: it has one spelling, and all of it is seen.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    // Nearly every name.
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    if name.is_empty() || name.trim() != name {
        return Err(NameFault::Blank);
    }
    if name.chars().any(is_invisible) {
        return Err(NameFault::Invisible);
    }
    if is_nfc(name) { Ok(()) } else { Err(NameFault::Form) }
}

/// What is left of a text where case, compatibility forms (Unicode NFKC) and invisible characters do not count. Two
/// texts that a server could take for one another have one fold; `-` and `_` stay apart.
pub fn fold(text: &str) -> Cow<'_, str> {
    // Nearly every text, and of that nearly every one is in lower case already.
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        let has_upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if has_upper { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    }
    let seen = |text: &str| -> String { text.nfkc().filter(|character| !is_invisible(*character)).collect() };
    // Upper case first: `ß` and `SS`, `ς` and `σ` meet there.
    let cased = seen(text).to_uppercase().to_lowercase();
    // The word's last sigma is lowered to `ς`.
    Cow::Owned(seen(&cased).replace('ς', "σ"))
}

/// A text of a stranger for one line of a terminal or of a table: whatever is not seen where it stands, or moves what is, is
/// written out as Rust escapes it, line ends and escape sequences among it. What was escaped stays as it is when it is
/// escaped again.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    replaced(text, is_invisible, |out, character| out.extend(character.escape_default()))
}

/// Text of several lines for a terminal: the same, but line feeds and tabs stay (ATK-231).
pub fn lines_for_terminal(text: &str) -> Cow<'_, str> {
    let is_hidden = |character| is_invisible(character) && !matches!(character, '\n' | '\t');
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// JSON of a stranger for a terminal: the same value, with whatever is not seen in its strings as its escape (RFC 8259 §7).
/// Line ends and tabs can only stand between values, and stay.
pub fn json_for_terminal(json: &str) -> Cow<'_, str> {
    replaced(json, |character| is_invisible(character) && !matches!(character, '\n' | '\t'), push_json_escape)
}

/// A page that is about to be sent, of which every tag is ours: whatever is not seen in it came from strangers, and is
/// written out. This is the last of several nets: texts are made plain where they are put on a page, too.
pub fn for_page(html: String) -> String {
    let hidden = |character: char| is_invisible(character) && !matches!(character, '\n' | '\r' | '\t');
    match replaced(&html, hidden, push_json_escape) {
        Cow::Borrowed(_) => html,
        Cow::Owned(shown) => shown,
    }
}

/// As JSON escapes it.
pub fn push_json_escape(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a text does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn replaced(text: &str, is_bad: impl Fn(char) -> bool, put: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_bad(character) {
            put(&mut out, character);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{
        NameFault, check_name, fold, for_page, for_terminal, is_invisible, json_for_terminal, lines_for_terminal,
        plain_text,
    };

    /// ATK-11: nothing in a name may hide, reorder or break out of its line.
    #[test]
    fn a_name_is_shown_without_anything_that_hides_or_turns() {
        let cases = [
            ("Plain Name", "Plain Name"),
            ("  two\t\n words  ", "two words"),
            ("evil\u{202e}gpj.exe", "evilgpj.exe"),
            ("a\u{200b}b\u{feff}c\u{2066}d", "abcd"),
            ("\u{e0041}\u{e0042}tag", "tag"),
            ("nul\0 and \u{1b}[31mred", "nul and [31mred"),
            ("Z\u{300}\u{301}\u{302}\u{303}\u{304}algo", "Z\u{300}\u{301}algo"),
            ("関所クライアント", "関所クライアント"),
            ("\u{3164}\u{115f}\u{2800}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(plain_text(text, 80), expected, "{text:?}");
        }
        assert_eq!(plain_text(&"x".repeat(500), 80).len(), 80);
    }

    /// ATK-105: names that a server may take for one another fold to one text, and others do not.
    #[test]
    fn what_a_server_may_confuse_has_one_fold() {
        for same in ["secret", "Secret", "SECRET", "ｓｅｃｒｅｔ", "sec\u{200b}ret", "ſecret", "𝐬ecret"] {
            assert_eq!(fold(same), "secret", "{same:?}");
        }
        assert_eq!(fold("Straße"), fold("STRASSE"));
        assert_eq!(fold("ΟΔΟΣ"), fold("οδος"));
        assert_eq!(fold("e\u{301}"), fold("É"));
        for other in ["secrets", "se-cret", "se_cret", "sec ret", "śecret"] {
            assert_ne!(fold(other), "secret", "{other:?}");
        }
        assert_eq!(fold(&fold("Ǆ ΟΔΟΣ ﬃ")), fold("Ǆ ΟΔΟΣ ﬃ"));
    }

    #[test]
    fn a_name_has_one_spelling_that_is_seen() {
        for fine in ["look", "get-env", "a/b.c_d", "Résumé", "読む", "two words"] {
            assert_eq!(check_name(fine), Ok(()), "{fine:?}");
        }
        for (name, fault) in [
            ("", NameFault::Blank),
            (" look", NameFault::Blank),
            ("look\u{a0}", NameFault::Blank),
            ("lo\u{200b}ok", NameFault::Invisible),
            ("\u{202e}look", NameFault::Invisible),
            ("look\u{0}", NameFault::Invisible),
            ("re\u{301}sume", NameFault::Form),
            ("\u{212b}", NameFault::Form),
        ] {
            assert_eq!(check_name(name), Err(fault), "{name:?}");
        }
    }

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

    /// ATK-95: names and reasons of strangers write nothing on the operator's terminal but themselves.
    #[test]
    fn a_strangers_text_commands_no_terminal() {
        assert_eq!(for_terminal("the old notes — 古い"), "the old notes — 古い");
        let escaped = "a\\u{1b}[2Jb\\nc\\u{9b}d\\u{202e}e\\r";
        assert_eq!(for_terminal("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e\r"), escaped);
        assert_eq!(for_terminal(escaped), escaped);
    }

    #[test]
    fn json_means_the_same_after_it_was_made_visible() {
        let value = serde_json::json!({ "a\u{9b}b": ["\u{202e}", "\u{e0041}", "\u{7f}", "plain 古い"] });
        let shown = json_for_terminal(&value.to_string()).into_owned();
        assert!(shown.chars().all(|character| !is_invisible(character)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert_eq!(json_for_terminal("{\n\t\"a\": 1\n}"), "{\n\t\"a\": 1\n}");
    }

    /// ATK-11: nothing on a page hides, whoever forgot to look.
    #[test]
    fn a_page_hides_nothing() {
        assert_eq!(for_page("<p>a\u{202e}b</p>\n".to_owned()), "<p>a\\u202eb</p>\n");
        assert_eq!(for_page("<p>plain</p>\n".to_owned()), "<p>plain</p>\n");
    }

    /// ATK-231: no character that a terminal obeys, or that turns writing around, is left by any of the three.
    #[test]
    fn what_is_shown_commands_nothing() {
        let hostile = "a\u{1b}]0;x\u{7}\u{9b}31m\u{202e}b\r\n\tc\u{e0041}d";
        for shown in [for_terminal(hostile), lines_for_terminal(hostile), json_for_terminal(hostile)] {
            assert!(!shown.chars().any(|c| is_invisible(c) && !matches!(c, '\n' | '\t')), "{shown:?}");
        }
        assert_eq!(for_terminal("a\nb"), "a\\nb");
        assert_eq!(lines_for_terminal("a\n\tb\r"), "a\n\tb\\r");
        assert!(matches!(lines_for_terminal("plain — 古い"), std::borrow::Cow::Borrowed(_)));
        let value = serde_json::json!({ "a\u{202e}": hostile });
        let text = serde_json::to_string(&value).unwrap();
        let back: serde_json::Value = serde_json::from_str(&json_for_terminal(&text)).unwrap();
        assert_eq!(back, value);
    }
}
