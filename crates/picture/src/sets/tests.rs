use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use sekisho_protocol::refusal::SetName;

use super::geometry::{Area, is_well_inside};
use super::layout::{Layout, WIDTH};
use super::{Captions, Chosen, Member, SetsFigure, SvgUse};

/// Returns a member of the sets whose first letters are in `sets`.
fn member(name: &str, sets: &str) -> Member {
    let [rights, grant, need] = ['r', 'g', 'n'].map(|set| sets.contains(set));
    Member { name: name.to_owned(), rights, grant, need, detail: Some("read".to_owned()) }
}

fn figure(members: Vec<Member>, chosen: Option<(&str, Option<SetName>)>) -> SetsFigure {
    SetsFigure {
        server: "issues".to_owned(),
        captions: Captions::default(),
        who: ["alice", "Claude Code", "triage"].map(str::to_owned),
        need_declared: true,
        members,
        chosen: chosen.map(|(name, refused_by)| Chosen { name: name.to_owned(), refused_by }),
    }
}

fn small() -> SetsFigure {
    let members = vec![member("list", "rgn"), member("delete", "rg"), member("get", "rgn"), member("export", "")];
    figure(members, Some(("delete", Some(SetName::Need))))
}

/// Whether the text is one well-formed XML element: tags nest, attributes are quoted, and every `&` begins an entity.
fn is_well_formed(xml: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml.trim_end();
    while let Some((text, after)) = rest.split_once('<') {
        let Some((tag, after)) = after.split_once('>') else { return false };
        let closed = tag.strip_prefix('/');
        let fits = match closed {
            Some(name) => open.pop() == Some(name),
            None => {
                if !tag.ends_with('/') {
                    open.push(tag.split_whitespace().next().unwrap_or_default());
                }
                tag.matches('"').count() % 2 == 0 && !tag.contains('&')
            }
        };
        if !fits || !is_text(text) {
            return false;
        }
        rest = after;
        if open.is_empty() {
            return rest.is_empty();
        }
    }
    false
}

fn is_text(text: &str) -> bool {
    let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
    !text.contains('>')
        && text.split('&').skip(1).all(|after| entities.iter().any(|entity| after.starts_with(entity)))
        && !text.chars().any(|c| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{fffe}' | '\u{ffff}')
        })
}

fn meets(one: &Area, other: &Area) -> bool {
    one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom
}

fn within(inner: &Area, outer: &Area) -> bool {
    inner.left >= outer.left && inner.right <= outer.right && inner.top >= outer.top && inner.bottom <= outer.bottom
}

/// Checks what must be true for every figure, whatever is in it.
fn check(figure: &SetsFigure) -> Result<(), String> {
    let layout = Layout::new(figure);
    let frame = Area { left: 0, top: 0, right: WIDTH, bottom: layout.height };
    let areas: Vec<Area> = layout.texts.iter().map(super::layout::Text::area).collect();
    for (at, area) in areas.iter().enumerate() {
        if !within(area, &frame) {
            return Err(format!("{:?} leaves the frame", layout.texts[at]));
        }
        if let Some(other) = areas.iter().skip(at + 1).position(|other| meets(area, other)) {
            return Err(format!("{:?} meets {:?}", layout.texts[at], layout.texts[at + 1 + other]));
        }
    }
    let mut ends = layout.circles_top + super::geometry::HEIGHT;
    for section in &layout.sections {
        if section.area.top < ends {
            return Err(format!("{section:?} begins before {ends}"));
        }
        ends = section.area.bottom;
        if let Some(lost) = areas[section.texts.clone()].iter().find(|area| !within(area, &section.area)) {
            return Err(format!("{lost:?} is outside of {section:?}"));
        }
    }
    dots_stand_in_their_regions(figure, &layout)?;
    for used in [SvgUse::Embedded, SvgUse::Standalone] {
        let svg = figure.to_svg(used);
        if !is_well_formed(&svg) {
            return Err(format!("not well-formed: {svg}"));
        }
    }
    if figure.to_mermaid().len() > 50_000 { Err("too long for Mermaid".to_owned()) } else { Ok(()) }
}

fn dots_stand_in_their_regions(figure: &SetsFigure, layout: &Layout) -> Result<(), String> {
    let parts = figure.parts();
    let mut dots = layout.dots.iter().filter(|dot| dot.at.1 < layout.circles_top + super::geometry::HEIGHT).peekable();
    let mut told = parts.uncounted;
    for part in &parts.parts {
        told += part.tools.len();
        let mut seen = 0;
        while let Some(dot) = dots.peek() {
            let at = (dot.at.0, dot.at.1 - layout.circles_top);
            if seen == part.tools.len() || !is_well_inside(part.place.region, at, figure.need_declared) {
                break;
            }
            seen += 1;
            dots.next();
        }
        if seen < part.tools.len().min(8) {
            return Err(format!("{seen} of {} dots in {:?}", part.tools.len(), part.place.region));
        }
    }
    if let Some(lost) = dots.next() {
        return Err(format!("{lost:?} is in no region"));
    }
    if told == figure.members.len() { Ok(()) } else { Err(format!("{told} of {} told", figure.members.len())) }
}

