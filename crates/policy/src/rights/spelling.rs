//! Makes rules that take something away hold for every spelling (decision 0033).
//!
//! A condition such as `resource.uri like "file:///priv/*"` compares texts, but a server may treat two different texts
//! as the same. If such a comparison takes something away when it is true (in a `forbid`, behind `!` or `unless` in a
//! `permit`), it is widened: it is then also true if its folded text fits one of the readings of the URI, or the fold
//! of the name. If it gives something, it stays as it is written. Policies are rewritten once, when they are loaded,
//! after the check against the schema. The attributes that widened comparisons look at are in no schema.
//!
//! A `permit` that requires an approval or a task also takes something away, if another `permit` requires nothing. Its
//! widened form is evaluated separately, as a mark.

use cedar_policy::Effect;
use sekisho_protocol::text::fold;
use sekisho_protocol::uri::{PatternPart, ResourceUri, folded_pattern};
use serde_json::{Value, json};

/// The attributes of a resource that hold its readings. A tool or prompt has only the first one, the fold of its name.
pub(super) const READINGS: [&str; 4] = [" reading 0", " reading 1", " reading 2", " reading 3"];

/// The policy takes something away by a comparison, and it is unclear by which spellings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "what it takes away by `resource`, `resource.uri` or `resource.name` is not clear; compare those with written-out values by `==`, `!=`, `like`, `in` and `contains`, joined by `&&`, `||`, `!` and `if`"
)]
pub(super) struct Unclear;

/// What a comparison does for the whole policy when it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Gives,
    Takes,
}

impl Sense {
    fn turned(self) -> Self {
        match self {
            Self::Gives => Self::Takes,
            Self::Takes => Self::Gives,
        }
    }
}

/// Returns the policy that is evaluated in place of this one, in its JSON form. `None` if nothing changes.
pub(super) fn spell(json: &Value, effect: Effect) -> Result<Option<Value>, Unclear> {
    let sense = match effect {
        Effect::Forbid => Sense::Takes,
        Effect::Permit => Sense::Gives,
    };
    let new = spelled(json, sense)?;
    Ok((new != *json).then_some(new))
}

/// Returns the mark of a `permit` that requires an approval or a task. `None` if it compares no URI and no name.
pub(super) fn mark(json: &Value) -> Result<Option<Value>, Unclear> {
    let new = spelled(json, Sense::Takes)?;
    Ok((new != *json).then_some(new))
}

fn spelled(json: &Value, sense: Sense) -> Result<Value, Unclear> {
    let mut json = json.clone();
    if let Some(Value::Array(conditions)) = json.get_mut("conditions") {
        for condition in conditions {
            let is_unless = condition.get("kind").is_some_and(|kind| kind == "unless");
            let sense = if is_unless { sense.turned() } else { sense };
            if let Some(body) = condition.get_mut("body") {
                *body = rewritten(body, sense)?;
            }
        }
    }
    if sense == Sense::Takes {
        widen_scope(&mut json);
    }
    Ok(json)
}

/// Replaces a scope that names one resource by its server and a condition.
fn widen_scope(json: &mut Value) {
    let scope = json.get("resource");
    let entity = scope.and_then(|scope| scope.get("entity").or_else(|| scope.pointer("/in/entity")));
    let Some(named) = entity.and_then(EntityName::of) else { return };
    let condition = json!({ "kind": "when", "body": named.widened() });
    let scope = json!({ "op": "is", "entity_type": named.kind, "in": { "entity": named.server() } });
    if let Some(members) = json.as_object_mut() {
        members.insert("resource".to_owned(), scope);
        if let Some(Value::Array(conditions)) = members.get_mut("conditions") {
            conditions.insert(0, condition);
        }
    }
}

/// A tool, a resource or a prompt that a rule names.
struct EntityName<'a> {
    kind: &'a str,
    server: &'a str,
    name: &'a str,
    entity: &'a Value,
}

