//! The parts of a compiled schema: nodes in an arena, each known by its position.

use std::collections::HashMap;

use jsonschema::Validator;
use sekisho_protocol::decimal::Decimal;
use sekisho_protocol::json::Kind;
use serde_json::Value;

/// The most references in a row that are followed to find an object.
pub(super) const REFERENCES_MAX: usize = 64;
/// The most subschemas that are looked at to find the types that a property can have.
const KINDS_STEPS_MAX: usize = 200;

/// The types that a value can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) const ALL: Self = Self(0b11_1111);
    pub(crate) const NONE: Self = Self(0);

    fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Array => 1,
            Kind::Boolean => 2,
            Kind::Null => 4,
            Kind::Number => 8,
            Kind::Object => 16,
            Kind::String => 32,
        }
    }

    pub(crate) fn of(kind: Kind) -> Self {
        Self(Self::bit(kind))
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the types that `type` names, with an integer counted as a number. `None` if it names one that JSON
    /// Schema does not have.
    pub(crate) fn named(declared: &Value) -> Option<Self> {
        let one = |name: &Value| {
            Some(Self::of(match name.as_str()? {
                "array" => Kind::Array,
                "boolean" => Kind::Boolean,
                "integer" | "number" => Kind::Number,
                "null" => Kind::Null,
                "object" => Kind::Object,
                "string" => Kind::String,
                _ => return None,
            }))
        };
        match declared {
            Value::Array(names) => names.iter().try_fold(Self::NONE, |all, name| Some(all.or(one(name)?))),
            name => one(name),
        }
    }
}

/// The position of one subschema in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// The keywords of one subschema. Those that it does not have are absent.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether nothing fits (the schema `false`).
    pub(super) never: bool,
    pub(super) types: Option<Types>,
    /// Whether numbers have to be integers (`"type": "integer"`, without `number` beside it).
    pub(super) integers: bool,
    pub(super) choices: Option<Vec<Value>>,
    pub(super) number: Option<Box<NumberRules>>,
    pub(super) text: Option<Box<TextRules>>,
    pub(super) list: Option<Box<ListRules>>,
    pub(super) object: Option<Box<ObjectRules>>,
    pub(super) reference: Option<NodeId>,
    pub(super) all: Vec<NodeId>,
    pub(super) any: Vec<NodeId>,
    pub(super) one: Vec<NodeId>,
    pub(super) not: Option<NodeId>,
    pub(super) condition: Option<(NodeId, Option<NodeId>, Option<NodeId>)>,
    /// The text of the subschema, as a refusal quotes it.
    pub(super) said: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct NumberRules {
    pub(super) minimum: Option<Decimal>,
    pub(super) maximum: Option<Decimal>,
    pub(super) above: Option<Decimal>,
    pub(super) below: Option<Decimal>,
    pub(super) multiple_of: Option<Decimal>,
}

/// A regular expression, and its cost.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) check: Validator,
    /// The number of steps for each byte of a text. An expression may have to look at each of its states for each byte.
    pub(super) steps_a_byte: u32,
}

#[derive(Debug, Default)]
pub(super) struct TextRules {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Validator>,
}

#[derive(Debug, Default)]
pub(super) struct ListRules {
    pub(super) first: Vec<NodeId>,
    pub(super) rest: Option<NodeId>,
    pub(super) contains: Option<NodeId>,
    pub(super) contains_min: u64,
    pub(super) contains_max: Option<u64>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) unique: bool,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRules {
    /// The declared and the required members, sorted by name.
    pub(super) members: Vec<(Box<str>, MemberRules)>,
    pub(super) required: usize,
    /// The declared names, by their loose form.
    pub(super) loose: HashMap<Box<str>, Box<str>>,
    pub(super) patterns: Vec<(Pattern, NodeId)>,
    pub(super) additional: Option<NodeId>,
    pub(super) names: Option<NodeId>,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) together: Vec<(Box<str>, Vec<String>)>,
    pub(super) then: Vec<(Box<str>, NodeId)>,
}

#[derive(Debug, Default)]
pub(super) struct MemberRules {
    pub(super) node: Option<NodeId>,
    pub(super) required: bool,
}

impl ObjectRules {
    pub(super) fn member(&self, name: &str) -> Option<&MemberRules> {
        let at = self.members.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
        self.members.get(at).map(|(_, rules)| rules)
    }
}