fn any_member() -> impl Strategy<Value = Member> {
    let name = proptest::prop_oneof![
        "[a-z_]{1,40}",
        "\\PC{0,30}",
        any::<String>(),
        "[a-z]{0,3}[<>&\"'`#;\\[\\]]{1,4}",
        "[ぁ-ん一-十]{1,30}"
    ];
    let detail = prop::option::of("\\PC{0,30}");
    (name, any::<[bool; 3]>(), detail).prop_map(|(name, [rights, grant, need], detail)| Member {
        name,
        rights,
        grant,
        need,
        detail,
    })
}

fn any_figure() -> impl Strategy<Value = SetsFigure> {
    let chosen = prop::option::of((any::<prop::sample::Index>(), 0..4_usize));
    let members = prop::collection::vec(any_member(), 0..90);
    let words = ("\\PC{0,40}", any::<String>(), any::<String>(), "\\PC{0,200}");
    (words, any::<[bool; 2]>(), members, chosen).prop_map(
        |((server, user, client, task), [need, japanese], members, chosen)| {
            let chosen = chosen.map(|(at, set)| Chosen {
                name: if members.is_empty() { String::new() } else { at.get(&members).name.clone() },
                refused_by: [None, Some(SetName::Grant), Some(SetName::Need), Some(SetName::Rights)][set],
            });
            let captions = if japanese { Captions::japanese() } else { Captions::default() };
            SetsFigure { server, captions, who: [user, client, task], need_declared: need, members, chosen }
        },
    )
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    #[test]
    fn no_label_overlaps_another_or_leaves_its_place(figure in any_figure()) {
        prop_assert_eq!(check(&figure), Ok(()));
    }

    #[test]
    fn the_order_of_the_members_does_not_matter(figure in any_figure()) {
        let mut turned = figure.clone();
        turned.members.reverse();
        prop_assert!(figure.to_svg(SvgUse::Embedded) == turned.to_svg(SvgUse::Embedded));
        prop_assert!(figure.to_mermaid() == turned.to_mermaid());
    }

    #[test]
    fn the_one_in_question_is_always_named(figure in any_figure()) {
        let marked = Layout::new(&figure).dots.iter().filter(|dot| dot.ring).count();
        let stands = figure.chosen.as_ref().is_some_and(|c| figure.members.iter().any(|m| m.name == c.name));
        // It is marked once among the circles and once in a list.
        prop_assert_eq!(marked, if stands { 2 } else { 0 });
    }
}

#[test]
fn hostile_names_stay_text() {
    let names = [
        "</text></svg><script>alert(1)</script>",
        "\" onload=\"x",
        "a\u{202e}b\u{0}c\nd",
        "&lt;&#0;]]>",
        "`x` **y** [z](javascript:1)",
        "\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}",
        "👩‍👩‍👧‍👦",
        "",
        "end",
        "%%{init: {}}%%",
    ];
    for name in names {
        let mut hostile = figure(vec![member(name, "rgn"), member("b", "r")], Some((name, Some(SetName::Grant))));
        hostile.server = name.to_owned();
        hostile.who = [name, name, name].map(str::to_owned);
        assert_eq!(check(&hostile), Ok(()), "{name:?}");
        let (svg, text) = (hostile.to_svg(SvgUse::Embedded), hostile.to_mermaid());
        assert!(!svg.contains("<script") && !svg.contains("onload=\""), "{svg}");
        assert!(!text.contains("<script") && !text.contains("%%") && !text.contains('`'), "{text}");
        assert_eq!(text.lines().count(), 14, "{text}");
    }
}

#[test]
fn an_embedded_figure_needs_nothing_that_a_strict_page_forbids() {
    let svg = small().to_svg(SvgUse::Embedded);
    for forbidden in ["<style", " style=", "<script", "href", "url(", " id=", " on"] {
        // Only the tags are searched, because the description may contain such words.
        let marks: String =
            svg.split('<').map(|tag| tag.split('>').next().unwrap_or_default().to_owned() + "<").collect();
        assert!(!format!("<{marks}").contains(forbidden), "{forbidden}: {svg}");
    }
    let alone = small().to_svg(SvgUse::Standalone);
    assert!(alone.contains("prefers-color-scheme: dark") && !alone.contains("url(") && !alone.contains("href"));
}

#[test]
fn the_description_says_all_that_is_drawn() {
    let svg = small().to_svg(SvgUse::Embedded);
    assert!(svg.contains("role=\"img\""));
    assert!(svg.contains("<title>issues: rights, grant, need</title>"), "{svg}");
    let said = "<desc>tools: 4. rights: what alice may do. grant: what was granted to Claude Code. need: needed for: triage. \
                in all three (2): get, list. all but need (1): delete. in none (1): export. \
                delete: need says no: this is not part of the task.</desc>";
    assert!(svg.contains(said), "{svg}");
}

