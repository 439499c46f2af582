//! Need: which calls the declared tasks allow.
//!
//! A task names tools, each with bounds on its arguments, and resources and prompts. What it does not name is outside
//! it. What every session needs (a handshake, lists, answers, the caller's own jobs) is inside any task.

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

/// A task with compiled bounds.
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
    /// Compiles the bounds of a task.
    pub fn new(task: Task) -> Result<Self, BoundsError> {
        let bounds = compile(&task.definition)?;
        Ok(Self { task, bounds })
    }

    /// Returns the task itself.
    pub fn task(&self) -> &Task {
        &self.task
    }

    fn judge(&self, call: &Call, asked: WhichArguments, now: Timestamp) -> Result<(), Outside> {
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
        if let (Target::Tool { name, .. }, WhichArguments::This) = (&call.target, asked)
            && let Some(Some(bounds)) = self.bounds.get(name)
            && let Err(violation) = bounds.check(call.arguments.as_deref())
        {
            return outside(OutsideWhy::Arguments(violation));
        }
        // A later round of a call is not counted again.
        if call.round.is_none() && self.task.calls_left.is_some_and(|left| left <= 0) {
            return outside(OutsideWhy::Spent);
        }
        Ok(())
    }
}

/// Checks that the bounds of a task can restrict a call, before anybody agrees to it. `definitions` holds the
/// definitions of the tools by name, as the catalogue keeps them; for a tool that is not there, only the bounds
/// themselves are checked.
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

/// Whether a URI is the one that a task names, or begins as the task says.
fn covers(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => uri.starts_with(beginning),
        None => pattern == uri,
    }
}

/// Whether a question is about these arguments, or about any possible ones (for lists).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WhichArguments {
    /// Whether it could be called with any arguments.
    Any,
    /// Whether it may be called with these arguments.
    This,
}

/// The need of the declared tasks. A call must be inside all of them. If there is none, nothing is restricted, and the
/// records say that none was declared. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Need {
    tasks: Arc<[Arc<BoundTask>]>,
    /// A task that is named but not known, so that nothing is allowed.
    unknown: Option<TaskId>,
}

/// Why a call is not part of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The task that refuses.
    pub task: TaskId,
    /// The task's purpose; empty if the task is not known.
    pub purpose: String,
    /// The reason.
    pub why: OutsideWhy,
}

/// The reason why a call is not part of a task.
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
    /// The task is not known.
    Unknown,
}

impl Need {
    /// Returns the need if no task was declared.
    pub fn undeclared() -> Self {
        Self::default()
    }

    /// Returns the need of these tasks, each counted once.
    pub fn of(tasks: impl IntoIterator<Item = Arc<BoundTask>>) -> Self {
        let mut distinct: Vec<Arc<BoundTask>> = Vec::new();
        for task in tasks {
            if !distinct.iter().any(|known| known.task.id == task.task.id) {
                distinct.push(task);
            }
        }
        Self { tasks: distinct.into(), unknown: None }
    }

    /// Returns the need of the named tasks and of the tasks that each is inside of, found among `known`. If one is not
    /// there, see [`Need::unknown`].
    pub fn named(ids: impl IntoIterator<Item = TaskId>, known: &[Arc<BoundTask>]) -> Self {
        let mut tasks = Vec::new();
        for id in ids {
            let mut chain: Vec<Arc<BoundTask>> = Vec::new();
            let mut next = Some(id);
            while let Some(id) = next {
                let found = known.iter().find(|task| task.task.id == id);
                // A chain that is longer than the list of tasks goes round in a circle, which nobody can have declared.
                let Some(found) = found.filter(|_| chain.len() < known.len()) else { return Self::unknown(id) };
                chain.push(Arc::clone(found));
                next = found.task.parent;
            }
            // The innermost task comes last, because it was declared last.
            tasks.extend(chain.into_iter().rev());
        }
        Self::of(tasks)
    }

    /// Returns the need for a task that is named but does not exist: nothing is allowed.
    pub fn unknown(task: TaskId) -> Self {
        Self { tasks: Arc::default(), unknown: Some(task) }
    }

    /// Returns the task that is named but does not exist, if there is one.
    pub fn unknown_task(&self) -> Option<TaskId> {
        self.unknown
    }

    /// Whether a task was declared.
    pub fn is_declared(&self) -> bool {
        !self.tasks.is_empty() || self.unknown.is_some()
    }

    /// Returns the tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().map(|bound| &bound.task)
    }

    /// Checks that a call is inside every task.
    pub(crate) fn judge(&self, call: &Call, asked: WhichArguments, now: Timestamp) -> Result<(), Outside> {
        if let Some(task) = self.unknown {
            return Err(Outside { task, purpose: String::new(), why: OutsideWhy::Unknown });
        }
        self.tasks.iter().try_for_each(|task| task.judge(call, asked, now))
    }

    /// Returns the tasks whose budgets a call takes from.
    pub(crate) fn budgets(&self, call: &Call) -> Vec<TaskId> {
        if !call.is_counted() {
            return Vec::new();
        }
        self.tasks().filter(|task| task.calls_left.is_some()).map(|task| task.id).collect()
    }

    /// Returns the task that was declared last, for the records.
    pub fn task(&self) -> Option<TaskId> {
        self.unknown.or_else(|| self.tasks().last().map(|task| task.id))
    }

    /// Returns the purpose of the task that was declared last, which policies see.
    pub(crate) fn purpose(&self) -> Option<&str> {
        self.tasks().last().map(|task| task.definition.purpose.as_str())
    }

    /// Returns the call's relation to the declared tasks, for the records.
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
