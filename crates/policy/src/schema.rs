//! What a tool's arguments may be: its accepted `inputSchema`, compiled once and checked at every call (RS-61).
//!
//! The check reads the arguments where they stand. Types are strict: `"5"` is no number, and 5.0 is the integer 5, as
//! JSON Schema has it. Numbers are compared as they are written, never as doubles. A member that the schema does not
//! declare, and that a lenient reader could take for one that it does, is refused ([`strict::loosely`]).
//!
//! Everything is bounded: the size of a schema, its patterns, and the steps of one check. Keywords that are seldom used
//! (`unevaluatedProperties`) are left to the crate `jsonschema`. A schema that can be read by neither is *unreadable*:
//! calls are held to no schema then, and rules and bounds still hold, for they do not rest on it (decision 0035).
//!
//! [`strict::loosely`]: sekisho_protocol::mcp::strict::loosely

mod check;
mod compile;
mod node;
mod said;

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use sekisho_protocol::json::Raw;
use serde_json::Value;

pub(crate) use compile::{CompileError, PATTERN_BYTES_MAX, SMALL_PATTERN_BYTES_MAX, Use};
pub(crate) use node::{Compiled, Types, kind};

/// Why arguments do not fit. Names what is wrong and where, and what the schema says there; never a value that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer (RFC 6901) to it; empty for the arguments as a whole.
    pub at: String,
    /// The keyword of JSON Schema that says no.
    pub keyword: &'static str,
    /// What is missing, or what a member could be taken for: a name out of the schema.
    pub name: Option<String>,
    /// A clause with what the schema says there, which is quoted as JSON of at most 300 characters. Empty where there is no
    /// more to say.
    pub wants: Box<str>,
    /// Which part of the schema says no.
    pub(super) part: Option<Part>,
}

/// The part of a schema that says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    node: node::NodeId,
    /// How many bytes of the pointer lead from its value to the one that does not fit.
    below: usize,
    /// Whether it offers a choice, of which no branch alone says what is wanted.
    is_choice: bool,
}

impl Violation {
    pub(crate) fn new(keyword: &'static str) -> Self {
        Self { at: String::new(), keyword, name: None, wants: Box::default(), part: None }
    }

    /// What is wrong, in words that go with either kind of schema.
    fn wrong(&self) -> String {
        let name = self.name.as_deref().map(shown).unwrap_or_default();
        let at = shown(&self.at);
        match (self.keyword, self.at.is_empty()) {
            ("required", true) => format!("the argument `{name}` is missing"),
            ("required", false) => format!("`{name}` is missing in the argument `{at}`"),
            (FOLDED, _) => {
                format!("the argument `{at}` could be taken for `{name}`; spell it exactly or leave it out")
            }
            (ROUNDED, _) => format!(
                "the argument `{at}` is a number that some programs round, and there is a bound on it; send one up to 2^53"
            ),
            (_, true) => "the arguments".to_owned(),
            (_, false) => format!("the argument `{at}`"),
        }
    }

    /// Whether [`Self::wrong`] is a whole sentence.
    fn is_told(&self) -> bool {
        matches!(self.keyword, "required" | FOLDED | ROUNDED)
    }

    /// The same of bounds, where the reader knows whose: of a task, of what was lent.
    pub fn of_bounds(&self, whose: &str) -> String {
        let wants = self.wanted();
        match self.keyword {
            "required" => format!("{}, and it is bounded by {whose}{wants}", self.wrong()),
            COSTLY => format!("the arguments are too large to be checked against the bounds of {whose}"),
            _ if self.is_told() => format!("{}{wants}", self.wrong()),
            _ if self.at.is_empty() => format!("the arguments are beyond the bounds of {whose}{wants}"),
            _ => format!("{} is beyond the bounds of {whose}{wants}", self.wrong()),
        }
    }

    fn wanted(&self) -> String {
        if self.wants.is_empty() { String::new() } else { format!("; {}", self.wants) }
    }
}

/// Characters of a pointer, or of a name, in a message.
const SHOWN_MAX: usize = 120;

impl fmt::Display for Violation {
    /// Of the input schema of a tool.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wrong, wants) = (self.wrong(), self.wanted());
        match self.keyword {
            COSTLY => f.write_str("the arguments are too large to be checked against the tool's input schema"),
            _ if self.is_told() => write!(f, "{wrong}{wants}"),
            keyword if self.at.is_empty() => {
                write!(f, "{wrong} do not fit `{keyword}` of the tool's input schema{wants}")
            }
            keyword => write!(f, "{wrong} does not fit `{keyword}` of the tool's input schema{wants}"),
        }
    }
}

