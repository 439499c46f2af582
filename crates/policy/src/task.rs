//! Need: what the declared tasks let a call be.
//!
//! A task names tools, each with bounds on its arguments, resources and prompts; what it does not name is outside it.
//! What every session needs (a handshake, lists, answers, the caller's own jobs) is inside any task.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sekisho_protocol::audit;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::{ANY, Task, TaskDefinition};

use crate::bounds::{Bounds, BoundsError, check_schema};
use crate::model::{Call, Target};
use crate::schema::Violation;

/// A task whose bounds are ready to be checked.
pub struct BoundTask {
    task: Task,
    bounds: BTreeMap<String, Option<Bounds>>,
}

impl fmt::Debug for BoundTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("BoundTask").field(&self.task).finish()
    }
}

impl BoundTask {
    /// Reads the bounds of a task.
    pub fn new(task: Task) -> Result<Self, BoundsError> {
        let bounds = compile(&task.definition)?;
        Ok(Self { task, bounds })
    }

    /// The task itself.
    pub fn task(&self) -> &Task {
        &self.task
    }

    fn judge(&self, call: &Call, asked: ArgumentScope, now: Timestamp) -> Result<(), Outside> {
        let outside = |why| Err(Outside { task: self.task.id, purpose: self.task.definition.purpose.clone(), why });
        if !call.is_counted() {
            return Ok(());
        }
        if self.task.is_over(now) {
            return outside(OutsideWhy::Over);
        }
        let definition = &self.task.definition;
        let named = match &call.target {
            Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => true,
            Target::Prompt { name } => definition.prompts.iter().any(|named| named == name || named == ANY),
            Target::Resource { uri } => definition.resources.iter().any(|pattern| covers(pattern, uri.as_str())),
            Target::Tool { name, .. } => self.bounds.contains_key(name),
        };
        if !named {
            return outside(OutsideWhy::NotNamed);
        }
        if let (Target::Tool { name, .. }, ArgumentScope::This) = (&call.target, asked)
            && let Some(Some(bounds)) = self.bounds.get(name)
            && let Err(violation) = bounds.check(call.arguments.as_deref())
        {
            return outside(OutsideWhy::Arguments(violation));
        }
        // What was counted before is not counted again.
        if call.round.is_none() && self.task.calls_left.is_some_and(|left| left <= 0) {
            return outside(OutsideWhy::Spent);
        }
        Ok(())
    }
}

/// Whether the bounds of a task bind: asked before anybody agrees to it. `definitions`: what the tools promise, by name, as
/// the catalogue keeps it; of a tool that is not there, only the bounds themselves are looked at.
pub fn check_bounds(definition: &TaskDefinition, definitions: &BTreeMap<String, String>) -> Result<(), BoundsError> {
    definition.tools.iter().try_for_each(|(tool, schema)| match schema {
        None => Ok(()),
        Some(schema) => check_schema(tool, schema, definitions.get(tool).map(String::as_str)),
    })
}

fn compile(definition: &TaskDefinition) -> Result<BTreeMap<String, Option<Bounds>>, BoundsError> {
    let bounds = definition.tools.iter().map(|(tool, schema)| {
        let bounds = schema.as_ref().map(|schema| Bounds::read(tool, schema)).transpose()?;
        Ok((tool.clone(), bounds))
    });
    bounds.collect()
}

/// Whether a URI is the one that a task names, or begins as it says.
fn covers(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => uri.starts_with(beginning),
        None => pattern == uri,
    }
}

/// Whether the question is about these arguments, or about any that there could be (for lists).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ArgumentScope {
    /// Could it be called at all?
    Any,
    /// May it be called like this?
    This,
}

/// What the declared tasks need. A call must be inside all of them; none is no bound at all, and is said to be none. Cheap
/// to clone.
#[derive(Debug, Clone, Default)]
pub struct Need {
    tasks: Arc<[Arc<BoundTask>]>,
    /// A task is named that nobody knows: nothing is inside it.
    unknown: Option<TaskId>,
}

