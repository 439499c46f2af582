//! Everything that is drawn, with its place. The boxes of all texts are known here, so that a test can check that none
//! overlaps another.

use sekisho_protocol::refusal::SetName;

use super::geometry::{self, Area, RegionShape, points};
use super::model::{Chosen, Region, SetsFigure};
use super::parts::{Part, Parts, Tool, listed};
use super::words::{self, TEXT_CHARS_MAX};
use crate::measure::Face;
use sekisho_protocol::label::clean;

/// The width of the figure.
pub(super) const WIDTH: i32 = 360;
const LEFT: i32 = 14;
const RIGHT: i32 = WIDTH - LEFT;
/// The distance between two lines of a list.
const LINE: i32 = 19;
/// Where the two columns of a list begin, and the widest label in one column and in both.
const COLUMNS: [i32; 2] = [LEFT, 184];
const LABEL_INDENT: i32 = 20;
const LABEL_WIDTHS: [i32; 2] = [142, RIGHT - LEFT - LABEL_INDENT];
/// The most lines of the first list, and of the others.
const LINES_MAX: [usize; 2] = [10, 4];

/// Which point of a text its `x` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    End,
    Middle,
    Start,
}

/// The colour of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Ink,
    No,
    Set(SetName),
    Soft,
    Yes,
}

/// One line of text. `y` is the position of its base line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) anchor: Anchor,
    pub(super) face: Face,
    pub(super) tone: Tone,
    pub(super) shown: String,
    /// Text that follows in a minor colour.
    pub(super) detail: Option<String>,
    /// The whole text, if the shown text is shorter.
    pub(super) full: Option<String>,
}

impl Text {
    /// Creates a text at a place, no wider than `width_max`.
    fn new((x, y): (i32, i32), anchor: Anchor, style: (Face, Tone), text: &str, width_max: i32) -> Self {
        let (face, tone) = style;
        let whole = clean(text, TEXT_CHARS_MAX);
        let shown = face.shorten(&whole, width_max);
        let full = (shown != whole).then_some(whole);
        Self { x, y, anchor, face, tone, shown, detail: None, full }
    }

    /// Returns the box around the text.
    pub(super) fn area(&self) -> Area {
        let detail = self.detail.as_deref().map_or(0, detail_width);
        let width = self.face.width(&self.shown) + detail;
        let left = match self.anchor {
            Anchor::End => self.x - width,
            Anchor::Middle => self.x - width.div_euclid(2),
            Anchor::Start => self.x,
        };
        let size = self.face.size();
        Area { left, top: self.y - size, right: left + width, bottom: self.y + size / 3 }
    }
}

/// The dot of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dot {
    pub(super) at: (i32, i32),
    /// Whether the tool is inside all three sets.
    pub(super) solid: bool,
    pub(super) ring: bool,
    pub(super) name: String,
}

/// The list of one region.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) area: Area,
    pub(super) place: &'static RegionShape,
    /// The range of its texts in `texts`, including the heading and the line for the rest.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests of the geometry"))]
    pub(super) texts: std::ops::Range<usize>,
}

/// The answer to the call in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) area: Area,
    pub(super) refused_by: Option<SetName>,
    /// The dot in question, if the tool is among the members.
    pub(super) at: Option<(i32, i32)>,
}

/// The whole figure.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) height: i32,
    pub(super) need_declared: bool,
    /// The top of the circles.
    pub(super) circles_top: i32,
    /// The position of each set's name above the circles.
    pub(super) key: Vec<(SetName, i32)>,
    pub(super) texts: Vec<Text>,
    pub(super) dots: Vec<Dot>,
    pub(super) sections: Vec<Section>,
    pub(super) verdict: Option<Verdict>,
}

impl Layout {
    pub(super) fn new(figure: &SetsFigure) -> Self {
        let parts = figure.parts();
        let mut layout = Self {
            height: 0,
            need_declared: figure.need_declared,
            circles_top: 0,
            key: Vec::new(),
            texts: Vec::new(),
            dots: Vec::new(),
            sections: Vec::new(),
            verdict: None,
        };
        layout.head(figure);
        if let Some(chosen) = &figure.chosen {
            layout.verdict(figure, chosen, &parts);
        }
        layout.circles_top = layout.height + 12;
        layout.height = layout.circles_top + geometry::HEIGHT + 16;
        layout.names_of_sets(figure);
        for part in &parts.parts {
            layout.region(figure, part);
        }
        for (at, part) in parts.parts.iter().filter(|part| !part.tools.is_empty()).enumerate() {
            layout.section(figure, part, if at == 0 { LINES_MAX[0] } else { LINES_MAX[1] });
        }
        if parts.uncounted > 0 {
            let text = figure.captions.and_more(parts.uncounted);
            layout.height += LINE;
            let at = (LEFT, layout.height - 5);
            layout.texts.push(Text::new(at, Anchor::Start, (Face::Body, Tone::Soft), &text, RIGHT - LEFT));
        }
        layout.height += 14;
        layout
    }

