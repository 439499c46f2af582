//! The arguments of a call as policies see them: each value by its name, in the bag of its kind.
//!
//! A bag holds only what Cedar can represent exactly: a value is never rounded and never turned into another type. An
//! argument that a rule looks for in a bag, but that has a value outside of it, is a *clash* (see [`Looks::clash`]).

use std::borrow::Cow;
use std::collections::HashMap;

use cedar_policy::RestrictedExpression as Expression;
use sekisho_protocol::decimal::Decimal;
use sekisho_protocol::json::{Kind, Raw};
use sekisho_protocol::mcp::strict::{is_exact, loosely};

use super::looks::{Bag, Looks};
use crate::schema::ToolSchema;

/// The most names of arguments that policies can see, counting nested ones. A call with more is denied if a policy
/// looks at arguments.
const NAMES_MAX: usize = 512;
/// The deepest nesting of objects and lists that policies can see.
const DEPTH_MAX: usize = 16;

/// One value.
#[derive(Debug)]
enum ArgumentValue<'a> {
    Array,
    Boolean(bool),
    Null,
    /// `None` if the exponent is too large, or it is an integer that some programs round.
    Number(Option<Decimal>),
    Object,
    String(Cow<'a, str>),
}

impl ArgumentValue<'_> {
    /// The same in the words of policies, if this bag holds it exactly.
    fn tag(&self, bag: Bag) -> Option<Expression> {
        match (bag, self) {
            (Bag::Arguments, Self::String(text)) => Some(Expression::new_string(text.clone().into_owned())),
            (Bag::Decimals, Self::Number(Some(number))) => number.to_four_places().map(Expression::new_decimal),
            (Bag::Flags, Self::Boolean(flag)) => Some(Expression::new_bool(*flag)),
            (Bag::Numbers, Self::Number(Some(number))) => number.to_i64().map(Expression::new_long),
            _ => None,
        }
    }

    fn is_in(&self, bag: Bag) -> bool {
        match (bag, self) {
            (Bag::Arguments, Self::String(_)) | (Bag::Flags, Self::Boolean(_)) => true,
            (Bag::Decimals, Self::Number(Some(number))) => number.to_four_places().is_some(),
            (Bag::Numbers, Self::Number(Some(number))) => number.to_i64().is_some(),
            _ => false,
        }
    }
}

/// All arguments of one call, with nested ones, by their names.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    found: HashMap<String, ArgumentValue<'a>>,
}

impl<'a> Arguments<'a> {
    /// Reads the arguments. `None` if there are more than policies look at, if two have one name (`{"a.b": 1, "a":
    /// {"b": 2}}`), or if the text is no object.
    pub(super) fn read(text: Option<&'a [u8]>) -> Option<Self> {
        let mut arguments = Self::default();
        let raw = Raw::new(std::str::from_utf8(text.unwrap_or(b"{}")).ok()?);
        if raw.kind() != Ok(Kind::Object) {
            return None;
        }
        arguments.members(raw, "", 1)?;
        Some(arguments)
    }

    fn members(&mut self, object: Raw<'a>, before: &str, depth: usize) -> Option<()> {
        for member in object.members() {
            let (name, value) = member.ok()?;
            self.value(format!("{before}{name}"), value, depth)?;
        }
        Some(())
    }

    fn value(&mut self, name: String, value: Raw<'a>, depth: usize) -> Option<()> {
        if self.found.len() >= NAMES_MAX || depth > DEPTH_MAX {
            return None;
        }
        let found = match value.kind().ok()? {
            Kind::Array => {
                for (at, item) in value.elements().enumerate() {
                    self.value(format!("{name}.{at}"), item.ok()?, depth + 1)?;
                }
                ArgumentValue::Array
            }
            Kind::Boolean => ArgumentValue::Boolean(value.text() == "true"),
            Kind::Null => ArgumentValue::Null,
            Kind::Number => ArgumentValue::Number(Decimal::parse(value.text()).filter(|_| is_exact(value.text()))),
            Kind::Object => {
                self.members(value, &format!("{name}."), depth + 1)?;
                ArgumentValue::Object
            }
            Kind::String => ArgumentValue::String(value.string().ok()?),
        };
        // Nested values are inserted first, so the bound has to be checked again here.
        let is_new = self.found.insert(name, found).is_none();
        (is_new && self.found.len() <= NAMES_MAX).then_some(())
    }

    /// Returns the contents of one bag.
    pub(super) fn tags(&self, bag: Bag) -> Vec<(String, Expression)> {
        self.found.iter().filter_map(|(name, found)| Some((name.clone(), found.tag(bag)?))).collect()
    }

