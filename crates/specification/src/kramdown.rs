//! Reads the sources of Internet-Drafts: Markdown for `kramdown-rfc`, with a header before `--- abstract` and
//! references as `{{…}}`. They are converted to ordinary Markdown.

use std::fmt::Write as _;

/// A draft, converted to Markdown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) text: String,
    /// The meanings of its references' labels, for labels that are more than a number.
    pub(crate) labels: Vec<(String, String)>,
}

/// Returns the name of the part that a line begins, as in `--- abstract`.
fn part(line: &str) -> Option<&str> {
    let name = line.strip_prefix("--- ")?.trim();
    let known = matches!(name, "abstract" | "back" | "middle") || name.starts_with("note_") || name == "note";
    known.then_some(name)
}

/// Converts the draft. `None` if the text is not one.
pub(crate) fn read(text: &str) -> Option<Draft> {
    let text = text.trim_start_matches('\u{feff}');
    let begins = text.trim_start().starts_with("---");
    if !begins || !text.lines().any(|line| matches!(part(line), Some("abstract" | "middle"))) {
        return None;
    }
    let mut draft = Draft::default();
    let mut lines = text.lines();
    let head: Vec<&str> =
        lines.by_ref().skip_while(|line| line.trim().is_empty()).take_while(|line| part(line).is_none()).collect();
    let title = head.iter().find_map(|line| line.strip_prefix("title:")).unwrap_or_default();
    let title = title.trim().trim_matches(['"', '\'']).replace(['\'', '"'], "");
    let _ = write!(draft.text, "---\ntitle: {title}\n---\n\n");
    draft.labels = labels(&head);
    // The line that ended the header begins the first part.
    let first = text.lines().find_map(part).unwrap_or_default();
    draft.text.push_str(&heading(first));
    let (mut fence, mut comment): (Option<&str>, bool) = (None, false);
    for line in lines {
        let trimmed = line.trim_start();
        if let Some(mark) = fence {
            if trimmed.starts_with(mark) && trimmed.trim_end().chars().all(|c| mark.starts_with(c)) {
                fence = None;
            }
            push(&mut draft.text, line);
            continue;
        }
        fence = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        if let Some(name) = part(line) {
            draft.text.push_str(&heading(name));
            continue;
        }
        let ends = comment && trimmed.starts_with("{:/");
        comment = !ends && (comment || trimmed.starts_with("{::comment}"));
        // Settings for the line before or after, and blocks for the tool that makes the page.
        let setting = trimmed.starts_with("{:") && trimmed.trim_end().ends_with('}');
        if comment || ends || setting {
            draft.text.push('\n');
        } else if fence.is_some() {
            push(&mut draft.text, line);
        } else {
            push(&mut draft.text, &referred(line));
        }
    }
    Some(draft)
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn heading(part: &str) -> String {
    match part {
        "abstract" => "# Abstract\n\n".to_owned(),
        note if note.starts_with("note_") => format!("# {}\n\n", note.trim_start_matches("note_").replace('_', " ")),
        _ => "\n".to_owned(),
    }
}

/// Returns the references in the header: `RFC2119:`, and those with their own title.
fn labels(head: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let (mut inside, mut current) = (false, None);
    for line in head {
        let indent = line.len() - line.trim_start().len();
        let (key, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        match indent {
            0 => (inside, current) = (matches!(key, "normative" | "informative"), None),
            _ if !inside => {}
            1..=2 => {
                current = Some(key.to_owned());
                // The value may repeat the label, as in `RFC2119: RFC2119`, or be a number alone.
                if !value.trim().is_empty() {
                    found.push((key.to_owned(), value.trim().to_owned()));
                }
            }
            _ if key == "title" => {
                if let Some(label) = &current {
                    let title = value.trim().trim_matches(['"', '\'']);
                    found.push((label.clone(), format!("{label}: {title}")));
                }
            }
            _ => {}
        }
    }
    found
}

/// Rewrites the references in a line to ordinary ones.
fn referred(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut left = line;
    while let Some((before, rest)) = left.split_once("{{") {
        out.push_str(before);
        let Some((inside, after)) = rest.split_once("}}") else {
            out.push_str("{{");
            left = rest;
            break;
        };
        reference(inside.trim_matches(['{', '}']), &mut out);
        // `{: format="title"}` only says how the reference looks.
        left = match after.strip_prefix("{:") {
            Some(setting) => setting.split_once('}').map_or(after, |(_, after)| after),
            None => after,
        };
    }
    out.push_str(left);
    out
}

/// Writes the reference in `{{…}}`: a label, an anchor, or a section of a label.
fn reference(inside: &str, out: &mut String) {
    let of = inside.split_once(" of ").map(|(section, label)| (section, bare(label)));
    let at = inside.split_once(", ").map(|(label, section)| (section, bare(label)));
    match of.or(at) {
        Some((section, label)) if is_label(label) => {
            let _ = write!(out, "{section} of [{label}]");
        }
        _ if is_label(bare(inside)) => {
            let _ = write!(out, "[{}]", bare(inside));
        }
        _ => {
            let anchor = bare(inside);
            let _ = write!(out, "[{anchor}](#{anchor})");
        }
    }
}

/// Removes the signs that say in which list the reference stands, and how it is shown.
fn bare(text: &str) -> &str {
    text.trim().trim_start_matches(['!', '?', '<', '-']).trim_end_matches('>')
}

/// Whether a text is a label, such as `RFC6749`, `I-D.ietf-oauth-v2-1` or `OpenID.Core`. Anchors are in lower case.
fn is_label(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase() || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::read;

    const DRAFT: &str = "---\ntitle: \"A Small Draft\"\ndocname: draft-small-00\n\nnormative:\n  RFC2119:\n  OpenID:\n    title: OpenID Connect Core\n\
        informative:\n  RFC6749:\n\n--- abstract\n\nWhat it is about.\n\n--- note_To_Readers\n\nRead it.\n\n--- middle\n\n# Introduction {#intro}\n\n\
        {::boilerplate bcp14-tagged}\n\nSee {{token-request}}, {{!RFC6749}}, {{Section 4.1 of RFC6749}} and {{RFC8707, Section 2}}.\n\
        {{fig-a}}{: format=\"title\"} too.\n\n~~~\n{{not-this}}\n~~~\n{: #fig-a title=\"A\"}\n\n{::comment}\nHidden.\n{:/comment}\n\n--- back\n\n# Thanks\n";

    #[test]
    fn a_draft_becomes_markdown() {
        let draft = read(DRAFT).unwrap();
        for expected in [
            "---\ntitle: A Small Draft\n---",
            "# Abstract\n\n\nWhat it is about.",
            "# To Readers",
            "# Introduction {#intro}",
            "See [token-request](#token-request), [RFC6749], Section 4.1 of [RFC6749] and Section 2 of [RFC8707].",
            "[fig-a](#fig-a) too.",
            "{{not-this}}",
            "# Thanks",
        ] {
            assert!(draft.text.contains(expected), "{expected}: {}", draft.text);
        }
        for gone in ["docname", "boilerplate", "Hidden", "--- middle", "title=\"A\""] {
            assert!(!draft.text.contains(gone), "{gone}: {}", draft.text);
        }
        assert_eq!(draft.labels, [("OpenID".to_owned(), "OpenID: OpenID Connect Core".to_owned())]);
    }

    #[test]
    fn other_markdown_is_left_alone() {
        for text in ["# Title\n\n--- abstract\n", "---\ntitle: x\n---\n\n# A\n", "", "---\n\n--- else\n"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
