//! Reads a resource as clients send it, and normalizes it for storing: names as in the table, values of the right
//! types, no attributes that only the server sets.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::path::member;
use crate::schema::{Attribute, ENTERPRISE, Kind, Mutability, Type, enterprise};

/// The most values of one attribute.
pub const VALUES_MAX: usize = 100;
/// The most members of a group.
pub const MEMBERS_MAX: usize = 10_000;
/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Reads the body of a POST or a PUT. Leaves out attributes that are not in the table, those that only the server sets
/// (RFC 7644 §3.3 and §3.5.1), and unknown extensions. The schema of the kind has to be named.
pub fn read(kind: Kind, body: &Value) -> Result<Map<String, Value>, ScimError> {
    let object = body.as_object().ok_or(ScimError::InvalidSyntax("an object is needed"))?;
    let schemas = member(object, "schemas").and_then(Value::as_array);
    let named = |schema: &Value| schema.as_str().is_some_and(|text| text.eq_ignore_ascii_case(kind.schema()));
    if !schemas.is_some_and(|all| all.iter().any(named)) {
        return Err(ScimError::InvalidSyntax("`schemas` does not name the schema of this endpoint"));
    }
    let mut resource = Map::new();
    for attribute in kind.attributes().filter(|one| one.mutability == Mutability::ReadWrite) {
        if let Some(value) = once(object, attribute.name)? {
            put(&mut resource, attribute, value)?;
        }
    }
    if let Some(extension) = once(object, ENTERPRISE)?.filter(|_| kind == Kind::User) {
        let extension = extension.as_object().ok_or(ScimError::InvalidValue("an extension is an object"))?;
        let mut own = Map::new();
        for (name, value) in extension {
            if let Some(attribute) = enterprise(name) {
                put(&mut own, attribute, value)?;
            }
        }
        if !own.is_empty() {
            resource.insert(ENTERPRISE.to_owned(), Value::Object(own));
        }
    }
    check(kind, &resource)?;
    Ok(resource)
}

/// Returns a member by its name in any case. Two members of one name are ambiguous, and an error.
fn once<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Value>, ScimError> {
    let mut all = object.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    let first = all.next().map(|(_, value)| value);
    if all.next().is_some() { Err(ScimError::InvalidSyntax("an attribute is there twice")) } else { Ok(first) }
}

fn put(to: &mut Map<String, Value>, attribute: &'static Attribute, value: &Value) -> Result<(), ScimError> {
    let value = typed(attribute, value)?;
    let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    // RFC 7643 §2.5: null and an empty list count as no value.
    if !is_empty {
        to.insert(attribute.name.to_owned(), value);
    }
    Ok(())
}

/// Checks that all required attributes are there.
pub(crate) fn check(kind: Kind, resource: &Map<String, Value>) -> Result<(), ScimError> {
    for attribute in kind.attributes().filter(|one| one.required) {
        let there = resource.get(attribute.name).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !there {
            return Err(ScimError::InvalidValue(attribute.name));
        }
    }
    Ok(())
}

/// Normalizes a value for its attribute: a list if there may be several, names as in the table.
pub(crate) fn typed(attribute: &'static Attribute, value: &Value) -> Result<Value, ScimError> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) if attribute.several => {
            let max = if attribute.name == "members" { MEMBERS_MAX } else { VALUES_MAX };
            if items.len() > max {
                return Err(ScimError::TooMany("an attribute has too many values"));
            }
            let all: Result<Vec<Value>, _> = items.iter().map(|item| single(attribute, item)).collect();
            all.map(Value::from)
        }
        one if attribute.several => Ok(Value::from(vec![single(attribute, one)?])),
        one => single(attribute, one),
    }
}

