//! The tools that somebody could put into a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_policy::grant::grantable;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_store::{Grant, StoreError, Tx};

use crate::Issuer;
use crate::clients::plain_text;
use crate::pages::{class_words, tool_key};
use crate::shown;
use crate::text::Sentence;

/// The tools of the grant's server that its user has a right to, and so could hand on. Others are as if they were
/// not there.
pub(crate) async fn tools(
    issuer: &Issuer,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
) -> Result<Vec<Tool>, StoreError> {
    let rights = Arc::clone(&issuer.rights.borrow());
    let known = shown::tools(issuer, tx, &grant.server).await?;
    let most = grantable(&rights, (&grant.subject, &grant.client), &grant.server, &known, now);
    Ok(known.into_iter().filter(|tool| most.contains(&Scope::tool(&tool.name))).collect())
}

/// What these tools promise, by name, as the catalogue keeps it.
pub(crate) async fn definitions(
    issuer: &Issuer,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, StoreError> {
    let offered = tools(issuer, tx, grant, now).await?;
    let mut definitions: BTreeMap<_, _> = tx.catalogue().definitions(&grant.server).await?.into_iter().collect();
    definitions.retain(|name, _| offered.iter().any(|tool| tool.name == *name));
    Ok(definitions)
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
