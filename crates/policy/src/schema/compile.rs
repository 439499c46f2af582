//! Compiles a schema from its JSON into an arena of nodes, in which a schema can refer to itself at no cost.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use sekisho_protocol::decimal::Decimal;
use sekisho_protocol::mcp::strict::loosely;
use serde_json::{Map, Value, json};

use super::node::{
    Compiled, ListRules, MemberRules, Node, NodeId, NumberRules, ObjectRules, Pattern, TextRules, Types,
};
use super::said::said;

/// The most subschemas of one schema.
const NODES_MAX: usize = 4_096;
/// The deepest nesting of subschemas, without following references.
const DEPTH_MAX: usize = 64;
/// The most patterns of one schema.
const PATTERNS_MAX: usize = 32;
/// The most values in all `enum`s of one schema.
const CHOICES_MAX: usize = 10_000;
/// The most bytes that one regular expression of bounds takes when compiled: some hundred states. An agent can begin a
/// task with bounds of its own, so their cost is what a stranger can make us compute (ATK-245).
pub(crate) const SMALL_PATTERN_BYTES_MAX: usize = 8 * 1024;
/// The same for the input schema of a tool, which an owner accepted. It is larger because classes of Unicode are large.
pub(crate) const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// How many steps a small expression takes for each byte of a text; the next one is for a larger expression.
const SMALL_STEPS_A_BYTE: u32 = 4;
const STEPS_A_BYTE: u32 = 32;
/// How many steps back an expression with look-around may take on one text.
const BACKTRACKS_MAX: usize = 100_000;

/// Why a schema is not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    /// A keyword has a value that it cannot have.
    #[error("`{0}` has a value that it cannot have")]
    Malformed(String),
    /// A reference leads to nothing, or out of the schema.
    #[error("a reference to something that is not in the schema")]
    Reference,
    /// A keyword is not checked here.
    #[error("the keyword `{0}` is not checked here")]
    Seldom(String),
    /// The schema is larger than allowed.
    #[error("the schema is larger than {NODES_MAX} subschemas, {DEPTH_MAX} levels or {PATTERNS_MAX} patterns")]
    TooLarge,
}

/// The use of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Bounds, on which somebody relies. Formats are checked, and every pattern costs linear time.
    Bounds,
    /// An `inputSchema`, in which `format` is only an annotation (2020-12 Validation §7.2.1).
    Tool,
}

impl Compiled {
    /// Reads a schema of the drafts 7, 2019-09 and 2020-12; it is 2020-12 if it does not say which.
    pub(crate) fn read(schema: &Value, used: Use) -> Result<Self, CompileError> {
        let dialect = Dialect::of(schema)?;
        let mut compiler = Compiler {
            root: schema,
            dialect,
            used,
            nodes: Vec::new(),
            known: HashMap::new(),
            pending: Vec::new(),
            patterns: 0,
            choices: 0,
        };
        let root = compiler.referred("")?;
        // References are read here and not where they occur, because a chain of references would need as deep a stack.
        while let Some((id, schema, depth)) = compiler.pending.pop() {
            compiler.fill(id, schema, depth)?;
        }
        Ok(Self { nodes: compiler.nodes, root })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Keywords beside `$ref` are ignored (draft 7 §8.3); `items` may be a list.
    Draft7,
    /// `items` may be a list.
    Draft2019,
    Draft2020,
}

impl Dialect {
    fn of(schema: &Value) -> Result<Self, CompileError> {
        let Some(named) = schema.get("$schema").and_then(Value::as_str) else { return Ok(Self::Draft2020) };
        let is = |draft| named.contains(draft);
        match () {
            () if is("2020-12") => Ok(Self::Draft2020),
            () if is("2019-09") => Ok(Self::Draft2019),
            () if is("draft-07") || is("draft-06") => Ok(Self::Draft7),
            () => Err(CompileError::Seldom("$schema".to_owned())),
        }
    }
}

struct Compiler<'a> {
    root: &'a Value,
    dialect: Dialect,
    used: Use,
    nodes: Vec<Node>,
    /// The subschemas that were referred to, by their pointers.
    known: HashMap<String, NodeId>,
    /// The subschemas that are referred to and still have to be read, with their depth.
    pending: Vec<(NodeId, &'a Value, usize)>,
    patterns: usize,
    choices: usize,
}

/// Keywords that change what fits, but are not compiled here.
const SELDOM: [&str; 5] = ["$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties", "$vocabulary"];

impl<'a> Compiler<'a> {
    /// Returns the node that a local pointer leads to. It gets its place before it is read, so that it can refer to
    /// itself.
    fn referred(&mut self, pointer: &str) -> Result<NodeId, CompileError> {
        if let Some(known) = self.known.get(pointer) {
            return Ok(*known);
        }
        let schema = self.root.pointer(pointer).ok_or(CompileError::Reference)?;
        let id = self.place()?;
        self.known.insert(pointer.to_owned(), id);
        self.pending.push((id, schema, if pointer.is_empty() { 1 } else { 2 }));
        Ok(id)
    }