#[test]
fn the_set_that_refused_has_a_thick_outline_and_is_named() {
    for (set, name) in [(SetName::Rights, "rights"), (SetName::Grant, "grant"), (SetName::Need, "need")] {
        let svg = figure(vec![member("delete", "rgn")], Some(("delete", Some(set)))).to_svg(SvgUse::Embedded);
        assert_eq!(svg.matches("stroke-width=\"4.5\"").count(), 1, "{svg}");
        assert!(svg.contains(&format!(">× {name}</text>")) && svg.contains(&format!("{name} says no")), "{svg}");
    }
    let svg = figure(vec![member("list", "rgn")], Some(("list", None))).to_svg(SvgUse::Embedded);
    assert!(!svg.contains("stroke-width=\"4.5\"") && svg.contains("permitted: in all three"), "{svg}");
}

#[test]
fn an_undeclared_need_is_open_and_nothing_is_inside_it() {
    for captions in [Captions::default(), Captions::japanese()] {
        let figure = SetsFigure {
            need_declared: false,
            chosen: Some(Chosen { name: "list".to_owned(), refused_by: None }),
            captions: captions.clone(),
            ..small()
        };
        let (svg, text) = (figure.to_svg(SvgUse::Standalone), figure.to_mermaid());
        let without_style = svg.split("</style>").last().unwrap_or_default();
        assert!(svg.contains("stroke-dasharray") && svg.contains(&captions.undeclared), "{svg}");
        assert!(!without_style.contains("sets-all") && !svg.contains("cy=\"194\""), "{svg}");
        let need_alone = captions.only.replace("{}", &captions.sets[2]);
        for claim in [&captions.all, "three", "三つ", &need_alone, "all but"] {
            assert!(
                !without_style.contains(claim) && !svg.contains(claim) && !text.contains(claim),
                "{claim}: {svg}{text}"
            );
        }
        assert!(text.contains(&captions.undeclared), "{text}");
        assert_eq!(check(&figure), Ok(()));
    }
}

#[test]
fn japanese_words_fit() {
    let mut figure = small();
    figure.captions = Captions::japanese();
    for refused_by in [None, Some(SetName::Grant), Some(SetName::Need), Some(SetName::Rights)] {
        figure.chosen = Some(Chosen { name: "list".to_owned(), refused_by });
        assert_eq!(check(&figure), Ok(()));
        let layout = Layout::new(&figure);
        assert!(layout.texts.iter().all(|text| text.full.is_none()), "no caption is cut: {layout:?}");
    }
    assert!(figure.to_svg(SvgUse::Embedded).contains("三つすべてに含まれる"));
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut members: Vec<Member> = (0..600).map(|at| member(&format!("tool_{at:03}"), "rgn")).collect();
    members.push(member("zzz", "rgn"));
    let many = figure(members, Some(("zzz", None)));
    assert_eq!(check(&many), Ok(()));
    let svg = many.to_svg(SvgUse::Embedded);
    for told in ["tools: 601", "in all three (500)", "and 481 more", "and 101 more", ">zzz<"] {
        assert!(svg.contains(told), "{told}");
    }
    assert!(many.to_mermaid().contains("and 101 more"));
}

#[test]
fn a_call_of_an_unknown_tool_is_still_answered() {
    let unknown = figure(vec![], Some(("ghost", Some(SetName::Rights))));
    assert_eq!(check(&unknown), Ok(()));
    assert!(unknown.to_mermaid().contains("ghost<br/>rights says no"), "{}", unknown.to_mermaid());
    assert!(figure(vec![], None).to_mermaid().contains("tools: 0"));
}

#[test]
fn a_small_figure_in_mermaid() {
    assert_eq!(
        small().to_mermaid(),
        r#"---
title: "issues: rights, grant, need"
---
flowchart LR
    subgraph r0["in all three (2)"]
        direction TB
        t0["get"]
        t0 ~~~ t1["list"]
    end
    subgraph r1["all but need (1)"]
        direction TB
        t2["delete<br/>need says no: this is not part of the task"]:::chosen
    end
    r0 ~~~ r1
    subgraph r7["in none (1)"]
        direction TB
        t3["export"]
    end
    r1 ~~~ r7
    classDef chosen stroke-width:4px,font-weight:bold
"#
    );
}

/// Returns the contrast of two colours, as defined by WCAG 2.
fn contrast(one: &str, other: &str) -> f64 {
    let light = |colour: &str| {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(colour.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5) + 0.05
    };
    let (one, other) = (light(one), light(other));
    one.max(other) / one.min(other)
}

#[test]
fn every_colour_can_be_read_on_its_paper() {
    let sheet = include_str!("standalone.css");
    let (light, dark) = sheet.split_once("@media").unwrap();
    for half in [light, dark] {
        let rules: BTreeMap<&str, &str> = half
            .lines()
            .filter_map(|line| line.trim().strip_prefix('.')?.split_once(" { "))
            .filter_map(|(class, rule)| Some((class, rule.find('#').and_then(|at| rule.get(at..at + 7))?)))
            .collect();
        let paper = rules["sets-paper"];
        for (class, colour) in rules.iter().filter(|(class, _)| !["sets-paper", "sets-rule"].contains(*class)) {
            assert!(contrast(paper, colour) >= 4.5, "{class} {colour} on {paper}");
        }
        assert_eq!(rules.len(), 10);
    }
}
