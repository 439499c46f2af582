//! Explains whether a call would pass, and which set says what. The code that decides calls answers, for a call made up
//! from the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_policy::decide::Candidate;
use sekisho_policy::explain::{Explanation, explain as explain_call};
use sekisho_policy::model::{Call, Target, ToolState};
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::caller::{Principal, Subject};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, ServerName};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{GrantFilter, GrantState, Store, Tx};
use serde::{Deserialize, Serialize};

use crate::reading::{self, authority};
use crate::{ActError, Invalid};

/// A call to be explained.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// The user's name.
    pub user: String,
    /// The client. `None`: any client of the user.
    pub client: Option<ClientId>,
    /// The server.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// The arguments, as JSON.
    pub arguments: Option<String>,
}

/// What the three sets say to a call, and to every other tool of its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explained {
    /// The explanation of the call itself.
    pub explanation: Explanation,
    /// The grant that was looked at. `None`: there is no living one.
    pub grant: Option<GrantId>,
    /// Its client.
    pub client: Option<ClientId>,
    /// The external authorization server whose token brought it. `None`: our own issuer made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// In which sets each tool of the server is.
    pub tools: Vec<ToolSets>,
}

/// The sets that contain a tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolSets {
    /// The tool.
    pub name: String,
    /// Whether the user may use it.
    pub rights: bool,
    /// Whether it was granted.
    pub grant: bool,
    /// Whether the task needs it. `false` if no task was declared.
    pub need: bool,
}

/// Explains a call by the rights in force. `classes` are those of the configuration; they win over those in the store.
pub async fn explain(
    store: &Store,
    rights: &Rights,
    classes: &BTreeMap<String, ToolClass>,
    question: &Question,
    now: Timestamp,
) -> Result<Explained, ActError> {
    let arguments = match &question.arguments {
        None => None,
        Some(text) => {
            let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
            if !is_object {
                return Err(Invalid::Arguments.into());
            }
            Some(bytes::Bytes::copy_from_slice(text.as_bytes()))
        }
    };
    let mut tx = store.read().await?;
    let user = crate::reading::user(&mut tx, &question.user).await?;
    let subject = Subject::User(user.id);
    let (state, issuer) = newest(&mut tx, question, &subject, now).await?.unzip();
    let issuer = issuer.flatten();
    let tools = tx.catalogue().list(&question.server).await?;
    let definition = tx.catalogue().definition(&question.server, &question.tool).await?;
    let schema = definition.as_deref().and_then(ToolSchema::of_definition).map(Arc::new);
    // Without a grant, nothing is granted.
    let nothing = ScopeSet::empty();
    let candidate = Candidate {
        principal: Principal { subject: &subject, path: state.as_ref().map(|state| &state.path) },
        scopes: state.as_ref().map_or(&nothing, |state| &state.scopes),
        ends: Timestamp::MAX,
    };
    let authority = state.as_ref().map(authority).unwrap_or_default();
    let call = |name: &str, arguments, schema| {
        let target = Target::Tool { name: name.to_owned(), standing: standing(&tools, classes, name) };
        Call { arguments, schema, ..Call::bare(question.server.clone(), "tools/call", target) }
    };
    let say = |call: &Call| explain_call(rights, candidate, &authority, call, now);
    // Without arguments, the question is about the tool, and not about a call that it would take.
    let schema = schema.filter(|_| arguments.is_some());
    let explanation = say(&call(&question.tool, arguments, schema));
    let standings = tools.iter().map(|tool| {
        let said: Explanation = say(&call(&tool.name, None, None));
        ToolSets {
            name: tool.name.clone(),
            rights: said.rights.inside,
            grant: said.grant.inside,
            need: said.need.inside,
        }
    });
    Ok(Explained {
        explanation,
        grant: state.as_ref().map(|state| state.grant),
        client: state.as_ref().map(|state| state.client.clone()),
        issuer,
        tools: standings.collect(),
    })
}

/// Returns the newest living grant, and the external authorization server that it came from.
async fn newest(
    tx: &mut Tx,
    question: &Question,
    subject: &Subject,
    now: Timestamp,
) -> Result<Option<(GrantState, Option<String>)>, ActError> {
    let filter = GrantFilter {
        subject: Some(subject.clone()),
        client: question.client.clone(),
        server: Some(question.server.clone()),
    };
    for grant in tx.grants().list(&filter).await?.into_iter().rev() {
        if let Some(state) = reading::living(tx, grant.id, now).await? {
            return Ok(Some((state, grant.issuer)));
        }
    }
    Ok(None)
}

fn standing(tools: &[Tool], classes: &BTreeMap<String, ToolClass>, name: &str) -> ToolState {
    match tools.iter().find(|tool| tool.name == name) {
        // The server has listed no tools yet, so only the configuration says something of a tool.
        None if tools.is_empty() => classes.get(name).map_or(ToolState::Unknown, |class| ToolState::Classified(*class)),
        None => ToolState::Unknown,
        found => reading::standing(Some(classes), found),
    }
}
