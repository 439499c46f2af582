//! Bounds on a tool's arguments, for tasks and loans: a JSON Schema (2020-12) that is read more strictly than JSON
//! Schema requires, because somebody relies on it.
//!
//! In JSON Schema, `maximum` does not restrict a text, and `properties` does not require a member: both would let
//! through what the bound is meant to keep out. Here a bound on a property requires the property, and every keyword
//! requires the type that it applies to (decision 0036). A bound that could not restrict anything is refused when it is
//! made.

use std::fmt;

use jsonschema::{Draft, PatternOptions};
use sekisho_protocol::json::{Kind, Raw};
use serde_json::{Map, Value, json};

use crate::schema::{Compiled, SMALL_PATTERN_BYTES_MAX, ToolSchema, Types, Use, Violation, kind};

mod words;

use words::{Family, Word};

/// The most objects, arrays and scalars of one schema.
const SCHEMA_NODES_MAX: usize = 512;
/// The deepest nesting of objects and arrays in a schema.
const SCHEMA_DEPTH_MAX: usize = 16;

/// Why bounds on arguments are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// A schema, or a part of one, lets everything through.
    #[error(
        "the bounds on `{tool}` say nothing of {at}; leave that out, or say what it may be, such as {{\"const\":\"a\"}}"
    )]
    Empty {
        /// The tool.
        tool: String,
        /// The argument, in words.
        at: String,
    },
    /// The text is not a JSON Schema (2020-12), or has a pattern that is too large.
    #[error("the bounds on `{tool}` are not a JSON Schema: {reason}")]
    Invalid {
        /// The tool.
        tool: String,
        /// What the reader of schemas reports.
        reason: String,
    },
    /// The tool takes no such argument.
    #[error("the tool `{tool}` has no argument `{name}`{hint}")]
    NoSuchArgument {
        /// The tool.
        tool: String,
        /// The argument.
        name: String,
        /// A hint at the argument that may have been meant.
        hint: String,
        /// Whether the tool takes only the arguments that it declares, so that no call can keep this bound.
        closed: bool,
    },
    /// A keyword applies to values of another type than the argument can have.
    #[error("in the bounds on `{tool}`, `{keyword}` speaks of {speaks}, and {at} is {found}")]
    OtherType {
        /// The tool.
        tool: String,
        /// The keyword.
        keyword: String,
        /// The type that the keyword applies to.
        speaks: String,
        /// The argument, in words.
        at: String,
        /// The type that is declared.
        found: String,
    },
    /// The schema has a reference, and the cost of following references has no bound.
    #[error("the bounds on `{tool}` hold `{word}`; write out what it refers to")]
    Reference {
        /// The tool.
        tool: String,
        /// The keyword that refers.
        word: String,
    },
    /// The schema is too large or too deep.
    #[error("the bounds on `{tool}` have more than {SCHEMA_NODES_MAX} values or {SCHEMA_DEPTH_MAX} levels")]
    TooLarge {
        /// The tool.
        tool: String,
    },
    /// A type is allowed, and no keyword restricts it.
    #[error("the bounds on `{tool}` let any {kind} through as {at}; take it out of `type`, or bound it as well")]
    Unbound {
        /// The tool.
        tool: String,
        /// The type.
        kind: &'static str,
        /// The argument, in words.
        at: String,
    },
    /// A keyword has no clear meaning under these rules.
    #[error("the bounds on `{tool}` hold `{keyword}`, which is not used in bounds; {instead}")]
    Unclear {
        /// The tool.
        tool: String,
        /// The keyword.
        keyword: String,
        /// What to write instead.
        instead: &'static str,
    },
    /// A keyword does not exist.
    #[error("the bounds on `{tool}` hold `{keyword}`, which is no keyword of JSON Schema{hint}")]
    Unknown {
        /// The tool.
        tool: String,
        /// The keyword.
        keyword: String,
        /// A hint at the keyword that may have been meant.
        hint: String,
    },
}

/// Bounds that are ready to be checked.
pub struct Bounds(Compiled);

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bounds")
    }
}

impl Bounds {
    /// Reads bounds that were made before. Whether the tool has these arguments was checked then.
    pub fn read(tool: &str, schema: &Value) -> Result<Self, BoundsError> {
        Self::of(tool, schema, None)
    }

    /// Checks that arguments are within the bounds. They are the JSON text of an object; `None` counts as an empty one.
    pub(crate) fn check(&self, arguments: Option<&[u8]>) -> Result<(), Box<Violation>> {
        let broken = |_| Box::new(Violation::new("type"));
        let text = std::str::from_utf8(arguments.unwrap_or(b"{}")).map_err(broken)?;
        self.0.check(Raw::new(text))
    }