/// The properties that an object declares.
#[derive(Debug)]
pub(crate) struct Declared<'a> {
    /// Their names, in order.
    pub(crate) names: Vec<&'a str>,
    /// Whether there can be no others (`additionalProperties` is `false`).
    pub(crate) closed: bool,
}

/// A schema that is ready for checks.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Compiled {
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// Returns the types that a property can have, by the names that lead there. `None` if `properties` alone do not
    /// lead there.
    pub(crate) fn property(&self, path: &[&str]) -> Option<Types> {
        let mut at = self.root;
        for name in path {
            at = self.object_at(at)?.member(name)?.node?;
        }
        let mut steps = KINDS_STEPS_MAX;
        Some(self.kinds(at, &mut steps))
    }

    /// Returns the properties of the object that these names lead to; `None` if it declares none, or if other parts of
    /// the schema may declare more.
    pub(crate) fn properties(&self, path: &[&str]) -> Option<Declared<'_>> {
        let mut at = self.root;
        for name in path {
            at = self.object_at(at)?.member(name)?.node?;
        }
        self.declared_at(at)
    }

    /// Returns the part of a name with points (`to.folder`) that no property has, and what is declared in its place.
    /// `None` if a property has it, or if that is unknown.
    pub(crate) fn lacking<'n>(&self, name: &'n str) -> Option<(&'n str, Declared<'_>)> {
        let (mut at, mut rest) = (self.root, name);
        loop {
            let declared = self.declared_at(at)?;
            if declared.names.contains(&rest) {
                return None;
            }
            match rest.split_once('.') {
                Some((first, inner)) if declared.names.contains(&first) => {
                    at = self.object_at(at)?.member(first)?.node?;
                    rest = inner;
                }
                _ => return Some((rest, declared)),
            }
        }
    }

    fn declared_at(&self, mut at: NodeId) -> Option<Declared<'_>> {
        for _ in 0..REFERENCES_MAX {
            let node = self.node(at)?;
            let is_composed =
                !(node.all.is_empty() && node.any.is_empty() && node.one.is_empty() && node.condition.is_none());
            match (&node.object, node.reference) {
                _ if is_composed => return None,
                (None, Some(reference)) => at = reference,
                (None, None) | (Some(_), Some(_)) => return None,
                (Some(rules), None) => {
                    let declared = rules.members.iter().filter(|(_, member)| member.node.is_some());
                    let names: Vec<&str> = declared.map(|(name, _)| name.as_ref()).collect();
                    let closed = rules.additional.and_then(|node| self.node(node)).is_some_and(|node| node.never);
                    let is_told = rules.patterns.is_empty() && rules.then.is_empty() && (closed || !names.is_empty());
                    return is_told.then_some(Declared { names, closed });
                }
            }
        }
        None
    }

    /// Returns the rules for an object, following references.
    fn object_at(&self, mut at: NodeId) -> Option<&ObjectRules> {
        for _ in 0..REFERENCES_MAX {
            let node = self.node(at)?;
            match (&node.object, node.reference) {
                (Some(object), _) => return Some(object),
                (None, Some(reference)) => at = reference,
                (None, None) => return None,
            }
        }
        None
    }

    /// Returns the types that can fit a node at most; if that takes too many steps, all types.
    fn kinds(&self, at: NodeId, steps: &mut usize) -> Types {
        let Some((node, left)) = self.node(at).zip(steps.checked_sub(1)) else { return Types::ALL };
        *steps = left;
        let mut kinds = node.types.unwrap_or(Types::ALL);
        if let Some(choices) = &node.choices {
            kinds = kinds.and(choices.iter().map(|choice| Types::of(kind(choice))).fold(Types::NONE, Types::or));
        }
        if let Some(reference) = node.reference {
            kinds = kinds.and(self.kinds(reference, steps));
        }
        kinds = node.all.iter().fold(kinds, |kinds, inner| kinds.and(self.kinds(*inner, steps)));
        for some in [&node.any, &node.one] {
            if !some.is_empty() {
                kinds = kinds.and(some.iter().fold(Types::NONE, |all, inner| all.or(self.kinds(*inner, steps))));
            }
        }
        if node.never { Types::NONE } else { kinds }
    }
}

/// Returns the type of a value that was read.
pub(crate) fn kind(value: &Value) -> Kind {
    match value {
        Value::Array(_) => Kind::Array,
        Value::Bool(_) => Kind::Boolean,
        Value::Null => Kind::Null,
        Value::Number(_) => Kind::Number,
        Value::Object(_) => Kind::Object,
        Value::String(_) => Kind::String,
    }
}
