//! Reads HTML as the stream of tags from `html5ever`. No tree is built, so deeply nested elements cost no more than
//! others.
//!
//! `html5ever` compares each attribute of a tag with all attributes before it, as the standard demands (HTML
//! §13.2.5.33). So one tag with a million attributes would keep a processor busy for minutes. [`Attributes`] counts
//! them first.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use crate::document::{Block, Builder, Document};
use crate::source::Kind;

/// The highest number of attributes of one tag. Pages that people write have far fewer.
const ATTRIBUTES_MAX: usize = 256;

/// A tag has more attributes than [`ATTRIBUTES_MAX`].
pub(crate) struct TooManyAttributes;

/// Reads one document.
pub(crate) fn read(name: &str, text: &str) -> Result<Document, TooManyAttributes> {
    let sink = Sink {
        reader: RefCell::new(Reader {
            builder: Builder::new(name, Kind::Html),
            heading: None,
            title: None,
            lists: Vec::new(),
            skipped: None,
            id: None,
        }),
        emitted: Cell::new(false),
    };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    let mut inside = Inside::Text;
    for piece in pieces(text) {
        inside.look(piece);
        if matches!(&inside, Inside::Tag(attributes) if attributes.count > ATTRIBUTES_MAX) {
            return Err(TooManyAttributes);
        }
        tokenizer.sink.emitted.set(false);
        input.push_back(StrTendril::from_slice(piece));
        // No script runs here, so nothing interrupts the reading.
        while !input.is_empty() {
            let _ = tokenizer.feed(&input);
        }
        if tokenizer.sink.emitted.get() {
            inside = Inside::Text;
        }
    }
    tokenizer.end();
    let reader = tokenizer.sink.reader.into_inner();
    Ok(reader.builder.finish())
}

/// Cuts a text before each `<` and after each `>`.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('>').flat_map(|part| {
        let at = part.find('<').filter(|at| *at > 0);
        let (first, rest) = part.split_at_checked(at.unwrap_or(0)).unwrap_or(("", part));
        // The rest may contain further `<`.
        std::iter::once(first).filter(|first| !first.is_empty()).chain(Opened(rest))
    })
}

/// The pieces of a text that begins with `<` or contains none.
struct Opened<'t>(&'t str);

impl<'t> Iterator for Opened<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let mut others = self.0.char_indices();
        others.next()?;
        let end = others.find(|(_, character)| *character == '<').map_or(self.0.len(), |(at, _)| at);
        let (piece, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(piece)
    }
}

/// Where in the markup a piece of text is, as long as no token of it was seen.
enum Inside {
    /// A comment or a declaration.
    Comment,
    /// A tag.
    Tag(Attributes),
    /// Neither of them.
    Text,
}

impl Inside {
    fn look(&mut self, piece: &str) {
        match self {
            Self::Comment => {}
            Self::Tag(attributes) => attributes.read(piece),
            Self::Text => {
                let Some(tag) = piece.strip_prefix('<') else { return };
                if tag.starts_with(['!', '?']) {
                    *self = Self::Comment;
                } else if tag.strip_prefix('/').unwrap_or(tag).starts_with(|first: char| first.is_ascii_alphabetic()) {
                    let mut attributes = Attributes { count: 0, at: At::Tag };
                    attributes.read(tag.strip_prefix('/').unwrap_or(tag));
                    *self = Self::Tag(attributes);
                }
            }
        }
    }
}

/// Counts the attributes of a tag by the rules of the standard (HTML §13.2.5.32 to §13.2.5.40).
struct Attributes {
    count: usize,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    AfterName,
    BeforeValue,
    Between,
    DoubleQuoted,
    Name,
    SingleQuoted,
    Tag,
    Unquoted,
}

impl Attributes {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
            let next = match (self.at, byte) {
                (At::DoubleQuoted, b'"') | (At::SingleQuoted, b'\'') => At::Between,
                (At::DoubleQuoted | At::SingleQuoted, _) => self.at,
                // The end of the tag. If it does not end the tag, the next attribute is counted.
                (_, b'>') => At::Between,
                (At::AfterName | At::BeforeValue, _) if space => self.at,
                (At::Name, _) if space => At::AfterName,
                (At::Between | At::Tag | At::Unquoted, _) if space => At::Between,
                (At::AfterName | At::Between | At::Name | At::Tag, b'/') => At::Between,
                (At::AfterName | At::Name, b'=') => At::BeforeValue,
                (At::BeforeValue, b'"') => At::DoubleQuoted,
                (At::BeforeValue, b'\'') => At::SingleQuoted,
                (At::BeforeValue | At::Unquoted, _) => At::Unquoted,
                (At::AfterName | At::Between, _) => {
                    self.count += 1;
                    At::Name
                }
                (At::Name, _) => At::Name,
                (At::Tag, _) => At::Tag,
            };
            self.at = next;
        }
    }
}

