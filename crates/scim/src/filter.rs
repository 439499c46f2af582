//! Filters (RFC 7644 §3.4.2.2): parsed with bounds on length, depth and number of terms, and matched against one
//! resource.

use std::fmt::{self, Display};

use serde_json::{Number, Value};

use crate::error::ScimError;
use crate::path::{AttributePath, BYTES_MAX};

mod ask;

/// The deepest nesting of parentheses and brackets.
pub const DEPTH_MAX: usize = 16;
/// The most comparisons in one filter.
pub const TERMS_MAX: usize = 100;

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these filters have to match; there are at least two.
    And(Vec<Filter>),
    /// An attribute compared with a value.
    Compare(AttributePath, Operator, Operand),
    /// This filter must not match.
    Not(Box<Filter>),
    /// One of these filters has to match; there are at least two.
    Or(Vec<Filter>),
    /// The attribute has to have a value.
    Present(AttributePath),
    /// One value of a list has to match the whole filter: `emails[type eq "work" and value co "@"]`.
    Values(AttributePath, Box<Filter>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Contains.
    Co,
    /// Equals.
    Eq,
    /// Ends with.
    Ew,
    /// Is greater or equal.
    Ge,
    /// Is greater.
    Gt,
    /// Is less or equal.
    Le,
    /// Is less.
    Lt,
    /// Does not equal.
    Ne,
    /// Starts with.
    Sw,
}

impl Operator {
    const ALL: [Self; 9] = [Self::Co, Self::Eq, Self::Ew, Self::Ge, Self::Gt, Self::Le, Self::Lt, Self::Ne, Self::Sw];

    fn as_str(self) -> &'static str {
        match self {
            Self::Co => "co",
            Self::Eq => "eq",
            Self::Ew => "ew",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::Le => "le",
            Self::Lt => "lt",
            Self::Ne => "ne",
            Self::Sw => "sw",
        }
    }
}

/// The value that an attribute is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// `true` or `false`.
    Boolean(bool),
    /// `null`.
    Null,
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

impl Filter {
    /// Parses a filter.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > BYTES_MAX {
            return Err(ScimError::InvalidFilter("it is too long"));
        }
        let mut reader = Reader { rest: text, terms: 0 };
        let filter = reader.any(0)?;
        reader.blanks();
        if reader.rest.is_empty() { Ok(filter) } else { Err(ScimError::InvalidFilter("something follows it")) }
    }

    /// Parses the filter within the brackets of a path. Returns it and the text after the bracket.
    pub(crate) fn parse_within(text: &str) -> Result<(Self, &str), ScimError> {
        if text.len() > BYTES_MAX {
            return Err(ScimError::InvalidPath("it is too long"));
        }
        let mut reader = Reader { rest: text, terms: 0 };
        let filter = reader.any(1)?;
        reader.blanks();
        let rest = reader.rest.strip_prefix(']').ok_or(ScimError::InvalidPath("a bracket is not closed"))?;
        Ok((filter, rest))
    }
}

/// Parses from left to right. Every step consumes text or fails, so the work grows linearly with the text.
struct Reader<'a> {
    rest: &'a str,
    terms: usize,
}

