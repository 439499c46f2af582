//! One operation: how it is read, and what it is applied to.

use serde_json::{Map, Value};

use super::apply::{Change, change};
use super::target::{Action, Target};
use crate::error::ScimError;
use crate::path::{AttributePath, Home, Resolved, member};
use crate::schema::{ENTERPRISE, Kind, enterprise};

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

impl Operation {
    pub(super) fn read(value: &Value) -> Result<Self, ScimError> {
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

    pub(super) fn apply(&self, kind: Kind, resource: &mut Map<String, Value>) -> Result<(), ScimError> {
        match (&self.target, &self.value) {
            (Some(target), value) if target.path.name.is_empty() => {
                self.apply_extension(kind, resource, value.as_ref().unwrap_or(&Value::Null))
            }
            (Some(target), value) => {
                let known = target.resolve(kind)?;
                let wanted = Change { action: self.action, target, known, value: value.as_ref() };
                change(resource, &wanted)
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
        let wanted = Change { action: self.action, target: &target, known, value: Some(value) };
        change(resource, &wanted)
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
            let wanted = Change { action: self.action, target: &target, known, value: Some(value) };
            change(resource, &wanted)?;
        }
        Ok(())
    }
}

/// Whether only the server sets this member. It is ignored, because clients may send it back (RFC 7644 §3.5.2.1).
fn is_of_the_server(name: &str) -> bool {
    ["schemas", "id", "meta"].iter().any(|own| own.eq_ignore_ascii_case(name))
}