/// A foreign name or pointer on one line.
fn shown(text: &str) -> String {
    text.escape_debug().take(SHOWN_MAX).collect()
}

/// A member that is not declared, and could be taken for one that is.
pub(crate) const FOLDED: &str = "properties";
/// A number that some programs round to one nearby, where its size counts: neither a yes nor a no.
pub(crate) const ROUNDED: &str = "(rounded)";
/// The check took more steps than it may.
pub(crate) const COSTLY: &str = "(steps)";

/// The compiled `inputSchema` of one tool.
pub struct ToolSchema(Reading);

enum Reading {
    Compiled(Compiled),
    /// With keywords that are seldom used.
    Whole(Box<Validator>),
    Unreadable(String),
}

impl fmt::Debug for ToolSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolSchema")
    }
}

impl PartialEq for ToolSchema {
    /// Only with itself: it is shared, and made anew when the tool changes.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ToolSchema {}

impl ToolSchema {
    /// Compiles an `inputSchema`. What cannot be read is noted, and holds nothing.
    pub fn read(schema: &Value) -> Self {
        Self(match Compiled::read(schema, Use::Tool) {
            Ok(compiled) => Reading::Compiled(compiled),
            Err(CompileError::Seldom(_)) => match whole(schema) {
                Ok(validator) => Reading::Whole(Box::new(validator)),
                Err(reason) => Reading::Unreadable(reason),
            },
            Err(error) => Reading::Unreadable(error.to_string()),
        })
    }

    /// The same of a tool's definition: one JSON object with the member `inputSchema`. `None`: it has none.
    pub fn of_definition(definition: &str) -> Option<Self> {
        let definition: Value = serde_json::from_str(definition).ok()?;
        definition.get("inputSchema").map(Self::read)
    }

    /// Why it cannot be read, if it cannot.
    pub fn unreadable(&self) -> Option<&str> {
        match &self.0 {
            Reading::Compiled(_) | Reading::Whole(_) => None,
            Reading::Unreadable(reason) => Some(reason),
        }
    }

    /// Whether arguments fit: the JSON text of an object; none at all are an empty one.
    pub fn check(&self, arguments: Option<&[u8]>) -> Result<(), Box<Violation>> {
        let broken = || Box::new(Violation::new("type"));
        let text = std::str::from_utf8(arguments.unwrap_or(b"{}")).map_err(|_| broken())?;
        match &self.0 {
            Reading::Compiled(compiled) => compiled.check(Raw::new(text)),
            Reading::Whole(validator) => {
                let value: Value = serde_json::from_str(text).map_err(|_| broken())?;
                validator.validate(&value).map_err(|error| {
                    let at = error.instance_path().to_string();
                    Box::new(Violation { at, ..Violation::new("unevaluatedProperties") })
                })
            }
            Reading::Unreadable(_) => Ok(()),
        }
    }

    /// Whether a value at this place was held to a type, so that `null` there means what the schema says it means. `path`
    /// has the names that lead there, outermost first.
    pub(crate) fn is_typed(&self, path: &[&str]) -> bool {
        self.compiled().and_then(|compiled| compiled.property(path)).is_some_and(|types| types != Types::ALL)
    }

    /// Whether it declares a property at this place.
    pub(crate) fn declares(&self, path: &[&str]) -> bool {
        self.compiled().is_some_and(|compiled| compiled.property(path).is_some())
    }

    /// The compiled form, if this module itself checks it.
    pub(crate) fn compiled(&self) -> Option<&Compiled> {
        match &self.0 {
            Reading::Compiled(compiled) => Some(compiled),
            Reading::Whole(_) | Reading::Unreadable(_) => None,
        }
    }
}

/// A check by the crate `jsonschema`, of a schema that is a tree: with references, nobody could bound its cost. Nothing is
/// fetched from anywhere: the crate is built without.
fn whole(schema: &Value) -> Result<Validator, String> {
    if has_reference(schema) {
        return Err("`unevaluatedProperties` and the like, together with references".to_owned());
    }
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| {
            error.to_string().chars().filter(|character| !character.is_control()).take(SHOWN_MAX).collect()
        })
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(members) => {
            members.iter().any(|(name, member)| name.ends_with("Ref") || name == "$ref" || has_reference(member))
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