struct Sink {
    reader: RefCell<Reader>,
    /// Whether a token arrived since this was last set to false. Errors do not count as tokens.
    emitted: Cell<bool>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.reader.borrow_mut();
        if !matches!(token, Token::ParseError(_)) {
            self.emitted.set(true);
        }
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return reader.start(&tag),
            Token::TagToken(tag) => reader.stop(&tag.name),
            Token::CharacterTokens(text) => reader.text(&text),
            Token::CommentToken(_)
            | Token::DoctypeToken(_)
            | Token::EOFToken
            | Token::NullCharacterToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

struct Reader {
    builder: Builder,
    /// The heading that is being read.
    heading: Option<(u8, Option<String>, String)>,
    title: Option<String>,
    /// The open lists: for an ordered list, the number of its next entry.
    lists: Vec<Option<u64>>,
    /// The element that is being left out, and how often it is nested in itself.
    skipped: Option<(String, usize)>,
    /// The last id of an element that is not a heading. A heading right after it gets this id.
    id: Option<String>,
}

impl Reader {
    fn start(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name && !tag.self_closing {
                *depth += 1;
            }
            return raw(name);
        }
        let attribute =
            |name: &str| tag.attrs.iter().find(|one| &*one.name.local == name).map(|one| one.value.to_string());
        let id = attribute("id").or_else(|| attribute("name").filter(|_| name == "a"));
        if let Some(level) = heading_level(name) {
            self.builder.end();
            self.heading = Some((level, id.or_else(|| self.id.take()), String::new()));
            return TokenSinkResult::Continue;
        }
        if let Some(id) = id {
            self.builder.anchor(&id);
            self.id = Some(id);
        }
        match name {
            "title" => self.title = Some(String::new()),
            "script" | "style" | "svg" | "math" | "template" | "nav" | "header" | "footer" | "noscript" | "iframe"
            | "textarea" | "pre" | "button" | "select" | "object" => {
                self.builder.end();
                if !tag.self_closing {
                    self.skipped = Some((name.to_owned(), 1));
                }
            }
            "a" => {
                if let Some(target) = attribute("href").filter(|_| self.heading.is_none()) {
                    self.builder.link(&target);
                }
            }
            "code" => {
                self.code();
                self.builder.mark();
            }
            "b" | "strong" | "em" | "i" | "dfn" => self.builder.mark(),
            "ol" => {
                self.builder.end();
                self.lists.push(Some(attribute("start").and_then(|start| start.parse().ok()).unwrap_or(1)));
            }
            "ul" => {
                self.builder.end();
                self.lists.push(None);
            }
            "li" => {
                let number = self.lists.last().copied().flatten();
                if let Some(Some(next)) = self.lists.last_mut() {
                    *next = next.saturating_add(1);
                }
                let depth = self.lists.len().max(1);
                self.begin(Block::Item { number, depth });
            }
            "dt" => self.begin(Block::Term),
            "dd" => self.begin(Block::Meaning),
            "p" if self.builder.open_text().is_some_and(str::is_empty) => {}
            "br" => self.text(" "),
            name if is_block(name) => self.begin(Block::Paragraph),
            _ => {}
        }
        raw(name)
    }