    /// Adds the server, and a line for each set: its name, its content, and whose it is.
    fn head(&mut self, figure: &SetsFigure) {
        let count = Text::new((RIGHT, 30), Anchor::End, (Face::Body, Tone::Soft), &words::tools(figure), 120);
        let room = count.area().left - LEFT - 12;
        self.texts.push(Text::new((LEFT, 30), Anchor::Start, (Face::Title, Tone::Ink), &figure.server, room));
        self.texts.push(count);
        self.height = 40;
        let names = SETS.map(|set| {
            Text::new((LEFT + 18, 0), Anchor::Start, (Face::Bold, Tone::Set(set)), figure.captions.set(set), 80)
        });
        let beside = names.iter().map(|name| name.area().right).max().unwrap_or(LEFT) + 10;
        for (set, mut name) in SETS.into_iter().zip(names) {
            name.y = self.height + LINE - 4;
            self.key.push((set, name.y - 4));
            self.texts.push(name);
            self.paragraph(beside, (Face::Body, Tone::Ink), &words::whose(figure, set));
        }
        self.height += 6;
    }

    /// Adds a text of one or two lines from `x` to the right edge.
    fn paragraph(&mut self, x: i32, style: (Face, Tone), text: &str) {
        let whole = clean(text, TEXT_CHARS_MAX);
        let lines = style.0.wrap(&whole, RIGHT - x - 4, 2);
        let cut = lines.iter().any(|line| line.contains('…')).then_some(whole);
        for line in lines {
            self.height += LINE;
            let mut text = Text::new((x, self.height - 4), Anchor::Start, style, &line, RIGHT - x);
            text.full = cut.clone();
            self.texts.push(text);
        }
    }

    /// Adds the box with the call in question and the answer to it.
    fn verdict(&mut self, figure: &SetsFigure, chosen: &Chosen, parts: &Parts<'_>) {
        let top = self.height + 6;
        let part = parts.parts.iter().find(|part| part.tools.iter().any(|tool| tool.chosen));
        let x = LEFT + 30;
        let tone = if chosen.refused_by.is_some() { Tone::No } else { Tone::Yes };
        let style = (Face::CodeBold, Tone::Ink);
        self.texts.push(Text::new((x, top + 19), Anchor::Start, style, &chosen.name, RIGHT - x - 8));
        self.height = top + 23;
        self.paragraph(x, (Face::Body, tone), &words::verdict(figure, chosen, parts));
        self.height += 6;
        let area = Area { left: LEFT, top, right: RIGHT, bottom: self.height };
        let circles_top = self.height + 12;
        let at = part.map(|part| (part.place.chosen.0, part.place.chosen.1 + circles_top));
        self.verdict = Some(Verdict { area, refused_by: chosen.refused_by, at });
    }

    /// Adds the name of each set inside its circle; the set that refused is marked.
    fn names_of_sets(&mut self, figure: &SetsFigure) {
        let refused_by = figure.chosen.as_ref().and_then(|chosen| chosen.refused_by);
        for (set, (x, y)) in SETS.into_iter().zip([(78, 54), (282, 54), (180, 276)]) {
            let name = figure.captions.set(set);
            let (name, tone) = if refused_by == Some(set) {
                (format!("× {name}"), Tone::No)
            } else {
                (name.to_owned(), Tone::Set(set))
            };
            let at = (x, y + self.circles_top);
            self.texts.push(if set == SetName::Need && !self.need_declared {
                Text::new(
                    (180, 250 + self.circles_top),
                    Anchor::Middle,
                    (Face::Bold, tone),
                    &figure.captions.undeclared,
                    190,
                )
            } else {
                Text::new(at, Anchor::Middle, (Face::Bold, tone), &name, 66)
            });
        }
    }

    /// Adds the count of a region, and its dots.
    fn region(&mut self, figure: &SetsFigure, part: &Part<'_>) {
        if part.tools.is_empty() {
            return;
        }
        let top = self.circles_top;
        let (x, y) = part.place.count;
        let style = (Face::Bold, Tone::Ink);
        self.texts.push(Text::new((x, y + top), Anchor::Middle, style, &part.tools.len().to_string(), 40));
        let solid = part.place.region == ALL;
        let (chosen, others): (Vec<Tool<'_>>, Vec<Tool<'_>>) = part.tools.iter().partition(|tool| tool.chosen);
        let avoid = self.taken(figure);
        let places = points(part.place, self.need_declared, &avoid, others.len());
        let spots = chosen.iter().map(|tool| (tool, part.place.chosen)).chain(others.iter().zip(places));
        for (tool, (x, y)) in spots {
            let name = clean(&tool.member.name, TEXT_CHARS_MAX);
            self.dots.push(Dot { at: (x, y + top), solid, ring: tool.chosen, name });
        }
    }

    /// Returns the areas in which no dot may be, in the coordinates of the circles: all counts and names, and the line
    /// to the verdict.
    fn taken(&self, figure: &SetsFigure) -> Vec<Area> {
        let counts = geometry::places(figure.need_declared).iter().map(|place| {
            let (x, y) = place.count;
            Area { left: x - 14, top: y - 12, right: x + 14, bottom: y + 3 }
        });
        let names = self.texts.iter().map(Text::area).map(|area| Area {
            top: area.top - self.circles_top,
            bottom: area.bottom - self.circles_top,
            ..area
        });
        let line = self.verdict.and_then(|verdict| verdict.at).map(|(x, y)| {
            let bottom = y - self.circles_top + 8;
            Area { left: x - 8, top: -20, right: x + 8, bottom }
        });
        counts.chain(names).map(|area| area.grown(5)).chain(line.map(|area| area.grown(2))).collect()
    }

