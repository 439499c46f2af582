//! Turns what was shown into text that is the same in every run.

use sekisho_e2e::harness::Checkpoint;
use serde_json::{Map, Value};

/// Returns a value as text, with sorted members, whatever features other crates enable. Everything that differs between
/// runs is replaced.
pub(crate) fn steady(value: &Value, checkpoint: &Checkpoint) -> String {
    let text = serde_json::to_string_pretty(&sorted(value)).expect("JSON can be written");
    steady_text(&text, checkpoint)
}

/// Does the same for a text.
pub(crate) fn steady_text(text: &str, checkpoint: &Checkpoint) -> String {
    let text = text.replace(checkpoint.base_url(), "http://localhost:PORT");
    without_ids(&text)
}

/// Replaces our ids with their prefixes: `req_0198…` becomes `req_…`.
pub(crate) fn without_ids(text: &str) -> String {
    let mut parts = text.split('_');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let prefixed = plain.ends_with(|character: char| character.is_ascii_lowercase());
        let rest = part.trim_start_matches(|character: char| character.is_ascii_alphanumeric());
        let id = part.strip_suffix(rest).unwrap_or(part);
        // ULIDs and hexadecimal UUIDs. Words of a snake_case name are shorter and contain no digit.
        let random = id.len() >= 20 && id.bytes().any(|byte| byte.is_ascii_digit());
        plain.push('_');
        plain.push_str(if prefixed && random { "…" } else { id });
        plain.push_str(rest);
    }
    plain
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            Value::Object(names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[test]
fn ids_are_taken_out_of_pictures() {
    let id = "01234567890123456789abcdef";
    assert_eq!(
        without_ids(&format!("a req_{id}, cli_{id}. tools_list insufficient_scope_and_other_long_words")),
        "a req_…, cli_…. tools_list insufficient_scope_and_other_long_words"
    );
}
