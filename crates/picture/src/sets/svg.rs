//! Writes the figure as SVG. It has no id, so that several figures can be in one page, and no style unless it stands
//! alone.

use std::fmt::Write as _;

use sekisho_protocol::refusal::SetName;

use super::geometry::{self, RADIUS, RegionShape};
use super::layout::{ALL, Anchor, DETAIL_GAP, Dot, Layout, SETS, Section, Text, Tone, Verdict, WIDTH, mark};
use super::model::SvgUse;
use crate::measure::SANS;
use sekisho_protocol::label::xml;

/// The colours of the figure, light and dark. A page that embeds it adds this to its style sheet.
pub const STYLE: &str = include_str!("standalone.css");

const CODE: &str = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/// Writes the figure with its title and its description in words.
pub(super) fn write(layout: &Layout, title: &str, description: &str, used: SvgUse) -> String {
    let height = layout.height;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sets\" role=\"img\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"{SANS}\" font-size=\"12\">"
    );
    let _ = writeln!(out, "<title>{}</title>\n<desc>{}</desc>", xml(title), xml(description));
    if used == SvgUse::Standalone {
        let _ = writeln!(out, "<style>\n{STYLE}</style>");
        let _ = writeln!(
            out,
            "<rect class=\"sets-paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\" fill=\"#fff\" stroke=\"#dcd9cf\"/>",
            WIDTH - 1,
            height - 1
        );
    }
    key(&mut out, layout);
    circles(&mut out, layout);
    if let Some(verdict) = &layout.verdict {
        answer(&mut out, verdict);
    }
    for section in &layout.sections {
        heading(&mut out, section, layout.need_declared);
    }
    for one in &layout.dots {
        dot(&mut out, one, layout.verdict.as_ref());
    }
    for one in &layout.texts {
        text(&mut out, one);
    }
    out.push_str("</svg>\n");
    out
}

/// Draws a small circle before the name of each set.
fn key(out: &mut String, layout: &Layout) {
    for (set, y) in &layout.key {
        let _ = writeln!(
            out,
            "<circle class=\"{}\" cx=\"20\" cy=\"{y}\" r=\"5\" fill=\"currentColor\" fill-opacity=\".15\" stroke=\"currentColor\" \
             stroke-width=\"1.5\"/>",
            class(*set)
        );
    }
}

fn circles(out: &mut String, layout: &Layout) {
    let refused_by = layout.verdict.and_then(|verdict| verdict.refused_by);
    let _ = writeln!(out, "<g transform=\"translate(0 {})\">", layout.circles_top);
    // The set that refused is drawn last, so that nothing crosses its outline.
    let mut order = SETS;
    order.sort_by_key(|set| refused_by == Some(*set));
    for (at, set) in order.into_iter().enumerate() {
        if let Some(all) = geometry::places(true).first().filter(|_| at == 2 && layout.need_declared) {
            let _ = writeln!(
                out,
                "<g class=\"sets-all\" fill=\"currentColor\"><path d=\"{}\" fill-opacity=\".24\" stroke=\"none\"/></g>",
                all.outline
            );
        }
        let open = set == SetName::Need && !layout.need_declared;
        let (class, width) =
            if refused_by == Some(set) { ("sets-no", "4.5") } else { (class(set), if open { "3" } else { "1.75" }) };
        let (x, y) = centre(set);
        // The class is on the group, because a style sheet must not fill the open shape.
        let shape = if open {
            format!(
                "<path d=\"{}\" fill=\"none\" stroke-dasharray=\"1 6\" stroke-linecap=\"round\"/>",
                geometry::OPEN_NEED
            )
        } else {
            format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" fill-opacity=\".06\"/>")
        };
        let _ = writeln!(
            out,
            "<g class=\"{class}\" fill=\"currentColor\" stroke=\"currentColor\" stroke-width=\"{width}\">{shape}</g>"
        );
    }
    out.push_str("</g>\n");
}

/// Draws the box with the answer, its mark, and the line to the dot in question.
fn answer(out: &mut String, verdict: &Verdict) {
    let area = verdict.area;
    let class = answer_class(Some(verdict));
    let _ = writeln!(
        out,
        "<g class=\"{class}\" stroke=\"currentColor\" stroke-width=\"1.5\" fill=\"none\">\n\
         <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\" fill=\"currentColor\" fill-opacity=\".07\" class=\"{class}\"/>",
        area.left,
        area.top,
        area.right - area.left,
        area.bottom - area.top
    );
    if let Some((x, y)) = verdict.at {
        // The line starts at the straight part of the edge, even for a dot at the very left.
        let (from, bottom) = (x.max(area.left + 14), area.bottom);
        let _ = writeln!(
            out,
            "<path d=\"M{from} {bottom}C{from} {} {x} {} {x} {}V{}\" fill=\"none\"/>",
            bottom + 8,
            bottom + 6,
            bottom + 16,
            y - 8
        );
    }
    let _ = writeln!(
        out,
        "<path transform=\"translate({} {})\" d=\"{}\" fill=\"none\" stroke-width=\"2.5\" stroke-linecap=\"round\"/>\n</g>",
        area.left + 16,
        (area.top + area.bottom) / 2,
        mark(verdict.refused_by.is_some())
    );
}

