//! Labels of drawings: foreign text made safe for plain text, XML and Mermaid.
//!
//! Everything that is drawn takes foreign text only through these functions, so that what comes out is valid.

use std::fmt::Write as _;

/// The label for a text of which nothing can be drawn.
const NOTHING: &str = "-";

/// Returns whether a character changes the direction of writing, which would reorder the text after it.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of visible text of at most `chars_max` characters: controls become spaces, invisible marks go, accents do
/// not pile up, and of several spaces one stays. Never empty.
pub fn clean(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut accented = false;
    let mut count = 0;
    for character in text.chars().filter(|character| !invisible(*character)) {
        let character = if is_space(character) { ' ' } else { character };
        let doubled =
            if character == ' ' { out.is_empty() || out.ends_with(' ') } else { accent(character) && accented };
        if doubled {
            continue;
        }
        if count == chars_max {
            out.push('…');
            break;
        }
        accented = accent(character);
        out.push(character);
        count += 1;
    }
    let out = out.trim();
    if out.is_empty() { NOTHING.to_owned() } else { out.to_owned() }
}

/// Escapes text for XML.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn is_space(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Returns whether a character is invisible, or is no character at all and so not allowed in XML.
fn invisible(character: char) -> bool {
    turns_direction(character)
        || matches!(character,
            '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a mark is drawn over its predecessor; many of them would grow out of their line.
fn accent(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// A label that Mermaid reads as text: what has a meaning there is written as an entity. What is longer than
/// `chars_max` is cut with an ellipsis.
pub fn mermaid(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(chars_max) {
        match character {
            '"' | '#' | ';' | '<' | '>' | '{' | '}' | '`' | '%' | '\\' => entity(&mut out, character),
            control if control.is_control() => out.push(' '),
            mark if turns_direction(mark) => {}
            other => out.push(other),
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
    if out.trim().is_empty() { NOTHING.to_owned() } else { out }
}

/// As [`mermaid`], for the quoted labels of a flowchart, which Mermaid reads as Markdown and as HTML besides.
pub fn mermaid_quoted(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut ordinal = true;
    // What `mermaid` wrote as an entity holds none of the characters replaced here.
    for (at, character) in mermaid(text.trim(), chars_max).chars().enumerate() {
        let marks_list = (at == 0 && matches!(character, '-' | '+')) || (ordinal && matches!(character, '.' | ')'));
        ordinal = ordinal && character.is_ascii_digit();
        if marks_list || matches!(character, '&' | '*' | '~' | '[' | ']' | '$' | '|') {
            entity(&mut out, character);
        } else {
            out.push(character);
        }
    }
    out
}

fn entity(out: &mut String, character: char) {
    let _ = write!(out, "#{};", u32::from(character));
}

#[cfg(test)]
mod tests {
    use super::{clean, mermaid_quoted};

    #[test]
    fn what_is_left_is_one_line_that_can_be_seen() {
        for (given, left) in [
            ("", "-"),
            (" \u{202e}\u{200b}\n", "-"),
            ("a\n\t b\u{0}", "a b"),
            ("ノート\u{2066}", "ノート"),
            ("e\u{301}\u{301}\u{301}!", "e\u{301}!"),
            ("abcdefgh", "abcdef…"),
            ("abcdef", "abcdef"),
        ] {
            assert_eq!(clean(given, 6), left, "{given:?}");
        }
    }

    #[test]
    fn neither_markdown_nor_html_is_seen_in_a_quoted_label() {
        for (given, written) in [
            ("list_issues", "list_issues"),
            ("a-b.c", "a-b.c"),
            ("1. one", "1#46; one"),
            ("- one", "#45; one"),
            ("*a* [b] &lt;", "#42;a#42; #91;b#93; #38;lt#59;"),
            ("\"`x`\"", "#34;#96;x#96;#34;"),
            ("", "#45;"),
            ("\u{202e}", "#45;"),
        ] {
            assert_eq!(mermaid_quoted(given, 40), written, "{given:?}");
        }
    }
}
