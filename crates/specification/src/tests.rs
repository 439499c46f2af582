use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use sekisho_picture::diagram;
use sekisho_protocol::diagram::Relation;

use crate::view::{self, Selection};
use crate::{
    AskError, BYTES_MAX, Change, External, Keyword, Kind, LINES_MAX, LINES_MIN, Map, Options, ReadError, SECTIONS_MAX,
    Source, diff, read,
};

fn map(text: &str) -> Map {
    read(&[Source::new("spec.md", text)]).unwrap()
}

/// Returns the relations as `from kind to`, by title.
fn relations(map: &Map) -> BTreeSet<String> {
    let title = |at: usize| map.graph.nodes[at].text.title.as_str();
    let kinds = [
        (Relation::Links, "links"),
        (Relation::Requires, "requires"),
        (Relation::Then, "then"),
        (Relation::Uses, "uses"),
    ];
    let edges = map.graph.edges.iter();
    edges
        .flat_map(|edge| {
            let here = kinds.iter().filter(|(kind, _)| edge.counts.of(*kind) > 0);
            here.map(|(_, word)| format!("{} {word} {}", title(edge.from), title(edge.to)))
        })
        .collect()
}

fn picture(map: &Map, options: &Options) -> String {
    diagram::to_mermaid(&map.diagram(options).unwrap())
}

fn drawn(map: &Map, lines: usize) -> String {
    picture(map, &Options { lines, ..Options::default() })
}

const ENGLISH: &str = "# Gate

## Terms

