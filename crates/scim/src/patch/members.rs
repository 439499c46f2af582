//! Changes of the members of a group one after another, with the work of one pass: a group may have 10,000 members and a request
//! 1,000 operations, so looking through all members for each operation would take minutes (ATK-375).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::apply::{key, list};
use super::operation::Operation;
use super::target::Action;
use crate::error::ScimError;
use crate::filter::{Filter, Operand, Operator};
use crate::path::Home;
use crate::resource::{MEMBERS_MAX, typed};
use crate::schema::{Attribute, Kind};

/// What an operation does to the members.
enum Edit<'a> {
    Add(&'a Value),
    Remove(&'a Value),
    /// The member with this `value`.
    RemoveOne(&'a str),
}

impl<'a> Edit<'a> {
    /// Returns `None` for any operation that is not about single members named by their `value`.
    fn read(attribute: &Attribute, operation: &'a Operation) -> Option<Self> {
        let target = operation.target.as_ref()?;
        let path = &target.path;
        let whole = path.home == Home::Core && path.part.is_none() && target.part.is_none();
        if !whole || !path.name.eq_ignore_ascii_case(attribute.name) {
            return None;
        }
        let value = operation.value.as_ref().filter(|value| !value.is_null());
        match (operation.action, &target.filter, value) {
            (Action::Add, None, Some(value)) => Some(Self::Add(value)),
            (Action::Remove, None, Some(value)) => Some(Self::Remove(value)),
            (Action::Remove, Some(Filter::Compare(path, Operator::Eq, Operand::Text(text))), _)
                if path.home == Home::Core && path.part.is_none() && path.name.eq_ignore_ascii_case("value") =>
            {
                Some(Self::RemoveOne(text))
            }
            _ => None,
        }
    }
}

/// Applies the operations up to the first that is not about single members, and returns the others.
pub(super) fn apply<'a>(
    kind: Kind,
    resource: &mut Map<String, Value>,
    operations: &'a [Operation],
) -> Result<&'a [Operation], ScimError> {
    let Some(attribute) = kind.attribute("members") else { return Ok(operations) };
    let edits: Vec<Edit<'_>> = operations.iter().map_while(|operation| Edit::read(attribute, operation)).collect();
    if edits.is_empty() {
        return Ok(operations);
    }
    let mut members = Members::new(attribute, resource.remove(attribute.name));
    for edit in &edits {
        match edit {
            Edit::Add(value) => list(typed(attribute, value)?).into_iter().for_each(|member| members.add(member)),
            Edit::Remove(value) => list(typed(attribute, value)?).iter().for_each(|member| members.remove(member)),
            Edit::RemoveOne(value) => {
                members.remove(&Value::Object(Map::from_iter([("value".to_owned(), Value::from(*value))])))
            }
        }
        if members.places.len() > MEMBERS_MAX {
            return Err(ScimError::TooMany("an attribute has too many values"));
        }
    }
    let kept: Vec<Value> = members.all.into_iter().flatten().collect();
    if !kept.is_empty() {
        resource.insert(attribute.name.to_owned(), Value::from(kept));
    }
    Ok(operations.get(edits.len()..).unwrap_or_default())
}

/// Members in their order, and where each stands. A removed one leaves its place empty.
struct Members {
    attribute: &'static Attribute,
    all: Vec<Option<Value>>,
    places: HashMap<String, usize>,
}

impl Members {
    fn new(attribute: &'static Attribute, value: Option<Value>) -> Self {
        let mut members = Self { attribute, all: Vec::new(), places: HashMap::new() };
        list(value.unwrap_or_default()).into_iter().for_each(|member| members.add(member));
        members
    }

    /// Adds a member, or its parts to the one that is there.
    fn add(&mut self, member: Value) {
        let key = key(self.attribute, &member);
        match (self.places.get(&key).and_then(|at| self.all.get_mut(*at)), member) {
            (Some(Some(Value::Object(own))), Value::Object(parts)) => own.extend(parts),
            (Some(_), _) => {}
            (None, member) => {
                self.places.insert(key, self.all.len());
                self.all.push(Some(member));
            }
        }
    }

    fn remove(&mut self, member: &Value) {
        let place = self.places.remove(&key(self.attribute, member));
        if let Some(own) = place.and_then(|at| self.all.get_mut(at)) {
            *own = None;
        }
    }
}
