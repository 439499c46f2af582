//! Finds the terms that a text defines, from sentences that say what something is, in English and Japanese.

use std::ops::Range;

/// The longest term, in characters: a term is a few words.
const TERM_CHARS_MAX: usize = 60;
/// The highest number of terms in one block: a block defines a few terms, not a dictionary.
const TERMS_MAX: usize = 16;
/// The longest text before a marked term, in bytes: `A protected *MCP server* acts as …`.
const BEFORE_BYTES_MAX: usize = 24;
/// Words that follow a marked term (bold, italic or code) and introduce its meaning.
const SAYS: [&str; 14] = [
    "is a ",
    "is an ",
    "is the ",
    "are the ",
    "is any ",
    "means ",
    "mean ",
    "refers to ",
    "refer to ",
    "denotes ",
    "acts as ",
    "is defined as ",
    "are defined as ",
    "is responsible for ",
];
/// Words that are enough for a definition: the term before them needs no mark.
const DEFINES: [&str; 6] =
    [" means ", " is defined as ", " are defined as ", " refers to ", " denotes ", " is referred to as "];
/// Texts that are marked to be noticed, and are not terms.
const NOTICES: [&str; 16] = [
    "note",
    "important",
    "warning",
    "caution",
    "tip",
    "example",
    "examples",
    "todo",
    "required",
    "optional",
    "no",
    "yes",
    "deprecated",
    "new",
    "default",
    "see also",
];

/// Returns the terms that a block defines. `marks` are its marked pieces: bold, italic or code.
pub(crate) fn of_block(text: &str, marks: &[Range<usize>], item: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |term: &str| {
        if found.len() < TERMS_MAX
            && let Some(term) = fit(term)
            && !found.contains(&term)
        {
            found.push(term);
        }
    };
    let quoted = quoted(text);
    for mark in marks.iter().chain(quoted.as_ref()) {
        let term = text.get(mark.clone()).unwrap_or_default();
        let before = text.get(..mark.start).unwrap_or_default().trim_end_matches(['"', '“', '`']);
        let after = text.get(mark.end..).unwrap_or_default().trim_start_matches(['"', '”', '`']);
        let spoken = after.trim_start();
        let begins = before.len() <= BEFORE_BYTES_MAX && is_article(before);
        let says = SAYS.iter().any(|says| spoken.starts_with(says));
        // An entry of a list: `**term**: its meaning`.
        let colon = item && before.is_empty() && (after.starts_with(':') || term.ends_with(':'));
        let japanese = spoken.starts_with("とは") || spoken.starts_with("をいう") || spoken.starts_with("と呼ぶ");
        if (begins && (says || colon)) || japanese {
            add(term);
        }
    }
    for sentence in text.split_inclusive(". ") {
        if let Some((subject, _)) = DEFINES.iter().find_map(|defines| sentence.split_once(defines)) {
            // `For the purposes of this document, the canonical URI is defined as`.
            let subject = subject.rsplit(", ").next().unwrap_or(subject);
            if subject.split(' ').count() <= 6 && !is_reference(subject) {
                add(subject);
            }
        }
    }
    japanese(text, &mut add);
    found
}

/// Returns a term in the form in which it is searched: a few words without an article, and not a number. `None` if the
/// text is not a term.
pub(crate) fn fit(term: &str) -> Option<String> {
    let mut term = term.trim().trim_matches(['"', '“', '”', '`', '「', '」', '『', '』', ':', '：', '.', ',']).trim();
    for article in ["a ", "an ", "the ", "this ", "the term ", "by "] {
        let head = term.get(..article.len()).unwrap_or_default();
        if head.eq_ignore_ascii_case(article) {
            term = term.get(article.len()..).unwrap_or_default().trim_start_matches(['"', '“']);
        }
    }
    let count = term.chars().count();
    let letters = term.chars().filter(|character| character.is_alphabetic()).count();
    let long_enough = if term.is_ascii() { count >= 4 } else { count >= 2 };
    let notice = NOTICES.iter().any(|notice| term.eq_ignore_ascii_case(notice));
    let words = term.split(' ').count();
    let fits = long_enough && count <= TERM_CHARS_MAX && words <= 6 && letters * 2 > count && !notice;
    (fits && !term.contains(['\n', '。', '、', ';'])).then(|| term.to_owned())
}

/// Returns the quoted text at the start of a block: `"Token passthrough" is …`.
fn quoted(text: &str) -> Option<Range<usize>> {
    let open = text.find(['"', '“']).filter(|at| *at <= BEFORE_BYTES_MAX)?;
    let from = open + text.get(open..)?.chars().next()?.len_utf8();
    let length = text.get(from..)?.find(['"', '”'])?;
    Some(from..from + length)
}

/// Whether a text is empty, or an article with at most two words after it: `A protected`.
fn is_article(before: &str) -> bool {
    let words: Vec<&str> = before.split_whitespace().collect();
    let first = words.first().map(|word| word.to_lowercase()).unwrap_or_default();
    words.is_empty() || (words.len() <= 3 && matches!(first.as_str(), "a" | "an" | "the" | "by" | "term" | "this"))
}

/// Whether a subject refers to something named before: `It means`, `this refers to`.
fn is_reference(subject: &str) -> bool {
    let first = subject.split(' ').next().unwrap_or_default().to_lowercase();
    matches!(
        first.as_str(),
        "" | "it"
            | "this"
            | "that"
            | "these"
            | "those"
            | "they"
            | "which"
            | "what"
            | "and"
            | "or"
            | "he"
            | "she"
            | "there"
    )
}

