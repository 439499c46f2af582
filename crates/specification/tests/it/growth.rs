//! The work to read texts of strangers grows in proportion to their length.

use sekisho_picture::diagram;
use sekisho_protocol::growth::{DOUBLINGS, check, in_proportion};
use sekisho_specification::{self as specification, Kind, Map, Options, Source};

fn read(kind: Kind, text: &str) -> Option<Map> {
    specification::read(&[Source { name: "x".to_owned(), text: text.to_owned(), kind }]).ok()
}

/// Texts of a repeated unit, each of a kind for which some reader was quadratic.
const REPEATED: &[(Kind, &str, &str, &str)] = &[
    (Kind::Html, "<p ", "a# ", ">text</p>"),
    (Kind::Html, "<p ", "a#=\"x\" ", ">text</p>"),
    (Kind::Html, "", "<b>", "text"),
    (Kind::Html, "", "<ul><li>", "text"),
    (Kind::Html, "", "<p id=a#>word ", ""),
    (Kind::Html, "<h1>A</h1>", "<a href=#a#>word</a> ", ""),
    (Kind::Html, "", "<a name=a#>", "<h1>A</h1>"),
    (Kind::Html, "", "</b>", ""),
    (Kind::Html, "", "<!-- -- ", ""),
    (Kind::Html, "", "&amp;&#38;&x ", ""),
    (Kind::Html, "<script>", "<script>", ""),
    (Kind::Html, "", "<svg>", ""),
    (Kind::Html, "", "<dt>term# <dd>is a thing. ", ""),
    (Kind::Html, "<h1>", "word ", ""),
    (Kind::Markdown, "", "[", ""),
    (Kind::Markdown, "", "[a](b) ", ""),
    (Kind::Markdown, "", "*a _b ", ""),
    (Kind::Markdown, "", "`a ", ""),
    (Kind::Markdown, "", "> ", "text"),
    (Kind::Markdown, "", "- a\n", ""),
    (Kind::Markdown, "", "| a | b |\n", ""),
    (Kind::Markdown, "", "<a ", ""),
    (Kind::Markdown, "", "[a#]: b\n", ""),
    (Kind::Markdown, "", "word. Word MUST word. ", ""),
    (Kind::Markdown, "", "e.g. i.e. ", ""),
    (Kind::Markdown, "", "**term#**: a term# is a thing.\n\n", ""),
    (Kind::Markdown, "", "{/* ", ""),
    (Kind::Mdx, "", "<A {b} ", ""),
    (Kind::Mdx, "", "<A>\n", ""),
    (Kind::Rfc, "", "1.# Title\n\n   Text MUST see Section 1.#.\n\n", ""),
    (Kind::Rfc, "", "   [RFC#] ", ""),
    (Kind::Rfc, "", "   word-\n", ""),
    (Kind::Rfc, "", "\n\n\x0c\n", ""),
];

fn repeated(before: &str, unit: &str, after: &str, count: usize) -> String {
    let mut text = String::from(before);
    for at in 0..count {
        text.push_str(&unit.replace('#', &at.to_string()));
    }
    text + after
}

/// ATK-244: the cost of reading a text grows in proportion to its length.
#[test]
fn reading_grows_with_the_text() {
    for (kind, before, unit, after) in REPEATED {
        let time = in_proportion(
            &format!("{kind:?} {unit:?}"),
            256,
            |count| repeated(before, unit, after, count.min(2_000_000 / unit.len())),
            |text| read(*kind, text),
        );
        println!("{kind:?} {unit:?}: {time:?} for the largest");
    }
}

/// Builds one section of a text, by its number.
type Shape = fn(usize) -> String;
/// A question about a map. Returns the size of the answer.
type Work = fn(&Map) -> usize;

/// ATK-244: the same for everything that is done with a text after it was read.
#[test]
fn what_is_asked_of_a_map_grows_with_it() {
    let shapes: [(&str, Shape); 5] = [
        ("sections", |at| {
            format!("## Part {at}\n\nA part{at} is a thing. See [next](#part-{}). It MUST hold.\n\n", at + 1)
        }),
        ("equal sections", |_| "## Part\n\nA server MUST answer. See [Part](#part).\n\n".to_owned()),
        ("demands of one section", |at| format!("It MUST hold {at} and word{at}. ")),
        ("a hub", |at| match at {
            0 => "## Hub\n\nSee [all](#part-1).\n\n".to_owned(),
            _ => format!("[see](#part-{at}) \n\n## Part {at}\n\nSee [hub](#hub) and [1](#part-1).\n\n"),
        }),
        ("nested", |at| format!("{} Part {at}\n\nText {at}.\n\n", "#".repeat(1 + at % 6))),
    ];
    let works: [(&str, Work); 7] = [
        ("mermaid", |map| map.diagram(&Options::default()).map_or(0, |chosen| diagram::to_mermaid(&chosen).len())),
        ("json", |map| map.to_json().len()),
        ("svg", |map| map.diagram(&Options::default()).map_or(0, |chosen| diagram::to_svg(&chosen).len())),
        ("order", |map| map.reading_order().to_string().len()),
        ("pack", |map| map.pack("Part 1", 20_000).map_or(0, |text| text.len())),
        ("normative", |map| map.normative().len()),
        ("diff", |map| specification::diff(map, map).to_markdown().len()),
    ];
    for (shape, unit) in shapes {
        let maps: Vec<Map> = (0..=DOUBLINGS)
            .map(|times| {
                let text: String = (0..256_usize << times).map(unit).collect();
                read(Kind::Markdown, &text).unwrap()
            })
            .collect();
        for (name, work) in works {
            let time = check(&format!("{name} of {shape}"), &maps, work);
            println!("{name} of {shape}: {time:?} for the largest");
        }
    }
}