impl<'a> EntityName<'a> {
    fn of(entity: &'a Value) -> Option<Self> {
        let entity = entity.get("__entity").unwrap_or(entity);
        let kind = entity.get("type")?.as_str().filter(|kind| matches!(*kind, "Prompt" | "Resource" | "Tool"))?;
        let (server, name) = entity.get("id")?.as_str()?.split_once('/')?;
        Some(Self { kind, server, name, entity })
    }

    fn server(&self) -> Value {
        json!({ "type": "Server", "id": self.server })
    }

    fn attribute(&self) -> Identity {
        if self.kind == "Resource" { Identity::Uri } else { Identity::Name }
    }

    /// Returns the condition that the resource is this one, in any spelling.
    fn widened(&self) -> Value {
        let exact = equal(json!({ "Var": "resource" }), json!({ "Value": { "__entity": self.entity } }));
        let here = json!({ "is": {
            "left": { "Var": "resource" },
            "entity_type": self.kind,
            "in": { "Value": { "__entity": self.server() } },
        } });
        either(exact, both(here, self.attribute().equals(self.name)))
    }
}

/// The attribute that identifies a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Name,
    Uri,
}

impl Identity {
    /// Recognises `resource.uri` or `resource.name`.
    fn of(expression: &Value) -> Option<Self> {
        let access = expression.get(".")?;
        if !is_resource(access.get("left")?) {
            return None;
        }
        match access.get("attr")?.as_str()? {
            "name" => Some(Self::Name),
            "uri" => Some(Self::Uri),
            _ => None,
        }
    }

    fn readings(self) -> impl Iterator<Item = Value> {
        let count = if self == Self::Uri { READINGS.len() } else { 1 };
        READINGS.into_iter().take(count).map(|name| json!({ ".": { "left": { "Var": "resource" }, "attr": name } }))
    }

    fn folded(self, parts: &[PatternPart]) -> Vec<PatternPart> {
        match self {
            Self::Uri => folded_pattern(parts),
            Self::Name => parts
                .iter()
                .map(|part| match part {
                    PatternPart::Text(text) => PatternPart::Text(fold(text).into_owned()),
                    PatternPart::Wildcard => PatternPart::Wildcard,
                })
                .collect(),
        }
    }

    /// Returns the condition that a reading equals the fold of this text.
    fn equals(self, text: &str) -> Value {
        let folded = self.folded(&[PatternPart::Text(text.to_owned())]);
        let folded = folded.iter().map(|part| match part {
            PatternPart::Text(text) => text.as_str(),
            PatternPart::Wildcard => "",
        });
        let folded: String = folded.collect();
        any(self.readings().map(|reading| equal(reading, json!({ "Value": folded }))))
    }

    /// Returns the condition that a reading fits the fold of this pattern.
    fn fits(self, pattern: &[Value]) -> Value {
        let folded: Vec<Value> = self
            .folded(&parts(pattern))
            .into_iter()
            .map(|part| match part {
                PatternPart::Text(text) => json!({ "Literal": text }),
                PatternPart::Wildcard => json!("Wildcard"),
            })
            .collect();
        any(self.readings().map(|reading| json!({ "like": { "left": reading, "pattern": folded } })))
    }
}

/// Returns the parts of a pattern, with neighbouring characters joined: the JSON form has one part for each character.
fn parts(pattern: &[Value]) -> Vec<PatternPart> {
    let mut parts = Vec::new();
    for element in pattern {
        match (element.get("Literal").and_then(Value::as_str), parts.last_mut()) {
            (Some(text), Some(PatternPart::Text(run))) => run.push_str(text),
            (Some(text), _) => parts.push(PatternPart::Text(text.to_owned())),
            (None, _) => parts.push(PatternPart::Wildcard),
        }
    }
    parts
}

/// Returns the texts that `resource.uri` is compared with and that no URI can equal or begin with, so that nothing can
/// be asked for by them. Of a pattern only the part before its first wildcard is checked.
pub(super) fn never_equal(json: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(json.get("conditions").unwrap_or(&Value::Null), &mut found);
    let scope = json.get("resource");
    let entity = scope.and_then(|scope| scope.get("entity").or_else(|| scope.pointer("/in/entity")));
    never_named(entity, &mut found);
    found
}

