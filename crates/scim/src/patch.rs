//! Changes (RFC 7644 §3.5.2), in the form of the specification and in those that Entra ID and Okta send. Either all
//! operations of a request are applied, or none.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::path::member;
use crate::resource::check;
use crate::schema::Kind;

mod apply;
mod members;
mod operation;
mod target;

pub use operation::Operation;
pub use target::{Action, Target};

/// The schema of a request.
pub const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations in one request.
pub const OPERATIONS_MAX: usize = 1_000;
/// The most members that the operations of one request look at together, beside those that name members by `value`.
const LOOKED_AT_MAX: usize = 1_000_000;

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

#[cfg(test)]
mod tests;
