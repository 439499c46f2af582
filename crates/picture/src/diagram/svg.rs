//! Writes a diagram as SVG in the layered layout: boxes have the size of their text, and each names the section around
//! it.
//!
//! It has its own colours for light and dark, and contains no scripts and no ids.

use std::fmt::Write as _;

use crate::layout::{self, Area, Layout, Size};
use crate::measure::{Face, SANS};
use sekisho_protocol::diagram::{Arrow, Diagram, Reference, Relation};
use sekisho_protocol::label::{clean, xml};

const STYLE: &str = include_str!("standalone.css");
const MARGIN: i32 = 24;
/// The widest text in a box and in a label, in pixels.
const BOX_TEXT_MAX: i32 = 190;
const LABEL_TEXT_MAX: i32 = 260;
/// The widest line that names the section around a box, in pixels.
const SOFT_TEXT_MAX: i32 = 240;
/// The space between a box and its text on each side, in pixels.
const INSET: i32 = 12;
const TITLE_LINES_MAX: usize = 3;
const LINE: i32 = 17;
/// The longest title or note, in characters.
const CHARS_MAX: usize = 200;
/// The width of the note, in pixels.
const NOTE_WIDTH: i32 = 700;
const NOTE_LINES_MAX: usize = 4;

/// A box with its text.
struct Written {
    lines: Vec<String>,
    soft: Option<String>,
    /// The number of its colour, which is that of its document.
    hue: usize,
    focus: bool,
}

/// Everything that is drawn, with its place. Tests read it, too.
pub(super) struct Figure {
    boxes: Vec<Written>,
    labels: Vec<String>,
    demands: Vec<bool>,
    dotted: Vec<bool>,
    layout: Layout,
    note: Vec<String>,
    note_top: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

pub(super) fn write(diagram: &Diagram) -> String {
    figure(diagram).to_svg(&diagram.title, &diagram.note)
}

pub(super) fn figure(diagram: &Diagram) -> Figure {
    // A section without a box is named in the boxes of the sections that it contains.
    let mut places: Vec<Option<usize>> = Vec::new();
    let mut boxes: Vec<Written> = Vec::new();
    for (at, node) in diagram.nodes.iter().enumerate() {
        if !node.has_box {
            places.push(None);
            continue;
        }
        let within = node.parent.and_then(|within| diagram.nodes.get(within)).map(|around| around.title.clone());
        let folded = match node.folded {
            0 => None,
            1 => Some("+1 section".to_owned()),
            more => Some(format!("+{more} sections")),
        };
        let soft: Vec<String> =
            [within.map(|within| format!("in {}", clean(&within, CHARS_MAX))), folded].into_iter().flatten().collect();
        let soft = (!soft.is_empty()).then(|| shortened(&soft));
        places.push(Some(boxes.len()));
        boxes.push(Written {
            lines: Face::Bold.wrap(&clean(&node.title, CHARS_MAX), BOX_TEXT_MAX, TITLE_LINES_MAX),
            soft,
            hue: root(diagram, at) % 4,
            focus: diagram.focus == Some(at),
        });
    }
    let place = |at: usize| places.get(at).copied().flatten();
    let mut arrows = Vec::new();
    let (mut labels, mut demands, mut dotted) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |from: usize, to: usize, label: &str, demand: bool, dots: bool| {
        let label = Face::Body.shorten(&clean(label, CHARS_MAX), LABEL_TEXT_MAX);
        let size = Size { width: Face::Body.width(&label) + 8, height: LINE };
        arrows.push(layout::Arrow { from, to, label: size });
        labels.push(label);
        demands.push(demand);
        dotted.push(dots);
    };
    let plain =
        |arrow: &Arrow| arrow.has(Relation::Links) || arrow.has(Relation::Then) || arrow.has(Relation::Requires);
    for arrow in &diagram.arrows {
        if let (Some(from), Some(to)) = (place(arrow.from), place(arrow.to)) {
            let label = arrow.label(|label| Face::Body.width(label) <= LABEL_TEXT_MAX);
            add(from, to, &label, arrow.has(Relation::Requires), !plain(arrow));
        }
    }
    for document in &diagram.outside {
        let lines = Face::Body.wrap(&clean(&document.label, 2 * CHARS_MAX), 2 * BOX_TEXT_MAX, 2 * TITLE_LINES_MAX);
        let to = boxes.len();
        boxes.push(Written { lines, soft: None, hue: 4, focus: false });
        for Reference { from, count } in &document.references {
            if let Some(from) = place(*from) {
                add(from, to, &format!("presupposes ×{count}"), false, true);
            }
        }
    }
    let sizes: Vec<Size> = boxes.iter().map(Written::size).collect();
    let layout = layout::lay(&sizes, &arrows);
    let note = Face::Body.wrap(&clean(&diagram.note, 2 * CHARS_MAX), NOTE_WIDTH, NOTE_LINES_MAX);
    let note_width = note.iter().map(|line| Face::Body.width(line)).max().unwrap_or(0);
    let note_top = layout.height + 2 * MARGIN;
    let height = note_top + LINE * i32::try_from(note.len()).unwrap_or(0) + MARGIN;
    let width = layout.width.max(note_width) + 2 * MARGIN;
    Figure { boxes, labels, demands, dotted, layout, note, note_top, width, height }
}

/// Returns the number of a node's document among those that are shown, which is the number of its colour.
fn root(diagram: &Diagram, at: usize) -> usize {
    let mut top = at;
    while let Some(around) = diagram.nodes.get(top).and_then(|node| node.parent) {
        top = around;
    }
    diagram.nodes.iter().take(top).filter(|node| node.parent.is_none()).count()
}

/// Writes the lines under a title. If they are shortened, the number of folded sections stays.
fn shortened(parts: &[String]) -> String {
    let whole = parts.join(" · ");
    if Face::Body.width(&whole) <= SOFT_TEXT_MAX {
        return whole;
    }
    match parts {
        [within, folded] => {
            let rest = format!(" · {folded}");
            format!("{}{rest}", Face::Body.shorten(within, SOFT_TEXT_MAX - Face::Body.width(&rest)))
        }
        _ => Face::Body.shorten(&whole, SOFT_TEXT_MAX),
    }
}

impl Written {
    fn face(&self) -> Face {
        if self.hue == 4 { Face::Body } else { Face::Bold }
    }

