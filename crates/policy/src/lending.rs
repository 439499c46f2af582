//! What a loan could not change: owners are warned of it before lending, and callers are not told to ask for a loan.

use sekisho_protocol::caller::{ActorPath, Principal};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use serde::{Deserialize, Serialize};

use crate::model::{Authority, Call, Party, Target, ToolState};
use crate::rights::{Rights, RuleId};
use crate::task::WhichArguments;

/// Why a loan of a tool would not let any call pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Hindrance {
    /// Rules forbid the tool whatever its arguments are, and a rule that forbids beats a loan.
    Forbidden {
        /// The rules.
        rules: Vec<RuleId>,
        /// The reasons that the rules give.
        reasons: Vec<String>,
    },
    /// The tool is new or has changed, and does not exist until an owner accepts it.
    Held {
        /// Whether the user may use it as soon as it is accepted, without any loan.
        permitted: bool,
    },
}

/// A tool that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct WantedTool<'a> {
    /// The server that has it.
    pub server: &'a ServerName,
    /// Its name.
    pub name: &'a str,
    /// The class in force. For a tool that is held back, the class that it had.
    pub class: Option<ToolClass>,
    /// Whether it is held back.
    pub held: bool,
}

/// Returns what would prevent a loan of this tool to this party from having an effect, as far as that does
/// not depend on the call. Rules about a task or the source of a call are evaluated for a call without a task.
pub fn hindrance(
    rights: &Rights,
    Party { subject, client }: Party<'_>,
    tool: WantedTool<'_>,
    now: Timestamp,
) -> Option<Hindrance> {
    let path = ActorPath::direct(client.clone());
    let principal = Principal { subject, path: Some(&path) };
    // As it would be if it were not held back.
    let standing = tool.class.map_or(ToolState::Unclassified, ToolState::Classified);
    let target = Target::Tool { name: tool.name.to_owned(), standing };
    let call = Call::bare(tool.server.clone(), "tools/call", target);
    let answer = rights.answer(principal, &Authority::default(), &call, WhichArguments::Any, now);
    if answer.is_forbidden() {
        return Some(Hindrance::Forbidden { rules: answer.because.to_vec(), reasons: answer.reasons.clone() });
    }
    tool.held.then_some(Hindrance::Held { permitted: answer.permitted })
}