fn collect(expression: &Value, found: &mut Vec<String>) {
    let items = match expression {
        Value::Array(items) => return items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members,
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => return,
    };
    for (operator, operand) in items {
        let sides = || ["left", "right"].into_iter().filter_map(|side| operand.get(side));
        let is_about_uri = || sides().any(|side| Identity::of(side) == Some(Identity::Uri));
        match operator.as_str() {
            "like" if is_about_uri() => {
                let pattern = operand.get("pattern").and_then(Value::as_array).map(|pattern| parts(pattern));
                match pattern.unwrap_or_default().as_slice() {
                    [PatternPart::Text(text)] => never(text, found),
                    [PatternPart::Text(text), ..] if !ResourceUri::is_beginning(text) => found.push(text.clone()),
                    _ => {}
                }
            }
            "==" | "!=" | "contains" if is_about_uri() => {
                let set = |side: &Value| side.get("Set").and_then(Value::as_array).cloned();
                let literals = sides().flat_map(|side| set(side).unwrap_or_else(|| vec![side.clone()]));
                let texts = literals.filter_map(|literal| literal.get("Value")?.as_str().map(str::to_owned));
                texts.for_each(|text| never(&text, found));
            }
            "Value" => never_named(operand.get("__entity"), found),
            _ => collect(operand, found),
        }
    }
}

fn never_named(entity: Option<&Value>, found: &mut Vec<String>) {
    let named = entity.and_then(EntityName::of).filter(|named| named.kind == "Resource");
    named.into_iter().for_each(|named| never(named.name, found));
}

fn never(text: &str, found: &mut Vec<String>) {
    if ResourceUri::parse_template(text).is_err() {
        found.push(text.to_owned());
    }
}

fn rewritten(expression: &Value, sense: Sense) -> Result<Value, Unclear> {
    if !tells_apart(expression) {
        return Ok(expression.clone());
    }
    let Some((operator, operand)) = expression.as_object().and_then(|members| members.iter().next()) else {
        return Err(Unclear);
    };
    let of = |name: &str| operand.get(name).ok_or(Unclear);
    let inner = |name: &str, sense| rewritten(of(name)?, sense);
    match operator.as_str() {
        "!" => Ok(not(inner("arg", sense.turned())?)),
        "&&" => Ok(both(inner("left", sense)?, inner("right", sense)?)),
        "||" => Ok(either(inner("left", sense)?, inner("right", sense)?)),
        // Rewritten so that the condition stands once in each sense.
        "if-then-else" => {
            let then = both(inner("if", sense)?, inner("then", sense)?);
            Ok(either(then, both(not(inner("if", sense.turned())?), inner("else", sense)?)))
        }
        "!=" => {
            let equal = json!({ "==": operand });
            Ok(not(rewritten(&equal, sense.turned())?))
        }
        "==" | "contains" | "in" | "is" | "like" => {
            let widened = comparison(operator, operand)?;
            match (sense, widened) {
                (Sense::Gives, _) => Ok(expression.clone()),
                (Sense::Takes, Some(widened)) => Ok(either(expression.clone(), widened)),
                (Sense::Takes, None) => Err(Unclear),
            }
        }
        _ => Err(Unclear),
    }
}

