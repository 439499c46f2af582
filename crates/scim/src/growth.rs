//! What a provisioning client sends: the work grows in step with it (ATK-303). Nobody but a provider's own client gets here, but
//! a group of ten thousand must not stop a processor.

use sekisho_protocol::growth::in_proportion;
use serde_json::{Map, Value, json};

use crate::filter::Filter;
use crate::patch::{Patch, SCHEMA};
use crate::path::BYTES_MAX;
use crate::schema::Kind;

/// ATK-303: filters up to the longest that is read, of every unit that could be repeated.
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

/// ATK-303: members that come and go, in one operation.
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
