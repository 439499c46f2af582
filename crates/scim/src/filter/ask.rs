//! Matching a filter against one resource.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{Filter, Operand, Operator};
use crate::path::{AttributePath, Home, member};
use crate::schema::{Attribute, ENTERPRISE, Kind, Type};

impl Filter {
    /// Returns whether a resource matches the filter. Never fails: an attribute that is unknown or absent has no value.
    pub fn matches(&self, kind: Kind, resource: &Map<String, Value>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.matches(kind, resource)),
            Self::Compare(path, operator, operand) => {
                let (values, attribute) = reach(path, kind, resource);
                compare(&values, attribute, *operator, operand)
            }
            Self::Not(inner) => !inner.matches(kind, resource),
            Self::Or(all) => all.iter().any(|one| one.matches(kind, resource)),
            Self::Present(path) => reach(path, kind, resource).0.iter().any(|value| is_present(value)),
            Self::Values(path, inner) => {
                let Some(known) = path.resolve(kind) else { return false };
                let values = list(root(path.home, resource).and_then(|root| member(root, known.attribute.name)));
                values.iter().any(|value| inner.meets(known.attribute, value))
            }
        }
    }

    /// Returns whether one value of a list matches the filter, whose paths name parts of the attribute.
    pub(crate) fn meets(&self, attribute: &'static Attribute, value: &Value) -> bool {
        let part = |path: &AttributePath| {
            let found = value.as_object().and_then(|object| member(object, &path.name));
            // The only part of a plain value is `value`, the value itself.
            let plain = path.name.eq_ignore_ascii_case("value") && !value.is_object();
            (if plain { Some(value) } else { found }, attribute.part(&path.name))
        };
        match self {
            Self::And(all) => all.iter().all(|one| one.meets(attribute, value)),
            Self::Compare(path, operator, operand) => {
                let (found, known) = part(path);
                compare(&list(found), known, *operator, operand)
            }
            Self::Not(inner) => !inner.meets(attribute, value),
            Self::Or(all) => all.iter().any(|one| one.meets(attribute, value)),
            Self::Present(path) => part(path).0.is_some_and(is_present),
            // There are no lists within lists.
            Self::Values(..) => false,
        }
    }
}

/// Returns the object that has the attributes of this home.
fn root(home: Home, resource: &Map<String, Value>) -> Option<&Map<String, Value>> {
    match home {
        Home::Core => Some(resource),
        Home::Enterprise => member(resource, ENTERPRISE).and_then(Value::as_object),
    }
}

/// Returns the values at a path, and their attribute. A list of objects without a named part stands for their `value`
/// (RFC 7644 §3.4.2.2).
fn reach<'a>(
    path: &AttributePath,
    kind: Kind,
    resource: &'a Map<String, Value>,
) -> (Vec<&'a Value>, Option<&'static Attribute>) {
    let Some(known) = path.resolve(kind) else { return (Vec::new(), None) };
    let values = list(root(path.home, resource).and_then(|root| member(root, known.attribute.name)));
    let part = known.part.or_else(|| known.attribute.several.then(|| known.attribute.part("value")).flatten());
    match part {
        None => (values, Some(known.attribute)),
        Some(part) => {
            let inner = values.into_iter().filter_map(|value| match value {
                Value::Object(object) => member(object, part.name),
                plain if part.name == "value" => Some(plain),
                _ => None,
            });
            (inner.collect(), Some(part))
        }
    }
}

fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

/// Returns whether a value counts as present (`pr`, RFC 7644 §3.4.2.2), which an empty one does not.
fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Returns whether the comparison holds for one of the values. `ne` is the opposite of `eq`, also without any value.
fn compare(values: &[&Value], attribute: Option<&Attribute>, operator: Operator, operand: &Operand) -> bool {
    match operator {
        Operator::Ne => !compare(values, attribute, Operator::Eq, operand),
        Operator::Eq if *operand == Operand::Null => !values.iter().any(|value| is_present(value)),
        _ => values.iter().any(|value| compare_one(value, attribute, operator, operand)),
    }
}

fn compare_one(value: &Value, attribute: Option<&Attribute>, operator: Operator, operand: &Operand) -> bool {
    match (value, operand) {
        (Value::Bool(own), Operand::Boolean(asked)) => operator == Operator::Eq && own == asked,
        (Value::Number(own), Operand::Number(asked)) => {
            let order = own.as_f64().zip(asked.as_f64()).and_then(|(own, asked)| own.partial_cmp(&asked));
            order.is_some_and(|order| ordered(operator, order))
        }
        (Value::String(own), Operand::Text(asked)) => compare_texts(own, asked, attribute, operator),
        _ => false,
    }
}

fn compare_texts(own: &str, asked: &str, attribute: Option<&Attribute>, operator: Operator) -> bool {
    if attribute.is_some_and(|attribute| attribute.kind == Type::DateTime) {
        let moments = own.parse::<jiff::Timestamp>().ok().zip(asked.parse::<jiff::Timestamp>().ok());
        if let Some((own, asked)) = moments {
            return ordered(operator, own.cmp(&asked));
        }
    }
    let exact = attribute.is_some_and(|attribute| attribute.case_exact);
    let fold = |text: &str| if exact { text.to_owned() } else { text.to_lowercase() };
    let (own, asked) = (fold(own), fold(asked));
    match operator {
        Operator::Co => own.contains(&asked),
        Operator::Ew => own.ends_with(&asked),
        Operator::Sw => own.starts_with(&asked),
        other => ordered(other, own.cmp(&asked)),
    }
}

fn ordered(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ge => order.is_ge(),
        Operator::Gt => order.is_gt(),
        Operator::Le => order.is_le(),
        Operator::Lt => order.is_lt(),
        Operator::Co | Operator::Ew | Operator::Ne | Operator::Sw => false,
    }
}
