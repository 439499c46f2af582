use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use super::{OPERATIONS_MAX, Patch, SCHEMA};
use crate::error::ScimError;
use crate::resource::{self, MEMBERS_MAX};
use crate::schema::{ENTERPRISE, Kind, USER};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn user() -> Map<String, Value> {
    object(json!({
        "userName": "ada", "active": true, "title": "Countess", "name": { "givenName": "Ada", "familyName": "Byron" },
        "emails": [{ "value": "a@work", "type": "work", "primary": true }, { "value": "a@home", "type": "home" }],
        ENTERPRISE: { "department": "Engines" },
    }))
}

fn group() -> Map<String, Value> {
    object(json!({ "displayName": "engineers", "members": [{ "value": "u1" }, { "value": "u2" }] }))
}

fn patched(kind: Kind, resource: &Map<String, Value>, operations: Value) -> Result<Value, ScimError> {
    let patch = Patch::read(&json!({ "schemas": [SCHEMA], "Operations": operations }))?;
    patch.apply(kind, resource).map(Value::Object)
}

/// Applies operations to the good user, and returns only the differences.
fn differences(operations: Value) -> Value {
    let before = user();
    let after = object(
        patched(Kind::User, &before, operations.clone()).unwrap_or_else(|error| panic!("{operations}: {error}")),
    );
    let names = before.keys().chain(after.keys());
    let changed = names.filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| (name.clone(), after.get(name).cloned().unwrap_or_default())).collect::<Map<_, _>>().into()
}

fn word(kind: Kind, resource: &Map<String, Value>, operations: Value) -> &'static str {
    patched(kind, resource, operations).unwrap_err().scim_type().unwrap()
}

/// Operations in the form of RFC 7644 §3.5.2.
#[test]
fn operations_of_the_specification_are_done() {
    for (operation, expected) in [
        (json!({ "op": "replace", "path": "title", "value": "Dr" }), json!({ "title": "Dr" })),
        (json!({ "op": "add", "path": "nickName", "value": "A" }), json!({ "nickName": "A" })),
        (
            json!({ "op": "add", "value": { "nickName": "A", "title": "Dr" } }),
            json!({ "nickName": "A", "title": "Dr" }),
        ),
        (json!({ "op": "remove", "path": "title" }), json!({ "title": null })),
        (
            json!({ "op": "replace", "path": "name", "value": { "familyName": "Lovelace" } }),
            json!({ "name": { "givenName": "Ada", "familyName": "Lovelace" } }),
        ),
        (
            json!({ "op": "replace", "path": "name.familyName", "value": "Lovelace" }),
            json!({ "name": { "givenName": "Ada", "familyName": "Lovelace" } }),
        ),
        (json!({ "op": "remove", "path": "name.givenName" }), json!({ "name": { "familyName": "Byron" } })),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "b@work" }),
            json!({ "emails": [{ "value": "b@work", "type": "work", "primary": true }, { "value": "a@home", "type": "home" }] }),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "value": "b@home" } }),
            json!({ "emails": [{ "value": "a@work", "type": "work", "primary": true }, { "value": "b@home", "type": "home" }] }),
        ),
        (
            json!({ "op": "remove", "path": "emails[type eq \"work\" and primary eq true]" }),
            json!({ "emails": [{ "value": "a@home", "type": "home" }] }),
        ),
        (json!({ "op": "remove", "path": "emails" }), json!({ "emails": null })),
        (json!({ "op": "replace", "path": "emails", "value": [] }), json!({ "emails": null })),
        (
            json!({ "op": "add", "path": "emails", "value": { "value": "c@x", "primary": true } }),
            json!({ "emails": [{ "value": "a@work", "type": "work", "primary": false }, { "value": "a@home", "type": "home" },
                { "value": "c@x", "primary": true }] }),
        ),
        (json!({ "op": "remove", "path": ENTERPRISE }), json!({ ENTERPRISE: null })),
        (json!({ "op": "remove", "path": format!("{ENTERPRISE}:department") }), json!({ ENTERPRISE: null })),
        (json!({ "op": "replace", "path": format!("{USER}:title"), "value": "Dr" }), json!({ "title": "Dr" })),
    ] {
        assert_eq!(differences(json!([operation])), expected, "{operation}");
    }
}

