//! The schema of a tool's arguments: its accepted `inputSchema`, compiled once and checked on every call (RS-61).
//!
//! The check reads the arguments in place, without building a value. Types are strict: `"5"` is no number, and 5.0 is
//! the integer 5, as JSON Schema has it. Numbers are compared as they are written, never as doubles. A member that the
//! schema does not declare is refused if a lenient reader could take it for a declared one ([`strict::loosely`]).
//!
//! Everything is bounded: the size of a schema, its patterns, and the steps of one check. Schemas with rare keywords
//! (`unevaluatedProperties`) are checked by the crate `jsonschema`. A schema that neither can read is *unreadable*:
//! calls are then not checked against it, but rules and bounds still hold, because they do not depend on it
//! (decision 0035).
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

/// Why arguments do not fit. Says what is wrong, where, and what the schema requires; never shows a value that was
/// sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer (RFC 6901) to the wrong value; empty for the arguments as a whole.
    pub at: String,
    /// The keyword of JSON Schema that refuses the value.
    pub keyword: &'static str,
    /// A name from the schema: the missing member, or the one that a member could be taken for.
    pub name: Option<String>,
    /// A clause that quotes what the schema requires there, as JSON of at most 300 characters. Empty if there is
    /// nothing to add.
    pub wants: Box<str>,
    /// The part of the schema that refuses the value.
    pub(super) part: Option<Part>,
}

/// The part of a schema that refuses a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    node: node::NodeId,
    /// The number of bytes at the end of the pointer that lead from this part's value to the wrong value.
    below: usize,
    /// Whether the part offers a choice, so that no single branch tells what is required.
    is_choice: bool,
}

impl Violation {
    pub(crate) fn new(keyword: &'static str) -> Self {
        Self { at: String::new(), keyword, name: None, wants: Box::default(), part: None }
    }

    /// Says what is wrong, in words that fit both the schema of a tool and bounds.
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

    /// Describes the violation of bounds; `whose` says what set them: a task, or a loan.
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

/// The most characters of a pointer or a name in a message.
const SHOWN_MAX: usize = 120;

impl fmt::Display for Violation {
    /// Describes the violation of a tool's input schema.
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

/// Shortens a foreign name or pointer to one line.
fn shown(text: &str) -> String {
    text.escape_debug().take(SHOWN_MAX).collect()
}

/// The keyword for a member that is not declared and could be taken for a declared one.
pub(crate) const FOLDED: &str = "properties";
/// The keyword for a number that some programs round, if its size matters: it neither fits nor fails.
pub(crate) const ROUNDED: &str = "(rounded)";
/// The keyword for a check that took more steps than it may.
pub(crate) const COSTLY: &str = "(steps)";

/// The compiled `inputSchema` of one tool.
pub struct ToolSchema(Reading);

enum Reading {
    Compiled(Compiled),
    /// A schema with rare keywords.
    Whole(Box<Validator>),
    Unreadable(String),
}

impl fmt::Debug for ToolSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolSchema")
    }
}

impl PartialEq for ToolSchema {
    /// A schema only equals itself: it is shared, and made anew when the tool changes.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ToolSchema {}

impl ToolSchema {
    /// Compiles an `inputSchema`. If it cannot be read, that is noted, and nothing is checked.
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

    /// Compiles the member `inputSchema` of a tool's definition, which is one JSON object. `None` if it has none.
    pub fn of_definition(definition: &str) -> Option<Self> {
        let definition: Value = serde_json::from_str(definition).ok()?;
        definition.get("inputSchema").map(Self::read)
    }

    /// Returns why the schema cannot be read, if so.
    pub fn unreadable(&self) -> Option<&str> {
        match &self.0 {
            Reading::Compiled(_) | Reading::Whole(_) => None,
            Reading::Unreadable(reason) => Some(reason),
        }
    }

    /// Checks that arguments fit. They are the JSON text of an object; `None` counts as an empty one.
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

    /// Whether the schema restricts the type of the value at this place, so that it also decides about `null` there.
    /// `path` holds the names that lead there, outermost first.
    pub(crate) fn is_typed(&self, path: &[&str]) -> bool {
        self.compiled().and_then(|compiled| compiled.property(path)).is_some_and(|types| types != Types::ALL)
    }

    /// Whether the schema declares a property at this place.
    pub(crate) fn declares(&self, path: &[&str]) -> bool {
        self.compiled().is_some_and(|compiled| compiled.property(path).is_some())
    }

    /// Returns the compiled form, if this module does the check itself.
    pub(crate) fn compiled(&self) -> Option<&Compiled> {
        match &self.0 {
            Reading::Compiled(compiled) => Some(compiled),
            Reading::Whole(_) | Reading::Unreadable(_) => None,
        }
    }
}

/// Builds a check by the crate `jsonschema`. The schema must be a tree, because with references the cost has no bound.
/// Nothing is fetched, because the crate is built without that feature.
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
