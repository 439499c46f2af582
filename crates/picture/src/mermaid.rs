//! Text that Mermaid reads as text, shared by the writers of Mermaid.

use std::fmt::Write as _;

use crate::text::{NOTHING, turns_direction};

/// A label that Mermaid reads as text: what has a meaning there is written as an entity. What is longer than
/// `chars_max` is cut with an ellipsis.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
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

/// As [`plain`], for the quoted labels of a flowchart, which Mermaid reads as Markdown and as HTML besides.
pub(crate) fn quoted(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut ordinal = true;
    // What `plain` wrote as an entity holds none of the characters replaced here.
    for (at, character) in plain(text.trim(), chars_max).chars().enumerate() {
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
    use super::quoted;

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
            assert_eq!(quoted(given, 40), written, "{given:?}");
        }
    }
}
