//! The tools that a person could put into a task.

use std::sync::Arc;

use sekisho_acts::reading;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::text::plain_text;
use sekisho_store::{Grant, StoreError, Tx};
use sekisho_web::choice::{class_words, tool_key};
use sekisho_web::sentence::Sentence;
use sekisho_web::shown;

use crate::Console;

/// The tools of the grant's server that its user has a right to, and so could hand on. Other tools are left out, as if
/// they did not exist.
pub(crate) async fn tools(
    console: &Console,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
) -> Result<Vec<Tool>, StoreError> {
    let (rights, servers) = (Arc::clone(&console.rights.borrow()), Arc::clone(&console.site.servers.borrow()));
    reading::offered_tools(tx, &rights, &servers, grant, now).await
}

/// The definitions of these tools as they are at this moment.
pub(crate) fn digest_of(tools: &[Tool]) -> Digest {
    let parts: Vec<&[u8]> =
        tools.iter().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]).collect();
    Digest::of_list(&parts)
}

/// One tool to tick.
pub(crate) struct OfferLine {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) class: Sentence,
    /// Whether the grant covers it; if not, the client will ask for more when it comes to it.
    pub(crate) covered: bool,
    pub(crate) chosen: bool,
}

impl OfferLine {
    pub(crate) fn new(tool: &Tool, granted: &ScopeSet, chosen: &[String]) -> Self {
        let key = tool_key(&tool.name);
        let by_class = tool.class.is_some_and(|class| granted.satisfies(&Scope::of_class(class)));
        Self {
            name: shown::exact(&tool.name, 128),
            summary: plain_text(&tool.summary, 200),
            class: tool.class.map_or(Sentence::ClassUnknown, class_words),
            covered: by_class || granted.contains(&Scope::tool(&tool.name)),
            chosen: chosen.contains(&key),
            key,
        }
    }
}
