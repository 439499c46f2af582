//! Sentences: where each ends, what it demands, and of whom. English (RFC 2119, RFC 8174) and Japanese.

use std::ops::Range;

use serde::Serialize;

/// A sentence with its demands.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// The place of the sentence in the prose of its section.
    pub(crate) at: Range<usize>,
    /// The keywords of its demands, each once, with their places in the prose.
    pub(crate) keywords: Vec<(Keyword, usize)>,
    /// For an entry of a list: the number of the sentence in this section that introduces the list.
    pub(crate) lead: Option<usize>,
}

/// How strong a demand is. SHALL and REQUIRED count as MUST, RECOMMENDED as SHOULD, OPTIONAL as MAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Keyword {
    /// MAY, OPTIONAL; てもよい
    #[serde(rename = "MAY")]
    May,
    /// MUST, SHALL, REQUIRED; しなければならない
    #[serde(rename = "MUST")]
    Must,
    /// MUST NOT, SHALL NOT; してはならない
    #[serde(rename = "MUST NOT")]
    MustNot,
    /// SHOULD, RECOMMENDED; すべきである
    #[serde(rename = "SHOULD")]
    Should,
    /// SHOULD NOT, NOT RECOMMENDED; すべきではない
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
}

impl Keyword {
    /// Returns the keyword as RFC 2119 writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::May => "MAY",
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Should => "SHOULD",
            Self::ShouldNot => "SHOULD NOT",
        }
    }

    /// Whether the demand allows nothing else.
    pub fn is_strict(self) -> bool {
        matches!(self, Self::Must | Self::MustNot)
    }
}

/// Abbreviations whose point does not end a sentence.
const ABBREVIATIONS: [&str; 12] =
    ["e.g.", "i.e.", "etc.", "cf.", "vs.", "no.", "sec.", "fig.", "a.k.a.", "al.", "approx.", "eq."];

/// Japanese endings that demand something; a longer one comes before the ending that it contains.
const JAPANESE: [(&str, Keyword); 12] = [
    ("べきではない", Keyword::ShouldNot),
    ("べきでない", Keyword::ShouldNot),
    ("推奨されない", Keyword::ShouldNot),
    ("てはならない", Keyword::MustNot),
    ("てはいけない", Keyword::MustNot),
    ("なければならない", Keyword::Must),
    ("ねばならない", Keyword::Must),
    ("なければいけない", Keyword::Must),
    ("べきである", Keyword::Should),
    ("推奨される", Keyword::Should),
    ("てもよい", Keyword::May),
    ("ても良い", Keyword::May),
];

/// Splits a block that begins at `from` in the prose into sentences, and adds them.
pub(crate) fn split(text: &str, from: usize, lead: Option<usize>, sentences: &mut Vec<Sentence>) {
    let mut begin = 0;
    let mut characters = text.char_indices().peekable();
    let mut push = |range: Range<usize>| {
        let sentence = text.get(range.clone()).unwrap_or_default();
        let begin = range.start + (sentence.len() - sentence.trim_start().len());
        let end = range.end - (sentence.len() - sentence.trim_end().len());
        if begin < end {
            let keywords = keywords(sentence).into_iter().map(|(word, at)| (word, from + range.start + at)).collect();
            sentences.push(Sentence { at: from + begin..from + end, keywords, lead });
        }
    };
    while let Some((at, character)) = characters.next() {
        let after = at + character.len_utf8();
        let ends = match character {
            '。' | '！' | '？' => true,
            '.' | '!' | '?' => {
                let rest = text.get(after..).unwrap_or_default();
                let closed = rest.trim_start_matches(['"', '\'', '”', '’', ')', ']', '*']);
                let mut next = closed.chars();
                let space = next.next().is_none_or(char::is_whitespace);
                let small = next.next().is_some_and(char::is_lowercase);
                space && !small && !(character == '.' && is_abbreviation(text.get(begin..after).unwrap_or_default()))
            }
            _ => false,
        };
        if ends {
            // Closing quotes and brackets belong to the sentence before them.
            let mut end = after;
            while let Some((at, closing)) = characters.next_if(|(_, next)| "\"'”’)]」』）".contains(*next)) {
                end = at + closing.len_utf8();
            }
            push(begin..end);
            begin = end;
        }
    }
    push(begin..text.len());
}

