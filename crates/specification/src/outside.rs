//! The names of documents that were not read.

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 80;

/// Returns the number in `RFC6749`, `RFC 6749`, `rfc6749`, `rfc6749.html`.
pub(crate) fn rfc_number(text: &str) -> Option<u32> {
    let head = text.get(..3)?;
    let rest = text.get(3..)?.trim_start_matches([' ', '-', '\u{a0}']);
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
    let fits = head.eq_ignore_ascii_case("rfc") && (1..=5).contains(&digits.len());
    let after = rest.get(digits.len()..).unwrap_or_default();
    if fits && !after.starts_with(|next: char| next.is_alphanumeric()) { digits.parse().ok() } else { None }
}

/// Returns the name of the document at an address: its RFC number, its draft name, or its place.
pub(crate) fn name_of(address: &str) -> String {
    let address = address.split(['#', '?']).next().unwrap_or_default();
    let place = address.split_once("://").map_or(address, |(_, place)| place).trim_end_matches('/');
    for segment in place.rsplit('/') {
        if let Some(number) = rfc_number(segment) {
            return format!("RFC {number}");
        }
        if segment.starts_with("draft-") {
            let draft = [".html", ".txt", ".xml", ".pdf"].iter().find_map(|ending| segment.strip_suffix(ending));
            return draft.unwrap_or(segment).to_owned();
        }
    }
    sekisho_protocol::label::clean(place, NAME_CHARS_MAX)
}

/// Whether an address leads to a text, and not to a picture or a mailbox.
pub(crate) fn is_text(address: &str) -> bool {
    let lower = address.to_lowercase();
    let scheme = lower.split_once(':').map_or("", |(scheme, _)| scheme);
    let path = lower.split(['#', '?']).next().unwrap_or_default();
    let ending = path.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, ending)| ending);
    let other = matches!(scheme, "mailto" | "tel" | "javascript" | "data" | "blob" | "cursor" | "vscode");
    let picture = matches!(
        ending,
        "png" | "jpg" | "jpeg" | "gif" | "svg" | "webp" | "ico" | "pdf" | "mp4" | "zip" | "gz" | "css" | "js" | "woff2"
    );
    // A PDF may well be a specification.
    !other && (!picture || ending == "pdf")
}

#[cfg(test)]
mod tests {
    use super::{is_text, name_of, rfc_number};

    #[test]
    fn a_document_is_named_as_people_name_it() {
        for (address, name) in [
            ("https://datatracker.ietf.org/doc/html/rfc9728#section-5.1", "RFC 9728"),
            ("https://www.rfc-editor.org/rfc/rfc8707.html", "RFC 8707"),
            ("https://www.ietf.org/archive/id/draft-ietf-oauth-v2-1-13.html#name-roles", "draft-ietf-oauth-v2-1-13"),
            ("https://example.com/a/?b#c", "example.com/a"),
            ("/specification/draft/basic", "/specification/draft/basic"),
        ] {
            assert_eq!(name_of(address), name);
        }
        assert_eq!(rfc_number("RFC 6749"), Some(6749));
        assert_eq!(rfc_number("RFCs"), None);
        assert_eq!(rfc_number("rfc6749bis"), None);
        assert!(is_text("https://example.com/spec") && !is_text("logo.PNG") && !is_text("mailto:a@b"));
    }
}
