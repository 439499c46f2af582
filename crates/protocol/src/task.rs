//! Tasks: a declared piece of work, and what it needs (RFC 9396 `authorization_details` of type `mcp_task`).
//!
//! This is what is said, kept and shown. Whether a call is inside a task is the policy's question.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::Timestamp;
use crate::ids::{GrantId, ServerName, TaskId};
use crate::mcp::strict;
use crate::resource::ResourceId;
use crate::uri::ResourceUri;

/// The parameter and the member that carry tasks (RFC 9396 §2).
pub const DETAILS: &str = "authorization_details";

/// The most characters of a foreign name that an error repeats.
const NAMED_CHARS_MAX: usize = 200;
/// The tools that the checkpoint itself adds to a server: to begin a task, and to end it. No scope or policy is about
/// them.
pub const OWN_TOOLS: [&str; 2] = ["begin_task", "end_task"];

/// Among the prompts of a task, all of them; among its resources, as the beginning of nothing and `*`, too.
pub const ANY: &str = "*";

/// The one type of `authorization_details` that is known here (RFC 9396 §2).
pub const TASK_TYPE: &str = "mcp_task";

/// What a task needs. A call is inside the task if it is named here, or if every session needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskDefinition {
    /// The purpose, in a person's words; at most [`TaskDefinition::PURPOSE_CHARS_MAX`] characters on one line.
    pub purpose: String,
    /// The tools it calls, each with the bounds on its arguments: a JSON Schema, or `null` for any.
    pub tools: BTreeMap<String, Option<Value>>,
    /// The resources it reads: a URI, or its beginning followed by `*`; canonical (see [`ResourceUri`]), for nothing else
    /// can be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The prompts it gets; [`ANY`] stands for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// How many tools, resources and prompts it may use in all. `None` does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// How long it lasts, in seconds from its beginning. `None`: as long as the grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// How a task began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrigin {
    /// The agent itself, by the tool `begin_task`.
    Agent,
    /// The operator's command line.
    Command,
    /// The client, by `authorization_details`.
    Details,
    /// A token exchange that narrowed a token.
    Exchange,
    /// A person, in their own words on the grant page.
    Person,
    /// A template of the owner's, chosen on the grant page.
    Template,
}

impl TaskOrigin {
    /// Returns the word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Command => "command",
            Self::Details => "details",
            Self::Exchange => "exchange",
            Self::Person => "person",
            Self::Template => "template",
        }
    }

    /// Whether the client began it without a person: such tasks never take the room of what a person begins.
    pub fn is_of_client(self) -> bool {
        match self {
            Self::Agent | Self::Exchange => true,
            Self::Command | Self::Details | Self::Person | Self::Template => false,
        }
    }
}

impl std::str::FromStr for TaskOrigin {
    type Err = TaskError;

    fn from_str(text: &str) -> Result<Self, TaskError> {
        [Self::Agent, Self::Command, Self::Details, Self::Exchange, Self::Person, Self::Template]
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .ok_or(TaskError::Malformed)
    }
}

/// A task and its current state.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// The grant it narrows.
    pub grant: GrantId,
    /// The task that it is inside of: a call has to be inside both.
    pub parent: Option<TaskId>,
    /// The server of that grant.
    pub server: ServerName,
    /// What it needs.
    pub definition: TaskDefinition,
    /// How it began.
    pub origin: TaskOrigin,
    /// Calls left of its budget when the store was read. Whether one is still left is only known by taking it.
    pub calls_left: Option<i64>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub ends_at: Option<Timestamp>,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

impl Task {
    /// Whether it is over: ended, or past its end.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended_at.is_some() || self.ends_at.is_some_and(|end| end <= now)
    }
}

