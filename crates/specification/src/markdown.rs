//! Reads Markdown and MDX with `pulldown-cmark`. The tags that MDX adds are removed first, and their contents stay.

use std::borrow::Cow;
use std::fmt::Write as _;

use pulldown_cmark::{Event, HeadingLevel, LinkType, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use crate::document::{Block, Builder, Document};
use crate::kramdown;
use crate::source::Kind;

/// The highest number of lines of a JSX tag. A longer one counts as text.
const TAG_LINES_MAX: usize = 24;

/// Reads one document.
pub(crate) fn read(name: &str, text: &str, kind: Kind) -> Document {
    match kramdown::read(text) {
        Some(draft) => {
            let mut document = of_markdown(name, &draft.text, kind);
            document.labels.extend(draft.labels);
            document
        }
        None => of_markdown(name, text, kind),
    }
}

fn of_markdown(name: &str, text: &str, kind: Kind) -> Document {
    let plain = if kind == Kind::Mdx || text.contains("\n<") {
        Cow::Owned(without_tags(text, kind))
    } else {
        Cow::Borrowed(text)
    };
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_DEFINITION_LIST;
    let mut reader = Reader {
        builder: Builder::new(name, kind),
        heading: None,
        lists: Vec::new(),
        silent: 0,
        metadata: None,
        column: 0,
        head: false,
        glossary: false,
        from: 0,
    };
    for (event, range) in Parser::new_ext(&plain, options).into_offset_iter() {
        if let Event::Start(Tag::Heading { .. }) = event {
            reader.builder.source(plain.get(reader.from..range.start).unwrap_or_default());
            reader.from = range.end;
        }
        reader.take(event);
    }
    reader.builder.source(plain.get(reader.from..).unwrap_or_default());
    reader.builder.finish()
}

struct Reader {
    builder: Builder,
    /// The heading that is being read: level, its own id, title.
    heading: Option<(u8, Option<String>, String)>,
    /// The open lists: for an ordered list, the number of its next entry.
    lists: Vec<Option<u64>>,
    /// How many elements that are not prose (code, pictures) are open.
    silent: usize,
    metadata: Option<String>,
    column: usize,
    head: bool,
    /// Whether the first column of the table contains terms.
    glossary: bool,
    /// Where the source of the open section begins.
    from: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.stop(tag),
            Event::Text(text) | Event::InlineMath(text) => self.text(&text),
            Event::Code(text) if self.heading.is_some() => self.text(&text),
            Event::Code(text) => {
                // Backticks keep code recognisable in the prose.
                self.text("`");
                self.builder.mark();
                self.text(&text);
                self.builder.unmark();
                self.text("`");
            }
            Event::SoftBreak | Event::HardBreak => self.text(" "),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html),
            Event::DisplayMath(_) | Event::FootnoteReference(_) | Event::Rule | Event::TaskListMarker(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(metadata) = &mut self.metadata {
            metadata.push_str(text);
        } else if let Some((_, _, title)) = &mut self.heading {
            title.push_str(text);
        } else if self.silent == 0 {
            self.builder.text(text);
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, id, .. } => {
                self.builder.end();
                self.heading = Some((depth(level), id.map(|id| id.to_string()), String::new()));
            }
            Tag::Paragraph => {
                // The first paragraph of an entry belongs to the entry.
                if !self.builder.is_open() {
                    self.builder.begin(Block::Paragraph);
                }
            }
            Tag::List(first) => self.lists.push(first),
            Tag::Item => {
                let depth = self.lists.len();
                let number = self.lists.last_mut().and_then(|next| {
                    let number = *next;
                    *next = next.and_then(|next| next.checked_add(1));
                    number
                });
                self.builder.begin(Block::Item { number, depth });
            }
            Tag::DefinitionListTitle => self.builder.begin(Block::Term),
            Tag::DefinitionListDefinition => self.builder.begin(Block::Meaning),
            Tag::TableHead => {
                (self.head, self.column, self.glossary) = (true, 0, false);
            }
            Tag::TableRow => self.column = 0,
            Tag::TableCell => {
                let block = match (self.glossary && !self.head, self.column) {
                    (true, 0) => Block::Term,
                    (true, 1) => Block::Meaning,
                    _ => Block::Paragraph,
                };
                self.builder.begin(block);
            }
            Tag::CodeBlock(_) | Tag::Image { .. } | Tag::HtmlBlock => self.silent += 1,
            Tag::MetadataBlock(MetadataBlockKind::YamlStyle | MetadataBlockKind::PlusesStyle) => {
                self.metadata = Some(String::new());
            }
            Tag::Emphasis | Tag::Strong => self.builder.mark(),
            Tag::Link { link_type, dest_url, .. } if link_type != LinkType::Email => {
                if self.heading.is_none() {
                    self.builder.link(&dest_url);
                }
            }
            Tag::FootnoteDefinition(_) | Tag::BlockQuote(_) => self.builder.end(),
            Tag::DefinitionList
            | Tag::Link { .. }
            | Tag::Strikethrough
            | Tag::Subscript
            | Tag::Superscript
            | Tag::Table(_) => {}
        }
    }

    fn stop(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if let Some((level, id, title)) = self.heading.take() {
                    self.builder.heading(level, &title, None);
                    if let Some(id) = id {
                        self.builder.anchor(&id);
                    }
                }
            }
            TagEnd::List(_) => {
                self.builder.end();
                self.lists.pop();
            }
            TagEnd::TableCell => {
                let first = self.head && self.column == 0;
                self.column += 1;
                if first && let Some(heading) = self.builder.open_text() {
                    let heading = heading.trim().to_lowercase();
                    self.glossary =
                        matches!(heading.as_str(), "term" | "word" | "concept" | "用語" | "語" | "ことば" | "言葉");
                }
                self.builder.end();
            }
            TagEnd::TableHead => self.head = false,
            TagEnd::CodeBlock | TagEnd::Image | TagEnd::HtmlBlock => self.silent = self.silent.saturating_sub(1),
            TagEnd::MetadataBlock(_) => {
                let metadata = self.metadata.take().unwrap_or_default();
                let title = metadata.lines().find_map(|line| line.strip_prefix("title:")).unwrap_or_default();
                self.builder.title(title.trim().trim_matches(['"', '\'']));
            }
            TagEnd::Emphasis | TagEnd::Strong => self.builder.unmark(),
            TagEnd::Link => {
                if self.heading.is_none() {
                    self.builder.unlink();
                }
            }
            TagEnd::BlockQuote(_)
            | TagEnd::DefinitionListDefinition
            | TagEnd::DefinitionListTitle
            | TagEnd::FootnoteDefinition
            | TagEnd::Item
            | TagEnd::Paragraph => self.builder.end(),
            TagEnd::DefinitionList
            | TagEnd::Strikethrough
            | TagEnd::Subscript
            | TagEnd::Superscript
            | TagEnd::Table
            | TagEnd::TableRow => {}
        }
    }

    /// Reads raw HTML. Only the names in it that links can point to are used.
    fn html(&mut self, html: &str) {
        for attribute in ["id=\"", "name=\""] {
            if let Some((id, _)) = html.split_once(attribute).and_then(|(_, rest)| rest.split_once('"')) {
                self.builder.anchor(id);
            }
        }
    }
}

fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Returns the text without lines that consist of a tag, an import or a comment of MDX. Markdown would read the text
/// after such a line as raw HTML, and indented text below it as code.
fn without_tags(text: &str, kind: Kind) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    let (mut fence, mut step, mut open, mut comment) = (None, 0_u64, Vec::new(), false);
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(mark) = fence {
            push_line(&mut out, line, open.last().copied().unwrap_or(0));
            if trimmed.starts_with(mark) && trimmed.trim_end().len() == 3 {
                fence = None;
            }
            continue;
        }
        fence = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        if kind == Kind::Mdx {
            let begins = comment || trimmed.starts_with("{/*");
            comment = begins && !trimmed.contains("*/}");
            let imports = indent == 0
                && ["import ", "export "].iter().any(|word| trimmed.starts_with(word))
                && [" from ", "{", "=", "'", "\""].iter().any(|sign| trimmed.contains(sign));
            if begins || imports {
                out.push('\n');
                continue;
            }
        }
        let Some(tag) = fence.is_none().then(|| tag(trimmed, &mut lines)).flatten() else {
            push_line(&mut out, line, open.last().copied().unwrap_or(0));
            continue;
        };
        out.push('\n');
        if let Some(title) = attribute(&tag, "title").filter(|_| !tag.starts_with("</")) {
            if tag.starts_with("<Step ") {
                step += 1;
                let _ = write!(out, "{step}. **{title}**\n\n");
            } else if let Some(target) = attribute(&tag, "href") {
                let _ = write!(out, "[{title}]({target})\n\n");
            } else {
                let _ = write!(out, "**{title}**\n\n");
            }
        } else if let Some(id) = attribute(&tag, "id").filter(|_| !tag.starts_with("</")) {
            let _ = write!(out, "<a id=\"{id}\"></a>\n\n");
        }
        if tag.starts_with("<Steps") {
            step = 0;
        }
        if tag.starts_with("</") {
            open.pop();
        } else if !tag.ends_with("/>") && !is_void(&tag) {
            let next = lines.peek().map_or("", |next| next);
            let next_indent = next.len() - next.trim_start().len();
            open.push(if next.trim().is_empty() { indent } else { next_indent.max(indent) });
        }
    }
    out
}

/// Adds a line without the indentation of its surroundings.
fn push_line(out: &mut String, line: &str, indent: usize) {
    let spaces = line.len() - line.trim_start_matches([' ', '\t']).len();
    out.push_str(line.get(spaces.min(indent)..).unwrap_or(line));
    out.push('\n');
}

/// Returns the tag of which this line, or this and the next lines, consist.
fn tag<'a>(first: &str, lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str> + Clone>) -> Option<String> {
    let name = first.strip_prefix('<')?;
    let name = name.strip_prefix('/').unwrap_or(name);
    let known = name.starts_with(|first: char| first.is_ascii_alphabetic())
        || first.starts_with("<>")
        || first.starts_with("</>");
    // `<https://…>` is a link.
    if !known || name.split(['>', ' ']).next().is_some_and(|name| name.contains(':') || name.contains('@')) {
        return None;
    }
    let whole = |text: &str| text.trim_end().ends_with('>') && text.matches('<').count() == 1;
    if whole(first) {
        return Some(first.trim_end().to_owned());
    }
    if first.contains('>') {
        return None;
    }
    let mut ahead = lines.clone();
    let mut joined = first.trim_end().to_owned();
    for count in 1..TAG_LINES_MAX {
        let next = ahead.next().map(str::trim).filter(|next| !next.is_empty())?;
        joined.push(' ');
        joined.push_str(next);
        if next.ends_with('>') {
            let all = whole(&joined);
            for _ in 0..if all { count } else { 0 } {
                lines.next();
            }
            return all.then_some(joined);
        }
    }
    None
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value).filter(|value| !value.is_empty())
}

fn is_void(tag: &str) -> bool {
    let name = tag.trim_start_matches('<').split([' ', '>']).next().unwrap_or_default();
    matches!(name, "br" | "hr" | "img" | "input" | "link" | "meta" | "source" | "wbr")
}