    fn place(&mut self) -> Result<NodeId, CompileError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(CompileError::TooLarge);
        }
        self.nodes.push(Node::default());
        Ok(NodeId(self.nodes.len() - 1))
    }

    fn inner(&mut self, schema: &'a Value, depth: usize) -> Result<NodeId, CompileError> {
        let id = self.place()?;
        self.fill(id, schema, depth + 1)?;
        Ok(id)
    }

    fn fill(&mut self, id: NodeId, schema: &'a Value, depth: usize) -> Result<(), CompileError> {
        if depth > DEPTH_MAX {
            return Err(CompileError::TooLarge);
        }
        let mut node = match schema {
            Value::Bool(fits) => Node { never: !fits, ..Node::default() },
            Value::Object(members) => self.node(members, depth)?,
            _ => return Err(malformed("a schema")),
        };
        node.said = said(schema);
        if let Some(place) = self.nodes.get_mut(id.0) {
            *place = node;
        }
        Ok(())
    }

    fn node(&mut self, schema: &'a Map<String, Value>, depth: usize) -> Result<Node, CompileError> {
        if let Some(seldom) = SELDOM.iter().find(|keyword| schema.contains_key(**keyword)) {
            return Err(CompileError::Seldom((*seldom).to_owned()));
        }
        // References to what is inside would be relative to another name.
        if depth > 1 && schema.get("$id").is_some_and(Value::is_string) {
            return Err(CompileError::Seldom("$id".to_owned()));
        }
        let reference = match schema.get("$ref") {
            None => None,
            Some(reference) => Some(self.reference(reference)?),
        };
        if reference.is_some() && self.dialect == Dialect::Draft7 {
            return Ok(Node { reference, ..Node::default() });
        }
        let condition = match schema.get("if") {
            None => None,
            Some(condition) => Some((
                self.inner(condition, depth)?,
                self.optional(schema, "then", depth)?,
                self.optional(schema, "else", depth)?,
            )),
        };
        Ok(Node {
            never: false,
            types: schema.get("type").map(|declared| Types::named(declared).ok_or(malformed("type"))).transpose()?,
            integers: schema.get("type").is_some_and(wants_integers),
            choices: self.choices(schema)?,
            number: number_rules(schema)?,
            text: self.text_rules(schema)?,
            list: self.list_rules(schema, depth)?,
            object: self.object_rules(schema, depth)?,
            reference,
            all: self.several(schema, "allOf", depth)?,
            any: self.several(schema, "anyOf", depth)?,
            one: self.several(schema, "oneOf", depth)?,
            not: self.optional(schema, "not", depth)?,
            condition,
            said: Box::default(),
        })
    }

    /// Reads a reference, which must be to the schema itself: nothing is fetched.
    fn reference(&mut self, reference: &Value) -> Result<NodeId, CompileError> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).ok_or(CompileError::Reference)?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(CompileError::Reference);
        }
        self.referred(&percent_decoded(pointer).ok_or(CompileError::Reference)?)
    }

    fn optional(
        &mut self,
        schema: &'a Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<Option<NodeId>, CompileError> {
        schema.get(keyword).map(|inner| self.inner(inner, depth)).transpose()
    }

    fn several(
        &mut self,
        schema: &'a Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<Vec<NodeId>, CompileError> {
        let Some(value) = schema.get(keyword) else { return Ok(Vec::new()) };
        let schemas = value.as_array().filter(|schemas| !schemas.is_empty()).ok_or(malformed(keyword))?;
        schemas.iter().map(|inner| self.inner(inner, depth)).collect()
    }

    fn choices(&mut self, schema: &Map<String, Value>) -> Result<Option<Vec<Value>>, CompileError> {
        let listed = match schema.get("enum") {
            None => None,
            Some(value) => Some(value.as_array().ok_or(malformed("enum"))?.clone()),
        };
        let choices = match (schema.get("const"), listed) {
            (None, listed) => listed,
            (Some(only), None) => Some(vec![only.clone()]),
            (Some(only), Some(listed)) => Some(listed.into_iter().filter(|choice| choice == only).collect()),
        };
        self.choices += choices.as_ref().map_or(0, Vec::len);
        if self.choices > CHOICES_MAX { Err(CompileError::TooLarge) } else { Ok(choices) }
    }

    fn text_rules(&mut self, schema: &Map<String, Value>) -> Result<Option<Box<TextRules>>, CompileError> {
        let format = schema.get("format").filter(|_| self.used == Use::Bounds);
        let rules = TextRules {
            min: count(schema, "minLength")?,
            max: count(schema, "maxLength")?,
            pattern: schema.get("pattern").map(|pattern| self.pattern(pattern)).transpose()?,
            format: format.map(format_check).transpose()?,
        };
        let says = rules.min.is_some() || rules.max.is_some() || rules.pattern.is_some() || rules.format.is_some();
        Ok(says.then(|| Box::new(rules)))
    }

    /// Compiles an expression of ECMA-262, as JSON Schema has it. It takes linear time in the text. For tools,
    /// look-around is allowed as well, with a bounded number of steps back.
    fn pattern(&mut self, pattern: &Value) -> Result<Pattern, CompileError> {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(CompileError::TooLarge);
        }
        let schema = json!({ "pattern": pattern });
        let linear = |bytes_max| {
            jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(bytes_max)).build(&schema)
        };
        let small = linear(SMALL_PATTERN_BYTES_MAX);
        if small.is_ok() || self.used == Use::Bounds {
            let check = small.map_err(|_| malformed("pattern"))?;
            return Ok(Pattern { check, steps_a_byte: SMALL_STEPS_A_BYTE });
        }
        let around = PatternOptions::fancy_regex().size_limit(PATTERN_BYTES_MAX).backtrack_limit(BACKTRACKS_MAX);
        let large = linear(PATTERN_BYTES_MAX);
        let check = large.or_else(|_| jsonschema::options().with_pattern_options(around).build(&schema));
        Ok(Pattern { check: check.map_err(|_| malformed("pattern"))?, steps_a_byte: STEPS_A_BYTE })
    }

    fn list_rules(
        &mut self,
        schema: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Box<ListRules>>, CompileError> {
        let mut rules = ListRules {
            first: self.several(schema, "prefixItems", depth)?,
            contains: self.optional(schema, "contains", depth)?,
            contains_min: count(schema, "minContains")?.unwrap_or(1),
            contains_max: count(schema, "maxContains")?,
            min: count(schema, "minItems")?,
            max: count(schema, "maxItems")?,
            unique: schema.get("uniqueItems").and_then(Value::as_bool).unwrap_or_default(),
            rest: None,
        };
        match schema.get("items") {
            // A list means what `prefixItems` means now, even if no draft is named.
            Some(Value::Array(schemas)) if self.dialect != Dialect::Draft2020 || !schema.contains_key("$schema") => {
                rules.first = schemas.iter().map(|inner| self.inner(inner, depth)).collect::<Result<_, _>>()?;
                rules.rest = self.optional(schema, "additionalItems", depth)?;
            }
            Some(inner) => rules.rest = Some(self.inner(inner, depth)?),
            None => {}
        }
        let says = !rules.first.is_empty()
            || rules.rest.is_some()
            || rules.contains.is_some()
            || rules.min.is_some()
            || rules.max.is_some()
            || rules.unique;
        Ok(says.then(|| Box::new(rules)))
    }

    fn object_rules(
        &mut self,
        schema: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Box<ObjectRules>>, CompileError> {
        let mut rules = ObjectRules {
            additional: self.optional(schema, "additionalProperties", depth)?,
            names: self.optional(schema, "propertyNames", depth)?,
            min: count(schema, "minProperties")?,
            max: count(schema, "maxProperties")?,
            ..ObjectRules::default()
        };
        let mut members: HashMap<&str, MemberRules> = HashMap::new();
        for (name, inner) in map(schema, "properties")? {
            members.insert(name, MemberRules { node: Some(self.inner(inner, depth)?), required: false });
        }
        rules.loose = members.keys().map(|name| (loosely(name).into(), Box::from(*name))).collect();
        // Draft 3 had `true` and `false` here, in another place; they have no effect.
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            members.entry(name.as_str().ok_or(malformed("required"))?).or_default().required = true;
        }
        for (pattern, inner) in map(schema, "patternProperties")? {
            let pattern = self.pattern(&Value::from(pattern.as_str()))?;
            rules.patterns.push((pattern, self.inner(inner, depth)?));
        }
        self.dependent(schema, depth, &mut rules)?;
        rules.required = members.values().filter(|member| member.required).count();
        rules.members = members.into_iter().map(|(name, member)| (Box::from(name), member)).collect();
        rules.members.sort_by(|(one, _), (other, _)| one.cmp(other));
        let says = !rules.members.is_empty()
            || !rules.patterns.is_empty()
            || !rules.together.is_empty()
            || !rules.then.is_empty()
            || rules.additional.is_some()
            || rules.names.is_some()
            || rules.min.is_some()
            || rules.max.is_some();
        Ok(says.then(|| Box::new(rules)))
    }

    fn dependent(
        &mut self,
        schema: &'a Map<String, Value>,
        depth: usize,
        rules: &mut ObjectRules,
    ) -> Result<(), CompileError> {
        let names = |value: &Value| -> Result<Vec<String>, CompileError> {
            let list = value.as_array().ok_or(malformed("dependentRequired"))?.iter();
            list.map(|name| name.as_str().map(str::to_owned).ok_or(malformed("dependentRequired"))).collect()
        };
        for (name, value) in map(schema, "dependentRequired")? {
            rules.together.push((Box::from(name.as_str()), names(value)?));
        }
        for (name, inner) in map(schema, "dependentSchemas")? {
            rules.then.push((Box::from(name.as_str()), self.inner(inner, depth)?));
        }
        if self.dialect == Dialect::Draft7 {
            for (name, value) in map(schema, "dependencies")? {
                match value {
                    Value::Array(_) => rules.together.push((Box::from(name.as_str()), names(value)?)),
                    inner => rules.then.push((Box::from(name.as_str()), self.inner(inner, depth)?)),
                }
            }
        }
        Ok(())
    }
}

