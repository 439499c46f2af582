//! The table of demands: one row for each, with what is demanded, of whom, and where.

use std::fmt::Write as _;

use serde::Serialize;

use sekisho_protocol::label::clean;

use crate::ask;
use crate::map::Map;
use crate::sentences::{self, Keyword, Sentence};

/// How far before the keyword the subject of a sentence can begin, in bytes.
const SUBJECT_BYTES_MAX: usize = 400;
/// The longest term that is shown with its meaning, in characters.
const TERM_CHARS_MAX: usize = 100;
/// The longest sentence that is shown, in characters; the rest is cut off.
const SENTENCE_CHARS_MAX: usize = 600;

/// One demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// The name of the document.
    pub document: String,
    /// The titles from the document down to the section.
    pub section: String,
    /// The section's name in links.
    pub anchor: String,
    /// How strong the demand is.
    pub keyword: Keyword,
    /// The roles that it binds, as far as the subject names any.
    pub actors: Vec<String>,
    /// The words before the keyword that say who or what is bound.
    pub subject: String,
    /// The sentence. For an entry of a list, also the sentence that introduces the list.
    pub sentence: String,
}

pub(crate) fn of(map: &Map) -> Vec<Requirement> {
    let mut rows = Vec::new();
    for (section, node) in map.graph.nodes.iter().enumerate() {
        let text = &node.text;
        let leads_demand = |lead: Option<usize>| {
            lead.and_then(|lead| text.sentences.get(lead)).filter(|lead| !lead.keywords.is_empty())
        };
        if text.sentences.iter().all(|sentence| sentence.keywords.is_empty()) {
            continue;
        }
        let path = ask::path(&map.graph, section);
        for (number, sentence) in text.sentences.iter().enumerate() {
            let lead = sentence.lead.and_then(|lead| text.sentences.get(lead));
            // A sentence that introduces a list is left out, because its entries state the demands.
            let introduces = text
                .sentences
                .get(number + 1)
                .is_some_and(|next| next.lead == Some(number) && next.keywords.is_empty());
            if introduces && !sentence.keywords.is_empty() {
                continue;
            }
            let demands = if sentence.keywords.is_empty() { leads_demand(sentence.lead) } else { Some(sentence) };
            let Some(demands) = demands else { continue };
            // Cut here, before it is repeated for every entry of a list.
            let whole = |one: &Sentence| clean(text.part(&one.at), SENTENCE_CHARS_MAX);
            let said = match lead {
                Some(lead) => format!("{} {}", whole(lead), whole(sentence)),
                None => whole(sentence),
            };
            let entry = text.entries.partition_point(|(at, _)| at.end <= sentence.at.start);
            let entry = text.entries.get(entry).filter(|(at, _)| at.contains(&sentence.at.start));
            let said = match entry {
                // `REQUIRED.` alone says nothing: the row also shows the term, and the next sentence, which explains
                // the term.
                Some((at, term)) => {
                    let alone = keyword_alone(text.part(&sentence.at));
                    let next = text.sentences.get(number + 1).filter(|next| at.contains(&next.at.start));
                    let next = next.filter(|_| alone).map_or_else(String::new, |next| format!(" {}", whole(next)));
                    format!("{}: {said}{next}", clean(term, TERM_CHARS_MAX))
                }
                None => said,
            };
            let introduced = lead.map(|lead| {
                let end = lead.keywords.first().map_or(lead.at.end, |(_, at)| *at);
                text.part(&(lead.at.start..end))
            });
            for (keyword, place) in &demands.keywords {
                let (subject, actors) = bound(text.part(&(demands.at.start..*place)), introduced);
                let subject = match entry {
                    Some((_, term)) if subject.is_empty() => clean(term, TERM_CHARS_MAX),
                    _ => subject,
                };
                rows.push(Requirement {
                    document: map.document_of(section).to_owned(),
                    section: path.clone(),
                    anchor: text.anchors.first().cloned().unwrap_or_default(),
                    keyword: *keyword,
                    actors,
                    subject,
                    sentence: clean(&said, SENTENCE_CHARS_MAX),
                });
            }
        }
    }
    rows
}

/// Whether a sentence is only a keyword, as in `REQUIRED.` at the start of a parameter's description.
fn keyword_alone(sentence: &str) -> bool {
    let words = sentence.trim().trim_end_matches('.');
    words.len() <= 20 && words.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ')
}

/// Returns who is bound: the subject before the keyword, or the one in the sentence that introduces the list.
fn bound(before: &str, lead: Option<&str>) -> (String, Vec<String>) {
    let near = |text: &str| {
        let from = text.ceil_char_boundary(text.len().saturating_sub(SUBJECT_BYTES_MAX));
        sentences::subject(text.get(from..).unwrap_or_default())
    };
    let (subject, actors) = near(before);
    match lead {
        Some(lead) if subject.is_empty() => near(lead.trim_end_matches([':', '：'])),
        _ => (subject, actors),
    }
}

/// Writes the rows as a Markdown table.
pub fn normative_markdown(rows: &[Requirement]) -> String {
    let mut out = String::from("| Section | Keyword | Binds | Sentence |\n|---|---|---|---|\n");
    for row in rows {
        let binds = if row.actors.is_empty() { format!("({})", row.subject) } else { row.actors.join(", ") };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&row.section),
            row.keyword.word(),
            cell(&binds),
            cell(&row.sentence)
        );
    }
    out
}

/// Escapes foreign text for a cell of a table, so that it adds no column and no HTML.
pub(crate) fn cell(text: &str) -> String {
    clean(text, SENTENCE_CHARS_MAX).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}