    /// Returns the names by their loose form (see [`loosely`]).
    pub(super) fn loose(&self) -> Loose<'_> {
        let mut names: HashMap<Cow<'_, str>, Vec<&str>> = HashMap::new();
        for name in self.found.keys() {
            names.entry(loosely(name)).or_default().push(name);
        }
        Loose { names }
    }
}

/// See [`Arguments::loose`].
pub(super) struct Loose<'a> {
    names: HashMap<Cow<'a, str>, Vec<&'a str>>,
}

impl Looks {
    /// Returns an argument that is there in a form that these looks cannot compare: under its name but outside of the
    /// bag, under a name that a lenient reader takes for it, or in place of its list or object. `schema` is the tool's.
    pub(super) fn clash(
        &self,
        arguments: &Arguments<'_>,
        loose: &Loose<'_>,
        schema: Option<&ToolSchema>,
    ) -> Option<String> {
        let sight = Sight { arguments, loose, schema };
        let named = self.names.iter().find_map(|(bag, name)| sight.clash(*bag, name));
        // A name that is put together when the rule is evaluated can be any name.
        named.or_else(|| {
            let mut all = arguments.found.iter();
            let outside =
                |bag: &Bag, name: &str, found: &ArgumentValue<'_>| !found.is_in(*bag) && !sight.is_absent(name, found);
            let clashing = all.find(|(name, found)| self.everything.iter().any(|bag| outside(bag, name, found)));
            clashing.map(|(name, _)| name.clone())
        })
    }
}

/// The arguments, with what is needed to search them.
struct Sight<'a, 'b> {
    arguments: &'a Arguments<'b>,
    loose: &'a Loose<'a>,
    schema: Option<&'a ToolSchema>,
}

impl Sight<'_, '_> {
    fn clash(&self, bag: Bag, name: &str) -> Option<String> {
        if let Some(found) = self.arguments.found.get(name)
            && !found.is_in(bag)
            && !self.is_absent(name, found)
        {
            return Some(name.to_owned());
        }
        if let Some(other) = self.lookalike(name, |_| true) {
            return Some(other);
        }
        // Something else stands in place of the object around it, such as a text that the upstream reads as the JSON of
        // an object.
        let ends = name.match_indices('.').map(|(end, _)| end);
        ends.filter_map(|end| name.split_at_checked(end)).find_map(|(outer, rest)| {
            let by_place = rest.trim_start_matches('.').split('.').next().is_some_and(is_place);
            let holds_nothing = |found: &ArgumentValue<'_>| match found {
                ArgumentValue::Object => false,
                ArgumentValue::Array => !by_place,
                ArgumentValue::Boolean(_)
                | ArgumentValue::Null
                | ArgumentValue::Number(_)
                | ArgumentValue::String(_) => true,
            };
            let found = self.arguments.found.get(outer);
            let own = found.filter(|found| holds_nothing(found) && !self.is_absent(outer, found));
            own.map(|_| outer.to_owned()).or_else(|| self.lookalike(outer, holds_nothing))
        })
    }

    /// `null` where the tool's schema foresees it is as good as nothing; elsewhere an upstream makes of it what it likes.
    fn is_absent(&self, name: &str, found: &ArgumentValue<'_>) -> bool {
        let path: Vec<&str> = name.split('.').collect();
        matches!(found, ArgumentValue::Null) && self.schema.is_some_and(|schema| schema.is_typed(&path))
    }

    /// Another argument that a lenient reader takes for this one. Where the tool's schema declares both, each is itself.
    fn lookalike(&self, name: &str, counts: impl Fn(&ArgumentValue<'_>) -> bool) -> Option<String> {
        let alike = self.loose.names.get(loosely(name).as_ref())?;
        let declares = |name: &str| {
            let path: Vec<&str> = name.split('.').collect();
            self.schema.is_some_and(|schema| schema.declares(&path))
        };
        let is_own = |other: &str| declares(other) && declares(name);
        let other =
            |other: &&&str| **other != name && self.arguments.found.get(**other).is_some_and(&counts) && !is_own(other);
        alike.iter().find(other).map(|other| (*other).to_owned())
    }
}

/// Whether a part of a name is an index in a list.
fn is_place(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the bags of one call. For a question without arguments they are empty.
pub(super) fn bags(arguments: &Arguments<'_>) -> impl Iterator<Item = (Bag, Vec<(String, Expression)>)> {
    Bag::ALL.into_iter().map(|bag| (bag, arguments.tags(bag)))
}
