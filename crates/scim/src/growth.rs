//! Tests that the work for a provisioning client's requests grows linearly with them (ATK-303). Only a provider's own
//! client can send them, but a group of ten thousand must not keep a processor busy.

use sekisho_protocol::growth::in_proportion;
use serde_json::{Map, Value, json};

use crate::filter::Filter;
use crate::patch::{Patch, SCHEMA};
use crate::path::BYTES_MAX;
use crate::schema::Kind;

/// ATK-303: filters up to the longest that is read, made of every repeatable unit.
#[test]
fn reading_a_filter_is_bounded_by_its_length() {
    for unit in ["(", "not (", "a pr and ", "a[", "\\\"", "a.", " ", "a eq \"x\" or ", "urn:"] {
        let text: String = unit.repeat(BYTES_MAX / unit.len());
        let _ = Filter::parse(&text);
        let quoted = format!("userName eq \"{}\"", "x".repeat(BYTES_MAX - 14));
        assert!(Filter::parse(&quoted).is_ok());
    }
}

fn members(count: usize, first: usize) -> Vec<Value> {
    (first..first + count.min(4_000)).map(|n| json!({ "value": format!("u{n}") })).collect()
}

/// ATK-303: many members added and removed in one operation.
#[test]
fn changing_members_grows_with_them() {
    for op in ["add", "remove", "replace"] {
        in_proportion(
            op,
            64,
            |count| {
                let group = json!({ "displayName": "x", "members": members(count, 0) });
                let value = members(count, count.min(4_000) / 2);
                let body =
                    json!({ "schemas": [SCHEMA], "Operations": [{ "op": op, "path": "members", "value": value }] });
                (group.as_object().cloned().unwrap_or_default(), Patch::read(&body).unwrap())
            },
            |(group, patch): &(Map<String, Value>, Patch)| patch.apply(Kind::Group, group).is_ok(),
        );
    }
}

/// ATK-375: many operations of which each adds or removes one member of a large group.
#[test]
fn changing_members_one_by_one_grows_with_them() {
    let remove = |n: usize| json!({ "op": "remove", "path": format!("members[value eq \"u{n}\"]") });
    let add = |n: usize| json!({ "op": "Add", "path": "members", "value": [{ "value": format!("v{n}") }] });
    for (name, operation) in [("remove", &remove as &dyn Fn(usize) -> Value), ("add", &add)] {
        in_proportion(
            name,
            8,
            |count| {
                let count = count.min(1_000);
                let group = json!({ "displayName": "x", "members": members(count * 4, 0) });
                let operations: Vec<Value> = (0..count).map(operation).collect();
                let patch = Patch::read(&json!({ "schemas": [SCHEMA], "Operations": operations })).unwrap();
                (group.as_object().cloned().unwrap_or_default(), patch)
            },
            |(group, patch): &(Map<String, Value>, Patch)| patch.apply(Kind::Group, group).is_ok(),
        );
    }
}
