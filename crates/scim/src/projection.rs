//! Which attributes a response has (RFC 7644 §3.9): `attributes`, or `excludedAttributes`.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::path::{AttributePath, BYTES_MAX, Home};
use crate::schema::{ENTERPRISE, Kind};

/// Which attributes are left out of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Projection {
    /// None.
    #[default]
    All,
    /// All but these.
    Only(Vec<AttributePath>),
    /// These.
    Without(Vec<AttributePath>),
}

/// The most attributes that are read of one request.
const NAMED_MAX: usize = 100;
/// The attributes that every response has (RFC 7643 §3.1: `returned: always`).
const ALWAYS: [&str; 2] = ["schemas", "id"];

impl Projection {
    /// Parses the two parameters of a request, which are lists with commas. Unknown attribute names are no error and
    /// have no effect.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let read = |text: &str| -> Result<Vec<AttributePath>, ScimError> {
            if text.len() > BYTES_MAX {
                return Err(ScimError::InvalidValue("the list of attributes is too long"));
            }
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            let all: Vec<AttributePath> = names.filter_map(AttributePath::parse).take(NAMED_MAX).collect();
            Ok(all)
        };
        match (attributes.filter(|text| !text.is_empty()), excluded.filter(|text| !text.is_empty())) {
            (None, None) => Ok(Self::All),
            (Some(attributes), None) => read(attributes).map(Self::Only),
            (None, Some(excluded)) => read(excluded).map(Self::Without),
            (Some(_), Some(_)) => {
                Err(ScimError::InvalidValue("`attributes` and `excludedAttributes` exclude each other"))
            }
        }
    }

    /// Returns whether the response would have an attribute, so that members of large groups are read only if needed.
    pub fn wants(&self, kind: Kind, name: &str) -> bool {
        let names = |path: &AttributePath| path.home == Home::Core && path.name.eq_ignore_ascii_case(name);
        match self {
            Self::All => true,
            Self::Only(all) => all.iter().any(names),
            Self::Without(all) => {
                let is_always = ALWAYS.contains(&name) || kind.attribute(name).is_none();
                is_always || !all.iter().any(|path| path.part.is_none() && names(path))
            }
        }
    }

    /// Returns the resource with only the attributes that the response has.
    pub fn apply(&self, kind: Kind, resource: &Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::All => resource.clone(),
            Self::Only(all) => {
                let mut kept: Map<String, Value> = ALWAYS
                    .iter()
                    .filter_map(|name| resource.get(*name).map(|value| ((*name).to_owned(), value.clone())))
                    .collect();
                all.iter().for_each(|path| keep(&mut kept, kind, resource, path));
                kept
            }
            Self::Without(all) => {
                let mut kept = resource.clone();
                all.iter().for_each(|path| drop_path(&mut kept, kind, path));
                kept
            }
        }
    }
}

fn keep(kept: &mut Map<String, Value>, kind: Kind, resource: &Map<String, Value>, path: &AttributePath) {
    if path.home == Home::Enterprise && path.name.is_empty() {
        if let Some(extension) = resource.get(ENTERPRISE) {
            kept.insert(ENTERPRISE.to_owned(), extension.clone());
        }
        return;
    }
    let Some(known) = path.resolve(kind) else { return };
    let from = match path.home {
        Home::Core => Some(resource),
        Home::Enterprise => resource.get(ENTERPRISE).and_then(Value::as_object),
    };
    let Some(value) = from.and_then(|from| from.get(known.attribute.name)) else { return };
    let to = match path.home {
        Home::Core => Some(kept),
        Home::Enterprise => kept.entry(ENTERPRISE).or_insert_with(|| Value::Object(Map::new())).as_object_mut(),
    };
    let Some(to) = to else { return };
    match known.part {
        None => drop(to.insert(known.attribute.name.to_owned(), value.clone())),
        Some(part) => {
            let own = to.entry(known.attribute.name).or_insert_with(|| emptied(value));
            merge(own, value, part.name);
        }
    }
}

