//! Names of attributes in filters, paths and projections (RFC 7644 §3.10).

use std::fmt::{self, Display};

use serde_json::{Map, Value};

use crate::schema::{Attribute, ENTERPRISE, GROUP, Kind, USER, enterprise};

/// Where an attribute is stored in a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In the resource itself.
    Core,
    /// In the enterprise extension.
    Enterprise,
}

/// A path `[URI:]name[.part]`, with the names as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    /// Where the attribute is.
    pub home: Home,
    /// The attribute's name; empty for the whole extension.
    pub name: String,
    /// The name of the part, if one is named.
    pub part: Option<String>,
}

/// The longest path or filter that is read, in bytes.
pub const BYTES_MAX: usize = 4 * 1024;

impl AttributePath {
    /// Parses a path without a filter. Returns `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (home, rest) = home(text);
        if rest.is_empty() {
            return (home == Home::Enterprise).then(|| Self { home, name: String::new(), part: None });
        }
        let (name, part) = match rest.split_once('.') {
            None => (rest, None),
            Some((name, part)) => (name, Some(part)),
        };
        let good = is_name(name) && part.is_none_or(is_name);
        good.then(|| Self { home, name: name.to_owned(), part: part.map(str::to_owned) })
    }

    /// Looks the attribute and its part, if one is named, up in the table.
    pub(crate) fn resolve(&self, kind: Kind) -> Option<Resolved> {
        let attribute = match self.home {
            Home::Core => kind.attribute(&self.name)?,
            Home::Enterprise => enterprise(&self.name)?,
        };
        let part = match &self.part {
            None => None,
            Some(part) => Some(attribute.part(part)?),
        };
        Some(Resolved { home: self.home, attribute, part })
    }
}

impl Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.home, self.name.is_empty()) {
            (Home::Core, _) => f.write_str(&self.name)?,
            (Home::Enterprise, true) => f.write_str(ENTERPRISE)?,
            (Home::Enterprise, false) => write!(f, "{ENTERPRISE}:{}", self.name)?,
        }
        self.part.as_ref().map_or(Ok(()), |part| write!(f, ".{part}"))
    }
}

/// An attribute that is in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolved {
    pub(crate) home: Home,
    pub(crate) attribute: &'static Attribute,
    pub(crate) part: Option<&'static Attribute>,
}

/// Removes the URI of a schema, written in any case, from the front of a path.
fn home(text: &str) -> (Home, &str) {
    for (schema, home) in [(USER, Home::Core), (GROUP, Home::Core), (ENTERPRISE, Home::Enterprise)] {
        if let Some((start, rest)) = text.split_at_checked(schema.len())
            && start.eq_ignore_ascii_case(schema)
        {
            if rest.is_empty() {
                return (home, rest);
            }
            if let Some(name) = rest.strip_prefix(':') {
                return (home, name);
            }
        }
    }
    (Home::Core, text)
}

/// Returns whether a text is an `ATTRNAME` (RFC 7643 §2.1) or `$ref`.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|first: char| first.is_ascii_alphabetic())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Returns a member by its name in any case: names of attributes are case-insensitive (RFC 7643 §2.1).
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::{AttributePath, Home};
    use crate::schema::{ENTERPRISE, Kind, USER};

    #[test]
    fn a_path_is_read_with_and_without_its_schema() {
        for (text, home, name, part) in [
            ("userName", Home::Core, "userName", None),
            ("name.givenName", Home::Core, "name", Some("givenName")),
            (&format!("{USER}:userName"), Home::Core, "userName", None),
            (&format!("{}:name.familyName", USER.to_uppercase()), Home::Core, "name", Some("familyName")),
            (&format!("{ENTERPRISE}:department"), Home::Enterprise, "department", None),
            (&format!("{ENTERPRISE}:manager.value"), Home::Enterprise, "manager", Some("value")),
            (ENTERPRISE, Home::Enterprise, "", None),
        ] {
            let path = AttributePath::parse(text).unwrap();
            assert_eq!((path.home, path.name.as_str(), path.part.as_deref()), (home, name, part), "{text}");
            assert_eq!(AttributePath::parse(&path.to_string()), Some(path), "{text}");
        }
        for bad in ["", ".", "a.", ".a", "a.b.c", "a b", "1a", USER, "urn:other:2.0:User:a", "a[", "ä"] {
            assert_eq!(AttributePath::parse(bad), None, "{bad}");
        }
        let known = AttributePath::parse("NAME.GIVENNAME").unwrap().resolve(Kind::User).unwrap();
        assert_eq!((known.attribute.name, known.part.unwrap().name), ("name", "givenName"));
        assert!(AttributePath::parse("members").unwrap().resolve(Kind::User).is_none());
    }
}
