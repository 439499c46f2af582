//! Writes a sequence as SVG: a column for each party, a row for each step. It has its own colours for light and dark,
//! and contains no scripts and no ids.

use std::fmt::Write as _;

use super::steps::{LABEL_CHARS_MAX, NOTE_CHARS_MAX, Sequence, Step};
use crate::measure::{Face, SANS};
use sekisho_protocol::label::{clean, xml};

const STYLE: &str = include_str!("standalone.css");
const MARGIN: i32 = 24;
const LINE: i32 = 16;
/// The smallest distance between two neighbouring columns, in pixels.
const GAP_MIN: i32 = 150;
const GAP_MAX: i32 = 330;
/// The space between a label and each lifeline, in pixels.
const BESIDE: i32 = 12;
/// The widest name of a party, and the widest remark, in pixels.
const NAME_MAX: i32 = 130;
const REMARK_MAX: i32 = 220;
const LINES_MAX: usize = 4;
/// The highest number of lines of a remark, beside which nothing else stands.
const REMARK_LINES_MAX: usize = 24;
/// The distance between two rows, in pixels.
const ROW: i32 = 14;
const HEAD: i32 = 2 * LINE + 14;

/// Everything that is drawn, with its place. Tests read it, too.
pub(super) struct Figure {
    names: Vec<Vec<String>>,
    /// The middle of each column.
    columns: Vec<i32>,
    rows: Vec<Row>,
    width: i32,
    height: i32,
}

struct Row {
    kind: Kind,
    lines: Vec<String>,
    from: i32,
    to: i32,
    /// The area of the text: left, top, width, height.
    room: (i32, i32, i32, i32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Answer,
    Message,
    Remark,
}

/// A step, with the columns of its parties.
struct Placed<'a> {
    kind: Kind,
    from: usize,
    to: usize,
    text: &'a str,
}

fn placed<'a>(sequence: &Sequence, step: &'a Step) -> Placed<'a> {
    let place = |party: &str| sequence.parties.iter().position(|known| known == party).unwrap_or_default();
    match step {
        Step::Answer { from, to, label } => {
            Placed { kind: Kind::Answer, from: place(from), to: place(to), text: label }
        }
        Step::Message { from, to, label } => {
            Placed { kind: Kind::Message, from: place(from), to: place(to), text: label }
        }
        Step::Note { over, text } => Placed { kind: Kind::Remark, from: place(over), to: place(over), text },
    }
}

pub(super) fn figure(sequence: &Sequence) -> Figure {
    let steps: Vec<Placed<'_>> = sequence.steps.iter().map(|step| placed(sequence, step)).collect();
    let columns = columns(sequence.parties.len(), &steps);
    let middle = |at: usize| columns.get(at).copied().unwrap_or(MARGIN);
    let mut top = MARGIN + HEAD + ROW;
    let mut right = columns.last().copied().unwrap_or(0) + NAME_MAX / 2;
    let mut rows = Vec::with_capacity(steps.len());
    for step in &steps {
        let (from, to) = (middle(step.from), middle(step.to));
        let (left, span) = match (step.kind, from == to) {
            (Kind::Remark, _) => (from + BESIDE, REMARK_MAX),
            (_, true) => (from + 3 * BESIDE, REMARK_MAX),
            (_, false) => (from.min(to) + BESIDE, (to - from).abs() - 2 * BESIDE),
        };
        let (chars, most) = match step.kind {
            Kind::Remark => (NOTE_CHARS_MAX, REMARK_LINES_MAX),
            Kind::Answer | Kind::Message => (LABEL_CHARS_MAX, LINES_MAX),
        };
        let lines = Face::Body.wrap(&clean(step.text, chars), span, most);
        let height = LINE * i32::try_from(lines.len()).unwrap_or(0);
        right = right.max(left + span);
        rows.push(Row { kind: step.kind, lines, from, to, room: (left, top, span, height) });
        top += height + ROW;
    }
    let names = sequence.parties.iter().map(|party| Face::Bold.wrap(&clean(party, LABEL_CHARS_MAX), NAME_MAX, 2));
    Figure { names: names.collect(), columns, rows, width: right + MARGIN, height: top + MARGIN }
}

