//! Text from outside: what of it a person does not see, and which texts a server may take for one another.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Controls, format characters, fillers, variation selectors, tags and private use.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
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

#[cfg(test)]
mod tests {
    use super::{NameFault, check_name, fold, is_invisible};

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
        for seen in [' ', 'a', 'é', '関', '—', '“', '🔥', 'ا'] {
            assert!(!is_invisible(seen), "{seen:?}");
        }
    }
}
