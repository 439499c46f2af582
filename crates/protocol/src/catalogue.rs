//! The known tools of a server: the class of each, and the digest of its accepted definition.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// What calling a tool can do to the world. Ordered: what is granted for a class covers the lesser ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolClass {
    /// Changes nothing.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Loses something for good, or reaches what cannot be called back.
    Destructive,
}

impl ToolClass {
    /// The word used in configuration, records and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destructive => "destructive",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl std::str::FromStr for ToolClass {
    type Err = ToolClassError;

    fn from_str(text: &str) -> Result<Self, ToolClassError> {
        match text {
            "destructive" => Ok(Self::Destructive),
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(ToolClassError),
        }
    }
}

/// A word that names no class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a class: expected `read`, `write` or `destructive`")]
pub struct ToolClassError;

/// One tool as its server shows it now. Nothing in it was decided by the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSeen {
    /// The name in `tools/list` and `tools/call`.
    pub name: String,
    /// The title or first line of the description, for pages; untrusted text of the server, at most 200 characters.
    pub summary: String,
    /// What the annotations, the name and the method suggest.
    pub proposed: ToolClass,
    /// The definition of the tool, as one canonical JSON object: name, title, description, schemas, annotations. If
    /// several tools have this name: an array of those objects.
    pub definition: String,
}

impl ToolSeen {
    /// Returns whether several tools of the server have this name. Such an entry can never be accepted, because nobody
    /// knows which of them a call reaches.
    pub fn is_of_several(&self) -> bool {
        is_of_several(&self.definition)
    }

    /// Returns the digest of its definition.
    pub fn digest(&self) -> Digest {
        Digest::of(self.definition.as_bytes())
    }
}

/// The definitions of several tools of one name are kept as an array.
fn is_of_several(definition: &str) -> bool {
    definition.starts_with('[')
}

/// One tool of a server, as the gateway found it and the owner classified it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The name in `tools/list` and `tools/call`.
    pub name: String,
    /// The title or first line of the description, for pages; untrusted text of the server, at most 200 characters.
    pub summary: String,
    /// What the annotations, the name and the method suggest. A proposal only: annotations are untrusted (CL-51).
    pub proposed: ToolClass,
    /// The class that the owner gave it. Without one, the tool needs its own `tool:NAME` scope.
    pub class: Option<ToolClass>,
    /// The digest of the definition last seen (name, description, schemas, annotations).
    pub seen: Digest,
    /// The digest of the definition that was accepted: at the server's first list, or by the owner later.
    pub accepted: Option<Digest>,
}

impl Tool {
    /// Returns whether it is held back: its current definition is not the accepted one (ATK-76).
    pub fn is_held(&self) -> bool {
        self.accepted != Some(self.seen)
    }
}

/// A tool that is held back, with its current and its accepted definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTool {
    /// The tool.
    pub tool: Tool,
    /// The current definition, as canonical JSON.
    pub definition: String,
    /// The accepted definition; `None` for a new tool.
    pub accepted: Option<String>,
}

/// One place in which a definition differs from the accepted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The place, as a path of members from the outside in, such as `inputSchema.properties.path.type`.
    pub at: String,
    /// The accepted value: a text as it is, anything else as JSON. `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The current value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The most differences that are listed; further ones are only counted.
pub const DIFFERENCES_MAX: usize = 200;

impl HeldTool {
    /// Returns whether no definition of it was ever accepted.
    pub fn is_new(&self) -> bool {
        self.accepted.is_none()
    }

    /// Returns whether several tools of the server have this name, so that it cannot be accepted.
    pub fn is_of_several(&self) -> bool {
        is_of_several(&self.definition)
    }

    /// Returns the differences from the accepted definition, at most [`DIFFERENCES_MAX`], and how many more there are.
    pub fn differences(&self) -> (Vec<Difference>, usize) {
        let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let before = self.accepted.as_deref().map_or(Value::Object(serde_json::Map::new()), read);
        let mut found = Vec::new();
        compare(&before, &read(&self.definition), "", &mut found);
        let more = found.len().saturating_sub(DIFFERENCES_MAX);
        found.truncate(DIFFERENCES_MAX);
        (found, more)
    }
}

/// Compares objects member by member, and lists as a whole, because an index in a list has no meaning by itself.
fn compare(before: &Value, after: &Value, at: &str, found: &mut Vec<Difference>) {
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        let inside = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        for (name, value) in before {
            match after.get(name) {
                Some(other) => compare(value, other, &inside(name), found),
                None => found.push(Difference { at: inside(name), before: Some(plain(value)), after: None }),
            }
        }
        for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            found.push(Difference { at: inside(name), before: None, after: Some(plain(value)) });
        }
    } else if before != after {
        found.push(Difference { at: at.to_owned(), before: Some(plain(before)), after: Some(plain(after)) });
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{DIFFERENCES_MAX, Difference, HeldTool, Tool, ToolClass};
    use crate::digest::Digest;

    fn held(accepted: Option<&str>, definition: &str) -> HeldTool {
        let tool = Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class: None,
            seen: Digest::of(definition.as_bytes()),
            accepted: accepted.map(|text| Digest::of(text.as_bytes())),
        };
        HeldTool { tool, definition: definition.to_owned(), accepted: accepted.map(str::to_owned) }
    }

    fn difference(at: &str, before: Option<&str>, after: Option<&str>) -> Difference {
        Difference { at: at.to_owned(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }

    /// ATK-76: whoever accepts a changed tool sees every place that changed, and nothing else.
    #[test]
    fn a_definition_is_compared_member_by_member() {
        let before =
            r#"{"name":"a","description":"reads","inputSchema":{"properties":{"x":{"type":"string"},"y":{}}}}"#;
        let after = r#"{"name":"a","title":"A","description":"reads and mails","inputSchema":{"properties":{"x":{"type":["string","null"]}}}}"#;
        let (found, more) = held(Some(before), after).differences();
        let expected = [
            difference("description", Some("reads"), Some("reads and mails")),
            difference("inputSchema.properties.x.type", Some("string"), Some(r#"["string","null"]"#)),
            difference("inputSchema.properties.y", Some("{}"), None),
            difference("title", None, Some("A")),
        ];
        assert_eq!((found.as_slice(), more), (&expected[..], 0));
        assert!(!held(Some(before), after).is_new());
        assert!(held(Some(before), after).tool.is_held());
        assert!(!held(Some(before), before).tool.is_held());
        assert_eq!(held(Some(before), before).differences(), (vec![], 0));
    }

    #[test]
    fn a_new_tool_differs_in_all_of_it() {
        let new = held(None, r#"{"name":"a","description":"d"}"#);
        assert!(new.is_new() && new.tool.is_held());
        let expected = [difference("name", None, Some("a")), difference("description", None, Some("d"))];
        assert_eq!(new.differences(), (expected.to_vec(), 0));
        assert_eq!(held(Some("one"), "two").differences().0, [difference("", Some("one"), Some("two"))]);
    }

    #[test]
    fn what_is_not_written_out_is_counted() {
        let members: Vec<String> = (0..DIFFERENCES_MAX + 7).map(|at| format!(r#""m{at}":1"#)).collect();
        let (found, more) = held(None, &format!("{{{}}}", members.join(","))).differences();
        assert_eq!((found.len(), more), (DIFFERENCES_MAX, 7));
    }
}
