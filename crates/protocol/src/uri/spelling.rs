//! The canonical spelling of a text that is not in it: what a refused caller is told to use.

use url::Url;

use super::parts::is_unreserved;

/// As URL parsers write it, with RFC 3986 §6.2.2 applied. Not checked: the caller does.
pub(super) fn respelled(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    // RFC 3986 §3.5: the same resource.
    url.set_fragment(None);
    let once = normal(url.as_str());
    // Decoding can make segments that the parser removes.
    let twice = Url::parse(&once).ok()?;
    Some(normal(twice.as_str()))
}

/// Unreserved characters decoded, hexadecimal digits in upper case, what RFC 3986 does not have encoded, and the slashes
/// of an empty host in front of a path.
fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let octet = rest.as_str().get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (character, octet) {
            ('%', Some(octet)) => {
                rest.nth(1);
                if is_unreserved(char::from(octet)) {
                    out.push(char::from(octet));
                } else {
                    out.push_str(&format!("%{octet:02X}"));
                }
            }
            ('"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | ' ', _) => {
                out.push_str(&format!("%{:02X}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    match out.split_once(":/") {
        Some((scheme, path)) if !path.starts_with('/') && !scheme.contains([':', '/', '?']) => {
            format!("{scheme}:///{path}")
        }
        _ => out,
    }
}