/// Finds terms in the Japanese forms 「…」とは, …とは、, 以下「…」という, 「…」をいう.
fn japanese(text: &str, add: &mut impl FnMut(&str)) {
    if text.is_ascii() {
        return;
    }
    for sentence in text.split_inclusive('。') {
        for (opened, rest) in
            sentence.match_indices('「').filter_map(|(at, open)| sentence.get(at + open.len()..).map(|rest| (at, rest)))
        {
            // A term is short: if the closing quote does not follow soon, the text is not one.
            let rest = rest.get(..rest.floor_char_boundary(4 * TERM_CHARS_MAX)).unwrap_or_default();
            let Some((term, after)) = rest.split_once('」') else { continue };
            let named = sentence.get(..opened).unwrap_or_default().ends_with("以下")
                || ["とは", "をいう", "を指す"].iter().any(|says| after.starts_with(says))
                || ["という。", "と呼ぶ。", "という）", "と呼ぶ）", "という)", "という、"]
                    .iter()
                    .any(|says| after.starts_with(says));
            if named {
                add(term);
            }
        }
        if let Some((subject, _)) = sentence.split_once("とは") {
            let subject = subject.rsplit(['、', '」', '。', ' ', '\u{3000}']).next().unwrap_or_default();
            if !subject.is_empty() && !subject.contains(['は', 'が', 'を', 'に', 'で']) {
                add(subject);
            }
        }
    }
}

/// Headings that occur in every document, and so name no term.
const GENERIC: [&str; 64] = [
    "introduction",
    "overview",
    "abstract",
    "purpose and scope",
    "scope",
    "background",
    "terminology",
    "definitions",
    "conventions",
    "notation",
    "requirements notation and conventions",
    "notational conventions",
    "references",
    "normative references",
    "informative references",
    "security considerations",
    "privacy considerations",
    "iana considerations",
    "acknowledgements",
    "acknowledgments",
    "authors addresses",
    "copyright notice",
    "status of this memo",
    "table of contents",
    "contents",
    "examples",
    "example",
    "see also",
    "next steps",
    "error handling",
    "attack description",
    "common mistakes",
    "best practices",
    "key changes",
    "related documentation",
    "getting started",
    "how it works",
    "use cases",
    "data types",
    "protocol messages",
    "message flow",
    "user interaction model",
    "sequence diagram",
    "implementation considerations",
    "implementation guidelines",
    "protocol requirements",
    "standards compliance",
    "error response",
    "successful response",
    "registration template",
    "initial registry contents",
    "document history",
    "change log",
    "release notes",
    "licence",
    "license",
    "はじめに",
    "概要",
    "用語",
    "用語の定義",
    "参考文献",
    "目的と範囲",
    "目次",
    "まとめ",
];

/// Returns the term that a heading names: several words, or one in Japanese script. Headings of every document are left
/// out.
pub(crate) fn of_title(title: &str) -> Option<String> {
    let plain: String = title.chars().filter(|character| !matches!(character, '\'' | '’' | '`')).collect();
    let lower = plain.to_lowercase();
    if GENERIC.contains(&lower.as_str()) || lower.contains('?') {
        return None;
    }
    // The term is the long form: `Server-Side Request Forgery (SSRF)` without `(SSRF)`.
    let plain = plain.split_once(" (").map_or(plain.as_str(), |(long, _)| long);
    let term = fit(plain)?;
    let enough = if term.is_ascii() { term.contains(' ') } else { term.chars().count() >= 3 };
    enough.then_some(term)
}

#[cfg(test)]
mod tests {
    use super::{fit, of_block, of_title};

    #[test]
    fn a_definition_is_told_from_a_mention() {
        for (text, mark, item, expected) in [
            ("\"Token passthrough\" is an anti-pattern where", None, false, &["Token passthrough"][..]),
            ("A protected MCP server acts as a resource server.", Some("MCP server"), false, &["MCP server"]),
            (
                "The authorization server is responsible for it.",
                Some("authorization server"),
                false,
                &["authorization server"],
            ),
            ("This is important and bold here.", Some("important"), false, &[]),
            ("Use the token to go on.", Some("token"), false, &[]),
            ("Note: this", Some("Note:"), true, &[]),
            ("`client_id`: The identifier", Some("client_id"), true, &["client_id"]),
            ("client_id: The identifier", Some("client_id"), false, &[]),
            ("A permit means that all said yes.", None, false, &["permit"]),
            ("For this document, the canonical URI is defined as the one.", None, false, &["canonical URI"]),
            ("It means nothing.", None, false, &[]),
            ("「個人情報」とは、生存する個人に関する情報をいう。", None, false, &["個人情報"]),
            ("関所とは、通行を改める所である。", None, false, &["関所"]),
            ("通行を許す文書（以下「手形」という）を示す。", None, false, &["手形"]),
            ("これを「手形」と呼ぶ。", None, false, &["手形"]),
            ("「手形」を示す。", None, false, &[]),
        ] {
            let marks: Vec<_> =
                mark.and_then(|mark| text.find(mark).map(|at| at..at + mark.len())).into_iter().collect();
            assert_eq!(of_block(text, &marks, item), expected, "{text}");
        }
    }

    #[test]
    fn not_every_heading_is_a_term() {
        for (title, term) in [
            ("Token Passthrough", Some("Token Passthrough")),
            ("The Access Token", Some("Access Token")),
            ("Server-Side Request Forgery (SSRF)", Some("Server-Side Request Forgery")),
            ("Security Considerations", None),
            ("Mitigation", None),
            ("認可サーバー", Some("認可サーバー")),
            ("概要", None),
            ("What is it?", None),
        ] {
            assert_eq!(of_title(title).as_deref(), term, "{title}");
        }
        assert_eq!(fit("12 345"), None);
        assert_eq!(fit("the \"grant\""), Some("grant".to_owned()));
    }
}