    fn of(tool: &str, schema: &Value, known: Option<&Compiled>) -> Result<Self, BoundsError> {
        measure(tool, schema, 1, &mut 0)?;
        let invalid = |reason: &dyn fmt::Display| {
            let mut reason = short(&reason.to_string());
            if reason.contains("\"regex\"") {
                reason.push_str("; an expression looks neither around nor back, and compiles to 8 KiB at most");
            }
            BoundsError::Invalid { tool: tool.to_owned(), reason }
        };
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            // Linear in the length of the text, whatever the expression is: look-around and back-references are
            // refused.
            .with_pattern_options(PatternOptions::regex().size_limit(SMALL_PATTERN_BYTES_MAX))
            .build(schema)
            .map_err(|error| invalid(&error))?;
        let reader = Reader { tool, known };
        let strict = reader.schema(schema, &SchemaPosition::root())?;
        Compiled::read(&strict, Use::Bounds).map(Self).map_err(|error| invalid(&error))
    }
}

/// Checks that bounds can restrict a call, before anybody agrees to them.
///
/// `definition` is the tool's definition, as the catalogue keeps it.
pub fn check_schema(tool: &str, schema: &Value, definition: Option<&str>) -> Result<(), BoundsError> {
    let known = definition.and_then(ToolSchema::of_definition);
    Bounds::of(tool, schema, known.as_ref().and_then(ToolSchema::compiled)).map(drop)
}

/// The finding that a tool does not declare an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// A hint at the argument that may have been meant, or at those that exist. It is the end of a sentence: it begins
    /// with a semicolon or is empty.
    pub hint: String,
    /// Whether the tool takes only the arguments that it declares.
    pub closed: bool,
}

/// Returns in what way a tool lacks an argument that a rule names, by its definition as the catalogue keeps it. A
/// nested argument has a name with points. `None` if the tool has it, or if that is unknown.
pub fn lacking(definition: &str, argument: &str) -> Option<Lacking> {
    let schema = ToolSchema::of_definition(definition)?;
    let (part, declared) = schema.compiled()?.lacking(argument)?;
    Some(Lacking { hint: words::meant(part, declared.names.into_iter()), closed: declared.closed })
}

/// Checks the size of a schema, and that it has no references. Without references it is a tree, and each of its nodes
/// checks each value once.
fn measure(tool: &str, schema: &Value, depth: usize, nodes: &mut usize) -> Result<(), BoundsError> {
    *nodes += 1;
    if *nodes > SCHEMA_NODES_MAX || depth > SCHEMA_DEPTH_MAX {
        return Err(BoundsError::TooLarge { tool: tool.to_owned() });
    }
    match schema {
        Value::Array(items) => items.iter().try_for_each(|item| measure(tool, item, depth + 1, nodes)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            if name.starts_with('$') && !matches!(name.as_str(), "$comment" | "$schema") {
                return Err(BoundsError::Reference { tool: tool.to_owned(), word: short(name) });
            }
            measure(tool, member, depth + 1, nodes)
        }),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Shortens a foreign text to one line.
fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(120).collect()
}

/// The place in the arguments that a schema is about.
#[derive(Debug, Clone)]
struct SchemaPosition<'a> {
    /// The names that lead there; `None` beyond a list or a pattern.
    path: Option<Vec<&'a str>>,
}

impl<'a> SchemaPosition<'a> {
    fn root() -> Self {
        Self { path: Some(Vec::new()) }
    }

    fn is_root(&self) -> bool {
        self.path.as_ref().is_some_and(Vec::is_empty)
    }

    fn member(&self, name: &'a str) -> Self {
        let path = self.path.clone().map(|mut path| {
            path.push(name);
            path
        });
        Self { path }
    }

    fn inside() -> Self {
        Self { path: None }
    }

    fn words(&self) -> String {
        match self.path.as_deref() {
            None => "a part of a list or of an open object".to_owned(),
            Some([]) => "the arguments".to_owned(),
            Some(path) => format!("the argument `{}`", short(&path.join("."))),
        }
    }
}

/// Rewrites a schema so that each keyword restricts.
struct Reader<'a> {
    tool: &'a str,
    known: Option<&'a Compiled>,
}

