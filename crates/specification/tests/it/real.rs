use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sekisho_picture::diagram;
use sekisho_specification::{Map, Options, Source, diff, read};

/// Returns the folder that this variable names. Without the variable, the test is skipped with a message.
fn folder(variable: &str, test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        println!("{test} is skipped: {variable} names no folder");
    }
    folder
}

fn map(folder: &Path, names: &[&str]) -> Map {
    let source =
        |name: &&str| Source::new(*name, std::fs::read_to_string(folder.join(name)).expect("the text is there"));
    read(&names.iter().map(source).collect::<Vec<_>>()).expect("it can be read")
}

fn drawn(map: &Map, lines: usize) -> String {
    diagram::to_mermaid(&map.diagram(&Options { lines, ..Options::default() }).expect("it can be drawn"))
}

/// Returns the words between the first quotes of a line, with Mermaid's entities decoded.
fn label(line: &str) -> String {
    let quoted = line.split('"').nth(1).unwrap_or_default();
    let text = quoted.split("<br/>").next().unwrap_or_default();
    text.replace("#46;", ".").replace("#34;", "\"")
}

/// Returns the arrows of a diagram: title, first kind, title. Arrows to presupposed documents are left out.
fn arrows(picture: &str) -> BTreeSet<(String, String, String)> {
    let mut titles = BTreeMap::new();
    for line in picture
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('s') && !line.contains(" -") && !line.contains(" ="))
    {
        let id = line.split(['[', '(']).next().unwrap_or_default();
        titles.insert(id.to_owned(), label(line));
    }
    let mut arrows = BTreeSet::new();
    for line in picture.lines().filter(|line| line.contains("|\"") && !line.contains("presupposes")) {
        let mut words = line.split_whitespace();
        let (from, to) = (words.next().unwrap_or_default(), words.next_back().unwrap_or_default());
        let kind = label(line).split([':', ',', ' ']).next().unwrap_or_default().to_owned();
        arrows.insert((titles[from].clone(), kind, titles[to].clone()));
    }
    arrows
}

fn arrow(from: &str, kind: &str, to: &str) -> (String, String, String) {
    (from.to_owned(), kind.to_owned(), to.to_owned())
}