/// Why something is not a task, or not one that can begin here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// A budget or a length of zero, or beyond its bound.
    #[error("`{member}` must be between 1 and {max}")]
    Bound {
        /// The member.
        member: &'static str,
        /// Its largest value.
        max: u32,
    },
    /// It names another server.
    #[error("`locations` names another server than the one that is asked for")]
    Elsewhere,
    /// It names nothing that it needs.
    #[error("a task names at least one tool, resource or prompt")]
    Empty,
    /// It is not JSON of the documented form.
    #[error("not an array of one object of type `{TASK_TYPE}` with the documented members")]
    Malformed,
    /// There is more than one task.
    #[error("one task at a time: `authorization_details` holds several")]
    Many,
    /// The purpose is missing, too long, or not one plain line.
    #[error("`purpose` must be one line of 1 to {} characters", TaskDefinition::PURPOSE_CHARS_MAX)]
    Purpose,
    /// A resource is named in a form in which none can be asked for.
    #[error("the resource `{named}` of the task can never be read: {why}")]
    Resource {
        /// As it was named, without what could disturb a reader.
        named: String,
        /// Why not.
        why: String,
    },
    /// More text or more names than one task may have.
    #[error("a task has at most {} names and {} bytes", TaskDefinition::NAMES_MAX, TaskDefinition::BYTES_MAX)]
    TooLarge,
    /// A type that nobody here understands (RFC 9396 §5).
    #[error("the type `{0}` is not known here; only `{TASK_TYPE}` is")]
    UnknownType(String),
}

impl TaskDefinition {
    /// The longest purpose, in characters.
    pub const PURPOSE_CHARS_MAX: usize = 200;
    /// Tools, resources and prompts together.
    pub const NAMES_MAX: usize = 256;
    /// The longest text of one task, in bytes: it travels in a URL.
    pub const BYTES_MAX: usize = 16 * 1024;
    /// The largest budget.
    pub const CALLS_MAX: u32 = 1_000_000;
    /// The longest task, in seconds: 31 days.
    pub const SECONDS_MAX: u32 = 31 * 24 * 60 * 60;

    /// Whether it says something that can be kept and shown. Schemas are read where calls are judged.
    pub fn check(&self) -> Result<(), TaskError> {
        let plain = self.purpose.trim() == self.purpose && !self.purpose.chars().any(is_unprintable);
        if !plain || self.purpose.is_empty() || self.purpose.chars().count() > Self::PURPOSE_CHARS_MAX {
            return Err(TaskError::Purpose);
        }
        let names = self.tools.len() + self.resources.len() + self.prompts.len();
        if names == 0 {
            return Err(TaskError::Empty);
        }
        let bytes = serde_json::to_string(self).map_err(|_| TaskError::Malformed)?.len();
        if names > Self::NAMES_MAX || bytes > Self::BYTES_MAX {
            return Err(TaskError::TooLarge);
        }
        self.resources.iter().try_for_each(|pattern| check_pattern(pattern))?;
        let within = |member, value: Option<u32>, max| match value {
            Some(value) if value == 0 || value > max => Err(TaskError::Bound { member, max }),
            _ => Ok(()),
        };
        within("calls", self.calls, Self::CALLS_MAX)?;
        within("expires_in", self.expires_in, Self::SECONDS_MAX)
    }

