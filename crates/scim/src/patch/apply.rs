//! Applies one operation to one attribute.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::target::{Action, Target};
use crate::error::ScimError;
use crate::filter::{Filter, Operand, Operator};
use crate::path::{Home, Resolved};
use crate::resource::{MEMBERS_MAX, VALUES_MAX, single, typed};
use crate::schema::{Attribute, ENTERPRISE, Type};

/// A change of one attribute.
pub(super) struct Change<'a> {
    pub(super) action: Action,
    pub(super) target: &'a Target,
    pub(super) known: Resolved,
    pub(super) value: Option<&'a Value>,
}

/// Applies a change.
pub(super) fn change(resource: &mut Map<String, Value>, change: &Change<'_>) -> Result<(), ScimError> {
    let home = match change.known.home {
        Home::Core => &mut *resource,
        Home::Enterprise => {
            let extension = resource.entry(ENTERPRISE).or_insert_with(|| Value::Object(Map::new()));
            extension.as_object_mut().ok_or(ScimError::InvalidValue("an extension is an object"))?
        }
    };
    let attribute = change.known.attribute;
    match &change.target.filter {
        Some(filter) => some_values(home, change, filter)?,
        None => match (change.known.part, attribute.several) {
            (None, true) => several(home, change)?,
            (None, false) => one(home, change)?,
            (Some(part), true) => every_part(home, change, part)?,
            (Some(part), false) => part_of_one(home, change, part)?,
        },
    }
    if resource.get(ENTERPRISE).and_then(Value::as_object).is_some_and(Map::is_empty) {
        resource.remove(ENTERPRISE);
    }
    Ok(())
}

/// Returns the value of `add` or `replace`. `null` removes the attribute (RFC 7643 §2.5).
fn given<'a>(change: &Change<'a>) -> Option<&'a Value> {
    change.value.filter(|value| !value.is_null() && change.action != Action::Remove)
}

/// Changes an attribute with one value.
fn one(home: &mut Map<String, Value>, change: &Change<'_>) -> Result<(), ScimError> {
    let attribute = change.known.attribute;
    let Some(value) = given(change) else {
        home.remove(attribute.name);
        return Ok(());
    };
    let value = single(attribute, value)?;
    match (attribute.kind, home.get_mut(attribute.name), value) {
        // RFC 7644 §3.5.2.3: only the named parts are changed.
        (Type::Complex, Some(Value::Object(own)), Value::Object(parts)) => own.extend(parts),
        (_, _, value) => drop(home.insert(attribute.name.to_owned(), value)),
    }
    Ok(())
}

/// Changes one part of an attribute with one value.
fn part_of_one(home: &mut Map<String, Value>, change: &Change<'_>, part: &'static Attribute) -> Result<(), ScimError> {
    let name = change.known.attribute.name;
    match given(change) {
        Some(value) => {
            let value = single(part, value)?;
            let own = home.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let own = own.as_object_mut().ok_or(ScimError::InvalidValue(name))?;
            own.insert(part.name.to_owned(), value);
        }
        None => {
            if let Some(own) = home.get_mut(name).and_then(Value::as_object_mut) {
                own.remove(part.name);
                if own.is_empty() {
                    home.remove(name);
                }
            }
        }
    }
    Ok(())
}

/// Changes a list as a whole.
fn several(home: &mut Map<String, Value>, change: &Change<'_>) -> Result<(), ScimError> {
    let attribute = change.known.attribute;
    let mut own = match home.remove(attribute.name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    match (change.action, change.value.filter(|value| !value.is_null())) {
        (Action::Remove, None) | (Action::Replace, None) => own.clear(),
        (Action::Add, None) => {}
        // Entra ID removes members by naming them as the value.
        (Action::Remove, Some(value)) => {
            let gone = list(typed(attribute, value)?);
            let keys: HashSet<String> = gone.iter().map(|item| key(attribute, item)).collect();
            own.retain(|item| !keys.contains(&key(attribute, item)));
        }
        (Action::Replace, Some(value)) => own = distinct(attribute, Vec::new(), list(typed(attribute, value)?)),
        (Action::Add, Some(value)) => own = distinct(attribute, own, list(typed(attribute, value)?)),
    }
    keep(home, attribute, own)
}

/// Returns the values of `own` and then of `more`, each once: parts of a repeated value are added to the first one. If
/// one of `more` is primary, the others no longer are.
fn distinct(attribute: &Attribute, mut own: Vec<Value>, more: Vec<Value>) -> Vec<Value> {
    let is_primary = |value: &Value| value.get("primary") == Some(&Value::Bool(true));
    if more.iter().any(is_primary) {
        own.iter_mut().for_each(no_longer_primary);
    }
    let mut places: HashMap<String, usize> =
        own.iter().enumerate().map(|(at, value)| (key(attribute, value), at)).collect();
    for value in more {
        let there = places.get(&key(attribute, &value)).and_then(|at| own.get_mut(*at));
        match (there, value) {
            (Some(Value::Object(own)), Value::Object(parts)) => own.extend(parts),
            (Some(_), _) => {}
            (None, value) => {
                places.insert(key(attribute, &value), own.len());
                own.push(value);
            }
        }
    }
    own
}

fn no_longer_primary(value: &mut Value) {
    if let Some(primary) = value.get_mut("primary") {
        *primary = Value::Bool(false);
    }
}

/// Returns the key by which two values are the same: `value` and `type`, or all parts if there is no `value`. A member is the same
/// by its `value` alone: clients name one with and without the `type` that they were shown.
pub(super) fn key(attribute: &Attribute, value: &Value) -> String {
    match value.get("value") {
        Some(own) if attribute.name == "members" => own.to_string(),
        Some(own) => Value::from(vec![own.clone(), value.get("type").cloned().unwrap_or_default()]).to_string(),
        None => match value.as_object() {
            // Sorted, so that the order of parts does not matter.
            Some(parts) => format!("{:?}", parts.iter().collect::<BTreeMap<_, _>>()),
            None => value.to_string(),
        },
    }
}

/// Returns the values of a list, or the one value.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// Stores the values of a list, unless it is empty. A list that is too long is an error.
fn keep(home: &mut Map<String, Value>, attribute: &Attribute, values: Vec<Value>) -> Result<(), ScimError> {
    let max = if attribute.name == "members" { MEMBERS_MAX } else { VALUES_MAX };
    if values.len() > max {
        return Err(ScimError::TooMany("an attribute has too many values"));
    }
    if !values.is_empty() {
        home.insert(attribute.name.to_owned(), Value::from(values));
    }
    Ok(())
}

/// Changes one part of every value of a list.
fn every_part(home: &mut Map<String, Value>, change: &Change<'_>, part: &'static Attribute) -> Result<(), ScimError> {
    let value = given(change).map(|value| single(part, value)).transpose()?;
    let Some(Value::Array(items)) = home.get_mut(change.known.attribute.name) else {
        return match change.action {
            Action::Remove => Ok(()),
            Action::Add | Action::Replace => Err(ScimError::NoTarget(change.known.attribute.name)),
        };
    };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        match &value {
            Some(value) => drop(item.insert(part.name.to_owned(), value.clone())),
            None => drop(item.remove(part.name)),
        }
    }
    items.retain(|item| item.as_object().is_none_or(|members| !members.is_empty()));
    if items.is_empty() {
        home.remove(change.known.attribute.name);
    }
    Ok(())
}