/// Every arrow of the diagram was checked in the text; a folded section counts for the section that contains it.
#[test]
fn the_authorization_pages_of_2025_06_18_are_drawn_true() {
    let Some(folder) = folder("SEKISHO_TEST_MCP_PAGES", "the_authorization_pages_of_2025_06_18_are_drawn_true") else {
        return;
    };
    let map = map(&folder.join("2025-06-18"), &["authorization.mdx", "security_security_best_practices.mdx"]);
    let picture = drawn(&map, 50);
    let count = picture.lines().count();
    assert!((46..=50).contains(&count), "{count} lines");
    let real: BTreeSet<_> = [
        // "MCP servers MUST validate access tokens" and others. Roles says what MCP servers and clients are.
        arrow("Authorization Flow", "requires", "Roles"),
        // "The Authorization Server Discovery section specifies how an MCP server indicates …"
        arrow("Roles", "links", "Authorization Server Discovery"),
        // "Authorization servers MUST implement OAuth 2.1"
        arrow("Overview", "requires", "Roles"),
        // "MCP clients MUST use OAuth 2.0 Protected Resource Metadata for authorization server discovery."
        arrow("Overview", "requires", "Authorization Server Discovery"),
        arrow("Authorization Server Discovery", "requires", "Roles"),
        // Only SHOULD, so this is not `requires`.
        arrow("Dynamic Client Registration", "uses", "Roles"),
        arrow("Security Considerations", "requires", "Roles"),
        // The Confused Deputy Problem there links to that of the best practices.
        arrow("Security Considerations", "links", "Attacks and Mitigations"),
        // "MCP proxy servers using static client IDs MUST obtain user consent …"
        arrow("Security Considerations", "requires", "Terminology"),
        // "MCP clients MUST include the `resource` parameter … as specified in the Resource Parameter Implementation
        // section"
        arrow("Token Audience Binding and Validation", "requires", "Resource Parameter Implementation"),
        // "… why token passthrough is explicitly forbidden", with a link
        arrow("Token Audience Binding and Validation", "links", "Token Passthrough"),
        // "the "confused deputy" problem" (#confused-deputy-problem)
        arrow("Access Token Privilege Restriction", "links", "Security Considerations"),
        // "See the Token Passthrough section", twice
        arrow("Access Token Privilege Restriction", "links", "Token Passthrough"),
        // "during dynamic client registration", with a link
        arrow("Attacks and Mitigations", "links", "Dynamic Client Registration"),
        // "MCP proxy servers MUST implement per-client consent"
        arrow("Attacks and Mitigations", "requires", "Terminology"),
        // "potentially leading to session hijacking, credential theft"
        arrow("Attacks and Mitigations", "uses", "Session Hijacking"),
        // "explicitly forbidden in the authorization specification"
        arrow("Risks (Token Passthrough)", "links", "Authorization"),
        arrow("Purpose and Scope (Introduction)", "links", "Authorization"),
        arrow("Terminology", "uses", "Roles"),
    ]
    .into();
    let seen = arrows(&picture);
    let untrue: Vec<_> = seen.difference(&real).collect();
    assert!(untrue.is_empty(), "not looked up in the text yet: {untrue:?}\n{picture}");
    assert!(seen.len() >= 14, "{seen:?}");
    for central in [
        "Roles",
        "Authorization Server Discovery",
        "Dynamic Client Registration",
        "Resource Parameter Implementation",
        "Token Audience Binding and Validation",
        "Access Token Privilege Restriction",
        "Token Passthrough",
    ] {
        assert!(picture.contains(&format!("\"{central}")), "{central} is missing: {picture}");
    }
    // Outside documents stand in their one node, and nowhere else.
    for outside in ["RFC 9728", "RFC 8707", "RFC 8414", "RFC 7591", "draft-ietf-oauth-v2-1-13"] {
        let lines: Vec<_> = picture.lines().filter(|line| line.contains(outside)).collect();
        assert!(lines.len() == 1 && lines[0].contains("presupposes: "), "{outside}: {lines:?}");
    }
    // However much room there is, these relations are not drawn, because the text does not state them.
    let whole = arrows(&drawn(&map, 150));
    for (from, to) in [
        // "Access token handling" is not about Token Handling.
        ("Token Requirements", "Token Handling"),
        // "error handling requirements" of OAuth 2.1.
        ("Token Handling", "Error Handling"),
        ("Sequence Diagram", "Token Handling"),
        ("Roles", "Terminology"),
        ("Error Handling", "Token Passthrough"),
    ] {
        assert!(!whole.iter().any(|(a, _, b)| a == from && b == to), "{from} → {to}");
    }
    assert_eq!(map.broken_links(), []);
}

