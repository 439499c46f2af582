//! What is known of a server's tools: the class each was given, and the digest of what was accepted.

use serde::{Deserialize, Serialize};

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

/// One tool of a server, as the gateway found it and the owner classified it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The name in `tools/list` and `tools/call`.
    pub name: String,
    /// The title or first line of the description, for pages; untrusted text of the server, at most 200 characters.
    pub summary: String,
    /// What the annotations, the name and the method suggest. A proposal only: annotations are untrusted (CL-51).
    pub proposed: ToolClass,
    /// What the owner decided. Until then the tool needs its own `tool:NAME` scope.
    pub class: Option<ToolClass>,
    /// The digest of the definition last seen (name, description, schemas, annotations).
    pub seen: Digest,
    /// The digest of the definition the owner accepted.
    pub accepted: Option<Digest>,
}

impl Tool {
    /// The class that holds: the one given to the very definition that was seen last (ATK-76).
    pub fn class_in_force(&self) -> Option<ToolClass> {
        self.class.filter(|_| self.accepted == Some(self.seen))
    }
}
