//! Text from outside, before a person reads it.

/// Controls, format characters, fillers, variation selectors, tags and private use.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::is_invisible;

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