/// Returns the positions of the columns: as far apart as the labels between neighbours need, within bounds.
fn columns(parties: usize, steps: &[Placed<'_>]) -> Vec<i32> {
    let mut gaps = vec![GAP_MIN; parties.saturating_sub(1)];
    for step in steps.iter().filter(|step| step.from.abs_diff(step.to) == 1) {
        let wanted = Face::Body.width(&clean(step.text, LABEL_CHARS_MAX)) + 2 * BESIDE;
        if let Some(gap) = gaps.get_mut(step.from.min(step.to)) {
            *gap = (*gap).max(wanted.min(GAP_MAX));
        }
    }
    let mut middle = MARGIN + NAME_MAX / 2;
    let mut columns = vec![middle; parties.min(1)];
    for gap in gaps {
        middle += gap;
        columns.push(middle);
    }
    columns
}

impl Figure {
    pub(super) fn to_svg(&self, title: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sequence\" role=\"img\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{SANS}\" font-size=\"12\">\n<title>{}</title>\n\
             <style>\n{STYLE}</style>\n<rect class=\"sequence-paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\"/>",
            xml(&clean(title, LABEL_CHARS_MAX)),
            width - 1,
            height - 1
        );
        for (middle, lines) in self.columns.iter().zip(&self.names) {
            let (left, bottom) = (middle - NAME_MAX / 2, self.height - MARGIN);
            let _ = writeln!(
                out,
                "<line class=\"sequence-life\" x1=\"{middle}\" y1=\"{}\" x2=\"{middle}\" y2=\"{bottom}\"/>\n\
                 <rect class=\"sequence-party\" x=\"{left}\" y=\"{MARGIN}\" width=\"{NAME_MAX}\" height=\"{HEAD}\" rx=\"8\"/>",
                MARGIN + HEAD
            );
            let first = MARGIN + (HEAD - LINE * i32::try_from(lines.len()).unwrap_or(0)) / 2;
            words(&mut out, lines, *middle, first, "sequence-name", "middle");
        }
        for row in &self.rows {
            self.row(&mut out, row);
        }
        out.push_str("</svg>\n");
        out
    }

    fn row(&self, out: &mut String, row: &Row) {
        let (left, top, span, height) = row.room;
        let y = top + height + 4;
        if row.kind == Kind::Remark {
            words(out, &row.lines, left, top, "sequence-soft", "start");
            return;
        }
        let class = if row.kind == Kind::Answer { "sequence-answer" } else { "sequence-message" };
        if row.from == row.to {
            let edge = row.from + 2 * BESIDE;
            let _ = writeln!(out, "<path class=\"{class}\" d=\"M{0} {1}H{edge}V{y}H{0}\"/>", row.from, y - 8);
            words(out, &row.lines, left, top, "sequence-word", "start");
        } else {
            let _ =
                writeln!(out, "<line class=\"{class}\" x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>", row.from, row.to);
            words(out, &row.lines, left + span / 2, top, "sequence-word", "middle");
        }
        let back = if row.to > row.from { -8 } else { 8 };
        let _ = writeln!(out, "<path class=\"sequence-head\" d=\"M{0} {y}l{back} -4v8z\"/>", row.to);
    }
}

fn words(out: &mut String, lines: &[String], x: i32, top: i32, class: &str, anchor: &str) {
    for (at, line) in lines.iter().enumerate() {
        let y = top + LINE * i32::try_from(at).unwrap_or(0) + 12;
        let _ =
            writeln!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", xml(line));
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, HEAD, MARGIN, NAME_MAX, figure};
    use crate::measure::Face;
    use crate::sequence::Sequence;

    fn crowded() -> Sequence {
        let mut sequence = Sequence::new("A <call> & its \"answer\"");
        sequence.message("Client", "Gateway", &"GET /.well-known/oauth-protected-resource ".repeat(6));
        sequence.answer("Gateway", "Client", "200");
        sequence.message("Client", "Issuer of a very long name that no box can hold on one line", "ノートを読む");
        sequence.message("Gateway", "Gateway", "thinks\u{202e} about it <script>");
        sequence.note("Client", "a remark that is longer than the room beside the lifeline has in one line");
        sequence
    }

    /// Checks that every text is within its area, that the areas are one below another, and that all are on the
    /// picture.
    fn check(figure: &Figure) {
        let mut bottom = MARGIN + HEAD;
        for row in &figure.rows {
            let (left, top, width, height) = row.room;
            assert!(row.lines.iter().all(|line| Face::Body.width(line) <= width), "{:?} in {width}", row.lines);
            assert!(top >= bottom && left >= 0 && left + width <= figure.width, "{:?}", row.room);
            bottom = top + height;
        }
        assert!(bottom <= figure.height);
        for (name, pair) in figure.names.iter().zip(figure.columns.windows(2)) {
            assert!(name.iter().all(|line| Face::Bold.width(line) <= NAME_MAX), "{name:?}");
            assert!(pair[1] - pair[0] > NAME_MAX, "{pair:?}");
        }
    }

    #[test]
    fn every_text_has_its_room() {
        check(&figure(&crowded()));
        check(&figure(&Sequence::new("")));
        let mut alone = Sequence::new("one");
        alone.note("Client", "nothing was said");
        check(&figure(&alone));
    }

    /// A remark is shown with the name of its rule, however much text stands before the name.
    #[test]
    fn a_remark_is_whole() {
        let mut sequence = Sequence::new("one");
        let rule = "servers.accounting-of-the-whole-company.no-refunds-without-a-second-person-on-weekends";
        let who =
            "alice (usr_01k0000000000000000000000a) through A Client (https://client.example.com/oauth/metadata.json)";
        sequence.note("Gateway", &format!("{who}: rights by {rule}, need undeclared"));
        let figure = figure(&sequence);
        check(&figure);
        let drawn: String = figure.rows[0].lines.concat();
        assert!(drawn.contains(rule) && drawn.ends_with("undeclared"), "{:?}", figure.rows[0].lines);
        assert!(sequence.to_mermaid().contains("need undeclared"));
    }

    #[test]
    fn a_hostile_text_is_text() {
        let svg = crowded().to_svg();
        assert!(svg.contains("<title>A &lt;call&gt; &amp; its &quot;answer&quot;</title>"), "{svg}");
        assert!(!svg.contains("<script") && !svg.contains('\u{202e}'), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
