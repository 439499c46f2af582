//! What a person wrote into the form that begins a task.

use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::task::{ANY, TaskDefinition};
use sekisho_web::choice::{End, reads, tool_key};
use sekisho_web::error::PageError;
use sekisho_web::parameters::Parameters;
use sekisho_web::sentence::Sentence;

/// What a person wrote into the form that begins a task.
#[derive(Debug)]
pub(super) struct TaskForm {
    pub(super) purpose: String,
    pub(super) calls: String,
    pub(super) end: End,
    /// The keys of the ticked tools.
    pub(super) tools: Vec<String>,
    /// The resources and prompts.
    pub(super) reading: TaskDefinition,
}

impl Default for TaskForm {
    fn default() -> Self {
        let reading = TaskDefinition { resources: vec![ANY.to_owned()], ..TaskDefinition::default() };
        Self { purpose: String::new(), calls: String::new(), end: End::Never, tools: Vec::new(), reading }
    }
}

impl TaskForm {
    pub(super) fn read(form: &Parameters) -> Result<Self, PageError> {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let end = form.one("end").unwrap_or_default();
        let end = End::ALL.into_iter().find(|choice| choice.word() == end).ok_or(PageError::Malformed)?;
        let tools = form.all("tool").map(str::to_owned).collect();
        Ok(Self { purpose: text("purpose"), calls: text("calls"), end, tools, reading: reads(form) })
    }

    /// Returns the task that the form describes, with those of the offered tools that are ticked.
    pub(super) fn definition(&self, offered: &[Tool]) -> Result<TaskDefinition, Sentence> {
        let calls = match self.calls.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| Sentence::ProblemCalls)?),
        };
        let ticked = offered.iter().filter(|tool| self.tools.contains(&tool_key(&tool.name)));
        Ok(TaskDefinition {
            purpose: self.purpose.clone(),
            tools: ticked.map(|tool| (tool.name.clone(), None)).collect(),
            calls,
            expires_in: self.end.seconds(),
            ..self.reading.clone()
        })
    }
}