/// Changes the values of a list that match a filter.
fn some_values(home: &mut Map<String, Value>, change: &Change<'_>, filter: &Filter) -> Result<(), ScimError> {
    let attribute = change.known.attribute;
    let mut items = match home.get(attribute.name) {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    let met: Vec<bool> = items.iter().map(|item| filter.meets(attribute, item)).collect();
    let value = given(change);
    if !met.contains(&true) {
        return match (change.action, value) {
            (Action::Remove, _) => Ok(()),
            // Entra ID adds `emails[type eq "work"].value` to a person who has no such value: it is made from the
            // filter.
            (Action::Add, Some(value)) => {
                items.push(made(change, filter, value)?);
                keep(home, attribute, items)
            }
            _ => Err(ScimError::NoTarget(attribute.name)),
        };
    }
    match (change.known.part, value) {
        (None, None) => {
            let mut met = met.iter();
            items.retain(|_| met.next() != Some(&true));
        }
        (part, value) => {
            let value = match (part, value) {
                (Some(part), Some(value)) => Some(single(part, value)?),
                (_, value) => value.map(|value| single(attribute, value)).transpose()?,
            };
            // Only one value may be primary (RFC 7643 §2.4).
            if part.is_some_and(|part| part.name == "primary") && value == Some(Value::Bool(true)) {
                items.iter_mut().for_each(no_longer_primary);
            }
            for item in items.iter_mut().zip(&met).filter(|(_, met)| **met).filter_map(|(item, _)| item.as_object_mut())
            {
                match (part, &value) {
                    (Some(part), Some(value)) => drop(item.insert(part.name.to_owned(), value.clone())),
                    (Some(part), None) => drop(item.remove(part.name)),
                    (None, Some(Value::Object(parts))) => item.extend(parts.clone()),
                    (None, _) => {}
                }
            }
            items.retain(|item| item.as_object().is_none_or(|members| !members.is_empty()));
        }
    }
    home.remove(attribute.name);
    keep(home, attribute, items)
}

/// Makes a value that matches the filter and has the added part.
fn made(change: &Change<'_>, filter: &Filter, value: &Value) -> Result<Value, ScimError> {
    let attribute = change.known.attribute;
    let mut item = Map::new();
    if !fill(&mut item, attribute, filter)? {
        return Err(ScimError::NoTarget(attribute.name));
    }
    match change.known.part {
        Some(part) => drop(item.insert(part.name.to_owned(), single(part, value)?)),
        None => match single(attribute, value)? {
            Value::Object(parts) => item.extend(parts),
            _ => return Err(ScimError::InvalidValue(attribute.name)),
        },
    }
    Ok(Value::Object(item))
}

/// Sets the parts that a filter of only `eq` and `and` requires. Returns `false` for any other filter.
fn fill(item: &mut Map<String, Value>, attribute: &'static Attribute, filter: &Filter) -> Result<bool, ScimError> {
    match filter {
        Filter::And(all) => {
            for one in all {
                if !fill(item, attribute, one)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Compare(path, Operator::Eq, operand) => {
            let Some(part) = attribute.part(&path.name) else { return Ok(false) };
            let value = match operand {
                Operand::Boolean(truth) => Value::Bool(*truth),
                Operand::Text(text) => Value::from(text.as_str()),
                Operand::Null | Operand::Number(_) => return Ok(false),
            };
            item.insert(part.name.to_owned(), single(part, &value)?);
            Ok(true)
        }
        _ => Ok(false),
    }
}
