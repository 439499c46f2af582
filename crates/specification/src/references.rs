//! Finds references that are not links: `Section 4.1`, `Section 3 of [RFC8707]`, `[RFC6749]`, `RFC 6749`, 第3条.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::document::Section;
use crate::links::{Addresses, Target};
use crate::outside;

/// A reference in the prose.
#[derive(Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) at: Range<usize>,
    pub(crate) target: Target,
    /// The reference as it is written.
    pub(crate) text: &'a str,
}

/// The longest label of a bibliography, in bytes.
const LABEL_BYTES_MAX: usize = 60;

/// Returns the references of a section, without those that are the text of a link.
pub(crate) fn of<'a>(
    section: &'a Section,
    document: usize,
    addresses: &Addresses,
    labels: &BTreeMap<String, String>,
) -> Vec<Reference<'a>> {
    let prose = section.prose.as_str();
    let mut found = Vec::new();
    documents(prose, addresses, labels, &mut found);
    if addresses.is_numbered(document) {
        sections(prose, &section.links, document, addresses, &mut found);
    }
    let linked = |at: usize| {
        let next = section.links.partition_point(|link| link.at.end <= at);
        section.links.get(next).is_some_and(|link| link.at.start <= at)
    };
    found.retain(|reference: &Reference<'_>| !linked(reference.at.start));
    found
}

/// Finds documents by label or by number.
fn documents<'a>(
    prose: &'a str,
    addresses: &Addresses,
    labels: &BTreeMap<String, String>,
    found: &mut Vec<Reference<'a>>,
) {
    let target = |name: &str| {
        let inside = outside::rfc_number(name).and_then(|number| addresses.rfc(number));
        inside.map_or_else(|| Target::Outside(name.to_owned()), Target::Section)
    };
    let mut labelled: Vec<Range<usize>> = Vec::new();
    for (at, _) in prose.match_indices('[') {
        let rest = prose.get(at + 1..).unwrap_or_default();
        let Some(end) = rest.bytes().take(LABEL_BYTES_MAX).position(|byte| byte == b']') else { continue };
        let label = rest.get(..end).unwrap_or_default();
        let name = labels.get(label).cloned().or_else(|| {
            let number = outside::rfc_number(label)?;
            Some(format!("RFC {number}"))
        });
        if let Some(name) = name {
            let range = at..at + end + 2;
            labelled.push(range.clone());
            found.push(Reference {
                text: prose.get(range.clone()).unwrap_or_default(),
                at: range,
                target: target(&name),
            });
        }
    }
    for (at, _) in prose.match_indices("RFC") {
        let next = labelled.partition_point(|range| range.end <= at);
        let within = labelled.get(next).is_some_and(|range| range.start <= at);
        let before = prose.get(..at).and_then(|before| before.chars().next_back());
        let number = outside::rfc_number(head(prose, at, 12));
        if let (false, false, Some(number)) = (within, before.is_some_and(char::is_alphanumeric), number) {
            let range = at..at + 3;
            found.push(Reference { at: range, target: target(&format!("RFC {number}")), text: "RFC" });
        }
    }
}

/// Returns at most this many bytes of the text from here, cut between characters.
fn head(text: &str, at: usize, bytes: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    rest.get(..rest.floor_char_boundary(bytes)).unwrap_or_default()
}

/// Finds sections of this document by number.
fn sections<'a>(
    prose: &'a str,
    links: &[crate::document::Link],
    document: usize,
    addresses: &Addresses,
    found: &mut Vec<Reference<'a>>,
) {
    for word in ["Section", "section", "§", "Appendix"] {
        for (at, _) in prose.match_indices(word) {
            let after = at + word.len();
            let rest = prose.get(after..).unwrap_or_default();
            let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start_matches('§');
            let mut begin = prose.len() - rest.len();
            let mut numbers: Vec<Range<usize>> = Vec::new();
            // There may be several numbers: `Sections 4.1, 4.2 and 4.3`.
            while let Some(range) = number_at(prose, begin) {
                begin = range.end;
                numbers.push(range);
                let between = head(prose, begin, 8);
                let skip = [", and ", " and ", " or ", ", "].iter().find(|between_| between.starts_with(**between_));
                let Some(skip) = skip else { break };
                begin += skip.len();
            }
            if numbers.is_empty() || is_of_another(prose, at, begin, links) {
                continue;
            }
            for range in numbers {
                let number = prose.get(range.clone()).unwrap_or_default();
                let target = addresses.number(document, number).map_or(Target::Broken, Target::Section);
                let text = prose.get(at..range.end).unwrap_or_default();
                found.push(Reference { at: at..range.end, target, text });
            }
        }
    }
    for (at, _) in prose.match_indices('第') {
        let rest = prose.get(at..).unwrap_or_default();
        let Some((end, sign)) = rest.char_indices().take(8).find(|(_, sign)| matches!(sign, '条' | '章' | '節' | '項'))
        else {
            continue;
        };
        let range = at..at + end + sign.len_utf8();
        let number = prose.get(range.clone()).unwrap_or_default();
        // The reference may be to another law or document, or to none. Only a section of this document can be resolved.
        if let Some(section) =
            addresses.number(document, number).filter(|_| !prose.get(..at).unwrap_or_default().ends_with('法'))
        {
            found.push(Reference { text: number, at: range, target: Target::Section(section) });
        }
    }
}

/// Returns the number of a section after at most one space: `4.1`, `A.2`, `B`.
fn number_at(prose: &str, at: usize) -> Option<Range<usize>> {
    let rest = prose.get(at..)?;
    let text = rest.trim_start_matches(['\u{a0}', ' ']);
    let skipped = rest.len() - text.len();
    let length = text
        .bytes()
        .take(20)
        .take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'.')
        .count();
    let number = text.get(..length)?.trim_end_matches('.');
    let first = number.split('.').next().unwrap_or_default();
    let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    let letter = first.len() == 1;
    let word_goes_on = text.get(length..).is_some_and(|after| after.starts_with(|next: char| next.is_alphanumeric()));
    let from = at + skipped;
    ((digits || letter) && !word_goes_on && skipped <= 2).then(|| from..from + number.len())
}

/// Whether it refers to another document: `Section 3 of [RFC8707]`, `OAuth 2.1 Section 5.2`, `RFC 9728, Section 7`.
fn is_of_another(prose: &str, at: usize, end: usize, links: &[crate::document::Link]) -> bool {
    let after = head(prose, end, 40);
    let of = [" of ", " in ", ", of "].iter().find_map(|of| after.strip_prefix(of));
    let ours = |rest: &str| {
        ["this ", "the present ", "these "].iter().any(|ours| rest.starts_with(ours))
            // Here no document is named: `as described in Section 4.1 in order to`.
            || !(rest.starts_with('[') || rest.starts_with("the ") || rest.starts_with(|first: char| first.is_uppercase()))
    };
    if of.is_some_and(|rest| !ours(rest)) {
        return true;
    }
    let before = prose.get(..at).unwrap_or_default();
    let next = links.partition_point(|link| link.at.end < at.saturating_sub(2));
    if links.get(next).is_some_and(|link| link.at.end <= at && link.at.start < at) {
        return true;
    }
    let before = before.trim_end_matches([' ', ',', '-', '(']);
    let word = before.rsplit(' ').next().unwrap_or_default();
    before.ends_with(']')
        || outside::rfc_number(word).is_some()
        || (word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        || before.strip_suffix(word).map(|rest| rest.trim_end().ends_with("RFC")).unwrap_or(false)
}
