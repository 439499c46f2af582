//! HTML, read as the stream of tags that `html5ever` makes of it. No tree is built: what is nested a million deep costs
//! no more than what is not.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::Kind;
use super::document::{Block, Builder, Document};

/// Reads one document.
pub(super) fn read(name: &str, text: &str) -> Document {
    let sink = Sink(RefCell::new(Reader {
        builder: Builder::new(name, Kind::Html),
        heading: None,
        title: None,
        lists: Vec::new(),
        skipped: None,
        id: None,
    }));
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(text));
    // Without scripts, nothing stops the reading.
    while !input.is_empty() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    let reader = tokenizer.sink.0.into_inner();
    reader.builder.finish()
}

struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
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
    /// The lists that are open: the number of the next entry, where they are ordered.
    lists: Vec<Option<u64>>,
    /// What is left out up to its end, and how often it was opened within itself.
    skipped: Option<(String, usize)>,
    /// The last id of something that is no heading: a heading that follows at once is meant.
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

    /// Code stays recognisable as such.
    fn code(&mut self) {
        if self.heading.is_none() && self.title.is_none() {
            self.builder.text("`");
        }
    }

    fn begin(&mut self, block: Block) {
        self.end();
        self.builder.begin(block);
    }

    /// What a section says is, of HTML, the text that is seen.
    fn end(&mut self) {
        if let Some(text) = self.builder.open_text().filter(|text| !text.is_empty()) {
            let text = format!("{}\n\n", text.trim_end());
            self.builder.source(&text);
        }
        self.builder.end();
    }
}

/// What follows such a tag is no HTML, up to its end.
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
    use super::read;

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