/// Normalizes one value of an attribute.
pub(crate) fn single(attribute: &'static Attribute, value: &Value) -> Result<Value, ScimError> {
    let wrong = || ScimError::InvalidValue(attribute.name);
    match attribute.kind {
        Type::Boolean => truth(value).map(Value::Bool).ok_or_else(wrong),
        Type::DateTime | Type::Reference | Type::String => match value {
            Value::String(text) if text.len() <= TEXT_BYTES_MAX && !text.contains('\0') => Ok(value.clone()),
            _ => Err(wrong()),
        },
        Type::Complex => match value {
            Value::Object(object) => {
                let mut own = Map::new();
                for part in attribute.parts {
                    if let Some(value) = once(object, part.name)?.filter(|value| !value.is_null()) {
                        own.insert(part.name.to_owned(), single(part, value)?);
                    }
                }
                if own.is_empty() { Err(wrong()) } else { Ok(Value::Object(own)) }
            }
            // Entra ID sends a manager or a member as a bare identifier.
            Value::String(_) => match attribute.part("value") {
                Some(part) => Ok(Value::Object(Map::from_iter([("value".to_owned(), single(part, value)?)]))),
                None => Err(wrong()),
            },
            _ => Err(wrong()),
        },
    }
}

/// Reads a boolean, or the text that Entra ID sends instead ("True" or "False").
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MEMBERS_MAX, read};
    use crate::error::ScimError;
    use crate::schema::{ENTERPRISE, GROUP, Kind, USER};

    #[test]
    fn what_entra_and_okta_send_is_read() {
        let sent = json!({
            "schemas": [USER, ENTERPRISE, "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User"],
            "id": "mine", "meta": { "resourceType": "User" }, "groups": [{ "value": "g" }], "password": "hidden",
            "userName": "ada@example.com", "Active": "False", "externalId": "x1", "title": null,
            "name": { "familyName": "Lovelace", "GivenName": "Ada", "other": 1 },
            "emails": [{ "primary": "True", "type": "work", "value": "ada@example.com" }], "phoneNumbers": [],
            ENTERPRISE: { "department": "Engines", "manager": "m1", "unknown": 1 },
            "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User": { "tag": "x" },
        });
        let kept = json!({
            "userName": "ada@example.com", "active": false, "externalId": "x1",
            "name": { "familyName": "Lovelace", "givenName": "Ada" },
            "emails": [{ "primary": true, "type": "work", "value": "ada@example.com" }],
            ENTERPRISE: { "department": "Engines", "manager": { "value": "m1" } },
        });
        assert_eq!(Value::Object(read(Kind::User, &sent).unwrap()), kept);
    }

    #[test]
    fn a_body_in_another_form_is_refused() {
        for (body, expected) in [
            (json!([]), "invalidSyntax"),
            (json!({ "userName": "a" }), "invalidSyntax"),
            (json!({ "schemas": [GROUP], "userName": "a" }), "invalidSyntax"),
            (json!({ "schemas": USER, "userName": "a" }), "invalidSyntax"),
            (json!({ "schemas": [USER] }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": " " }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": 7 }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": "a", "username": "b" }), "invalidSyntax"),
            (json!({ "schemas": [USER], "userName": "a", "active": "maybe" }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": "a", "emails": [7] }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": "a", "emails": vec![json!({ "value": "x" }); 101] }), "tooMany"),
            (json!({ "schemas": [USER], "userName": "a\0" }), "invalidValue"),
            (json!({ "schemas": [USER], "userName": "x".repeat(5000) }), "invalidValue"),
        ] {
            let error = read(Kind::User, &body).unwrap_err();
            assert_eq!(error.scim_type(), Some(expected), "{}", body.to_string().chars().take(80).collect::<String>());
        }
    }

    #[test]
    fn a_group_has_up_to_ten_thousand_members() {
        let group = |count: usize| {
            let members: Vec<Value> = (0..count).map(|n| json!({ "value": format!("u{n}") })).collect();
            read(Kind::Group, &json!({ "schemas": [GROUP], "displayName": "all", "members": members }))
        };
        assert_eq!(group(MEMBERS_MAX).unwrap()["members"].as_array().unwrap().len(), MEMBERS_MAX);
        assert!(matches!(group(MEMBERS_MAX + 1), Err(ScimError::TooMany(_))));
    }
}