/// Why a call is not part of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Which task says so.
    pub task: TaskId,
    /// Its purpose; empty for one that nobody knows.
    pub purpose: String,
    /// Why.
    pub why: OutsideWhy,
}

/// The same in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutsideWhy {
    /// An argument is beyond its bound.
    Arguments(Box<Violation>),
    /// The task does not name this tool, resource or prompt.
    NotNamed,
    /// The task is finished.
    Over,
    /// Its budget of calls is used up.
    Spent,
    /// It is not known.
    Unknown,
}

impl Need {
    /// No task was declared.
    pub fn undeclared() -> Self {
        Self::default()
    }

    /// These tasks, each of them once.
    pub fn of(tasks: impl IntoIterator<Item = Arc<BoundTask>>) -> Self {
        let mut distinct: Vec<Arc<BoundTask>> = Vec::new();
        for task in tasks {
            if !distinct.iter().any(|known| known.task.id == task.task.id) {
                distinct.push(task);
            }
        }
        Self { tasks: distinct.into(), unknown: None }
    }

    /// The tasks that are named, each with those that it is inside of, found among `known`. One that is not there: see
    /// [`Need::unknown`].
    pub fn named(ids: impl IntoIterator<Item = TaskId>, known: &[Arc<BoundTask>]) -> Self {
        let mut tasks = Vec::new();
        for id in ids {
            let mut chain: Vec<Arc<BoundTask>> = Vec::new();
            let mut next = Some(id);
            while let Some(id) = next {
                let found = known.iter().find(|task| task.task.id == id);
                // A task inside itself is none that anybody began.
                let Some(found) = found.filter(|_| chain.len() < known.len()) else { return Self::unknown(id) };
                chain.push(Arc::clone(found));
                next = found.task.parent;
            }
            // The innermost last: it was declared last.
            tasks.extend(chain.into_iter().rev());
        }
        Self::of(tasks)
    }

    /// A task that is named, and that is not there: nothing is inside it.
    pub fn unknown(task: TaskId) -> Self {
        Self { tasks: Arc::default(), unknown: Some(task) }
    }

    /// The task that is named and that is not there, if there is one.
    pub fn unknown_task(&self) -> Option<TaskId> {
        self.unknown
    }

    /// Whether a task was declared.
    pub fn is_declared(&self) -> bool {
        !self.tasks.is_empty() || self.unknown.is_some()
    }

    /// The tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().map(|bound| &bound.task)
    }

    /// Whether a call is inside every task.
    pub(crate) fn judge(&self, call: &Call, asked: ArgumentScope, now: Timestamp) -> Result<(), Outside> {
        if let Some(task) = self.unknown {
            return Err(Outside { task, purpose: String::new(), why: OutsideWhy::Unknown });
        }
        self.tasks.iter().try_for_each(|task| task.judge(call, asked, now))
    }

    /// The budgets that a call takes from.
    pub(crate) fn budgets(&self, call: &Call) -> Vec<TaskId> {
        if !call.is_counted() {
            return Vec::new();
        }
        self.tasks().filter(|task| task.calls_left.is_some()).map(|task| task.id).collect()
    }

    /// The task that was declared last, for the records.
    pub fn task(&self) -> Option<TaskId> {
        self.unknown.or_else(|| self.tasks().last().map(|task| task.id))
    }

    /// What policies see: the purpose of the task that was declared last.
    pub(crate) fn purpose(&self) -> Option<&str> {
        self.tasks().last().map(|task| task.definition.purpose.as_str())
    }

    /// How a call stands to it, for the records.
    pub fn word(&self, is_inside: bool) -> audit::Need {
        match (self.is_declared(), is_inside) {
            (false, _) => audit::Need::Undeclared,
            (true, true) => audit::Need::Inside,
            (true, false) => audit::Need::Outside,
        }
    }
}

#[cfg(test)]
mod tests;