fn is_abbreviation(sentence: &str) -> bool {
    let word = sentence.rsplit([' ', '(', '\u{a0}']).next().unwrap_or_default();
    // An initial does not end a sentence, as in `D. Hardt`.
    let initial = word.len() == 2 && word.starts_with(|first: char| first.is_ascii_uppercase());
    initial || ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Returns the demands in a sentence, each once, with the place of its first word.
pub(crate) fn keywords(sentence: &str) -> Vec<(Keyword, usize)> {
    let mut found: Vec<(Keyword, usize)> = Vec::new();
    let add = |found: &mut Vec<(Keyword, usize)>, keyword: Keyword, at: usize| {
        if !found.iter().any(|(known, _)| *known == keyword) {
            found.push((keyword, at));
        }
    };
    let mut before = ("", 0);
    let mut words = upper_words(sentence).peekable();
    while let Some((word, at)) = words.next() {
        let negated = words.peek().is_some_and(|(next, next_at)| *next == "NOT" && *next_at == at + word.len() + 1);
        let keyword = match (word, negated) {
            ("MUST" | "SHALL", true) => Some(Keyword::MustNot),
            ("MUST" | "SHALL" | "REQUIRED", _) => Some(Keyword::Must),
            ("SHOULD", true) => Some(Keyword::ShouldNot),
            ("RECOMMENDED", _) if before.0 == "NOT" && before.1 + 4 == at => Some(Keyword::ShouldNot),
            ("SHOULD" | "RECOMMENDED", _) => Some(Keyword::Should),
            ("MAY" | "OPTIONAL", _) => Some(Keyword::May),
            _ => None,
        };
        if let Some(keyword) = keyword {
            add(&mut found, keyword, at);
        }
        before = (word, at);
    }
    // A sentence that explains the keywords does not use them.
    if found.len() >= 3 && sentence.contains("interpreted") {
        return Vec::new();
    }
    if !sentence.is_ascii() {
        for (ending, keyword) in JAPANESE {
            if let Some(at) = sentence.find(ending) {
                add(&mut found, keyword, at);
            }
        }
    }
    found
}

/// Returns the words that consist of capital letters.
fn upper_words(sentence: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut at = 0;
    sentence.split(|character: char| !(character.is_alphanumeric() || character == '_')).filter_map(move |word| {
        let begin = at;
        // The words are separated by one character, whose length in bytes may differ.
        at += word.len();
        at += sentence.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        (word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some((word, begin))
    })
}

/// Roles in specifications; a more exact name comes before the name that it contains.
const ACTORS: [&str; 17] = [
    "MCP proxy server",
    "authorization server",
    "resource server",
    "MCP server",
    "MCP client",
    "resource owner",
    "identity provider",
    "user agent",
    "user-agent",
    "implementation",
    "implementer",
    "implementor",
    "developer",
    "server",
    "client",
    "host",
    "user",
];

/// Roles in Japanese.
const ACTORS_JAPANESE: [&str; 10] = [
    "認可サーバー",
    "認可サーバ",
    "リソースサーバー",
    "リソースサーバ",
    "MCPサーバー",
    "MCPクライアント",
    "クライアント",
    "サーバー",
    "サーバ",
    "実装",
];

/// Words at which the subject ends: an action or a place follows.
const ENDS_SUBJECT: [&str; 22] = [
    "that",
    "which",
    "who",
    "when",
    "where",
    "whose",
    "returned",
    "issued",
    "sent",
    "using",
    "acting",
    "intending",
    "implementing",
    "for",
    "of",
    "to",
    "by",
    "with",
    "in",
    "on",
    "from",
    "as",
];
/// Verbs that end the subject before them, although a keyword follows later.
const VERBS: [&str; 22] = [
    "are",
    "can",
    "chooses",
    "contains",
    "determines",
    "does",
    "exists",
    "has",
    "have",
    "includes",
    "is",
    "needs",
    "receives",
    "sends",
    "supplies",
    "supports",
    "uses",
    "wants",
    "was",
    "were",
    "will",
    "wishes",
];

/// Returns who is bound by a demand: the words of the subject before the keyword, and the roles named in them.
pub(crate) fn subject(before: &str) -> (String, Vec<String>) {
    if let Some((subject, _)) = before.split_once(['は', 'が']) {
        let subject = subject.rsplit(['、', '，', '。']).next().unwrap_or(subject).trim();
        let roles = ACTORS_JAPANESE.iter().find(|role| subject.contains(**role));
        return (subject.to_owned(), roles.map(|role| (*role).to_owned()).into_iter().collect());
    }
    let unbracketed = without_brackets(before);
    let mut subject = unbracketed.trim();
    // The text before the comma may be a condition, as in `If validation fails, servers`. There may be several.
    while let Some((condition, rest)) = subject.split_once(", ") {
        let first = condition.split(' ').next().unwrap_or_default().to_lowercase();
        if !matches!(
            first.as_str(),
            "if" | "when"
                | "for"
                | "to"
                | "where"
                | "in"
                | "after"
                | "before"
                | "once"
                | "note"
                | "while"
                | "unless"
                | "otherwise"
                | "however"
                | "therefore"
                | "additionally"
                | "finally"
                | "instead"
                | "since"
                | "because"
                | "although"
                | "on"
                | "upon"
                | "during"
                | "as"
                | "with"
                | "even"
                | "by"
                | "at"
                | "second"
                | "first"
        ) {
            break;
        }
        subject = rest;
    }
    for opening in ["Note that ", "and ", "but ", "If ", "if ", "When ", "when "] {
        subject = subject.strip_prefix(opening).unwrap_or(subject);
    }
    let subject = subject.split([',', ';', '—', ':']).next().unwrap_or_default().trim();
    let words = subject.split(' ').enumerate();
    let ends = |word: &str| {
        let word = word.to_lowercase();
        ENDS_SUBJECT.contains(&word.as_str()) || VERBS.contains(&word.as_str())
    };
    let mut kept: Vec<&str> = words.take_while(|(at, word)| *at == 0 || !ends(word)).map(|(_, word)| word).collect();
    // In `the client and`, a second verb follows.
    while kept.len() > 1 && kept.last().is_some_and(|last| matches!(*last, "also" | "and" | "but" | "or" | "then")) {
        kept.pop();
    }
    let subject = kept.join(" ");
    let roles = roles(&subject);
    (subject, roles)
}

/// Returns the text without the parts in brackets. If only one bracket of a pair is there, the part outside stays.
fn without_brackets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' | '[' => depth += 1,
            // The bracket began before this text, so everything up to here is inside of it.
            ')' | ']' if depth == 0 => out.clear(),
            ')' | ']' => depth -= 1,
            _ if depth == 0 && !(character == ' ' && out.ends_with(' ')) => out.push(character),
            _ => {}
        }
    }
    out
}

