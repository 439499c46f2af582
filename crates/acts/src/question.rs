//! Questions: lists, why a call passes or not, which rights could be narrower, and what other rules would have decided.
//! They change nothing.

mod explain;
mod history;
mod list;
mod names;
mod rows;
mod weigh;
mod within;

pub use explain::{Explained, Question, ToolSets, explain};
pub use history::{Change, Report, Whose, advise, replay};
pub use list::{access_requests, clients, grants, held_tools, links, loans, servers, tasks, tools, users};
pub use names::Names;
pub use rows::{
    AccessRow, ChainRow, ClientRow, GrantRow, HeldRow, LinkRow, LoanRow, RecordRow, ServerRow, TaskRow, UserRow,
    access_row,
};
pub use weigh::weigh;
pub use within::{
    Outlook, OwnDecision, OwnQuestionError, OwnRemedy, PossibleCall, SetsOutlook, outlook, own_advice, own_decision,
};