The *permit* is the proof that all sets said yes. See [Flow](#flow).

**Traveller**
: Whoever wants to pass.

## Flow

1. [Ask](#asking)
2. Look, then [answer](#answering)
3. [Close](#closing), after RFC 9999

## Asking

A traveller MUST show a permit.

## Answering

The permit is read. See [nothing](#nowhere).

## Closing

Nothing MUST be left as [Asking](#asking) says. It builds on [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749).
";

#[test]
fn every_kind_of_relation_is_read_from_english() {
    let map = map(ENGLISH);
    let expected = [
        "Answering then Closing",
        "Answering uses Terms",
        "Asking requires Terms",
        "Asking then Answering",
        "Asking uses Terms",
        "Closing links Asking",
        "Closing requires Asking",
        "Flow links Answering",
        "Flow links Asking",
        "Flow links Closing",
        "Terms links Flow",
    ];
    assert_eq!(relations(&map).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(map.graph.outside.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["RFC 6749", "RFC 9999"]);
    let broken = map.broken_links();
    assert_eq!(
        (broken.len(), broken[0].section.as_str(), broken[0].target.as_str()),
        (1, "Gate › Answering", "#nowhere")
    );
    let parents: Vec<_> = map.graph.nodes.iter().map(|node| node.parent).collect();
    assert_eq!(parents, [None, Some(0), Some(0), Some(0), Some(0), Some(0)]);
}

#[test]
fn every_kind_of_relation_is_read_from_japanese() {
    let map = map(
        "# 関所\n\n## 用語\n\n「手形」とは、通行を許す文書をいう。\n\n## 手順\n\n1. [検査](#検査)\n2. [記録の保存](#記録の保存)\n\n\
                   ## 検査\n\n役人は手形を検査しなければならない。\n\n## 記録の保存\n\n手形の写しを残す。検査については「通行の拒否」を参照。\n\n\
                   ## 通行の拒否\n\n手形のない者を通してはならない。第4条 は別の定めである。\n",
    );
    let expected = [
        "手順 links 検査",
        "手順 links 記録の保存",
        "検査 requires 用語",
        "検査 then 記録の保存",
        "検査 uses 用語",
        "記録の保存 links 通行の拒否",
        "記録の保存 uses 用語",
        "通行の拒否 requires 用語",
        "通行の拒否 uses 用語",
    ];
    assert_eq!(relations(&map).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let demands: Vec<_> = map.normative().into_iter().map(|row| (row.keyword, row.subject, row.section)).collect();
    assert_eq!(demands[0], (Keyword::Must, "役人".to_owned(), "関所 › 検査".to_owned()));
    assert_eq!(demands[1].0, Keyword::MustNot);
}

#[test]
fn numbered_sections_and_steps_by_title_relate() {
    let map = map(
        "# Law\n\n## 1. Scope\n\nAs Section 2 says, and Section 3 of RFC 6749, and Section 9.\n\n## 2. Duty\n\nText.\n\n\
                   ## 第3条 定義\n\n第3条による。\n\n## How\n\n### Step 1: Look\n\na\n\n### Step 2: Leap\n\nb\n",
    );
    assert_eq!(relations(&map).into_iter().collect::<Vec<_>>(), ["Scope links Duty", "Step 1: Look then Step 2: Leap"]);
    assert_eq!(map.broken_links().len(), 1, "{:?}", map.broken_links());
}

#[test]
fn a_mention_that_means_something_else_is_no_use() {
    let map = map(
        "# A\n\n## Token Handling\n\nText.\n\n## Words\n\nIt uses the terms \"token handling\" and others defined by RFC 1.\n\n\
                   ## Other\n\nAccess token handling is hard. See [token handling](https://example.com/).\n\n## Real\n\nIt is about token handling.\n",
    );
    assert_eq!(relations(&map).into_iter().collect::<Vec<_>>(), ["Real uses Token Handling"]);
    // A list of demands gives no order of steps.
    let listed = self::map(
        "# A\n\n## All\n\n1. A client MUST [ask](#ask).\n2. A server MUST [tell](#tell).\n\n## Ask\n\na\n\n## Tell\n\nb\n",
    );
    assert!(!relations(&listed).iter().any(|relation| relation.contains(" then ")), "{:?}", relations(&listed));
}

#[test]
fn what_jsx_holds_is_read_and_jsx_itself_is_not() {
    let text = "---\ntitle: \"The Page\"\n---\n\nimport { X } from 'x'\n\n## One\n\n<Warning>\n  A client MUST stop.\n</Warning>\n\n\
                {/* not this MUST */}\n\n<Steps>\n  <Step title=\"Two Words\">\n    Go to [two](#two-words).\n  </Step>\n  \
                <Step title=\"Three\">\n    Go to [three](#three).\n  </Step>\n</Steps>\n\n## Two Words\n\na\n\n## Three\n\nb\n\n\
                ```md\n# no heading\n```\n";
    let map = read(&[Source::new("page.mdx", text)]).unwrap();
    let titles: Vec<_> = map.graph.nodes.iter().map(|node| node.text.title.as_str()).collect();
    assert_eq!(titles, ["The Page", "One", "Two Words", "Three"]);
    assert_eq!(map.normative().len(), 1);
    assert!(relations(&map).contains("Two Words then Three"), "{:?}", relations(&map));
}

#[test]
fn demands_in_lists_bind_whom_their_introduction_names() {
    let rows = map("# A\n\nMCP clients **MUST**:\n\n- keep it\n- [SHOULD] not lose it\n\nThe `x` parameter:\n\n1. **MUST** be sent.\n").normative();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.keyword, row.actors.join(","), row.subject.as_str(), row.sentence.as_str()))
        .collect();
    assert_eq!(seen[0], (Keyword::Must, "MCP client".to_owned(), "MCP clients", "MCP clients MUST: keep it"));
    assert_eq!(seen[2], (Keyword::Must, String::new(), "The `x` parameter", "The `x` parameter: MUST be sent."));
}

#[test]
fn a_pack_holds_what_is_asked_for_and_says_what_it_leaves_out() {
    let map = map(ENGLISH);
    let pack = map.pack("asking", 4_000).unwrap();
    assert!(
        pack.starts_with("# Gate › Asking\n\n> From spec.md; asked for.\n\nA traveller MUST show a permit.\n"),
        "{pack}"
    );
    assert!(pack.contains("**permit**: The permit is the proof") && pack.contains("Gate › Closing"), "{pack}");
    let long = format!(
        "# A\n\n## Big\n\n{}\n\n## Near\n\nSee [it](#big). {}\n",
        "行の文字です。\n".repeat(200),
        "x ".repeat(500)
    );
    let long = read(&[Source::new("a.md", long)]).unwrap();
    for size in [1_000, 1_001, 1_500, 3_333, 100_000] {
        let pack = long.pack("#big", size).unwrap();
        assert!(pack.len() <= size, "{} of {size}", pack.len());
        assert_eq!(pack.contains("Left out"), size < 100_000, "{pack}");
        assert!(pack.lines().filter(|line| line.starts_with('行')).all(|line| line == "行の文字です。"), "{pack}");
    }
    assert_eq!(map.pack("asking", 999).unwrap_err(), AskError::Size { given: 999 });
}

#[test]
fn a_section_is_found_by_what_it_is_called() {
    let map = map(
        "# Doc\n\n## 1. Token Handling\n\na\n\n### 1.1. Keys\n\nb\n\n## 2. Token Theft\n\nc\n\n### 2.1. Keys\n\nd\n",
    );
    for (name, title) in [
        ("token theft", "Token Theft"),
        ("#1-token-handling", "Token Handling"),
        ("1.1", "Keys"),
        ("token h", "Token Handling"),
        ("§2", "Token Theft"),
    ] {
        let at = crate::ask::find(&map.graph, name).unwrap();
        assert_eq!(map.graph.nodes[at].text.title, title, "{name}");
    }
    for (name, part) in [
        ("token", "may be `1-token-handling`"),
        ("keys", "`11-keys`"),
        ("nothing", "there is no section `nothing`: there are"),
        ("", "there is no section"),
    ] {
        let error = crate::ask::find(&map.graph, name).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_explains_is_read_before_what_uses_it() {
    let text = "# A\n\n## Using\n\nThe permit is shown.\n\n## Ring\n\nThe *loop* is a circle of rings. A knot holds.\n\n## Knots\n\nThe *knot* is \
                a thing. A loop holds.\n\n## Terms\n\nThe *permit* is the proof.\n";
    let order = map(text).reading_order();
    let sections: Vec<_> = order.sections.iter().map(|reading| reading.section.as_str()).collect();
    assert_eq!(sections.len(), 4, "{order}");
    let place = |name: &str| sections.iter().position(|section| section.ends_with(name)).unwrap();
    assert!(place("Terms") < place("Using"), "{order}");
    assert!(order.to_string().contains("need each other"), "{order}");
    assert!(order.to_string().contains("Using — after Terms, for permit"), "{order}");
}

#[test]
fn a_revision_is_told_from_the_one_before() {
    let before = map(
        "# A\n\n## One\n\nA client MUST send it at once.\n\n## Two\n\nSame text.\n\n## Three\n\nGone. It SHOULD go.\n\n## Four\n\nMoves one. Moves two.\n",
    );
    let after = map(
        "# A\n\n## One\n\nA client MUST send it at last.\n\n## Two\n\nSame\ntext.\n\n### Other\n\nMoves one. Moves two.\n\n## New\n\nA server MAY add.\n",
    );
    let difference = diff(&before, &after);
    let seen: Vec<_> = difference.sections.iter().map(|one| (one.change, one.section.as_str(), one.demands)).collect();
    assert_eq!(
        seen,
        [
            (Change::Changed, "A › One", 1),
            (Change::Moved, "A › Two › Other", 0),
            (Change::Added, "A › New", 1),
            (Change::Removed, "A › Three", 1),
        ]
    );
    assert_eq!(difference.unchanged, 2);
    assert_eq!(difference.sentences[0].before.as_deref(), Some("A client MUST send it at once."));
    let markdown = difference.to_markdown();
    assert!(markdown.contains("moved: A › Two › Other (was A › Four)"), "{markdown}");
    for lines in [LINES_MIN, 19, 20, 50] {
        let picture = difference.to_mermaid(lines).unwrap();
        assert!(picture.lines().count() <= lines, "{picture}");
    }
    assert_eq!(diff(&before, &before).sections, []);
}

#[test]
fn what_cannot_be_read_is_refused_in_one_line() {
    let large = Source { name: "a".to_owned(), text: "x".repeat(BYTES_MAX + 1), kind: Kind::Markdown };
    let many: Vec<Source> = (0..2_001).map(|at| Source::new(format!("{at}.md"), "a")).collect();
    let sections = Source::new("s.md", "# a\n".repeat(SECTIONS_MAX + 1));
    for (sources, expected) in [
        (vec![], ReadError::Empty),
        (vec![large], ReadError::TooLarge { bytes: BYTES_MAX + 1 }),
        (many, ReadError::TooMany { count: 2_001 }),
        (vec![sections], ReadError::TooManySections { name: "s.md".to_owned() }),
        (vec![Source::new("b", "a\0b")], ReadError::NotText { name: "b".to_owned() }),
    ] {
        let error = read(&sources).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains('\n'));
    }
    let map = map("# a\n");
    for lines in [0, LINES_MIN - 1, LINES_MAX + 1] {
        let options = Options { lines, ..Options::default() };
        assert_eq!(map.diagram(&options), Err(AskError::Lines { given: lines }));
    }
}

#[test]
fn the_same_text_gives_the_same_picture() {
    let sources = [Source::new("spec.md", ENGLISH), Source::new("other.md", ENGLISH.replace("Gate", "Door"))];
    let options = Options { lines: 20, ..Options::default() };
    let all = || {
        let map = read(&sources).unwrap();
        let chosen = map.diagram(&options).unwrap();
        [diagram::to_dot(&chosen), diagram::to_mermaid(&chosen), diagram::to_svg(&chosen), map.to_json()]
    };
    let first = all();
    for _ in 0..20 {
        assert_eq!(all(), first);
    }
}

#[test]
fn ten_thousand_sections_are_drawn_in_fifty_lines() {
    let text: String = (0..10_000)
        .map(|at| {
            format!("## Part Number {at}\n\nSee [next](#part-number-{}). It MUST hold.\n\n", (at * 7 + 1) % 10_000)
        })
        .collect();
    let map = map(&text);
    assert_eq!(map.graph.nodes.len(), 10_001);
    let lines = drawn(&map, 50).lines().count();
    assert!((45..=50).contains(&lines), "{lines}");
}

/// The most important document is expanded before other documents get a node, however many there are. A relation names
/// the terms it is about, and says how many more there are.
#[test]
fn the_most_important_document_is_opened_first() {
    let chapter: String = (0..22)
        .map(|at| format!("## Rule {at}\n\nClients MUST follow [the next](#rule-{}).\n\n", (at + 1) % 22))
        .collect();
    let mut sources = vec![Source::new("main.md", format!("# Main\n\n{chapter}"))];
    // Pages that all link to one another raise each other's weight above that of the chapter to whose title they link.
    sources.extend((0..9).map(|at| {
        let links: String = (0..9).map(|to| format!("Servers MUST read [page {to}](page{to}.md). ")).collect();
        Source::new(format!("page{at}.md"), format!("# Page {at}\n\n{links}Servers MUST read [it](main.md).\n"))
    }));
    let map = read(&sources).unwrap();
    let picture = drawn(&map, 20);
    assert!(picture.matches("\"Rule ").count() >= 2, "{picture}");
    assert!(picture.lines().count() <= 20, "{picture}");
    let words = ["alpha", "beta", "gamma", "delta"].map(|word| format!("{word} token\n: A thing of its own.\n\n"));
    let terms = format!("# Terms\n\n{}", words.concat());
    let used = "# Use\n\nIt has an alpha token, a beta token, a gamma token and a delta token.\n";
    let picture = map_of(&format!("{terms}{used}"));
    assert!(picture.contains("2 more"), "{picture}");
}

fn map_of(text: &str) -> String {
    picture(&map(text), &Options::default())
}

/// The source of a draft is read with its title and its relations.
#[test]
fn a_kramdown_draft_is_read() {
    let text = "---\ntitle: A Small Draft\ndocname: draft-small-00\n\nnormative:\n  RFC2119:\n\n--- abstract\n\nWhat it is about.\n\n\
        --- middle\n\n# Introduction {#intro}\n\nClients MUST send a request as described in {{token-request}}. See also {{RFC6749}} \
        and {{Section 4.1 of RFC6749}}.\n\n# Token Request {#token-request}\n\nA request MUST have a code.\n\n--- back\n\n# Acknowledgments\n";
    let map = read(&[Source::new("draft.md", text)]).unwrap();
    let json = map.to_json();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let titles: Vec<_> =
        json["sections"].as_array().unwrap().iter().map(|section| section["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["A Small Draft", "Abstract", "Introduction", "Token Request", "Acknowledgments"], "{json:#}");
    let id = |title: &str| {
        json["sections"].as_array().unwrap().iter().find(|section| section["title"] == title).unwrap()["id"].clone()
    };
    let relations = json["relations"].as_array().unwrap();
    let between: Vec<_> =
        relations.iter().filter(|one| one["from"] == id("Introduction") && one["to"] == id("Token Request")).collect();
    assert_eq!(between.len(), 1, "{json:#}");
    assert!(json.to_string().contains("RFC 6749"), "{json:#}");
    assert!(map.broken_links().is_empty(), "{:?}", map.broken_links());
}

/// The entries of a definition list name their term, in every format.
#[test]
fn a_demand_of_a_definition_list_names_its_term() {
    let rfc = "Network Working Group                                          A. Writer\n\
        Request for Comments: 9999                                  January 2026\n\n\
        \u{20}                         A Small Protocol\n\n1.  Response\n\n   The server answers with these parameters:\n\n\
        \u{20}  code\n         REQUIRED.  The code that was made.\n\n   state\n         OPTIONAL.  As it was sent.\n";
    let html = "<h1>Response</h1><dl><dt>code</dt><dd>REQUIRED. The code that was made.</dd>\
        <dt>state</dt><dd>OPTIONAL. As it was sent.</dd></dl>";
    let markdown = "# Response\n\ncode\n: REQUIRED. The code that was made.\n\nstate\n: OPTIONAL. As it was sent.\n";
    for (name, text) in [("x.txt", rfc), ("x.html", html), ("x.md", markdown)] {
        let rows = read(&[Source::new(name, text)]).unwrap().normative();
        let rows: Vec<_> = rows.iter().map(|row| (row.keyword, row.subject.as_str(), row.sentence.as_str())).collect();
        let expected = [
            (Keyword::Must, "code", "code: REQUIRED. The code that was made."),
            (Keyword::May, "state", "state: OPTIONAL. As it was sent."),
        ];
        assert_eq!(rows, expected, "{name}");
    }
}

/// Texts for which a reader that looks too far ahead would need minutes.
#[test]
fn long_texts_without_an_end_are_read_in_one_pass() {
    let mut texts =
        vec!["「".repeat(200_000), "a MUST: ".repeat(30_000) + "\n\n" + &"1. x\n".repeat(30_000), "\"".repeat(300_000)];
    let terms: String = (0..2_000).map(|at| format!("## Alpha Beta {at}\n\nx\n\n")).collect();
    let uses: String = (0..2_000).map(|at| format!("1. the Alpha Beta {at} ")).collect();
    texts.push(format!("{terms}## All\n\n{}", uses.repeat(20)));
    texts.push(format!("{terms}## List\n\n{}", uses.replace("1. ", "\n1. ").repeat(5)));
    for text in texts {
        let map = map(&text);
        assert!(drawn(&map, 20).lines().count() <= 20);
        assert!(map.normative().iter().all(|row| row.sentence.len() < 5_000));
    }
}

#[test]
fn a_focus_gives_its_neighbours_the_room() {
    let far: String = (0..60)
        .map(|at| format!("## Far Away {at}\n\nSee [centre](#the-centre). It MUST be. It MUST stay.\n\n"))
        .collect();
    let map =
        map(&format!("# A\n\n## The Centre\n\nx\n\n{far}## Near One\n\ny\n\n## My Focus\n\nSee [near](#near-one).\n"));
    let plain = drawn(&map, 15);
    let options = Options { lines: 15, focus: Some("my-focus".to_owned()), ..Options::default() };
    let focused = picture(&map, &options);
    assert!(plain.contains("The Centre") && !plain.contains("My Focus"), "{plain}");
    assert!(focused.contains("My Focus\"]:::focus") && focused.contains("Near One"), "{focused}");
    assert!(focused.lines().count() <= 15, "{focused}");
}

#[test]
fn documents_outside_are_one_node_or_each_or_none() {
    let text = "# A\n\nSee [x](https://example.com/x) and RFC 6749.\n\n## B C\n\nAnd [x](https://example.com/x).\n";
    let with = |external| picture(&map(text), &Options { external, ..Options::default() });
    let collapsed = with(External::Collapsed);
    assert_eq!(collapsed.matches("[/\"").count(), 1, "{collapsed}");
    assert!(
        collapsed.contains("presupposes: example.com/x, RFC 6749") && collapsed.contains("presupposes ×3"),
        "{collapsed}"
    );
    assert_eq!(with(External::All).matches("[/\"").count(), 2);
    let none = with(External::None);
    assert!(!none.contains("[/\"") && none.contains("2 outside documents not shown"), "{none}");
}

/// Titles that contain markup or syntax.
fn any_title() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-z]{2,8} [A-Z][a-z]{2,8}",
        "\\PC{0,40}",
        any::<String>().prop_map(|text| text.replace(['\n', '\r', '\0'], " ")),
        "[a-z]{0,3}[<>&\"'`#;|\\[\\](){}%\\\\-]{1,8}",
        "(end|subgraph|graph|click|style|classDef|%%\\{init\\}|\u{202e}x|👩‍👩‍👧|認可|\\]\\)|--> a)",
    ]
}

#[derive(Debug, Clone)]
struct Piece {
    level: usize,
    title: String,
    links: Vec<usize>,
    words: String,
}

fn any_text() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        "A client MUST use the [a-z]{3,6}\\.",
        "\\PC{0,60}",
        "The \\*[a-z]{4,8}\\* is a thing\\.",
        "1\\. x\n2\\. y"
    ];
    let piece = (1_usize..7, any_title(), prop::collection::vec(0_usize..60, 0..4), words)
        .prop_map(|(level, title, links, words)| Piece { level, title, links, words });
    prop::collection::vec(piece, 0..60).prop_map(|pieces| {
        let mut out = String::new();
        for (at, piece) in pieces.iter().enumerate() {
            let links: String = piece.links.iter().map(|to| format!(" [l](#place{to})")).collect();
            out += &format!("{} {} {{#place{at}}}\n\n{}{links}\n\n", "#".repeat(piece.level), piece.title, piece.words);
        }
        out
    })
}

/// Checks what must be true for every diagram, whatever was read.
fn check(map: &Map, lines: usize) -> Result<(), String> {
    let selection = Selection { lines, external: External::Collapsed, focus: None };
    let view = view::choose(&map.graph, selection).map_err(|error| error.to_string())?;
    let folded: usize = view.nodes.iter().map(|node| node.folded).sum();
    if view.nodes.len() + folded != map.graph.nodes.len() {
        return Err(format!("{} shown and {folded} folded of {}", view.nodes.len(), map.graph.nodes.len()));
    }
    let mermaid = diagram::to_mermaid(&view);
    if mermaid.lines().count() > lines || mermaid.len() > 50_000 {
        return Err(format!("{} lines, {} bytes for {lines}", mermaid.lines().count(), mermaid.len()));
    }
    let opened = mermaid.lines().filter(|line| line.trim_start().starts_with("subgraph ")).count();
    let closed = mermaid.lines().filter(|line| line.trim() == "end").count();
    if opened != closed {
        return Err(format!("{opened} opened, {closed} closed: {mermaid}"));
    }
    for line in mermaid.lines().filter(|line| line.contains('"')) {
        let quotes = line.matches('"').count();
        let inner: String = line.split('"').skip(1).step_by(2).collect();
        let inner = inner.replace("<br/>", "");
        if quotes != 2 || inner.contains(['<', '>', '[', ']', '{', '}', '|', '`']) || inner.contains('\u{202e}') {
            return Err(format!("not one quoted label: {line}"));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_picture_is_valid_and_keeps_its_lines(text in any_text(), lines in LINES_MIN..=LINES_MAX) {
        let map = map(&text);
        let checked = check(&map, lines);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn any_text_of_any_kind_is_read(text in any::<String>()) {
        let text = text.replace('\0', "");
        for kind in [Kind::Html, Kind::Markdown, Kind::Mdx, Kind::Rfc] {
            let map = read(&[Source { name: "x".to_owned(), text: text.clone(), kind }]).unwrap();
            prop_assert!(check(&map, 30).is_ok());
            prop_assert_eq!(diff(&map, &map).sections.len(), 0);
        }
    }
}