fn malformed(keyword: &str) -> CompileError {
    CompileError::Malformed(keyword.to_owned())
}

fn wants_integers(declared: &Value) -> bool {
    let is = |value: &Value, name: &str| value.as_str() == Some(name);
    match declared {
        Value::Array(names) => {
            names.iter().any(|name| is(name, "integer")) && !names.iter().any(|name| is(name, "number"))
        }
        name => is(name, "integer"),
    }
}

fn map<'a>(schema: &'a Map<String, Value>, keyword: &str) -> Result<Vec<(&'a String, &'a Value)>, CompileError> {
    match schema.get(keyword) {
        None => Ok(Vec::new()),
        Some(value) => Ok(value.as_object().ok_or(malformed(keyword))?.iter().collect()),
    }
}

/// Reads a count; `2.0` is 2.
fn count(schema: &Map<String, Value>, keyword: &str) -> Result<Option<u64>, CompileError> {
    let Some(value) = schema.get(keyword) else { return Ok(None) };
    let whole = number(value).and_then(|number| u64::try_from(number.to_i64()?).ok());
    whole.map(Some).ok_or(malformed(keyword))
}

fn number(value: &Value) -> Option<Decimal> {
    value.as_number().and_then(|number| Decimal::parse(&number.to_string()))
}

