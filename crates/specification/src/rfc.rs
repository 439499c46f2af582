//! Reads RFCs and Internet-Drafts as plain text: 72 columns, numbered headings at the margin, pages with headers and
//! footers.

use crate::document::{Block, Builder, Document};
use crate::source::Kind;

/// How far from the margin a centred title on the first page begins at least, in columns.
const TITLE_INDENT_MIN: usize = 6;
/// The longest term that stands alone above its meaning, in bytes.
const TERM_BYTES_MAX: usize = 50;

/// Reads one document.
pub(crate) fn read(name: &str, text: &str) -> Document {
    let lines = without_pages(text);
    let mut reader =
        Reader { builder: Builder::new(name, Kind::Rfc), contents: false, bibliography: false, entry: String::new() };
    let body = reader.front(&lines);
    let mut at = body;
    while let Some(line) = lines.get(at) {
        let wrapped = lines.get(at + 1).copied().filter(|next| next.starts_with("   ") && !next.trim().is_empty());
        if let Some((level, number, title)) = heading(line) {
            let title = wrapped.map_or_else(|| title.to_owned(), |next| format!("{title} {}", next.trim()));
            reader.heading(level, number, &title);
            at += if wrapped.is_some() { 2 } else { 1 };
            continue;
        }
        let block: Vec<&str> = lines
            .iter()
            .skip(at)
            .take_while(|line| !line.trim().is_empty() && line.starts_with(' '))
            .copied()
            .collect();
        reader.block(&block);
        // A line at the margin that is not a heading is a block.
        let taken = block.len().max(1);
        if block.is_empty() && !line.trim().is_empty() {
            reader.block(&[line]);
        } else if block.is_empty() {
            reader.source("");
        }
        at += taken;
    }
    reader.entry_ends();
    reader.builder.finish()
}

/// Returns the lines without page breaks, page headers and footers.
fn without_pages(text: &str) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    let mut after_break = false;
    for line in text.lines().map(|line| line.trim_end_matches(['\r', ' '])) {
        let footer = !line.starts_with(' ') && line.ends_with(']') && line.contains("[Page ");
        let turns = line.contains('\u{c}');
        let header = after_break && is_running_header(line);
        if footer || turns || header {
            while kept.last().is_some_and(|last| last.is_empty()) {
                kept.pop();
            }
            kept.push("");
            after_break = !header;
        } else if after_break && line.is_empty() {
        } else {
            kept.push(line);
            after_break = false;
        }
    }
    kept
}

/// Whether a line is a page header: `RFC 6749                        OAuth 2.0                   October 2012`
fn is_running_header(line: &str) -> bool {
    let year = line.rsplit(' ').next().unwrap_or_default();
    let begins = line.starts_with("RFC ") || line.starts_with("Internet-Draft ");
    begins && line.contains("   ") && year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a heading at the margin: its level, its number, its title.
fn heading(line: &str) -> Option<(u8, &str, &str)> {
    let first = line.chars().next()?;
    if first.is_whitespace() {
        return None;
    }
    if let Some(rest) = line.strip_prefix("Appendix ") {
        let (number, title) = rest.split_once(['.', ':', ' '])?;
        return Some((1, number, title.trim_start_matches(['.', ' ', '-'])));
    }
    let (word, title) = line.split_once(' ').unwrap_or((line, ""));
    let number = word.trim_end_matches('.');
    let mut parts = number.split('.');
    let begins = parts
        .next()
        .is_some_and(|part| is_number(part) || (part.len() == 1 && part.chars().all(|c| c.is_ascii_uppercase())));
    let levels = number.split('.').count();
    let others = parts.all(is_number);
    let dotted = word.ends_with('.') || levels > 1 || title.starts_with(' ');
    if begins && others && dotted && !title.trim().is_empty() && (first.is_ascii_digit() || levels > 1) {
        // A line of the table of contents, with dots before the page number.
        if title.contains("....") || title.contains(". . .") {
            return None;
        }
        return Some((u8::try_from(levels).unwrap_or(u8::MAX), number, title.trim()));
    }
    let words = line.split(' ').count();
    let plain = first.is_uppercase() && words <= 6 && !line.contains("   ") && !line.ends_with(['.', ',', ';']);
    plain.then(|| (1, "", line.trim_end_matches(':')))
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit())
}

struct Reader {
    builder: Builder,
    /// Whether the table of contents is being read.
    contents: bool,
    bibliography: bool,
    /// The entry of the bibliography that is being read.
    entry: String,
}

