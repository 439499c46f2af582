//! JSON as editors write it: with comments and trailing commas.

use serde_json::Value;

/// Parses JSON with comments and trailing commas.
pub(super) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&plain(text).0)
}

/// Returns whether the text has comments, which rewriting would lose.
pub(super) fn has_comments(text: &str) -> bool {
    plain(text).1
}

/// Returns the text as plain JSON, with comments replaced by spaces and trailing commas removed, and whether it had
/// comments.
fn plain(text: &str) -> (String, bool) {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
    let mut commented = false;
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('"', _) => {
                out.push('"');
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                commented = true;
                for inner in characters.by_ref() {
                    if inner == '\n' {
                        out.push('\n');
                        break;
                    }
                }
            }
            ('/', Some('*')) => {
                commented = true;
                characters.next();
                let mut before = ' ';
                for inner in characters.by_ref() {
                    if before == '*' && inner == '/' {
                        break;
                    }
                    before = inner;
                }
                out.push(' ');
            }
            (']' | '}', _) => {
                let kept = out.trim_end().trim_end_matches(',').len();
                out.truncate(kept);
                out.push(character);
            }
            (other, _) => out.push(other),
        }
    }
    (out, commented)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{has_comments, parse};

    #[test]
    fn comments_and_last_commas_are_no_part_of_it() {
        let text =
            "\u{feff}{ // one\n \"a\": [1, 2,], /* two, } */ \"b\": \"// no /* comment */ ,}\", \"c\": \"\\\"//\", }";
        assert_eq!(parse(text).unwrap(), json!({ "a": [1, 2], "b": "// no /* comment */ ,}", "c": "\"//" }));
        assert!(has_comments(text) && !has_comments(r#"{"url":"https://h"}"#));
        for broken in ["{", "{\"a\":}", "/* open", "[1 2]", "\"", ""] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
