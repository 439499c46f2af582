//! Proposes a class for a tool. The owner decides.
//!
//! Names weigh more than annotations, which are untrusted (CL-51): an annotation can make a proposal stricter, and
//! can relax it only where the name says nothing of danger.

use sekisho_protocol::catalogue::ToolClass;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Words in a name that suggest loss, or power without bounds.
const DESTRUCTIVE: &[&str] = &[
    "clear",
    "delete",
    "destroy",
    "drop",
    "erase",
    "eval",
    "exec",
    "execute",
    "format",
    "kill",
    "overwrite",
    "prune",
    "purge",
    "remove",
    "reset",
    "revoke",
    "rm",
    "shell",
    "shutdown",
    "sudo",
    "terminate",
    "truncate",
    "uninstall",
    "wipe",
];
/// Words in a name that suggest a change.
const WRITE: &[&str] = &[
    "add",
    "append",
    "apply",
    "approve",
    "archive",
    "assign",
    "book",
    "buy",
    "cancel",
    "close",
    "commit",
    "configure",
    "copy",
    "create",
    "deploy",
    "disable",
    "edit",
    "enable",
    "fork",
    "import",
    "insert",
    "install",
    "invite",
    "invoke",
    "merge",
    "modify",
    "move",
    "open",
    "order",
    "patch",
    "pay",
    "post",
    "publish",
    "push",
    "put",
    "rename",
    "replace",
    "reply",
    "restart",
    "restore",
    "run",
    "save",
    "schedule",
    "send",
    "set",
    "start",
    "stop",
    "submit",
    "toggle",
    "trigger",
    "update",
    "upload",
    "upsert",
    "write",
];
/// First words of a name that suggest reading.
const READ: &[&str] = &[
    "check",
    "compare",
    "count",
    "describe",
    "diff",
    "echo",
    "exists",
    "explain",
    "fetch",
    "find",
    "get",
    "help",
    "inspect",
    "list",
    "lookup",
    "ping",
    "preview",
    "read",
    "resolve",
    "search",
    "show",
    "stat",
    "status",
    "summarize",
    "validate",
    "verify",
    "view",
    "whoami",
];

/// The two annotations that matter here. One of a wrong type counts as absent.
#[derive(Default, Deserialize)]
struct Hints {
    #[serde(rename = "readOnlyHint")]
    read_only: Option<bool>,
    #[serde(rename = "destructiveHint")]
    destructive: Option<bool>,
}

/// Returns the class that name and annotations suggest. An unknown name is at least a write.
pub(crate) fn propose(name: &str, annotations: Option<&RawValue>) -> ToolClass {
    let hints: Hints = annotations.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let words = words(name);
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if says(DESTRUCTIVE) || (hints.destructive == Some(true) && hints.read_only != Some(true)) {
        return ToolClass::Destructive;
    }
    let reads_by_name = words.first().is_some_and(|word| READ.contains(&word.as_str()));
    match (says(WRITE), reads_by_name, hints.read_only) {
        (false, true, None | Some(true)) | (false, false, Some(true)) => ToolClass::Read,
        _ => ToolClass::Write,
    }
}

/// Splits a name such as `deleteFile`, `delete_file`, `fs.delete-file` or `HTTPGet2` into words in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut previous = ' ';
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let begins = (character.is_uppercase()
            && (previous.is_lowercase() || characters.peek().is_some_and(|next| next.is_lowercase())))
            || character.is_numeric() != previous.is_numeric();
        if begins || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        previous = character;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::catalogue::ToolClass::{self, Destructive, Read, Write};
    use serde_json::value::RawValue;

    use super::{propose, words};

    fn proposed(name: &str, annotations: &str) -> ToolClass {
        let raw = RawValue::from_string(annotations.to_owned()).unwrap();
        propose(name, Some(&raw))
    }

    #[test]
    fn a_name_is_read_in_words() {
        for (name, expected) in [
            ("delete_file", &["delete", "file"][..]),
            ("deleteFile", &["delete", "file"]),
            ("fs.delete-file", &["fs", "delete", "file"]),
            ("HTTPGet2", &["http", "get", "2"]),
            ("getHTML", &["get", "html"]),
            ("GET", &["get"]),
            ("", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    /// CL-51, ATK-75: annotations alone never relax a class that the name suggests.
    #[test]
    fn names_propose_and_annotations_only_tighten() {
        for (name, annotations, expected) in [
            ("get_weather", "{}", Read),
            ("listFiles", "{}", Read),
            ("search", "{}", Read),
            ("echo", "{}", Read),
            ("notes_read", "{}", Write),
            ("notes_read", r#"{"readOnlyHint":true}"#, Read),
            ("frobnicate", "{}", Write),
            ("frobnicate", r#"{"readOnlyHint":true}"#, Read),
            ("frobnicate", r#"{"destructiveHint":true}"#, Destructive),
            ("get_or_create", "{}", Write),
            ("get_or_create", r#"{"readOnlyHint":true}"#, Write),
            ("get_weather", r#"{"readOnlyHint":false}"#, Write),
            ("get_weather", r#"{"destructiveHint":true}"#, Destructive),
            ("delete_note", "{}", Destructive),
            ("delete_note", r#"{"readOnlyHint":true,"destructiveHint":false}"#, Destructive),
            ("getAndPurge", r#"{"readOnlyHint":true}"#, Destructive),
            ("DROP_TABLE", "{}", Destructive),
            ("send_mail", r#"{"readOnlyHint":true}"#, Write),
            ("get_weather", r#"{"readOnlyHint":"yes"}"#, Read),
            ("日本", "{}", Write),
            ("", "{}", Write),
        ] {
            assert_eq!(proposed(name, annotations), expected, "{name} {annotations}");
        }
        assert_eq!(propose("get_weather", None), Read);
    }
}