impl Reader {
    /// Reads the number and the title on the first page. Returns the line on which the text begins.
    fn front(&mut self, lines: &[&str]) -> usize {
        let begins = lines.iter().position(|line| {
            let line = line.trim_end();
            matches!(
                line,
                "Abstract" | "Status of This Memo" | "Status of this Memo" | "Table of Contents" | "Introduction"
            ) || line.starts_with("1. ")
        });
        let body = begins.unwrap_or(0);
        let front = lines.get(..body).unwrap_or_default();
        let number = front.iter().find_map(|line| {
            let (_, rest) = line.split_once("Request for Comments:")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        if let Some(number) = number {
            self.builder.rfc(number);
            self.builder.anchor(&format!("rfc{number}"));
        }
        let centred = |line: &&&str| line.len() - line.trim_start().len() >= TITLE_INDENT_MIN;
        let header_ends = front.iter().skip_while(|line| line.is_empty()).position(|line| line.is_empty()).unwrap_or(0);
        let skipped = front.iter().take_while(|line| line.is_empty()).count();
        let title: Vec<&str> = front
            .iter()
            .skip(skipped + header_ends)
            .skip_while(|line| line.is_empty())
            .take_while(|line| !line.is_empty())
            .filter(centred)
            .map(|line| line.trim())
            .collect();
        let title = title.join(" ");
        match number {
            Some(number) if title.is_empty() => self.builder.title(&format!("RFC {number}")),
            Some(number) => self.builder.title(&format!("RFC {number}: {title}")),
            None => self.builder.title(&title),
        }
        body
    }

    fn heading(&mut self, level: u8, number: &str, title: &str) {
        self.entry_ends();
        self.contents = title.eq_ignore_ascii_case("table of contents");
        if self.contents {
            return;
        }
        self.bibliography = title.to_lowercase().ends_with("references");
        self.builder.heading(level, title, Some(number));
        if !number.is_empty() {
            let name = if number.starts_with(|first: char| first.is_ascii_digit()) { "section" } else { "appendix" };
            self.builder.anchor(&format!("{name}-{number}"));
        }
        if self.bibliography {
            self.builder.bibliography();
        }
    }

    fn source(&mut self, line: &str) {
        if !self.contents {
            self.builder.source(line);
            self.builder.source("\n");
        }
    }

    /// Reads a block: lines without a blank line between them.
    fn block(&mut self, lines: &[&str]) {
        if self.contents || lines.is_empty() {
            return;
        }
        for line in lines {
            self.source(line);
        }
        if self.bibliography {
            return self.reference(lines);
        }
        if is_drawn(lines) {
            return self.builder.end();
        }
        let mut rest = lines;
        while let Some((first, more)) = rest.split_first() {
            let (number, text) = bullet(first.trim_start());
            let indent = indent(first);
            let hangs = more.first().is_some_and(|next| self::indent(next) > indent + 1);
            if number.is_none() && hangs && is_term(first.trim()) {
                self.builder.begin(Block::Term);
                self.builder.text(first.trim());
                self.builder.begin(Block::Meaning);
            } else {
                let depth = (indent / 3).clamp(1, 8);
                self.builder.begin(number.map_or(Block::Paragraph, |number| Block::Item { number, depth }));
                self.builder.text(text);
            }
            // The entry goes on to the end of the block, or to the next entry of a list without blank lines.
            let length = more.iter().take_while(|line| bullet(line.trim_start()).0.is_none()).count();
            for line in more.iter().take(length) {
                self.builder.text(" ");
                self.builder.text(line);
            }
            self.builder.end();
            rest = more.get(length..).unwrap_or_default();
        }
    }

    /// Reads an entry such as `[RFC6749]  Hardt, D., Ed., "The OAuth 2.0 …", RFC 6749, …`. It may go on on the next
    /// page.
    fn reference(&mut self, lines: &[&str]) {
        for line in lines.iter().map(|line| line.trim()) {
            if line.starts_with('[') && line.contains(']') {
                self.entry_ends();
            }
            self.entry.push_str(line);
            self.entry.push(' ');
        }
    }

    fn entry_ends(&mut self) {
        let entry = std::mem::take(&mut self.entry);
        let Some((label, text)) = entry.trim_start().strip_prefix('[').and_then(|entry| entry.split_once(']')) else {
            return;
        };
        let title = text.split('"').nth(1).unwrap_or_default().trim_end_matches(',');
        let name = match crate::outside::rfc_number(label) {
            Some(number) => format!("RFC {number}"),
            None if title.is_empty() => label.to_owned(),
            None => format!("{label}: {title}"),
        };
        self.builder.label(label, name);
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Reads the start of a list entry: `o  text`, `*  text`, `1.  text`, `(A)  text`. Returns whether there is one, its
/// number, and its text.
fn bullet(line: &str) -> (Option<Option<u64>>, &str) {
    let Some((mark, text)) = line.split_once(' ') else { return (None, line) };
    let digits = mark.trim_end_matches(['.', ')']).trim_start_matches('(');
    let letter = mark.strip_prefix('(').and_then(|mark| mark.strip_suffix(')')).filter(|mark| mark.len() == 1);
    if matches!(mark, "o" | "*" | "-" | "+" | "•") && text.starts_with(' ') || matches!(mark, "*" | "•") {
        (Some(None), text)
    } else if mark.len() > digits.len() && is_number(digits) {
        (Some(digits.parse().ok()), text)
    } else if let Some(letter) = letter.and_then(|letter| letter.bytes().next()).filter(u8::is_ascii_uppercase) {
        (Some(Some(u64::from(letter - b'A') + 1)), text)
    } else {
        (None, line)
    }
}

/// Whether a line is a term: short and without punctuation at its end. The indented text below it is its meaning.
fn is_term(line: &str) -> bool {
    line.len() <= TERM_BYTES_MAX
        && !line.ends_with(['.', ',', ';', ':', '-', '{', '}'])
        && !line.contains(['=', '|', '<', '/'])
}

/// Whether the lines are a figure, a message or code, and not sentences.
fn is_drawn(lines: &[&str]) -> bool {
    let text = || lines.iter().flat_map(|line| line.trim_start().chars());
    let signs = text().filter(|character| "|+-={}[]<>&\\/^_#%;".contains(*character)).count();
    let all = text().count().max(1);
    let figure = lines.iter().any(|line| {
        let line = line.trim_start();
        line.starts_with("Figure ") || line.contains("--+") || line.contains("+--") || line.contains("HTTP/1.1")
    });
    figure || signs * 5 > all
}

#[cfg(test)]
mod tests {
    use super::{heading, read};

    const TEXT: &str = "Internet Engineering Task Force (IETF)                        A. Author
Request for Comments: 9999                                  October 2026


                          A Small Protocol

Abstract

   This is short.

Table of Contents

   1. Introduction ....................................................1
   2. Terms ...........................................................1

1.  Introduction

   The token is explained in Section 2.1.  It builds on [RFC6749] and
   on Section 3 of [RFC8707].

Author                      Standards Track                     [Page 1]
\u{c}
RFC 9999                    A Small Protocol                October 2026


   It goes on.

2.  Terms

2.1.  Access Token

   access token
      A string that grants access.

   o  The client MUST send the token.

3.  References

   [RFC6749]  Hardt, D., \"The OAuth 2.0 Authorization Framework\",
              RFC 6749, October 2012.

   [JWT-X]    Somebody, \"Another Thing\", 2026.
";

    #[test]
    fn pages_contents_and_references_are_no_text() {
        let document = read("rfc9999.txt", TEXT);
        let titles: Vec<_> =
            document.sections.iter().map(|section| (section.number.as_str(), section.title.as_str())).collect();
        assert_eq!(
            titles,
            [
                ("", "RFC 9999: A Small Protocol"),
                ("", "Abstract"),
                ("1", "Introduction"),
                ("2", "Terms"),
                ("2.1", "Access Token"),
                ("3", "References"),
            ]
        );
        assert!(document.sections[2].prose.ends_with("It goes on."), "{}", document.sections[2].prose);
        assert!(!document.sections[2].prose.contains("Page"), "{}", document.sections[2].prose);
        assert_eq!(document.sections[4].definitions[0].term, "access token");
        assert_eq!(document.sections[4].parent, Some(3));
        assert_eq!(document.labels["RFC6749"], "RFC 6749");
        assert_eq!(document.labels["JWT-X"], "JWT-X: Another Thing");
        assert_eq!(document.rfc, Some(9999));
    }

    #[test]
    fn a_heading_stands_at_the_margin() {
        for (line, expected) in [
            ("4.1.2.1.  Error Response", Some((4, "4.1.2.1", "Error Response"))),
            ("Appendix A.  Syntax", Some((1, "A", "Syntax"))),
            ("A.1.  \"client_id\" Syntax", Some((2, "A.1", "\"client_id\" Syntax"))),
            ("Acknowledgements", Some((1, "", "Acknowledgements"))),
            ("   1.  Introduction", None),
            ("1. Introduction ........... 4", None),
            ("this is a line at the margin", None),
        ] {
            assert_eq!(heading(line), expected, "{line}");
        }
    }
}