    fn size(&self) -> Size {
        let titles = self.lines.iter().map(|line| self.face().width(line));
        let width = titles.chain(self.soft.iter().map(|soft| Face::Body.width(soft))).max().unwrap_or(0);
        let lines = self.lines.len() + usize::from(self.soft.is_some());
        Size { width: width + 2 * INSET, height: LINE * i32::try_from(lines).unwrap_or(0) + INSET + 4 }
    }
}

impl Figure {
    /// Returns every text with the area of its box or label.
    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<(i32, Area)> {
        let titles = self.boxes.iter().zip(&self.layout.boxes).flat_map(|(written, area)| {
            written
                .lines
                .iter()
                .map(|line| (written.face().width(line), *area))
                .chain(written.soft.iter().map(|soft| (Face::Body.width(soft), *area)))
        });
        let labels = self.labels.iter().zip(&self.layout.routes).filter(|(_, route)| !route.points.is_empty());
        titles.chain(labels.map(|(label, route)| (Face::Body.width(label), route.label))).collect()
    }

    fn to_svg(&self, title: &str, note: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"spec\" role=\"img\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{SANS}\" font-size=\"12\">\n<title>{}</title>\n<desc>{}</desc>\n\
             <style>\n{STYLE}</style>\n<rect class=\"spec-paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\"/>\n\
             <g transform=\"translate({MARGIN} {MARGIN})\">",
            xml(&clean(title, CHARS_MAX)),
            xml(&clean(note, 2 * CHARS_MAX)),
            width - 1,
            height - 1
        );
        for at in 0..self.labels.len() {
            self.arrow(&mut out, at);
        }
        for (written, area) in self.boxes.iter().zip(&self.layout.boxes) {
            drawn_box(&mut out, written, *area);
        }
        out.push_str("</g>\n");
        for (at, line) in self.note.iter().enumerate() {
            let y = self.note_top + LINE * i32::try_from(at).unwrap_or(0) + 12;
            let _ = writeln!(out, "<text class=\"spec-soft\" x=\"{MARGIN}\" y=\"{y}\">{}</text>", xml(line));
        }
        out.push_str("</svg>\n");
        out
    }

    fn arrow(&self, out: &mut String, at: usize) {
        let Some(route) = self.layout.routes.get(at) else { return };
        let Some(((x, y), rest)) = route.points.split_first() else { return };
        let mut path = format!("M{x} {y}");
        let mut before = (*x, *y);
        for (x, y) in rest {
            if before.1 == *y {
                let _ = write!(path, "H{x}");
            } else {
                let middle = i32::midpoint(before.0, *x);
                let _ = write!(path, "C{middle} {} {middle} {y} {x} {y}", before.1);
            }
            before = (*x, *y);
        }
        let demand = self.demands.get(at) == Some(&true);
        let class = if demand { "spec-must" } else { "spec-line" };
        let line = if demand { "2" } else { "1.25" };
        let dots = if self.dotted.get(at) == Some(&true) { " stroke-dasharray=\"2 4\"" } else { "" };
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\" fill=\"none\" stroke-width=\"{line}\"{dots}/>");
        // The arrowhead, in the direction in which the line arrives.
        let from = rest.iter().rev().nth(1).map_or(*x, |point| point.0);
        let side = if from <= before.0 { -7 } else { 7 };
        let (x, y) = before;
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{} {}L{x} {y}L{} {}\" fill=\"none\" stroke-width=\"1.5\"/>",
            x + side,
            y - 4,
            x + side,
            y + 4
        );
        let word = if demand { "spec-must-word" } else { "spec-soft" };
        let label = self.labels.get(at).map_or("", String::as_str);
        let _ = writeln!(
            out,
            "<text class=\"{word}\" x=\"{}\" y=\"{}\">{}</text>",
            route.label.left + 4,
            route.label.top + 12,
            xml(label)
        );
    }
}

fn drawn_box(out: &mut String, written: &Written, area: Area) {
    let stroke = if written.focus { 3 } else { 1 };
    let _ = writeln!(
        out,
        "<g><rect class=\"spec-box\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" stroke-width=\"{stroke}\"/>",
        area.left,
        area.top,
        area.right - area.left,
        area.bottom - area.top
    );
    if written.hue < 4 {
        let _ = writeln!(
            out,
            "<rect class=\"spec-{}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{}\" rx=\"2\"/>",
            written.hue,
            area.left + 3,
            area.top + 6,
            area.bottom - area.top - 12
        );
    }
    let mut y = area.top + INSET + 8;
    let (size, weight) = if written.face().is_bold() { (13, " font-weight=\"600\"") } else { (12, "") };
    for line in &written.lines {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{y}\" font-size=\"{size}\"{weight} fill=\"currentColor\">{}</text>",
            area.left + INSET,
            xml(line)
        );
        y += LINE;
    }
    if let Some(soft) = &written.soft {
        let _ = writeln!(out, "<text class=\"spec-soft\" x=\"{}\" y=\"{y}\">{}</text>", area.left + INSET, xml(soft));
    }
    out.push_str("</g>\n");
}
