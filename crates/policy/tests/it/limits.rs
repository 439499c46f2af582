//! How much a call and a policy file may hold. Rules do not permit arguments that they cannot see completely.

use sekisho_policy::rights::Rights;
use sekisho_protocol::catalogue::ToolClass;
use serde_json::{Value, json};

use crate::world::{may, parts, rights, tool, user};

const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Applies `wrap` this many times around `innermost`.
fn nested(depth: usize, wrap: fn(Value) -> Value, innermost: Value) -> Value {
    (1..depth).fold(innermost, |inner, _| wrap(inner))
}

/// A rule that looks for something that must not be there has to see everything. More names or levels than it can see,
/// or two arguments under one name, are denied.
#[test]
fn arguments_that_a_rule_cannot_see_whole_are_denied() {
    let rights = rights(
        r#"permit(principal, action == Action::"call", resource in Server::"notes")
             when { !(context.flags.hasTag("force")) };"#,
    );
    let names = |count: usize| Value::Object((0..count).map(|at| (format!("n{at}"), json!(at))).collect());
    let objects = |depth| nested(depth, |inner| json!({ "a": inner }), json!({ "a": 1 }));
    let lists = |depth| json!({ "a": nested(depth, |inner| json!([inner]), json!([])) });
    for (what, arguments, expected) in [
        ("nothing", json!({}), true),
        ("what must not be there", json!({"force": true}), false),
        ("512 names", names(512), true),
        ("513 names", names(513), false),
        ("512 names, all but one of them in a list", json!({"a": vec![0; 511]}), true),
        ("513 names, all but one of them in a list", json!({"a": vec![0; 512]}), false),
        ("16 objects inside one another", objects(16), true),
        ("17 objects inside one another", objects(17), false),
        ("16 lists inside one another", lists(16), true),
        ("17 lists inside one another", lists(17), false),
        ("one name twice", json!({"a.b": 1, "a": {"b": 1}}), false),
        ("one name twice, by a place in a list", json!({"a.0": "x", "a": ["x"]}), false),
    ] {
        let call = tool("notes", "look", ToolClass::Read, &arguments.to_string());
        assert_eq!(may(&rights, user(3), &call), expected, "{what}");
    }
}

/// A policy file has at most 4 MiB: a file of that size is read, and one with a byte more is refused.
#[test]
fn a_file_of_rules_is_read_whole_or_not_at_all() {
    let forbid = r#"forbid(principal, action, resource in Server::"notes");"#;
    let of_length = |length: usize| format!("//{}\n{forbid}", "x".repeat(length - forbid.len() - 3));
    let longest = Rights::new(parts(&of_length(FILE_BYTES_MAX))).unwrap();
    assert!(!may(&longest, user(1), &tool("notes", "look", ToolClass::Read, "")));
    let faults = Rights::new(parts(&of_length(FILE_BYTES_MAX + 1))).unwrap_err();
    assert!(faults[0].message.starts_with("longer than"), "{faults:?}");
}