    /// The task that `authorization_details` declares for this server. `None`: an empty array.
    pub fn read_details(text: &str, resource: &ResourceId) -> Result<Option<Self>, TaskError> {
        if text.len() > Self::BYTES_MAX {
            return Err(TaskError::TooLarge);
        }
        let entries: Vec<Value> = serde_json::from_str(text).map_err(|_| TaskError::Malformed)?;
        // What two parsers could read differently is not what somebody agreed to (ATK-66). The reader wants an object.
        let wrapped = format!(r#"{{"{DETAILS}":{text}}}"#);
        strict::check(wrapped.as_bytes(), &strict::Limits::default()).map_err(|_| TaskError::Malformed)?;
        let mut found = None;
        for entry in entries {
            let kind = entry.get("type").and_then(Value::as_str).ok_or(TaskError::Malformed)?;
            if kind != TASK_TYPE {
                return Err(TaskError::UnknownType(kind.chars().take(60).filter(|c| !is_unprintable(*c)).collect()));
            }
            let details: Details = serde_json::from_value(entry).map_err(|_| TaskError::Malformed)?;
            let definition = details.definition(resource)?;
            definition.check()?;
            if found.replace(definition).is_some() {
                return Err(TaskError::Many);
            }
        }
        Ok(found)
    }

    /// The entry of `authorization_details` in a token response (RFC 9396 §7): what was granted, and its name here.
    pub fn to_details(&self, task: TaskId, resource: &ResourceId) -> Value {
        let details = Details {
            kind: TASK_TYPE.to_owned(),
            locations: vec![resource.as_str().to_owned()],
            task: Some(task),
            purpose: self.purpose.clone(),
            tools: self
                .tools
                .iter()
                .map(|(name, bounds)| ToolNeed { name: name.clone(), arguments: bounds.clone() })
                .collect(),
            resources: self.resources.clone(),
            prompts: self.prompts.clone(),
            calls: self.calls,
            expires_in: self.expires_in,
        };
        serde_json::to_value(details).unwrap_or_default()
    }
}

/// One entry of `authorization_details` on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    /// The servers it is for (RFC 9396 §2.2); left out, the one that is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    locations: Vec<String>,
    /// Only in our answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    purpose: String,
    #[serde(default)]
    tools: Vec<ToolNeed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prompts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calls: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolNeed {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
}

impl Details {
    fn definition(self, resource: &ResourceId) -> Result<TaskDefinition, TaskError> {
        let here = |location: &String| ResourceId::parse(location).is_ok_and(|location| location == *resource);
        if !self.locations.iter().all(here) {
            return Err(TaskError::Elsewhere);
        }
        // A name of ours in a request would look as if it meant something.
        if self.task.is_some() {
            return Err(TaskError::Malformed);
        }
        let count = self.tools.len();
        let tools: BTreeMap<_, _> = self.tools.into_iter().map(|tool| (tool.name, tool.arguments)).collect();
        // Of two entries for one tool, one would win silently.
        if tools.len() != count {
            return Err(TaskError::Malformed);
        }
        let Self { purpose, resources, prompts, calls, expires_in, .. } = self;
        Ok(TaskDefinition { purpose, tools, resources, prompts, calls, expires_in })
    }
}

/// A task that named a resource in another spelling would look as if it covered it, and cover nothing.
fn check_pattern(pattern: &str) -> Result<(), TaskError> {
    let why = match pattern.strip_suffix('*') {
        Some(beginning) if ResourceUri::is_beginning(beginning) => return Ok(()),
        Some(_) => "no canonical URI begins so".to_owned(),
        None => match ResourceUri::parse(pattern) {
            Ok(_) => return Ok(()),
            Err(refused) => refused.to_string(),
        },
    };
    let named = pattern.chars().filter(|c| !is_unprintable(*c)).take(NAMED_CHARS_MAX).collect();
    Err(TaskError::Resource { named, why })
}

/// Controls, marks that turn the direction of writing, and what is not there to the eye.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{TaskDefinition, TaskError};
    use crate::resource::ResourceId;

    fn here() -> ResourceId {
        ResourceId::parse("http://localhost:8420/mcp/notes").unwrap()
    }

    fn read(text: &str) -> Result<Option<TaskDefinition>, TaskError> {
        TaskDefinition::read_details(text, &here())
    }

    /// ATK-103: a task names resources by canonical URIs, or by how one begins.
    #[test]
    fn a_task_names_resources_that_can_be_read() {
        let named = |resource: &str| TaskDefinition {
            purpose: "read".to_owned(),
            resources: vec![resource.to_owned()],
            ..TaskDefinition::default()
        };
        for fine in ["notes://today", "notes://*", "file:///pub/*", "file:///pub/a*", "greeting://Alice", "*"] {
            assert_eq!(named(fine).check(), Ok(()), "{fine}");
        }
        for other in ["FILE:///pub/*", "file:/pub/a", "file:///pub/../*", "file:///%70ub/*", "notes", "a b:*", "/*"] {
            assert!(matches!(named(other).check(), Err(TaskError::Resource { .. })), "{other}");
        }
    }

