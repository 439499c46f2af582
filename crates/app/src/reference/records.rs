//! The pages about records and refusals, written from the documented types of the vocabulary.

use std::fmt::Write as _;

const AUDIT: &str = include_str!("../../../protocol/src/audit.rs");
const ACT: &str = include_str!("../../../protocol/src/audit/act.rs");
const WHY: &str = include_str!("../../../protocol/src/audit/why.rs");
const RULE: &str = include_str!("../../../protocol/src/audit/rule.rs");
const REFUSAL: &str = include_str!("../../../protocol/src/refusal.rs");

/// The members of a struct or the variants of an enum, each as it is written and with what its comment says.
fn items(source: &str, kind: &str, name: &str) -> Vec<(String, String)> {
    let begin = format!("{kind} {name} {{\n");
    let at = source.find(&begin).map(|at| at + begin.len());
    let at = at.or_else(|| source.find(&format!("{name}! {{\n")).map(|at| at + name.len() + 4)).unwrap();
    let (mut found, mut said, mut depth) = (Vec::new(), Vec::new(), 1_i32);
    for line in source.split_at(at).1.lines() {
        let line = line.trim();
        if let (Some(words), 1) = (line.strip_prefix("///"), depth) {
            said.push(words.trim().to_owned());
            continue;
        }
        let is_item = depth == 1 && !line.is_empty() && !line.starts_with("#[") && !line.starts_with('}');
        if is_item {
            let bare = line.strip_prefix("pub ").unwrap_or(line);
            let name: String = bare.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let word = bare.split_once(" = \"").map(|(_, word)| word.trim_end_matches(['"', ';']).to_owned());
            found.push((word.unwrap_or_else(|| snake(&name)), said.join(" ")));
            said.clear();
        }
        depth += i32::try_from(line.matches(['{', '(']).count()).unwrap();
        depth -= i32::try_from(line.matches(['}', ')']).count()).unwrap();
        if depth == 0 {
            break;
        }
    }
    assert!(found.iter().all(|(name, said)| !name.is_empty() && !said.is_empty()), "{name}: {found:?}");
    found
}

/// A name as serde writes it with `rename_all = "snake_case"`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(character.to_lowercase());
    }
    out
}

fn table(page: &mut String, head: &str, items: Vec<(String, String)>) {
    let _ = writeln!(page, "\n| {head} | Meaning |\n|---|---|");
    for (name, said) in items {
        let said = said.replace("[`", "`").replace("`]", "`").replace("Self::", "");
        let _ = writeln!(page, "| `{name}` | {} |", super::cell(&said));
    }
}

/// `docs/reference/records.md`.
pub(super) fn records() -> String {
    let mut page = String::from(
        "# Records\n\n`sekisho audit export` writes one JSON object a line: `seq` (the place in the chain), `node` (whose \
         chain), and `record`.\n",
    );
    table(&mut page, "Member of `record`", items(AUDIT, "struct", "Record"));
    page.push_str("\n## Kinds of events\n\n`event.kind` is one of these. The other members of `event` follow below.\n");
    table(&mut page, "`event.kind`", items(AUDIT, "enum", "Event"));
    for (title, source, name) in [
        ("`act`", ACT, "Act"),
        ("`decision`", AUDIT, "Decision"),
        ("`outcome`", AUDIT, "Outcome"),
        ("`rejection`", AUDIT, "Rejection"),
        ("`refusals`", AUDIT, "RefusalCount"),
    ] {
        let _ = writeln!(page, "\n## {title}");
        table(&mut page, "Member", items(source, "struct", name));
    }
    page.push_str("\n## Words\n\nThe lists are closed: another word is another version.\n\n### `act`\n");
    table(&mut page, "Word", items(ACT, "macro", "act_kinds"));
    page.push_str(
        "\n### `actor`\n\nA user's identifier for a person who is signed in, otherwise one of the other words.\n",
    );
    table(&mut page, "Word", items(ACT, "enum", "Actor"));
    for (title, source, name) in [
        ("`verdict`", AUDIT, "Verdict"),
        ("`set`", REFUSAL, "SetName"),
        ("`need`", AUDIT, "Need"),
        ("`why`", WHY, "Why"),
        ("`result`", AUDIT, "OutcomeResult"),
    ] {
        let _ = writeln!(page, "\n### {title}");
        table(&mut page, "Word", items(source, "enum", name));
    }
    page.push_str("\n### `because`\n\nEach rule is a text. Its kinds:\n");
    table(&mut page, "Kind", items(RULE, "enum", "RuleId"));
    page
}

/// `docs/reference/refusals.md`.
pub(super) fn refusals() -> String {
    let mut page = format!(
        "# Refusals\n\nA call that is refused by decision gets a JSON-RPC error with the code `{}` and this object in \
         `error.data`; at a 403 the body is the same. Where a tool's answer is given instead, the object stands in \
         `_meta[\"io.sekisho/refusal\"]`.\n",
        sekisho_protocol::refusal::REFUSAL_CODE
    );
    table(&mut page, "Member", items(REFUSAL, "struct", "Refusal"));
    page.push_str("\n## `set`\n");
    table(&mut page, "Word", items(REFUSAL, "enum", "SetName"));
    page.push_str("\n## `remedy`\n");
    table(&mut page, "Member", items(REFUSAL, "struct", "Remedy"));
    page.push_str("\n### `remedy.kind`\n");
    table(&mut page, "Word", items(REFUSAL, "enum", "RemedyKind"));
    page
}

/// The words on the page are those that are written.
#[test]
fn the_words_of_the_page_are_those_of_the_records() {
    let words: Vec<String> = items(ACT, "macro", "act_kinds").into_iter().map(|(word, _)| word).collect();
    let written: Vec<&str> = sekisho_protocol::audit::ActKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(words, written);
    let why = sekisho_protocol::audit::Why::ArgumentOutsideTask;
    assert!(items(WHY, "enum", "Why").iter().any(|(word, _)| word == why.as_str()));
}