impl<'a> Reader<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Parses filters joined by `or`.
    fn any(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut all = vec![self.every(depth)?];
        while self.word("or") {
            all.push(self.every(depth)?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::Or(all) })
    }

    /// Parses filters joined by `and`, which binds more tightly than `or`.
    fn every(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let mut all = vec![self.term(depth)?];
        while self.word("and") {
            all.push(self.term(depth)?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
    }

    fn term(&mut self, depth: usize) -> Result<Filter, ScimError> {
        self.blanks();
        self.terms += 1;
        if depth > DEPTH_MAX || self.terms > TERMS_MAX {
            return Err(ScimError::InvalidFilter("it is too deep, or has too many terms"));
        }
        if self.rest.starts_with('(') {
            return self.group(depth);
        }
        let before = self.rest;
        if self.word("not") {
            self.blanks();
            if self.rest.starts_with('(') {
                return Ok(Filter::Not(Box::new(self.group(depth)?)));
            }
            self.rest = before;
        }
        self.comparison(depth)
    }

    fn group(&mut self, depth: usize) -> Result<Filter, ScimError> {
        self.rest = self.rest.strip_prefix('(').ok_or(ScimError::InvalidFilter("a parenthesis is missing"))?;
        let inner = self.any(depth + 1)?;
        self.blanks();
        self.rest = self.rest.strip_prefix(')').ok_or(ScimError::InvalidFilter("a parenthesis is not closed"))?;
        Ok(inner)
    }

    fn comparison(&mut self, depth: usize) -> Result<Filter, ScimError> {
        let end = self.rest.find([' ', '[', ']', '(', ')', '"']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let path = AttributePath::parse(name).filter(|path| !path.name.is_empty());
        let path = path.ok_or(ScimError::InvalidFilter("an attribute is missing"))?;
        self.rest = rest;
        if let Some(within) = self.rest.strip_prefix('[') {
            self.rest = within;
            let inner = self.any(depth + 1)?;
            self.blanks();
            self.rest = self.rest.strip_prefix(']').ok_or(ScimError::InvalidFilter("a bracket is not closed"))?;
            return Ok(Filter::Values(path, Box::new(inner)));
        }
        if self.word("pr") {
            return Ok(Filter::Present(path));
        }
        let operator = Operator::ALL.into_iter().find(|operator| self.word(operator.as_str()));
        let operator = operator.ok_or(ScimError::InvalidFilter("an operator is missing"))?;
        let operand = self.operand()?;
        let ordered = !matches!(operator, Operator::Eq | Operator::Ne);
        if ordered && matches!(operand, Operand::Boolean(_) | Operand::Null) {
            return Err(ScimError::InvalidFilter("`true`, `false` and `null` are compared with `eq` and `ne` only"));
        }
        Ok(Filter::Compare(path, operator, operand))
    }

    /// Consumes this word in any case, if it is next and ends there. Returns whether it did.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start_matches(' ');
        let Some((found, after)) = rest.split_at_checked(word.len()) else { return false };
        let ends = after.is_empty() || after.starts_with([' ', '(', ')', ']']);
        let is_it = found.eq_ignore_ascii_case(word) && ends;
        if is_it {
            self.rest = after;
        }
        is_it
    }

    fn operand(&mut self) -> Result<Operand, ScimError> {
        self.blanks();
        // One JSON value (RFC 7644 §3.4.2.2). `serde_json` finds the end of a string; other values end at a blank or a
        // bracket.
        let end = if self.rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            values.next();
            values.byte_offset()
        } else {
            self.rest.find([' ', ')', ']']).unwrap_or(self.rest.len())
        };
        let (value, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let operand = match serde_json::from_str(value) {
            Ok(Value::Bool(truth)) => Operand::Boolean(truth),
            Ok(Value::Null) => Operand::Null,
            Ok(Value::Number(number)) => Operand::Number(number),
            Ok(Value::String(text)) => Operand::Text(text),
            _ => return Err(ScimError::InvalidFilter("a value is missing, or is no text, number or truth value")),
        };
        self.rest = rest;
        Ok(operand)
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, all: &[Self], word: &str| {
            for (at, one) in all.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match one {
                    Self::And(_) | Self::Or(_) => write!(f, "({one})")?,
                    other => write!(f, "{other}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(all) => join(f, all, "and"),
            Self::Compare(path, operator, operand) => write!(f, "{path} {} {operand}", operator.as_str()),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Or(all) => join(f, all, "or"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Values(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Null => f.write_str("null"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", Value::from(text.as_str())),
        }
    }
}

#[cfg(test)]
mod tests;
