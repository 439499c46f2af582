//! What a person wrote into the form that widens a task.

use sekisho_acts::task::More;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::task::Task;
use sekisho_web::choice::tool_key;
use sekisho_web::parameters::Parameters;
use sekisho_web::sentence::Sentence;

/// What a person wants to add to a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WideningForm {
    /// The keys of the tools to add.
    pub(super) tools: Vec<String>,
    /// The keys of the tools whose bounds to drop.
    pub(super) unbound: Vec<String>,
    /// How many calls to add, as it was written.
    pub(super) calls: String,
    /// By how much to move the end: `hour`, `day` or nothing.
    pub(super) end: String,
}

impl WideningForm {
    pub(super) fn read(form: &Parameters) -> Self {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let all = |name| form.all(name).map(str::to_owned).collect();
        Self { tools: all("tool"), unbound: all("unbound"), calls: text("calls"), end: text("end") }
    }

    /// Returns what the form adds, with those of the addable tools that are ticked.
    pub(super) fn more(&self, task: &Task, addable: &[Tool]) -> Result<More, Sentence> {
        let calls = match self.calls.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| Sentence::ProblemCalls)?,
        };
        let seconds = match self.end.as_str() {
            "" => 0,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return Err(Sentence::ProblemEnd),
        };
        let ticked = addable.iter().map(|tool| &tool.name).filter(|name| self.tools.contains(&tool_key(name)));
        let unbound = task.definition.tools.keys().filter(|name| self.unbound.contains(&tool_key(name)));
        Ok(More { tools: ticked.cloned().collect(), unbound: unbound.cloned().collect(), calls, seconds })
    }
}