fn number_rules(schema: &Map<String, Value>) -> Result<Option<Box<NumberRules>>, CompileError> {
    let read = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        Some(value) => number(value).map(Some).ok_or(malformed(keyword)),
    };
    let (mut minimum, mut maximum) = (read("minimum")?, read("maximum")?);
    // In draft 4 and OpenAPI 3.0 these are booleans: `true` excludes the bound itself.
    let exclusive = |keyword: &str, bound: &mut Option<Decimal>| match schema.get(keyword) {
        Some(Value::Bool(true)) => Ok(bound.take()),
        Some(Value::Bool(false)) => Ok(None),
        _ => read(keyword),
    };
    let above = exclusive("exclusiveMinimum", &mut minimum)?;
    let below = exclusive("exclusiveMaximum", &mut maximum)?;
    let multiple_of = read("multipleOf")?;
    // A value that cannot be divided by cannot be checked.
    if multiple_of.as_ref().is_some_and(|unit| unit.is_multiple_of(unit) != Some(true)) {
        return Err(malformed("multipleOf"));
    }
    let rules = NumberRules { minimum, maximum, above, below, multiple_of };
    let said = [&rules.minimum, &rules.maximum, &rules.above, &rules.below, &rules.multiple_of];
    let says = said.iter().any(|bound| bound.is_some());
    Ok(says.then(|| Box::new(rules)))
}

fn format_check(format: &Value) -> Result<Validator, CompileError> {
    jsonschema::options()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(&json!({ "format": format }))
        .map_err(|_| malformed("format"))
}

/// Decodes percent escapes in a pointer (RFC 6901 §6). A pointer with an invalid escape leads nowhere.
fn percent_decoded(pointer: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