    fn stop(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        if heading_level(name).is_some() {
            if let Some((level, id, title)) = self.heading.take() {
                self.builder.heading(level, title.trim_end_matches(['#', '¶', '§', ' ', '\n']), None);
                if let Some(id) = id {
                    self.builder.anchor(&id);
                }
                self.id = None;
            }
            return;
        }
        match name {
            "title" => {
                let title = self.title.take().unwrap_or_default();
                self.builder.title(&title);
            }
            "a" => self.builder.unlink(),
            "code" => {
                self.builder.unmark();
                self.code();
            }
            "b" | "strong" | "em" | "i" | "dfn" => self.builder.unmark(),
            "ol" | "ul" => {
                self.end();
                self.lists.pop();
            }
            "li" | "dt" | "dd" => self.end(),
            name if is_block(name) => self.end(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if let Some(title) = &mut self.title {
            title.push_str(text);
        } else if let Some((_, _, title)) = &mut self.heading {
            title.push_str(text);
        } else {
            self.builder.text(text);
        }
        if !text.trim().is_empty() {
            self.id = None;
        }
    }

    /// Puts backticks around code, so that it can be recognised in the prose.
    fn code(&mut self) {
        if self.heading.is_none() && self.title.is_none() {
            self.builder.text("`");
        }
    }

    fn begin(&mut self, block: Block) {
        self.end();
        self.builder.begin(block);
    }

    /// Ends a block. For HTML, a section's source is its visible text.
    fn end(&mut self) {
        if let Some(text) = self.builder.open_text().filter(|text| !text.is_empty()) {
            let text = format!("{}\n\n", text.trim_end());
            self.builder.source(&text);
        }
        self.builder.end();
    }
}

/// Tells the tokenizer that the content of such an element is not HTML.
fn raw(name: &str) -> TokenSinkResult<()> {
    match name {
        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
        "style" | "iframe" | "noscript" => TokenSinkResult::RawData(RawKind::Rawtext),
        "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
        _ => TokenSinkResult::Continue,
    }
}

fn heading_level(name: &str) -> Option<u8> {
    match name {
        "h1" => Some(1),
        "h2" => Some(2),
        "h3" => Some(3),
        "h4" => Some(4),
        "h5" => Some(5),
        "h6" => Some(6),
        _ => None,
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "main"
            | "aside"
            | "blockquote"
            | "table"
            | "tr"
            | "td"
            | "th"
            | "figure"
            | "figcaption"
            | "details"
            | "summary"
            | "dl"
            | "address"
            | "hr"
            | "body"
            | "form"
            | "fieldset"
    )
}

#[cfg(test)]
mod tests {
    use super::{ATTRIBUTES_MAX, Document, pieces};

    fn read(name: &str, text: &str) -> Document {
        super::read(name, text).ok().unwrap()
    }

    #[test]
    fn a_text_is_cut_around_its_tags() {
        for (text, expected) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a<b>c", vec!["a", "<b>", "c"]),
            ("<<é<b>>", vec!["<", "<é", "<b>", ">"]),
            ("a>b<", vec!["a>", "b", "<"]),
        ] {
            assert_eq!(pieces(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    /// ATK-244: all attributes of a tag are counted, however they are written, and nothing else is.
    #[test]
    fn a_tag_has_so_many_attributes_and_no_more() {
        let many =
            |unit: &str, count: usize| (0..count).map(|at| unit.replace('#', &at.to_string())).collect::<String>();
        for unit in
            [" a#", "\ta# ", "/a#", " a#=b", " a# = 'b'", "\x0ca#=\"b\"", " a#='<'", " a#=\"<!-- >\"", "\na#=>\" x"]
        {
            for tag in ["<p", "</p", "<p<!", "<p\""] {
                let text = |count| format!("<h1>A</h1>{tag}{}>text", many(unit, count));
                // A `>` that is not in a value ends the tag, so a repeated unit with one makes no long tag.
                let ends = unit.contains("=>");
                assert_eq!(super::read("x.html", &text(ATTRIBUTES_MAX + 1)).is_ok(), ends, "{tag} {unit}");
                assert!(super::read("x.html", &text(ATTRIBUTES_MAX)).is_ok(), "{tag} {unit}");
            }
        }
        for text in [
            format!("<p d=\"{}\">", "M 1 2 ".repeat(1_000)),
            format!("<p>{}", "word ".repeat(1_000)),
            format!("<!-- {} -->", "<p a b c> word ".repeat(1_000)),
            format!("<script>{}</script>", "<p a b c ".repeat(1_000)),
            "<p a=1 b=2>x</p>".repeat(1_000),
        ] {
            assert!(super::read("x.html", &text).is_ok(), "{}", text.split_at(20).0);
        }
    }

    #[test]
    fn a_page_is_its_headings_and_what_is_seen() {
        let document = read(
            "page.html",
            "<!doctype html><title>The &amp; Page</title><nav><a href=x>menu</a></nav><script>var a = '<h1>no</h1>';</script>\
             <h2 id=first>First <code>x</code></h2><p>One <a href=\"#second\">two</a>.<p>Three.\
             <h2 id=second>Second</h2><dl><dt>permit<dd>The proof.</dl><ol><li>a<li>b</ol><pre>code</pre>",
        );
        let seen: Vec<_> =
            document.sections.iter().map(|section| (section.title.as_str(), section.prose.as_str())).collect();
        assert_eq!(seen, [("The & Page", ""), ("First x", "One two.\nThree."), ("Second", "permit\nThe proof.\na\nb")]);
        assert_eq!(document.sections[1].links[0].target, "#second");
        assert_eq!(document.sections[2].definitions[0].term, "permit");
        assert_eq!(document.sections[2].steps[0].len(), 2);
        assert!(document.sections[2].anchors.contains(&"second".to_owned()));
    }

    #[test]
    fn what_is_nested_too_deep_or_never_closed_is_read_all_the_same() {
        let deep = format!("<h1>A</h1>{}text{}", "<div><b>".repeat(100_000), "</div>".repeat(7));
        assert!(read("deep.html", &deep).sections.iter().any(|section| section.prose.contains("text")));
        for text in ["<script>never", "<h1>never", "<a href=", "</p></p>", "&#x0;&bogus;", "<title>never"] {
            assert!(!read("x.html", text).sections.is_empty(), "{text}");
        }
    }
}
