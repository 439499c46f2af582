//! What a server may take for one and the same that URL parsers keep apart.
//!
//! Folded are: percent-encoding, the case and the Unicode form of letters, invisible characters, backslashes, the slashes
//! after the scheme (some servers cut them off, and do not tell a host from a path), dots and spaces at the end of a
//! segment (as Windows drops them), and a slash at the end. Folding is for comparing in rules that
//! take away, where taking too much for equal refuses and too little lets through. It never is for finding anything.

use super::parts::{Parts, decoded};
use crate::text::fold;

/// A part of a pattern with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPart {
    /// This text.
    Text(String),
    /// Any text, also none.
    Wildcard,
}

/// One reading of a URI, folded. `host_only`: without user name and port. `path_only`: without query and path parameters.
pub(super) fn reading(parts: &Parts<'_>, host_only: bool, path_only: bool) -> String {
    let mut text = format!("{}:", parts.scheme);
    if let Some(authority) = parts.authority {
        let host = match (host_only, Parts::user_and_host(authority)) {
            (false, _) => authority,
            (true, (_, host)) => match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
                _ => host,
            },
        };
        text.push_str("//");
        text.push_str(host);
    }
    if path_only {
        let bare: Vec<&str> =
            parts.path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
        text.push_str(&bare.join("/"));
    } else {
        text.push_str(parts.path);
    }
    let mut reading = path(&text, true);
    if let Some(query) = parts.query
        && !path_only
    {
        reading.push('?');
        reading.push_str(&fold(&fully_decoded(query)));
    }
    reading
}

/// A pattern of a rule (`*` stands for any text), folded as readings are. A text without wildcards is one part.
pub fn folded_pattern(parts: &[PatternPart]) -> Vec<PatternPart> {
    let mut in_query = false;
    let mut folded = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let PatternPart::Text(text) = part else {
            folded.push(PatternPart::Wildcard);
            continue;
        };
        let is_last = at + 1 == parts.len();
        let mut run = String::new();
        let mut query = text.as_str();
        if !in_query {
            let (before, behind) = match text.split_once('?') {
                Some((before, behind)) => (before, Some(behind)),
                None => (text.as_str(), None),
            };
            run = path(before, is_last || behind.is_some());
            in_query = behind.is_some();
            run.push_str(if in_query { "?" } else { "" });
            query = behind.unwrap_or_default();
        }
        run.push_str(&fold(&fully_decoded(query)));
        folded.push(PatternPart::Text(run));
    }
    folded
}

/// A URI without its query, or a part of one. `ends`: nothing follows in its last segment.
fn path(text: &str, ends: bool) -> String {
    let plain = fold(&fully_decoded(text)).replace('\\', "/");
    let plain = match plain.split_once(":/") {
        Some((scheme, rest)) if !scheme.contains('/') => format!("{scheme}:{}", rest.trim_start_matches('/')),
        _ => plain,
    };
    let segments: Vec<&str> = plain.split('/').collect();
    let trimmed = segments.iter().enumerate().map(|(at, segment)| {
        let bare = segment.trim_end_matches(['.', ' ']);
        let is_whole = ends || at + 1 < segments.len();
        if bare.is_empty() || !is_whole { segment } else { bare }
    });
    let mut text = trimmed.collect::<Vec<_>>().join("/");
    if ends && !text.is_empty() && !text.ends_with('/') {
        text.push('/');
    }
    text
}

/// Decoded as often as it changes anything; bounded, for each round makes the text shorter.
fn fully_decoded(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let next = decoded(&text);
        if next == text || next.len() >= text.len() {
            return next;
        }
        text = next;
    }
}