/// Returns what one comparison is widened by. `None` if it compares with a value that is not written out.
fn comparison(operator: &str, operand: &Value) -> Result<Option<Value>, Unclear> {
    let of = |name: &str| operand.get(name).ok_or(Unclear);
    let text = |expression: &Value| expression.get("Value").and_then(Value::as_str).map(str::to_owned);
    let named = |expression: &Value| expression.get("Value").and_then(EntityName::of).map(|named| named.widened());
    match operator {
        "like" => {
            let identity = Identity::of(of("left")?).ok_or(Unclear)?;
            let pattern = of("pattern")?.as_array().ok_or(Unclear)?;
            Ok(Some(identity.fits(pattern)))
        }
        "contains" => {
            let identity = Identity::of(of("right")?).filter(|_| !operand.get("left").is_some_and(tells_apart));
            let identity = identity.ok_or(Unclear)?;
            let elements = of("left")?.get("Set").and_then(Value::as_array);
            let Some(elements) = elements else { return Ok(None) };
            let texts: Option<Vec<String>> = elements.iter().map(text).collect();
            Ok(texts.map(|texts| any(texts.iter().map(|text| identity.equals(text)))))
        }
        // `resource is Tool in …`: only the part after `in` can tell one resource from another.
        "is" if is_resource(of("left")?) => Ok(named(of("in")?)),
        "==" => {
            let (left, right) = (of("left")?, of("right")?);
            let sides = [(left, right), (right, left)];
            let is_direct = |(one, other): &(&Value, &Value)| {
                (Identity::of(one).is_some() || is_resource(one)) && !tells_apart(other)
            };
            if !sides.iter().any(is_direct) {
                return Err(Unclear);
            }
            let by_text = sides.into_iter().find_map(|(one, other)| Some(Identity::of(one)?.equals(&text(other)?)));
            let by_entity = || sides.into_iter().find_map(|(one, other)| named(other).filter(|_| is_resource(one)));
            Ok(by_text.or_else(by_entity))
        }
        "in" if is_resource(of("left")?) => match of("right")?.get("Set").and_then(Value::as_array) {
            Some(elements) => {
                let widened: Vec<Value> = elements.iter().filter_map(named).collect();
                let written_out = elements.iter().all(|element| element.get("Value").is_some());
                Ok(written_out.then(|| any(widened.into_iter())))
            }
            None => Ok(named(of("right")?)),
        },
        _ => Err(Unclear),
    }
}

/// Whether an expression depends on which tool, resource or prompt it is, beyond its class, server and kind.
fn tells_apart(expression: &Value) -> bool {
    match expression {
        Value::Array(items) => items.iter().any(tells_apart),
        Value::Object(members) => members.iter().any(|(operator, operand)| match operator.as_str() {
            "." if Identity::of(expression).is_some() => true,
            "." | "has" => {
                let is_named = operand.get("attr").is_some_and(|attribute| attribute == "name" || attribute == "uri");
                operand.get("left").is_some_and(|left| {
                    if is_named && !is_resource(left) { tells_apart(left) } else { finds_by_identity(left) }
                })
            }
            "in" | "is" if operand.get("left").is_some_and(is_resource) => {
                let place = operand.get(if operator == "in" { "right" } else { "in" });
                place.is_some_and(|place| !is_group(place))
            }
            "Var" => operand == "resource",
            "Value" => false,
            _ => tells_apart(operand),
        }),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

/// Does the same for an expression that is an entity, of which only an attribute such as the class is used.
fn finds_by_identity(entity: &Value) -> bool {
    match entity.get("if-then-else") {
        Some(choice) => {
            let part = |name: &str| choice.get(name);
            part("if").is_some_and(tells_apart) || ["then", "else"].into_iter().filter_map(part).any(finds_by_identity)
        }
        None => !is_resource(entity) && tells_apart(entity),
    }
}

/// Whether this is a server, a group of servers, or a set of those.
fn is_group(place: &Value) -> bool {
    if let Some(elements) = place.get("Set").and_then(Value::as_array) {
        return elements.iter().all(is_group);
    }
    let entity = place.get("Value").and_then(|value| value.get("__entity"));
    entity.is_some_and(|entity| EntityName::of(entity).is_none())
}

fn is_resource(expression: &Value) -> bool {
    expression.get("Var").is_some_and(|variable| variable == "resource")
}

fn equal(left: Value, right: Value) -> Value {
    json!({ "==": { "left": left, "right": right } })
}

fn both(left: Value, right: Value) -> Value {
    json!({ "&&": { "left": left, "right": right } })
}

fn either(left: Value, right: Value) -> Value {
    json!({ "||": { "left": left, "right": right } })
}

fn not(argument: Value) -> Value {
    json!({ "!": { "arg": argument } })
}

fn any(mut of: impl Iterator<Item = Value>) -> Value {
    let first = of.next().unwrap_or_else(|| json!({ "Value": false }));
    of.fold(first, either)
}

#[cfg(test)]
mod tests;
