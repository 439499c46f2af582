//! Makes texts of a foreign server fit to be shown.

use sekisho_protocol::text::is_invisible;

/// Returns at most 200 characters, none of which moves the cursor or changes the writing direction (ATK-26).
pub(crate) fn presentable(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).take(200).collect()
}

/// Returns an error code if it has the form of one (RFC 6749 §5.2). A sentence or markup does not have it.
pub(crate) fn code(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain && !text.is_empty() && text.len() <= 64 { text.to_owned() } else { "an unreadable error code".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{code, presentable};

    #[test]
    fn nothing_that_moves_the_cursor_is_shown() {
        assert_eq!(presentable("a\u{1b}[2Jb\r\n\u{202e}c\u{200b}"), "a[2Jbc");
        assert_eq!(presentable(&"x".repeat(500)).len(), 200);
        assert_eq!(code("invalid_grant"), "invalid_grant");
        for bad in ["", "a b", "<b>", &"x".repeat(65)] {
            assert_eq!(code(bad), "an unreadable error code");
        }
    }
}