/// Returns an object without members, or a list of them, in the shape of `value`.
fn emptied(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|_| Value::Object(Map::new())).collect(),
        _ => Value::Object(Map::new()),
    }
}

/// Copies one part of each object.
fn merge(to: &mut Value, from: &Value, part: &str) {
    match (to, from) {
        (Value::Array(to), Value::Array(from)) => to.iter_mut().zip(from).for_each(|(to, from)| merge(to, from, part)),
        (Value::Object(to), Value::Object(from)) => {
            if let Some(value) = from.get(part) {
                to.insert(part.to_owned(), value.clone());
            }
        }
        _ => {}
    }
}

fn drop_path(kept: &mut Map<String, Value>, kind: Kind, path: &AttributePath) {
    if path.home == Home::Enterprise && path.name.is_empty() {
        kept.remove(ENTERPRISE);
        return;
    }
    let Some(known) = path.resolve(kind) else { return };
    if ALWAYS.contains(&known.attribute.name) {
        return;
    }
    let home = match path.home {
        Home::Core => Some(kept),
        Home::Enterprise => kept.get_mut(ENTERPRISE).and_then(Value::as_object_mut),
    };
    let Some(home) = home else { return };
    match known.part {
        None => drop(home.remove(known.attribute.name)),
        Some(part) => {
            if let Some(value) = home.get_mut(known.attribute.name) {
                without(value, part.name);
            }
        }
    }
}

fn without(value: &mut Value, part: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, part)),
        Value::Object(members) => drop(members.remove(part)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::Projection;
    use crate::schema::{ENTERPRISE, Kind};

    fn user() -> Map<String, Value> {
        let user = json!({ "schemas": ["x"], "id": "u1", "userName": "ada", "title": "Countess",
            "name": { "givenName": "Ada", "familyName": "Lovelace" },
            "emails": [{ "value": "a@b", "type": "work" }, { "value": "c@d" }],
            ENTERPRISE: { "department": "Engines", "division": "X" } });
        user.as_object().cloned().unwrap()
    }

    fn answer(attributes: Option<&str>, excluded: Option<&str>) -> Value {
        Value::Object(Projection::parse(attributes, excluded).unwrap().apply(Kind::User, &user()))
    }

    #[test]
    fn an_answer_has_what_was_asked_for() {
        assert_eq!(answer(None, None), Value::Object(user()));
        assert_eq!(answer(Some("USERNAME, nothing"), None), json!({ "schemas": ["x"], "id": "u1", "userName": "ada" }));
        assert_eq!(
            answer(Some("name.givenName,emails.value,title"), None),
            json!({ "schemas": ["x"], "id": "u1", "title": "Countess", "name": { "givenName": "Ada" },
                "emails": [{ "value": "a@b" }, { "value": "c@d" }] })
        );
        assert_eq!(
            answer(Some(&format!("{ENTERPRISE}:department")), None),
            json!({ "schemas": ["x"], "id": "u1", ENTERPRISE: { "department": "Engines" } })
        );
        let without = answer(None, Some(&format!("emails,name.familyName,title,id,{ENTERPRISE}:division")));
        assert_eq!(
            without,
            json!({ "schemas": ["x"], "id": "u1", "userName": "ada", "name": { "givenName": "Ada" },
                ENTERPRISE: { "department": "Engines" } })
        );
        assert!(Projection::parse(Some("a"), Some("b")).is_err());
        assert!(Projection::parse(Some(&"a,".repeat(4000)), None).is_err());
    }

    #[test]
    fn members_are_read_only_if_they_are_wanted() {
        let wants =
            |attributes, excluded| Projection::parse(attributes, excluded).unwrap().wants(Kind::Group, "members");
        assert!(wants(None, None) && wants(Some("members.value"), None) && wants(None, Some("displayName")));
        assert!(!wants(None, Some("Members")) && !wants(Some("displayName"), None));
        assert!(wants(None, Some("members.display")));
    }
}