fn roles(subject: &str) -> Vec<String> {
    let mut rest = subject.to_lowercase();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for role in ACTORS {
        let lower = role.to_lowercase();
        while let Some(at) = rest.find(&lower) {
            let end = at + lower.len();
            let letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
            let plural = rest.get(end..).unwrap_or_default().strip_prefix('s');
            let after = plural.unwrap_or_else(|| rest.get(end..).unwrap_or_default());
            let whole =
                !letter(rest.get(..at).and_then(|before| before.chars().next_back())) && !letter(after.chars().next());
            // The role must be the subject's last word, or one of several: `client metadata` is not a client.
            let following = after.trim_start();
            let ends = ["", "and ", "or ", "/", "also"]
                .iter()
                .any(|next| if next.is_empty() { following.is_empty() } else { following.starts_with(next) });
            if whole && ends {
                found.push((at, role));
            }
            rest.replace_range(at..end, &"\u{1}".repeat(lower.len()));
        }
    }
    found.sort_unstable();
    found.dedup_by_key(|(_, role)| *role);
    found.into_iter().map(|(_, role)| role.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Keyword, keywords, split, subject};

    fn sentences(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        split(text, 0, None, &mut found);
        found.iter().map(|sentence| text.get(sentence.at.clone()).unwrap()).collect()
    }

    #[test]
    fn a_sentence_ends_where_it_ends() {
        assert_eq!(sentences("One. Two (e.g. three). Four 1.5 is."), ["One.", "Two (e.g. three).", "Four 1.5 is."]);
        assert_eq!(sentences("D. Hardt wrote \"it.\" Then."), ["D. Hardt wrote \"it.\"", "Then."]);
        assert_eq!(sentences("クライアントは送る。サーバーは返す。"), ["クライアントは送る。", "サーバーは返す。"]);
        assert_eq!(sentences("「認可」とは許すことをいう。"), ["「認可」とは許すことをいう。"]);
        assert_eq!(sentences(""), Vec::<&str>::new());
    }

    #[test]
    fn what_is_demanded_is_read_from_the_words() {
        for (sentence, expected) in [
            ("A client MUST send it and SHOULD NOT wait.", vec![Keyword::Must, Keyword::ShouldNot]),
            ("It SHALL NOT.", vec![Keyword::MustNot]),
            ("REQUIRED.  Value", vec![Keyword::Must]),
            ("This is NOT RECOMMENDED.", vec![Keyword::ShouldNot]),
            ("You must, MUSTARD, XMUST", vec![]),
            ("Clients MAY; it is OPTIONAL.", vec![Keyword::May]),
            ("\"MUST\", \"SHOULD\" and \"MAY\" are to be interpreted as in RFC 2119.", vec![]),
            ("クライアントは検証しなければならない。", vec![Keyword::Must]),
            ("渡してはならない。", vec![Keyword::MustNot]),
            ("使うべきではない。", vec![Keyword::ShouldNot]),
            ("使うべきである。", vec![Keyword::Should]),
            ("省いてもよい。", vec![Keyword::May]),
        ] {
            let found: Vec<Keyword> = keywords(sentence).into_iter().map(|(keyword, _)| keyword).collect();
            assert_eq!(found, expected, "{sentence}");
        }
    }

    #[test]
    fn who_is_bound_stands_before_the_word() {
        for (before, named, roles) in [
            ("MCP clients ", "MCP clients", &["MCP client"][..]),
            (
                "Authorization servers and MCP clients ",
                "Authorization servers and MCP clients",
                &["authorization server", "MCP client"],
            ),
            ("If validation fails, servers ", "servers", &["server"]),
            ("For public clients, authorization servers ", "authorization servers", &["authorization server"]),
            ("MCP servers, acting in their role as an OAuth 2.1 resource server, ", "MCP servers", &["MCP server"]),
            ("The document returned by the MCP server ", "The document", &[]),
            ("Access token handling when making requests to MCP servers ", "Access token handling", &[]),
            ("The client metadata ", "The client metadata", &[]),
            ("(If it is used) the client ", "the client", &["client"]),
            ("The client (see [RFC6749] ", "The client", &["client"]),
            ("of the token) The client ", "The client", &["client"]),
            ("The authorization server sends a code and ", "The authorization server", &["authorization server"]),
            ("If the client ", "the client", &["client"]),
            ("The client and ", "The client", &["client"]),
            ("The parameter is ", "The parameter", &[]),
            ("失敗した場合、クライアントは", "クライアント", &["クライアント"]),
            ("", "", &[]),
        ] {
            let (subject, found) = subject(before);
            assert_eq!(
                (subject.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>()),
                (named, roles.to_vec())
            );
        }
    }
}
