//! What an examination found.

use serde::Serialize;

use super::rows::{Level, Row};
use super::traps::Trap;
use crate::http::Leg;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The server that was looked at.
    pub server: String,
    /// The authorization server that it names.
    pub issuer: Option<String>,
    /// Every row that can be seen from outside.
    pub findings: Vec<Finding>,
    /// The known traps that it fell into.
    pub traps: Vec<Trapped>,
    /// What that means for single clients.
    pub consequences: Vec<Consequence>,
    /// What really went over the wire.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// How one row stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// How it stands.
    pub standing: RowState,
    /// What showed it, in a sentence.
    pub evidence: String,
}

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Something else was seen than is asked for.
    Broken,
    /// What is asked for was seen.
    Met,
    /// It cannot be told from here.
    NotVisible,
}

/// A trap that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trapped {
    /// The trap.
    pub trap: Trap,
    /// What it is called.
    pub title: &'static str,
    /// What showed it, in a sentence.
    pub evidence: String,
    /// What to change.
    pub change: &'static str,
}

/// What a client is likely to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consequence {
    /// The client.
    pub client: &'static str,
    /// Because of which trap.
    pub trap: Trap,
    /// What it does.
    pub does: &'static str,
    /// Where that was seen.
    pub source: &'static str,
    /// When it was checked.
    pub checked: &'static str,
}

/// One exchange, and the clause that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What went over the wire, without secrets.
    pub leg: Leg,
    /// The other side.
    pub party: Party,
    /// The clause.
    pub clause: &'static str,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The authorization server.
    Issuer,
    /// The server.
    Resource,
}

impl Party {
    /// As a picture names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Issuer => "Authorization server",
            Self::Resource => "MCP server",
        }
    }
}

impl Diagnosis {
    /// The findings that are broken, of this level and above.
    pub fn broken(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.standing == RowState::Broken && finding.row.level >= level)
    }
}
