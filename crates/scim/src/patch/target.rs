//! What one operation does, and to which part of a resource.

use crate::error::ScimError;
use crate::filter::Filter;
use crate::path::{AttributePath, BYTES_MAX, Resolved};
use crate::schema::{Kind, Mutability};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Adds to what is there.
    Add,
    /// Takes away.
    Remove,
    /// Puts in place of what is there.
    Replace,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The attribute, and its part if there is no filter.
    pub path: AttributePath,
    /// Which values of it.
    pub filter: Option<Filter>,
    /// The part of those values.
    pub part: Option<String>,
}

impl Target {
    /// Reads a path: an attribute, one part of it, or some of its values.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > BYTES_MAX {
            return Err(ScimError::InvalidPath("it is too long"));
        }
        let no = ScimError::InvalidPath("it has not the form of a path");
        let Some((name, within)) = text.split_once('[') else {
            let path = AttributePath::parse(text).ok_or(no)?;
            return Ok(Self { path, filter: None, part: None });
        };
        let path = AttributePath::parse(name).filter(|path| path.part.is_none() && !path.name.is_empty()).ok_or(no)?;
        let (filter, rest) = Filter::parse_within(within)?;
        let part = match rest.strip_prefix('.') {
            None if rest.is_empty() => None,
            Some(part) if crate::path::is_name(part) => Some(part.to_owned()),
            _ => return Err(no),
        };
        Ok(Self { path, filter: Some(filter), part })
    }

    /// What is known of it.
    pub(super) fn resolve(&self, kind: Kind) -> Result<Resolved, ScimError> {
        let path = AttributePath { part: self.part.clone().or_else(|| self.path.part.clone()), ..self.path.clone() };
        let known = path.resolve(kind).ok_or(ScimError::InvalidPath("there is no such attribute"))?;
        if self.filter.is_some() && !known.attribute.several {
            return Err(ScimError::InvalidPath("only an attribute with several values has some of them"));
        }
        if known.attribute.mutability == Mutability::ReadOnly {
            return Err(ScimError::Mutability(known.attribute.name));
        }
        Ok(known)
    }
}