impl Reader<'_> {
    fn tool(&self) -> String {
        self.tool.to_owned()
    }

    fn empty(&self, place: &SchemaPosition<'_>) -> BoundsError {
        BoundsError::Empty { tool: self.tool(), at: place.words() }
    }

    /// The same schema with what it implies written out.
    fn schema(&self, schema: &Value, place: &SchemaPosition<'_>) -> Result<Value, BoundsError> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(false) => return Ok(Value::Bool(false)),
            _ => return Err(self.empty(place)),
        };
        let mut speaking = Vec::new();
        let mut binds = false;
        for (keyword, value) in members {
            let word = self.word(keyword, value)?;
            binds |= word.binds(keyword, value);
            if let Word::Of(family) = word {
                speaking.push((keyword.as_str(), family.kind()));
            }
        }
        if !binds {
            return Err(self.empty(place));
        }
        if let Some(inner) = members.get("not") {
            speaking.extend(self.excluded(inner)?.into_iter().map(|kind| ("not", kind)));
        }
        let mut strict = members.clone();
        self.kinds(&mut strict, &speaking, place)?;
        self.inner(&mut strict, members, place)?;
        Ok(Value::Object(strict))
    }

    /// Writes out the types that the keywords apply to, or says why the argument cannot have them.
    fn kinds(
        &self,
        strict: &mut Map<String, Value>,
        speaking: &[(&str, Kind)],
        place: &SchemaPosition<'_>,
    ) -> Result<(), BoundsError> {
        let other = |keyword: &str, kind: Kind, found: Types| BoundsError::OtherType {
            tool: self.tool(),
            keyword: keyword.to_owned(),
            speaks: with_article(kind).to_owned(),
            at: place.words(),
            found: found.words(),
        };
        let known = self.known.zip(place.path.as_deref()).and_then(|(known, path)| known.property(path));
        let there = if place.is_root() { Types::of(Kind::Object) } else { known.unwrap_or(Types::ALL) };
        let declared = strict.get("type").and_then(Types::named);
        let possible = declared.map_or(there, |declared| declared.and(there));
        if let Some((keyword, kind)) = speaking.iter().find(|(_, kind)| !possible.has(*kind)) {
            // A type that the bounds declare is reported before one that the tool declares.
            let found = declared.filter(|declared| !declared.has(*kind)).unwrap_or(there);
            return Err(other(keyword, *kind, found));
        }
        if let Some(declared) = declared.filter(|declared| declared.and(there) == Types::NONE) {
            return Err(BoundsError::OtherType {
                tool: self.tool(),
                keyword: "type".to_owned(),
                speaks: declared.words(),
                at: place.words(),
                found: there.words(),
            });
        }
        match (declared, speaking) {
            (Some(declared), [_, ..]) if !strict.contains_key("enum") && !strict.contains_key("const") => {
                let spoken = speaking.iter().fold(Types::NONE, |all, (_, kind)| all.or(Types::of(*kind)));
                let open = [Kind::Array, Kind::Number, Kind::Object, Kind::String];
                if let Some(kind) = open.into_iter().find(|kind| declared.has(*kind) && !spoken.has(*kind)) {
                    return Err(BoundsError::Unbound { tool: self.tool(), kind: kind.as_str(), at: place.words() });
                }
            }
            (None, [_, ..]) => {
                let mut kinds: Vec<&str> = speaking.iter().map(|(_, kind)| kind.as_str()).collect();
                kinds.sort_unstable();
                kinds.dedup();
                strict.insert("type".to_owned(), json!(kinds));
            }
            _ => {}
        }
        Ok(())
    }

    /// Rewrites the schemas inside a schema in the same way, and requires the properties that they restrict.
    fn inner(
        &self,
        strict: &mut Map<String, Value>,
        members: &Map<String, Value>,
        place: &SchemaPosition<'_>,
    ) -> Result<(), BoundsError> {
        self.properties(strict, members, place)?;
        for keyword in ["items", "contains", "additionalProperties"] {
            let open = |value: &&Value| **value != Value::Bool(true) || keyword != "additionalProperties";
            if let Some(inner) = members.get(keyword).filter(open) {
                strict.insert(keyword.to_owned(), self.schema(inner, &SchemaPosition::inside())?);
            }
        }
        if let Some(Value::Object(patterns)) = members.get("patternProperties") {
            let read =
                patterns.iter().map(|(name, inner)| Ok((name.clone(), self.schema(inner, &SchemaPosition::inside())?)));
            strict.insert("patternProperties".to_owned(), Value::Object(read.collect::<Result<_, _>>()?));
        }
        for (keyword, place) in [("prefixItems", &SchemaPosition::inside()), ("anyOf", place), ("allOf", place)] {
            if let Some(Value::Array(schemas)) = members.get(keyword) {
                let read = schemas.iter().map(|inner| self.schema(inner, place)).collect::<Result<_, _>>()?;
                strict.insert(keyword.to_owned(), Value::Array(read));
            }
        }
        // A shorter list would avoid what is said of its first elements.
        if let (Some(Value::Array(first)), None) = (members.get("prefixItems"), members.get("minItems")) {
            strict.insert("minItems".to_owned(), json!(first.len()));
        }
        Ok(())
    }

    fn properties(
        &self,
        strict: &mut Map<String, Value>,
        members: &Map<String, Value>,
        place: &SchemaPosition<'_>,
    ) -> Result<(), BoundsError> {
        let listed = members.get("required").and_then(Value::as_array);
        for name in listed.into_iter().flatten().filter_map(Value::as_str) {
            self.exists(name, place)?;
        }
        let Some(Value::Object(properties)) = members.get("properties") else { return Ok(()) };
        // If no other members are allowed, naming one means allowing it.
        let closed = members.get("additionalProperties") == Some(&Value::Bool(false));
        let (mut read, mut bound) = (Map::new(), Vec::new());
        for (name, inner) in properties {
            self.exists(name, place)?;
            let is_open = matches!(inner, Value::Bool(true)) || inner.as_object().is_some_and(Map::is_empty);
            if closed && is_open {
                read.insert(name.clone(), Value::Bool(true));
                continue;
            }
            read.insert(name.clone(), self.schema(inner, &place.member(name))?);
            // `false` means that the member must not be there.
            if *inner != Value::Bool(false) {
                bound.push(name.as_str());
            }
        }
        strict.insert("properties".to_owned(), Value::Object(read));
        if listed.is_none() {
            strict.insert("required".to_owned(), json!(bound));
        }
        Ok(())
    }

    /// That the tool takes an argument of this name, where it says which it takes.
    fn exists(&self, name: &str, place: &SchemaPosition<'_>) -> Result<(), BoundsError> {
        let declared = self.known.zip(place.path.as_deref()).and_then(|(known, path)| known.properties(path));
        match declared {
            Some(declared) if !declared.names.contains(&name) => Err(BoundsError::NoSuchArgument {
                tool: self.tool(),
                name: short(name),
                hint: words::meant(name, declared.names.into_iter()),
                closed: declared.closed,
            }),
            _ => Ok(()),
        }
    }

    fn word(&self, keyword: &str, value: &Value) -> Result<Word, BoundsError> {
        let word = Word::of(keyword).ok_or_else(|| {
            let hint = match value {
                Value::Object(_) if words::nearest(keyword).is_none() => {
                    format!(
                        "; what an argument may be stands under `properties`: {{\"properties\":{{\"{}\":…}}}}",
                        short(keyword)
                    )
                }
                _ => words::meant(keyword, words::all()),
            };
            BoundsError::Unknown { tool: self.tool(), keyword: short(keyword), hint }
        })?;
        match word {
            Word::Unclear(instead) => {
                Err(BoundsError::Unclear { tool: self.tool(), keyword: keyword.to_owned(), instead })
            }
            word => Ok(word),
        }
    }

    /// Returns the types of what `not` excludes: one value, or texts and numbers by their own keywords. Anything else
    /// would exclude less than it seems to.
    fn excluded(&self, schema: &Value) -> Result<Vec<Kind>, BoundsError> {
        let unclear = || BoundsError::Unclear {
            tool: self.tool(),
            keyword: "not".to_owned(),
            instead: "beside `const`, `enum` and the keywords of one text or number, say what is allowed",
        };
        let mut kinds = Vec::new();
        for (keyword, value) in schema.as_object().ok_or_else(unclear)? {
            match (self.word(keyword, value)?, keyword.as_str()) {
                (Word::Of(family @ (Family::Number | Family::String)), _) => kinds.push(family.kind()),
                (_, "const") => kinds.push(kind(value)),
                (_, "enum") => kinds.extend(value.as_array().into_iter().flatten().map(kind)),
                (Word::Note, _) => {}
                _ => return Err(unclear()),
            }
        }
        // Excluding null does not restrict any other type.
        kinds.retain(|kind| *kind != Kind::Null);
        if kinds.is_empty() { Err(unclear()) } else { Ok(kinds) }
    }
}

fn with_article(kind: Kind) -> &'static str {
    match kind {
        Kind::Array => "an array",
        Kind::Boolean => "a boolean",
        Kind::Null => "null",
        Kind::Number => "a number",
        Kind::Object => "an object",
        Kind::String => "a string",
    }
}

impl Types {
    fn words(self) -> String {
        let all = [Kind::Array, Kind::Boolean, Kind::Null, Kind::Number, Kind::Object, Kind::String];
        let held: Vec<&str> = all.into_iter().filter(|kind| self.has(*kind)).map(with_article).collect();
        if held.is_empty() { "nothing".to_owned() } else { held.join(" or ") }
    }
}

#[cfg(test)]
mod tests;
