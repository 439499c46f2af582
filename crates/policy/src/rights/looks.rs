//! Finds out from a policy's text which arguments it looks at, and in which bag. This is done once, so that each call
//! can be checked for arguments that the policy cannot compare.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The bags of arguments in the context of a call (`schema.cedarschema`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Bag {
    Arguments,
    Decimals,
    Flags,
    Numbers,
}

impl Bag {
    pub(super) const ALL: [Self; 4] = [Self::Arguments, Self::Decimals, Self::Flags, Self::Numbers];

    /// Returns the attribute of the context.
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Decimals => "decimals",
            Self::Flags => "flags",
            Self::Numbers => "numbers",
        }
    }

    pub(super) fn named(attribute: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bag| bag.attribute() == attribute)
    }

    /// Describes what the bag holds.
    fn holds(self) -> &'static str {
        match self {
            Self::Arguments => "a text",
            Self::Decimals | Self::Numbers => "a number",
            Self::Flags => "true or false",
        }
    }
}

/// The arguments that a policy looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// The arguments that it names.
    pub(super) names: BTreeSet<(Bag, String)>,
    /// The bags in which it may look for any name, because the name is put together when the policy is evaluated.
    pub(super) everything: BTreeSet<Bag>,
}

impl Looks {
    /// Returns what an expression looks at, in the JSON form of policies. What is not understood counts as a look at
    /// everything.
    pub(super) fn of(expression: &Value) -> Self {
        let mut looks = Self::default();
        looks.add(expression);
        looks
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.everything.is_empty()
    }

    /// Returns an argument that the policy looks for as two kinds of value. Whatever its value is, one of the looks
    /// cannot compare it.
    pub(super) fn contradiction(&self) -> Option<(&str, &'static str, &'static str)> {
        self.names.iter().find_map(|(bag, name)| {
            let other = self.names.iter().find(|(other, same)| same == name && other.holds() != bag.holds())?;
            Some((name.as_str(), bag.holds(), other.0.holds()))
        })
    }

