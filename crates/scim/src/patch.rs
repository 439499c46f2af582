//! Changes (RFC 7644 §3.5.2), in the form of the specification and in those that Entra ID and Okta send. Either all
//! operations of a request are applied, or none.

use serde_json::{Map, Value};

use crate::error::ScimError;

use crate::path::{AttributePath, Home, Resolved, member};
use crate::resource::check;
use crate::schema::{ENTERPRISE, Kind, enterprise};

mod apply;
mod members;
mod target;

pub use target::{Action, Target};

/// The schema of a request.
pub const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations in one request.
pub const OPERATIONS_MAX: usize = 1_000;
/// The most members that the operations of one request look at together, beside those that name members by `value`.
const LOOKED_AT_MAX: usize = 1_000_000;

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What it does.
    pub action: Action,
    /// What it changes. `None`: each attribute that `value` names.
    pub target: Option<Target>,
    /// The value to add, replace or remove.
    pub value: Option<Value>,
}

/// The body of a PATCH request.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The operations, in order.
    pub operations: Vec<Operation>,
}

impl Patch {
    /// Reads the body of a request. Names of members and operations count in any case: Entra ID writes `"op":
    /// "Replace"`.
    pub fn read(body: &Value) -> Result<Self, ScimError> {
        let object = body.as_object().ok_or(ScimError::InvalidSyntax("an object is needed"))?;
        let schemas = member(object, "schemas").and_then(Value::as_array);
        let named = |schema: &Value| schema.as_str().is_some_and(|text| text.eq_ignore_ascii_case(SCHEMA));
        if !schemas.is_some_and(|all| all.iter().any(named)) {
            return Err(ScimError::InvalidSyntax("`schemas` does not name the schema of a PATCH"));
        }
        let operations = member(object, "Operations").and_then(Value::as_array);
        let operations = operations.filter(|all| !all.is_empty());
        let operations = operations.ok_or(ScimError::InvalidSyntax("`Operations` is needed"))?;
        if operations.len() > OPERATIONS_MAX {
            return Err(ScimError::TooMany("there are too many operations"));
        }
        Ok(Self { operations: operations.iter().map(Operation::read).collect::<Result<_, _>>()? })
    }

    /// Returns the resource after all operations. Attributes that only the server sets have to be left out of
    /// `resource`, or are returned unchanged. After an error, nothing is changed.
    pub fn apply(&self, kind: Kind, resource: &Map<String, Value>) -> Result<Map<String, Value>, ScimError> {
        let mut changed = resource.clone();
        let (mut operations, mut looked_at) = (self.operations.as_slice(), 0);
        loop {
            operations = members::apply(kind, &mut changed, operations)?;
            let Some((operation, rest)) = operations.split_first() else { break };
            looked_at += changed.get("members").and_then(Value::as_array).map_or(0, Vec::len);
            if looked_at > LOOKED_AT_MAX {
                return Err(ScimError::TooMany("so many operations on so large a group: name members by `value`"));
            }
            operation.apply(kind, &mut changed)?;
            operations = rest;
        }
        check(kind, &changed)?;
        Ok(changed)
    }
}

impl Operation {
    fn read(value: &Value) -> Result<Self, ScimError> {
        let object = value.as_object().ok_or(ScimError::InvalidSyntax("an operation is an object"))?;
        let word = member(object, "op").and_then(Value::as_str).unwrap_or_default();
        let actions = [("add", Action::Add), ("remove", Action::Remove), ("replace", Action::Replace)];
        let action = actions.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, action)| action);
        let action = action.ok_or(ScimError::InvalidSyntax("`op` is `add`, `remove` or `replace`"))?;
        let target = match member(object, "path") {
            None | Some(Value::Null) => None,
            // Some clients send an empty path instead of none.
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(Target::parse(text)?),
            Some(_) => return Err(ScimError::InvalidPath("it is no text")),
        };
        let value = member(object, "value").cloned();
        match (action, &target, &value) {
            (Action::Remove, None, _) => Err(ScimError::NoTarget("`remove` needs a path")),
            (Action::Add | Action::Replace, _, None) => Err(ScimError::InvalidSyntax("`value` is needed")),
            _ => Ok(Self { action, target, value }),
        }
    }

    fn apply(&self, kind: Kind, resource: &mut Map<String, Value>) -> Result<(), ScimError> {
        match (&self.target, &self.value) {
            (Some(target), value) if target.path.name.is_empty() => {
                self.apply_extension(kind, resource, value.as_ref().unwrap_or(&Value::Null))
            }
            (Some(target), value) => {
                let known = target.resolve(kind)?;
                let change = apply::Change { action: self.action, target, known, value: value.as_ref() };
                apply::change(resource, &change)
            }
            (None, Some(Value::Object(members))) => {
                for (name, value) in members {
                    self.apply_named(kind, resource, name, value)?;
                }
                Ok(())
            }
            (None, _) => Err(ScimError::InvalidSyntax("without a path, `value` is an object")),
        }
    }

    /// Applies one member of an operation without a path. Entra ID writes parts with dots, and attributes of an
    /// extension with its URI.
    fn apply_named(
        &self,
        kind: Kind,
        resource: &mut Map<String, Value>,
        name: &str,
        value: &Value,
    ) -> Result<(), ScimError> {
        if is_of_the_server(name) {
            return Ok(());
        }
        let target = Target::parse(name)?;
        if target.path.name.is_empty() {
            return self.apply_extension(kind, resource, value);
        }
        let known = target.resolve(kind)?;
        let change = apply::Change { action: self.action, target: &target, known, value: Some(value) };
        apply::change(resource, &change)
    }

    /// Applies an operation to the whole extension.
    fn apply_extension(&self, kind: Kind, resource: &mut Map<String, Value>, value: &Value) -> Result<(), ScimError> {
        if kind != Kind::User {
            return Err(ScimError::InvalidPath("there is no such attribute"));
        }
        if self.action == Action::Remove {
            resource.remove(ENTERPRISE);
            return Ok(());
        }
        let members = value.as_object().ok_or(ScimError::InvalidValue("an extension is an object"))?;
        for (name, value) in members {
            if is_of_the_server(name) {
                continue;
            }
            let attribute = enterprise(name).ok_or(ScimError::InvalidPath("there is no such attribute"))?;
            let path = AttributePath { home: Home::Enterprise, name: name.clone(), part: None };
            let target = Target { path, filter: None, part: None };
            let known = Resolved { home: Home::Enterprise, attribute, part: None };
            let change = apply::Change { action: self.action, target: &target, known, value: Some(value) };
            apply::change(resource, &change)?;
        }
        Ok(())
    }
}

/// Whether only the server sets this member. It is ignored, because clients may send it back (RFC 7644 §3.5.2.1).
fn is_of_the_server(name: &str) -> bool {
    ["schemas", "id", "meta"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