/// Operations in the forms that Entra ID and Okta document.
#[test]
fn the_shapes_of_entra_and_okta_are_understood() {
    for (operation, expected) in [
        (json!({ "op": "Replace", "path": "active", "value": "False" }), json!({ "active": false })),
        (json!({ "op": "replace", "value": { "active": false } }), json!({ "active": false })),
        (json!({ "OP": "REPLACE", "Path": "Active", "Value": "false" }), json!({ "active": false })),
        (
            json!({ "op": "Add", "value": { "name.familyName": "Lovelace", "displayName": "Ada",
                format!("{ENTERPRISE}:employeeNumber"): "7" } }),
            json!({ "name": { "givenName": "Ada", "familyName": "Lovelace" }, "displayName": "Ada",
                ENTERPRISE: { "department": "Engines", "employeeNumber": "7" } }),
        ),
        (
            json!({ "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "m1" }),
            json!({ ENTERPRISE: { "department": "Engines", "manager": { "value": "m1" } } }),
        ),
        (
            json!({ "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1" }),
            json!({ "phoneNumbers": [{ "type": "mobile", "value": "1" }] }),
        ),
        (
            json!({ "op": "Replace", "value": { ENTERPRISE: { "department": "Looms" } } }),
            json!({ ENTERPRISE: { "department": "Looms" } }),
        ),
        // Okta sends the identifier and the schemas as well.
        (
            json!({ "op": "replace", "value": { "id": "u1", "schemas": [USER], "title": "Dr" } }),
            json!({ "title": "Dr" }),
        ),
        (json!({ "op": "replace", "path": "", "value": { "title": "Dr" } }), json!({ "title": "Dr" })),
    ] {
        assert_eq!(differences(json!([operation])), expected, "{operation}");
    }
}

#[test]
fn members_come_and_go_in_every_form() {
    let members = |operation: &Value| -> Vec<String> {
        let after =
            patched(Kind::Group, &group(), json!([operation])).unwrap_or_else(|error| panic!("{operation}: {error}"));
        let all = after["members"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect()
    };
    for (operation, expected) in [
        (
            json!({ "op": "add", "path": "members", "value": [{ "value": "u3" }, { "value": "u1" }] }),
            vec!["u1", "u2", "u3"],
        ),
        (json!({ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": "u3" }] }), vec!["u1", "u2", "u3"]),
        (json!({ "op": "add", "value": { "members": [{ "value": "u3" }] } }), vec!["u1", "u2", "u3"]),
        (json!({ "op": "remove", "path": "members[value eq \"u1\"]" }), vec!["u2"]),
        (json!({ "op": "remove", "path": "members[value eq \"u9\"]" }), vec!["u1", "u2"]),
        (json!({ "op": "Remove", "path": "members", "value": [{ "value": "u2" }] }), vec!["u1"]),
        (json!({ "op": "remove", "path": "members" }), vec![]),
        (json!({ "op": "replace", "path": "members", "value": [{ "value": "u5" }] }), vec!["u5"]),
        (json!({ "op": "replace", "value": { "members": [{ "value": "u5" }], "displayName": "x" } }), vec!["u5"]),
        (json!({ "op": "replace", "path": "displayName", "value": "x" }), vec!["u1", "u2"]),
    ] {
        assert_eq!(members(&operation), expected, "{operation}");
    }
}

/// ATK-303: each mistake gets its registered `scimType`, and changes nothing.
#[test]
fn a_patch_that_cannot_be_done_changes_nothing() {
    for (operation, expected) in [
        (json!({ "op": "replace", "path": "emails[type eq \"other\"].value", "value": "x" }), "noTarget"),
        (json!({ "op": "replace", "path": "emails[type eq \"other\"]", "value": { "value": "x" } }), "noTarget"),
        (json!({ "op": "add", "path": "emails[value co \"zzz\"].value", "value": "x" }), "noTarget"),
        (json!({ "op": "replace", "path": "photos.value", "value": "x" }), "noTarget"),
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "replace", "path": "unknown", "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "members", "value": [] }), "invalidPath"),
        (json!({ "op": "replace", "path": "name[givenName eq \"x\"]", "value": {} }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq \"work\"", "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq].value", "value": 1 }), "invalidFilter"),
        (json!({ "op": "replace", "path": "emails[type eq \"work\"]x", "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": 7, "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "x".repeat(5000), "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "urn:x:y:title", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
        (json!({ "op": "replace", "path": "meta.version", "value": "x" }), "mutability"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "owners" }] }), "mutability"),
        (json!({ "op": "replace", "path": "active", "value": "maybe" }), "invalidValue"),
        (json!({ "op": "replace", "path": "title", "value": {} }), "invalidValue"),
        (json!({ "op": "remove", "path": "userName" }), "invalidValue"),
        (json!({ "op": "replace", "path": "userName", "value": null }), "invalidValue"),
        (json!({ "op": "move", "path": "title", "value": "x" }), "invalidSyntax"),
        (json!({ "path": "title", "value": "x" }), "invalidSyntax"),
        (json!({ "op": "add", "path": "title" }), "invalidSyntax"),
        (json!({ "op": "add", "value": "x" }), "invalidSyntax"),
        (json!("x"), "invalidSyntax"),
    ] {
        let first = json!({ "op": "replace", "path": "title", "value": "changed" });
        assert_eq!(word(Kind::User, &user(), json!([first, operation])), expected, "{operation}");
    }
    for body in [
        json!([]),
        json!({ "Operations": [] }),
        json!({ "schemas": [USER], "Operations": [{ "op": "remove", "path": "title" }] }),
        json!({ "schemas": [SCHEMA] }),
        json!({ "schemas": [SCHEMA], "Operations": [] }),
        json!({ "schemas": [SCHEMA], "Operations": {} }),
    ] {
        assert!(matches!(Patch::read(&body), Err(ScimError::InvalidSyntax(_))), "{body}");
    }
    let many = vec![json!({ "op": "remove", "path": "title" }); OPERATIONS_MAX + 1];
    assert_eq!(word(Kind::User, &user(), json!(many)), "tooMany");
}

#[test]
fn an_address_is_the_same_in_whichever_order_it_is_written() {
    let street = json!({ "op": "add", "path": "addresses[type eq \"work\"].locality", "value": "London" });
    let country = json!({ "op": "add", "path": "addresses[type eq \"work\"].country", "value": "GB" });
    let whole =
        json!({ "op": "add", "path": "addresses", "value": { "country": "GB", "locality": "London", "type": "work" } });
    let after = patched(Kind::User, &user(), json!([country, street, whole])).unwrap();
    assert_eq!(after["addresses"].as_array().unwrap().len(), 1, "{after}");
}

#[test]
fn a_group_does_not_grow_beyond_its_bound() {
    let full: Vec<Value> = (0..MEMBERS_MAX).map(|n| json!({ "value": format!("u{n}") })).collect();
    let full = object(json!({ "displayName": "all", "members": full }));
    let again = json!([{ "op": "add", "path": "members", "value": [{ "value": "u0" }] }]);
    assert!(patched(Kind::Group, &full, again).is_ok(), "who is a member is not counted twice");
    assert_eq!(
        word(Kind::Group, &full, json!([{ "op": "add", "path": "members", "value": [{ "value": "new" }] }])),
        "tooMany"
    );
}

fn operations() -> impl Strategy<Value = Value> {
    let op = prop_oneof![Just("add"), Just("replace"), Just("remove"), Just("Replace")];
    let path = prop_oneof![
        Just("title"),
        Just("name"),
        Just("name.givenName"),
        Just("emails"),
        Just("emails.type"),
        Just("emails[type eq \"work\"]"),
        Just("emails[type eq \"work\"].value"),
        Just("emails[value co \"a\"].primary"),
        Just("active"),
        Just("unknown"),
    ];
    let value = prop_oneof![
        Just(json!("x")),
        Just(json!(true)),
        Just(json!("False")),
        Just(json!(null)),
        Just(json!({ "value": "x", "type": "work" })),
        Just(json!([{ "value": "x" }, { "value": "y", "primary": true }])),
        Just(json!({ "givenName": "x" })),
        Just(json!([])),
    ];
    (op, path, value).prop_map(|(op, path, value)| json!({ "op": op, "path": path, "value": value }))
}

proptest! {
    /// RFC 7644 §3.5.2.1 to §3.5.2.3: applying an operation again changes nothing. A value that was made from a filter
    /// then matches it.
    #[test]
    fn an_operation_that_comes_again_changes_nothing(operation in operations()) {
        let operations = json!([operation]);
        if let Ok(once) = patched(Kind::User, &user(), operations.clone()) {
            let again = patched(Kind::User, &object(once.clone()), operations);
            // The values that a filter chose may be gone after the first time; the second is then refused, and changes
            // nothing.
            assert!(again == Ok(once.clone()) || matches!(again, Err(ScimError::NoTarget(_))), "{operation}: {once} {again:?}");
        }
    }

    /// No operations cause a panic, and the result is always a resource that a client could have sent as a whole.
    #[test]
    fn every_patch_gets_an_answer(all in proptest::collection::vec(operations(), 1..6)) {
        if let Ok(after) = patched(Kind::User, &user(), Value::from(all)) {
            let mut body = object(after.clone());
            body.insert("schemas".to_owned(), json!([USER]));
            assert_eq!(resource::read(Kind::User, &Value::Object(body)).map(Value::Object), Ok(after.clone()));
            assert!(after.get("emails").is_none_or(|all| all.as_array().is_some_and(|all| !all.is_empty())));
        }
    }
}

/// Members are changed one after another, each by its `value` alone, with and without the `type` that was shown.
#[test]
fn members_are_changed_one_after_another() {
    let operations = json!([
        { "op": "Add", "path": "members", "value": [{ "value": "u3", "type": "User" }, { "value": "u1", "display": "x" }] },
        { "op": "remove", "path": "members[value eq \"u2\"]" },
        { "op": "Remove", "path": "members", "value": [{ "value": "u3" }, { "value": "nobody" }] },
        { "op": "add", "path": "MEMBERS", "value": "u4" },
        { "op": "replace", "path": "displayName", "value": "builders" },
        { "op": "remove", "path": "members[value eq \"U4\"]" },
        { "op": "add", "path": "members", "value": { "value": "u2" } },
        { "op": "remove", "path": "members", "value": [{ "value": "u1", "type": "User", "$ref": "x" }] },
    ]);
    let expected = json!({ "displayName": "builders", "members": [{ "value": "u4" }, { "value": "u2" }] });
    assert_eq!(patched(Kind::Group, &group(), operations), Ok(expected));
    let none = json!([{ "op": "remove", "path": "members", "value": [{ "value": "u1" }, { "value": "u2" }] }]);
    assert_eq!(patched(Kind::Group, &group(), none), Ok(json!({ "displayName": "engineers" })));
    assert_eq!(word(Kind::Group, &group(), json!([{ "op": "add", "path": "members", "value": [7] }])), "invalidValue");
}

/// ATK-375: operations that look at all members are counted, and too many of them are refused.
#[test]
fn operations_on_very_many_members_have_a_bound() {
    let members: Vec<Value> = (0..MEMBERS_MAX).map(|n| json!({ "value": format!("u{n}") })).collect();
    let group = object(json!({ "displayName": "all", "members": members }));
    let add = |n: usize| json!({ "op": "add", "value": { "members": [{ "value": format!("u{n}") }] } });
    let operations = |count: usize| Value::from((0..count).map(add).collect::<Vec<_>>());
    assert!(patched(Kind::Group, &group, operations(3)).is_ok());
    assert_eq!(word(Kind::Group, &group, operations(101)), "tooMany");
}