    fn add(&mut self, expression: &Value) {
        match expression {
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => members.iter().for_each(|(operator, operand)| self.operation(operator, operand)),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn operation(&mut self, operator: &str, operand: &Value) {
        let left = operand.get("left");
        match operator {
            "getTag" | "hasTag" if let Some(bag) = left.and_then(bag_of) => {
                let right = operand.get("right");
                match right.and_then(|name| name.get("Value")).and_then(Value::as_str) {
                    Some(name) => {
                        self.names.insert((bag, name.to_owned()));
                    }
                    None => {
                        self.everything.insert(bag);
                    }
                }
                right.into_iter().for_each(|name| self.add(name));
            }
            "." | "has" if left.is_some_and(is_context) => {
                // The whole bag is used: it is compared, or chosen by a condition.
                let bag = operand.get("attr").and_then(Value::as_str).and_then(Bag::named);
                self.everything.extend(bag.filter(|_| operator == "."));
            }
            "Var" if operand == "context" => self.everything.extend(Bag::ALL),
            _ => self.add(operand),
        }
    }
}

fn is_context(expression: &Value) -> bool {
    expression.get("Var").is_some_and(|name| name == "context")
}

/// Returns the bag that an expression stands for.
fn bag_of(expression: &Value) -> Option<Bag> {
    let access = expression.get(".")?;
    access.get("left").filter(|left| is_context(left))?;
    Bag::named(access.get("attr")?.as_str()?)
}

/// Returns a policy that permits whenever this one could apply, whatever the arguments are: it has the same scope, and
/// only the conditions that look at no argument. If it does not permit, the policy cannot apply.
pub(super) fn guard(mut policy: Value) -> Value {
    let conditions = policy.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut kept = Vec::new();
    for condition in &conditions {
        let (kind, body) = (condition.get("kind"), condition.get("body"));
        let (Some(kind), Some(body)) = (kind.and_then(Value::as_str), body) else { continue };
        // All parts of `when` must hold, and no part of `unless` may.
        let operator = if kind == "when" { "&&" } else { "||" };
        let mut parts = Vec::new();
        split(operator, body, &mut parts);
        let open = parts.into_iter().filter(|part| Looks::of(part).is_empty());
        kept.extend(open.map(|part| json!({"kind": kind, "body": part})));
    }
    if let Some(members) = policy.as_object_mut() {
        members.insert("effect".to_owned(), json!("permit"));
        members.insert("conditions".to_owned(), Value::Array(kept));
    }
    policy
}

/// Collects the operands of one operator in order, however they are grouped.
fn split<'a>(operator: &str, expression: &'a Value, parts: &mut Vec<&'a Value>) {
    let operands = expression.get(operator).map(|both| (both.get("left"), both.get("right")));
    match operands {
        Some((Some(left), Some(right))) => {
            split(operator, left, parts);
            split(operator, right, parts);
        }
        _ => parts.push(expression),
    }
}

/// Returns ranges of addresses that a policy uses for anything but `isInRange`, and addresses that no caller can have.
pub(super) fn odd_addresses(expression: &Value) -> Vec<String> {
    let mut found = Vec::new();
    addresses(expression, &mut found);
    found
}

fn addresses(expression: &Value, found: &mut Vec<String>) {
    match expression {
        Value::Array(items) => items.iter().for_each(|item| addresses(item, found)),
        Value::Object(members) => {
            if let Some(text) = address(members) {
                note(text, false, found);
                return;
            }
            for (operator, operand) in members {
                match (operator.as_str(), operand.as_array().map(Vec::as_slice)) {
                    ("isInRange", Some([address_of, range])) => {
                        addresses(address_of, found);
                        match range.as_object().and_then(address) {
                            Some(text) => note(text, true, found),
                            None => addresses(range, found),
                        }
                    }
                    _ => addresses(operand, found),
                }
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the text in `ip("…")`.
fn address(expression: &Map<String, Value>) -> Option<&str> {
    expression.get("ip")?.as_array()?.first()?.get("Value")?.as_str()
}

fn note(text: &str, in_range: bool, found: &mut Vec<String>) {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let whole = if address.contains(':') { "128" } else { "32" };
    let mapped = address.parse().is_ok_and(|parsed: core::net::Ipv6Addr| parsed.to_ipv4_mapped().is_some());
    if mapped {
        found.push(format!(
            "`ip(\"{text}\")` is an IPv4 address written as IPv6, and callers by IPv4 are never shown so; write the \
             IPv4 address itself"
        ));
    } else if !in_range && length.is_some_and(|length| length != whole) {
        found.push(format!(
            "`ip(\"{text}\")` is a range, and an address is never equal to it; write \
             `context.source.isInRange(ip(\"{text}\"))`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;
    use serde_json::Value;

    use super::{Bag, Looks, guard, odd_addresses};

    fn read(condition: &str) -> Value {
        let text = format!("forbid(principal, action == Action::\"call\", resource) {condition};");
        Policy::parse(None, text).unwrap().to_json().unwrap()
    }

    /// Every way to look at an argument is found, and what is not understood counts as a look at everything.
    #[test]
    fn what_a_policy_looks_at_is_read_from_it() {
        let everything = [Bag::Arguments, Bag::Decimals, Bag::Flags, Bag::Numbers];
        for (condition, names, all) in [
            ("", &[][..], &[][..]),
            ("when { context.numbers.getTag(\"a\") > 1 }", &[(Bag::Numbers, "a")], &[]),
            ("unless { context.flags.hasTag(\"b.c\") }", &[(Bag::Flags, "b.c")], &[]),
            (
                "when { if context.arguments.hasTag(\"a\") then context[\"numbers\"].getTag(\"b\") == 1 else false }",
                &[(Bag::Arguments, "a"), (Bag::Numbers, "b")],
                &[],
            ),
            ("when { context.numbers.hasTag(resource.name) }", &[], &[Bag::Numbers]),
            (
                "when { context.numbers.hasTag(context.arguments.getTag(\"key\")) }",
                &[(Bag::Arguments, "key")],
                &[Bag::Numbers],
            ),
            ("when { context.decimals == context.decimals }", &[], &[Bag::Decimals]),
            ("when { [context] == [context] }", &[], &everything),
            ("when { (if context has path then context else context).numbers.hasTag(\"a\") }", &[], &everything),
            ("when { context has path && context.path.depth == 1 && context.now == context.now }", &[], &[]),
        ] {
            let looks = Looks::of(&read(condition)["conditions"]);
            let found: Vec<(Bag, &str)> = looks.names.iter().map(|(bag, name)| (*bag, name.as_str())).collect();
            let found_all: Vec<Bag> = looks.everything.into_iter().collect();
            assert_eq!((found.as_slice(), found_all.as_slice()), (names, all), "{condition}");
        }
    }

    #[test]
    fn a_guard_is_what_looks_at_no_argument() {
        let policy = guard(read(
            "when { resource.name == \"pay\" && (context.numbers.getTag(\"a\") > 1 && principal is User) }
             unless { context has path || context.flags.hasTag(\"b\") }",
        ));
        let text = Policy::from_json(None, policy).unwrap().to_string();
        for (part, kept) in [("permit", true), ("\"pay\"", true), ("is User", true), ("has path", true), ("Tag", false)]
        {
            assert_eq!(text.contains(part), kept, "{part} in {text}");
        }
    }

    /// In Cedar, `ip("10.1.2.3") == ip("10.0.0.0/8")` is false, and so is `ip("10.1.2.3/8") == ip("10.0.0.0/8")`.
    #[test]
    fn a_range_is_for_is_in_range() {
        for (condition, expected) in [
            ("when { context.source.isInRange(ip(\"10.0.0.0/8\")) }", 0),
            ("when { context.source == ip(\"10.0.0.1\") || context.source == ip(\"10.0.0.1/32\") }", 0),
            ("when { context.source == ip(\"10.0.0.0/8\") }", 1),
            ("when { ip(\"10.1.2.3/8\") != ip(\"10.0.0.0/8\") }", 2),
            ("when { [ip(\"10.0.0.0/8\"), ip(\"::1\")].contains(context.source) }", 1),
            ("when { context.source.isInRange(ip(\"::ffff:10.0.0.0/104\")) }", 1),
            ("when { context.source == ip(\"::ffff:10.0.0.1\") }", 1),
        ] {
            assert_eq!(odd_addresses(&read(condition)["conditions"]).len(), expected, "{condition}");
        }
    }
}
