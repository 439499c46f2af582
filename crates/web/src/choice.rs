//! The choices that forms offer: scopes, tools, classes, when a grant ends.

use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::task::{ANY, TaskDefinition};
use sekisho_protocol::text::plain_text;

use crate::language::Language;
use crate::parameters::Parameters;
use crate::sentence::Sentence;
use crate::shown;

/// One scope in words: the parts of a sentence before and after a name.
pub struct ScopeLine {
    /// The scope.
    pub value: String,
    /// The parts of the sentence before and after the name.
    pub words: (&'static str, &'static str),
    /// The name; empty where the sentence has no place for one.
    pub name: String,
    /// Whether it allows what cannot be undone.
    pub is_grave: bool,
    /// Whether its box is ticked at first.
    pub ticked: bool,
}

impl ScopeLine {
    /// Returns the lines of these scopes, the least powerful first; scopes for what cannot be undone are last.
    pub fn of(language: Language, scopes: &ScopeSet) -> Vec<Self> {
        let mut lines: Vec<Self> = scopes.iter().map(|scope| Self::new(language, scope)).collect();
        let order = |line: &Self| match line.value.as_str() {
            "mcp:read" => 0,
            "mcp:write" => 1,
            "mcp:destructive" => 3,
            _ => 2,
        };
        lines.sort_by_key(order);
        lines
    }

    /// Puts one scope in words.
    pub fn new(language: Language, scope: &Scope) -> Self {
        let value = scope.as_str().to_owned();
        let (sentence, name) = match (value.as_str(), value.strip_prefix("tool:")) {
            ("mcp:read", _) => (Sentence::ScopeRead, ""),
            ("mcp:write", _) => (Sentence::ScopeWrite, ""),
            ("mcp:destructive", _) => (Sentence::ScopeDestructive, ""),
            ("mcp:account", _) => (Sentence::ScopeAccount, ""),
            ("offline_access", _) => (Sentence::ScopeOffline, ""),
            (_, Some(tool)) => (Sentence::ScopeTool, tool),
            (other, None) => (Sentence::ScopeOther, other),
        };
        let is_grave = sentence == Sentence::ScopeDestructive;
        Self { words: language.around(sentence), name: name.to_owned(), value, is_grave, ticked: true }
    }
}

/// One tool on the owner's first consent.
pub struct ToolLine {
    /// The tool's name as a form carries it.
    pub key: String,
    /// The tool's name with invisible characters written out.
    pub name: String,
    /// The server's own description of it; untrusted text.
    pub summary: String,
    /// The classes; the proposed one is chosen.
    pub choices: Vec<ClassChoice>,
}

/// One class that a tool may be given.
pub struct ClassChoice {
    /// Its value in the form.
    pub value: &'static str,
    /// What it lets a tool do.
    pub words: Sentence,
    /// Whether it is chosen at first.
    pub chosen: bool,
}

impl ToolLine {
    /// Makes the line of a tool, with the class that its definition proposes.
    pub fn new(tool: &Tool) -> Self {
        let choice =
            |class: ToolClass, words| ClassChoice { value: class.as_str(), words, chosen: tool.proposed == class };
        Self {
            key: tool_key(&tool.name),
            name: shown::exact(&tool.name, 128),
            summary: plain_text(&tool.summary, 200),
            choices: vec![
                choice(ToolClass::Read, Sentence::ClassRead),
                choice(ToolClass::Write, Sentence::ClassWrite),
                choice(ToolClass::Destructive, Sentence::ClassDestructive),
            ],
        }
    }
}

/// Encodes a tool's name so that a form carries it unchanged: ordinary characters stay, other bytes become `%XX`.
pub fn tool_key(name: &str) -> String {
    Scope::tool(name).as_str().chars().skip("tool:".len()).collect()
}

/// When a grant ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A day from now.
    Day,
    /// An hour from now.
    Hour,
    /// 30 days from now.
    Month,
    /// Only when somebody ends it.
    Never,
    /// A week from now.
    Week,
}

impl End {
    /// All ends, in the order of the page.
    pub const ALL: [Self; 5] = [Self::Never, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The value in the form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Month => "month",
            Self::Never => "",
            Self::Week => "week",
        }
    }

    /// Its words on a page.
    pub fn words(self) -> Sentence {
        match self {
            Self::Day => Sentence::EndDay,
            Self::Hour => Sentence::EndHour,
            Self::Month => Sentence::EndMonth,
            Self::Never => Sentence::EndNever,
            Self::Week => Sentence::EndWeek,
        }
    }

    /// Returns the seconds from now, or `None` if the grant never ends by itself.
    pub fn seconds(self) -> Option<u32> {
        match self {
            Self::Day => Some(24 * 60 * 60),
            Self::Hour => Some(60 * 60),
            Self::Month => Some(30 * 24 * 60 * 60),
            Self::Never => None,
            Self::Week => Some(7 * 24 * 60 * 60),
        }
    }
}

/// Returns in one word what tools of a class can do.
pub fn class_words(class: ToolClass) -> Sentence {
    match class {
        ToolClass::Destructive => Sentence::ClassDestructive,
        ToolClass::Read => Sentence::ClassRead,
        ToolClass::Write => Sentence::ClassWrite,
    }
}

/// Returns a task without tools, which includes all resources and prompts if their box in the form is ticked.
pub fn reads(form: &Parameters) -> TaskDefinition {
    let all = || if form.one("reads").is_some() { vec![ANY.to_owned()] } else { Vec::new() };
    TaskDefinition { resources: all(), prompts: all(), ..TaskDefinition::default() }
}