/// Checked in the texts of RFC 6749 and RFC 8707.
#[test]
fn two_rfcs_are_drawn_true() {
    let Some(folder) = folder("SEKISHO_TEST_RFCS", "two_rfcs_are_drawn_true") else { return };
    let map = map(&folder, &["rfc6749.txt", "rfc8707.txt"]);
    let json: serde_json::Value = serde_json::from_str(&map.to_json()).expect("JSON");
    let sections = json["sections"].as_array().expect("a list");
    let number = |id: &serde_json::Value| {
        let section = sections.iter().find(|section| &section["id"] == id).expect("a section");
        let document = if section["document"] == 0 { "6749" } else { "8707" };
        format!("{document} {}", section["number"].as_str().expect("text"))
    };
    let relations: BTreeSet<(String, &str, String)> = json["relations"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|relation| {
            let kinds = ["links", "requires", "then", "uses"].into_iter().filter(|kind| relation[*kind] != 0);
            kinds.map(|kind| (number(&relation["from"]), kind, number(&relation["to"]))).collect::<Vec<_>>()
        })
        .collect();
    let has = |from: &str, kind: &str, to: &str| {
        relations.iter().any(|(a, k, b)| (a.as_str(), *k, b.as_str()) == (from, kind, to))
    };
    for (from, kind, to) in [
        // "the client MUST authenticate … as described in Section 3.2.1"
        ("6749 4.1.3", "requires", "6749 3.2.1"),
        ("6749 6", "requires", "6749 3.2.1"),
        // "MUST contain a non-guessable value (as described in Section 10.10)"
        ("6749 10.12", "requires", "6749 10.10"),
        // "see Section 5.1 … as described in Section 5.2"
        ("6749 4.1.4", "links", "6749 5.1"),
        ("6749 4.1.4", "links", "6749 5.2"),
        // "as described in Section 1.6"
        ("6749 3.2", "requires", "6749 1.6"),
        ("6749 A.14", "links", "6749 5.1"),
        // "Error Usage Location: … Related Protocol Extension: resource parameter", and "invalid_target"
        ("8707 5.2", "uses", "8707 2"),
        ("8707 3", "uses", "8707 2"),
    ] {
        assert!(has(from, kind, to), "{from} {kind} {to}");
    }
    for (from, to) in [
        // "Section 4.3 of [RFC3986]", "Section 3.3 of [RFC6749]", "Section 5.1 of [RFC6749]": sections of other
        // documents.
        ("8707 2", "8707 4"),
        ("8707 1", "8707 3"),
        ("8707 2.2", "8707 5.1"),
        // "uses the terms … "authorization request" … defined by The OAuth 2.0 Authorization Framework"
        ("8707 1.2", "8707 2.1"),
    ] {
        assert!(!relations.iter().any(|(a, _, b)| a == from && b == to), "{from} → {to}");
    }
    let names: Vec<_> =
        json["outside"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"RFC 3986") && !names.contains(&"RFC 6749"), "{names:?}");
    assert_eq!(map.broken_links(), []);
    let picture = drawn(&map, 50);
    assert!((44..=50).contains(&picture.lines().count()), "{picture}");
}

/// The page in the documentation shows the current diagrams. `UPDATE=1` writes it.
#[test]
fn the_documentation_shows_these_pictures() {
    let Some(folder) = folder("SEKISHO_TEST_MCP_PAGES", "the_documentation_shows_these_pictures") else { return };
    let first = ["authorization.mdx"];
    let last = [
        "authorization_authorization-server-discovery.mdx",
        "authorization_client-registration.mdx",
        "authorization_index.mdx",
        "authorization_security-considerations.mdx",
    ];
    let revisions = [("2025-06-18", &first[..]), ("2025-11-25", &first[..]), ("2026-07-28", &last[..])];
    let maps: Vec<(&str, Map)> =
        revisions.iter().map(|(revision, names)| (*revision, map(&folder.join(revision), names))).collect();
    let mut page = String::from(
        "# The authorization chapter of MCP, as pictures\n\nMade by `sekisho specmap` from the pages of the specification \
         ([how](specmap.md)); it is the work of the Model Context Protocol project. Each revision in 50 lines, then what changed \
         from one to the next.\n",
    );
    for (revision, map) in &maps {
        page += &format!("\n## {revision}\n\n```mermaid\n{}```\n", drawn(map, 50));
    }
    for pair in maps.windows(2) {
        let picture = diff(&pair[0].1, &pair[1].1).to_mermaid(50).expect("it can be drawn");
        page += &format!("\n## From {} to {}\n\n```mermaid\n{picture}```\n", pair[0].0, pair[1].0);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp-authorization.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/mcp-authorization.md is not what is drawn today: run this test with UPDATE=1");
}