    /// Adds the list of one region: a small picture of it, its name, its count, and its tools in two columns.
    fn section(&mut self, figure: &SetsFigure, part: &Part<'_>, lines_max: usize) {
        let first = self.texts.len();
        let top = self.height;
        let name = figure.captions.region(part.place.region, figure.need_declared);
        let count = part.tools.len();
        let style = (Face::Bold, Tone::Ink);
        let number = Text::new((RIGHT, top + 25), Anchor::End, style, &count.to_string(), 40);
        self.texts.push(Text::new((LEFT + 40, top + 25), Anchor::Start, style, &name, 240));
        self.texts.push(number);
        let (labels, lines) = fit(figure, &part.tools, lines_max);
        let solid = part.place.region == ALL;
        for (mut label, tool) in labels {
            label.y += top + 52;
            if let Some(tool) = tool {
                let at = (label.x - LABEL_INDENT + 8, label.y - 4);
                let name = clean(&tool.member.name, TEXT_CHARS_MAX);
                self.dots.push(Dot { at, solid, ring: tool.chosen, name });
            }
            self.texts.push(label);
        }
        let lines = i32::try_from(lines).unwrap_or(i32::MAX / (2 * LINE));
        self.height = top + 38 + lines * LINE + 6;
        let area = Area { left: LEFT, top, right: RIGHT, bottom: self.height };
        self.sections.push(Section { area, place: part.place, texts: first..self.texts.len() });
    }
}

/// The region inside every set.
pub(super) const ALL: Region = Region { rights: true, grant: true, need: true };

/// The order in which the sets decide, which is also that of reading: rights, grant, need.
pub(super) const SETS: [SetName; 3] = [SetName::Rights, SetName::Grant, SetName::Need];

/// Returns the labels of as many tools as fit into the lines, and the number of lines they take.
fn fit<'a>(figure: &SetsFigure, tools: &[Tool<'a>], lines_max: usize) -> (Vec<(Text, Option<Tool<'a>>)>, usize) {
    let most = tools.len().min(lines_max * COLUMNS.len());
    let mut count = most;
    loop {
        let (labels, lines) = columns(figure, tools, count);
        if lines <= lines_max || count <= 1 {
            return (labels, lines);
        }
        count -= 1;
    }
}

/// Returns the labels of the first `count` tools in two columns. A label that is too long uses both.
fn columns<'a>(figure: &SetsFigure, tools: &[Tool<'a>], count: usize) -> (Vec<(Text, Option<Tool<'a>>)>, usize) {
    let shown = listed(tools, count);
    let mut labels: Vec<(Text, Option<Tool<'a>>)> = Vec::new();
    let (mut line, mut column) = (0, 0);
    let rest = tools.len() - shown.len();
    let texts = shown.iter().map(|tool| (label(tool), Some(*tool)));
    let more = (rest > 0).then(|| {
        let style = (Face::Body, Tone::Soft);
        (Text::new((0, 0), Anchor::Start, style, &figure.captions.and_more(rest), LABEL_WIDTHS[0]), None)
    });
    for (mut text, tool) in texts.chain(more) {
        let area = text.area();
        let wide = area.right - area.left > LABEL_WIDTHS[0];
        if wide && column == 1 {
            (line, column) = (line + 1, 0);
        }
        text.x = LABEL_INDENT + if column == 0 { COLUMNS[0] } else { COLUMNS[1] };
        text.y = LINE * line;
        (line, column) = if wide || column == 1 { (line + 1, 0) } else { (line, 1) };
        labels.push((text, tool));
    }
    (labels, usize::try_from(line + column).unwrap_or(usize::MAX))
}

/// Returns the name of a tool with its detail.
fn label(tool: &Tool<'_>) -> Text {
    let face = if tool.chosen { Face::CodeBold } else { Face::Code };
    let detail = tool.member.detail.as_deref().map(|word| Face::Body.shorten(&clean(word, TEXT_CHARS_MAX), 90));
    let room = LABEL_WIDTHS[1] - detail.as_deref().map_or(0, detail_width);
    let mut text = Text::new((0, 0), Anchor::Start, (face, Tone::Ink), &tool.member.name, room);
    text.detail = detail;
    text
}

/// Returns the width of a tool's detail, with the gap before it.
fn detail_width(word: &str) -> i32 {
    Face::Body.width(word) + DETAIL_GAP
}

/// The gap between a name and its detail.
pub(super) const DETAIL_GAP: i32 = 6;

/// Returns the path data of the mark, `×` or `✓`, which is drawn and not written as a character.
pub(super) fn mark(refused: bool) -> &'static str {
    if refused { "M-4-4L4 4M4-4L-4 4" } else { "M-5 0L-1.5 4L5-4" }
}