    #[test]
    fn a_task_is_read_from_what_the_client_declares() {
        let text = r#"[{"type":"mcp_task","purpose":"tidy up","locations":["http://localhost:8420/mcp/notes"],
            "tools":[{"name":"read_note"},{"name":"write_note","arguments":{"type":"object"}}],
            "resources":["notes://*"],"calls":10,"expires_in":600}]"#;
        let task = read(text).unwrap().unwrap();
        assert_eq!((task.purpose.as_str(), task.calls, task.expires_in), ("tidy up", Some(10), Some(600)));
        assert_eq!(task.tools.keys().collect::<Vec<_>>(), ["read_note", "write_note"]);
        assert!(task.tools["read_note"].is_none() && task.tools["write_note"].is_some());
        assert_eq!(read("[]"), Ok(None));
    }

    /// RFC 9396 §5: what is unknown or broken is refused, never passed over.
    #[test]
    fn what_is_not_a_task_is_refused_for_its_own_reason() {
        let tool = r#""tools":[{"name":"a"}]"#;
        for (text, error) in [
            ("{}".to_owned(), TaskError::Malformed),
            ("[{}]".to_owned(), TaskError::Malformed),
            (r#"[{"type":"payment"}]"#.to_owned(), TaskError::UnknownType("payment".to_owned())),
            (format!(r#"[{{"type":"mcp_task","purpose":"a","purpose":"b",{tool}}}]"#), TaskError::Malformed),
            (format!(r#"[{{"type":"mcp_task","purpose":"a",{tool},"extra":1}}]"#), TaskError::Malformed),
            (format!(r#"[{{"type":"mcp_task","purpose":"",{tool}}}]"#), TaskError::Purpose),
            (format!(r#"[{{"type":"mcp_task","purpose":"a\nb",{tool}}}]"#), TaskError::Purpose),
            (format!(r#"[{{"type":"mcp_task","purpose":"a\u202eb",{tool}}}]"#), TaskError::Purpose),
            (format!(r#"[{{"type":"mcp_task","purpose":"{}",{tool}}}]"#, "x".repeat(201)), TaskError::Purpose),
            (
                r#"[{"type":"mcp_task","purpose":"a","resources":["note://a//*"]}]"#.to_owned(),
                TaskError::Resource { named: "note://a//*".to_owned(), why: "no canonical URI begins so".to_owned() },
            ),
            (r#"[{"type":"mcp_task","purpose":"a"}]"#.to_owned(), TaskError::Empty),
            (
                format!(r#"[{{"type":"mcp_task","purpose":"a",{tool},"calls":0}}]"#),
                TaskError::Bound { member: "calls", max: TaskDefinition::CALLS_MAX },
            ),
            (format!(r#"[{{"type":"mcp_task","purpose":"a",{tool},"calls":-1}}]"#), TaskError::Malformed),
            (
                format!(r#"[{{"type":"mcp_task","purpose":"a",{tool},"expires_in":0}}]"#),
                TaskError::Bound { member: "expires_in", max: TaskDefinition::SECONDS_MAX },
            ),
            (
                format!(
                    r#"[{{"type":"mcp_task","purpose":"a",{tool},"locations":["http://localhost:8420/mcp/diary"]}}]"#
                ),
                TaskError::Elsewhere,
            ),
            (
                r#"[{"type":"mcp_task","purpose":"a","tools":[{"name":"a"},{"name":"a","arguments":false}]}]"#
                    .to_owned(),
                TaskError::Malformed,
            ),
            (
                format!(r#"[{{"type":"mcp_task","purpose":"a",{tool}}},{{"type":"mcp_task","purpose":"b",{tool}}}]"#),
                TaskError::Many,
            ),
            (format!("[{}]", " ".repeat(TaskDefinition::BYTES_MAX)), TaskError::TooLarge),
        ] {
            assert_eq!(read(&text), Err(error), "{text:.120}");
        }
    }
}