/// Draws a line above a list, and a small picture of the list's region.
fn heading(out: &mut String, section: &Section, need_declared: bool) {
    let area = section.area;
    let _ = writeln!(
        out,
        "<path class=\"sets-rule\" d=\"M{} {}H{}\" stroke=\"currentColor\" stroke-opacity=\".25\"/>",
        area.left, area.top, area.right
    );
    let _ = writeln!(
        out,
        "<g transform=\"translate({} {}) scale(.095)\" fill=\"none\">",
        area.left - 2,
        area.top + if need_declared { 7 } else { 11 }
    );
    region(out, section.place);
    for set in SETS.into_iter().take(if need_declared { 3 } else { 2 }) {
        let (x, y) = centre(set);
        let _ =
            writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" stroke=\"currentColor\" stroke-width=\"10\"/>");
    }
    out.push_str("</g>\n");
}

fn region(out: &mut String, place: &RegionShape) {
    if !place.outline.is_empty() {
        let class = if place.region == ALL { " class=\"sets-all\"" } else { "" };
        let _ = writeln!(out, "<path{class} d=\"{}\" fill=\"currentColor\" stroke=\"none\"/>", place.outline);
    }
}

fn dot(out: &mut String, dot: &Dot, verdict: Option<&Verdict>) {
    let (x, y) = dot.at;
    let fill = if dot.solid { "class=\"sets-all\" fill=\"currentColor\"" } else { "fill=\"none\"" };
    let _ = writeln!(
        out,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" {fill} stroke=\"currentColor\" stroke-width=\"1.5\"><title>{}</title></circle>",
        xml(&dot.name)
    );
    if dot.ring {
        let _ = writeln!(
            out,
            "<g class=\"{}\" stroke=\"currentColor\"><circle cx=\"{x}\" cy=\"{y}\" r=\"7\" fill=\"none\" stroke-width=\"2.5\"/></g>",
            answer_class(verdict)
        );
    }
}

fn text(out: &mut String, text: &Text) {
    let anchor = match text.anchor {
        Anchor::End => " text-anchor=\"end\"",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::Start => "",
    };
    let tone = match text.tone {
        Tone::Ink => "",
        Tone::No => " sets-no",
        Tone::Set(set) => match set {
            SetName::Grant => " sets-grant",
            SetName::Need => " sets-need",
            SetName::Rights => " sets-rights",
        },
        Tone::Soft => " sets-soft",
        Tone::Yes => " sets-yes",
    };
    let family = if text.face.is_code() { format!(" font-family=\"{CODE}\"") } else { String::new() };
    let weight = if text.face.is_bold() { " font-weight=\"700\"" } else { "" };
    let _ = write!(
        out,
        "<text class=\"sets-word{tone}\" x=\"{}\" y=\"{}\"{anchor}{family}{weight} font-size=\"{}\" fill=\"currentColor\">",
        text.x,
        text.y,
        text.face.size()
    );
    if let Some(full) = &text.full {
        let _ = write!(out, "<title>{}</title>", xml(full));
    }
    out.push_str(&xml(&text.shown));
    if let Some(detail) = &text.detail {
        let _ = write!(
            out,
            "<tspan class=\"sets-word sets-soft\" dx=\"{DETAIL_GAP}\" font-family=\"{SANS}\" font-weight=\"400\" \
             unicode-bidi=\"isolate\">{}</tspan>",
            xml(detail)
        );
    }
    out.push_str("</text>\n");
}

fn answer_class(verdict: Option<&Verdict>) -> &'static str {
    if verdict.is_some_and(|verdict| verdict.refused_by.is_some()) { "sets-no" } else { "sets-yes" }
}

fn class(set: SetName) -> &'static str {
    match set {
        SetName::Grant => "sets-grant",
        SetName::Need => "sets-need",
        SetName::Rights => "sets-rights",
    }
}

fn centre(set: SetName) -> (i32, i32) {
    match set {
        SetName::Grant => geometry::GRANT,
        SetName::Need => geometry::NEED,
        SetName::Rights => geometry::RIGHTS,
    }
}
