//! Tells a caller why one of its own calls was refused, and which of its own grants could be narrower.
//!
//! A caller is a user through a client. It is not told what that user does through another client, nor which rules
//! decide, nor whether something that the user may not use exists (RS-36).

use std::time::Duration;

use jiff::SignedDuration;
use sekisho_acts::question::{self, Explained, Question, Whose};
use sekisho_acts::reading::Classes;
use sekisho_policy::advise::{Advice, Proposal};
use sekisho_protocol::audit::{Decision, Event, Verdict, Why};
use sekisho_protocol::caller::{Caller, Subject};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, RequestId, ServerName};
use sekisho_protocol::refusal::SetName;
use sekisho_store::AuditFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{CheckpointServer, Found, tool};
use crate::command::history;

/// How long to wait for the record of a refusal, which is written in batches after the caller has its answer.
const RECORDED_WITHIN: Duration = Duration::from_millis(200);
/// How long to wait before looking for the record again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How far back advice may look, in days.
const DAYS_MAX: u32 = 90;

/// Arguments of `advise`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    days: Option<u32>,
}

/// Arguments of `explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    request: Option<RequestId>,
    server: Option<ServerName>,
    tool: Option<String>,
    arguments: Option<Map<String, Value>>,
}

pub(super) fn tools() -> Vec<Value> {
    vec![
        tool(
            "explain",
            "Why a call was refused, or whether one would pass",
            "Which of the three sets (what the user may do, what was granted to this client, what the task needs) \
             refused a call of this client, and what to do about it. Give the `request` id of a refusal, or a `server` \
             and a `tool` to ask before calling.",
            json!({
                "request": { "type": "string", "description": "The id that stands in the refusal." },
                "server": { "type": "string", "description": "The last segment of the server's URL." },
                "tool": { "type": "string" },
                "arguments": { "type": "object", "description": "The arguments the call would have." },
            }),
            &[],
            false,
        ),
        tool(
            "advise",
            "How little this client needs",
            "From the records of this client's own calls: scopes that were granted and never used, and a task that would \
             hold the client to what it does.",
            json!({
                "days": { "type": "integer", "minimum": 1, "maximum": DAYS_MAX, "description": "How far to look back; 30 if left out." },
            }),
            &[],
            false,
        ),
    ]
}

/// Explains a recorded call, or one that could be made.
pub(super) async fn explain(server: &CheckpointServer, caller: &Caller, asked: Asked) -> Result<Found, String> {
    let Some(client) = caller.client() else { return Err("nobody in particular has no calls of its own".to_owned()) };
    match asked {
        Asked { request: Some(request), server: None, tool: None, arguments: None } => {
            recorded(server, (caller.subject(), client), request).await
        }
        Asked { request: None, server: Some(at), tool: Some(tool), arguments } => {
            possible(server, (caller.subject(), client), (at, tool, arguments)).await
        }
        _ => Err("give either `request`, or `server` and `tool`".to_owned()),
    }
}

/// Explains the decision on one of the caller's own calls. The error for other callers' calls is the same as for
/// unknown ones.
async fn recorded(
    server: &CheckpointServer,
    (subject, client): (&Subject, &ClientId),
    request: RequestId,
) -> Result<Found, String> {
    let until = tokio::time::Instant::now() + RECORDED_WITHIN;
    let decision = loop {
        let found = decision(server, request).await?;
        if found.is_some() || tokio::time::Instant::now() >= until {
            break found;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    let own = decision.filter(|decision| decision.subject == *subject && decision.client.as_ref() == Some(client));
    let decision = own.ok_or_else(|| format!("no call of this client is on record as `{request}`"))?;
    let target = decision.target.as_deref().unwrap_or_default();
    let (said, remedy) = why(&decision, request, &server.base_url);
    let text = format!("{} {target} at {}: {said}", decision.method, decision.server);
    let data = json!({
        "request": request,
        "server": decision.server,
        "method": decision.method,
        "target": decision.target,
        "decision": decision.verdict,
        "set": decision.set,
        "reason": said,
        "remedy": remedy,
    });
    Ok(Found { text, data: Some(data) })
}

async fn decision(server: &CheckpointServer, request: RequestId) -> Result<Option<Decision>, String> {
    let failed = |error: sekisho_store::StoreError| {
        tracing::error!(%error, "the records could not be read");
        "the records cannot be read at the moment".to_owned()
    };
    let mut tx = server.store.read().await.map_err(failed)?;
    let filter = AuditFilter { request: Some(request), ..AuditFilter::default() };
    let records = tx.audit().list(&filter).await.map_err(failed)?;
    // The last decision counts: a call that waited for a person is judged twice.
    let mut decisions = records.into_iter().filter_map(|stored| match stored.record.event {
        Event::Decision(decision) => Some(*decision),
        _ => None,
    });
    Ok(decisions.next_back())
}

/// Returns what the caller may know about a decision, and what can be done about it.
fn why(decision: &Decision, request: RequestId, base_url: &str) -> (String, Value) {
    let page = |path: String| json!({ "url": format!("{base_url}{path}") });
    let task = || match (decision.task, decision.grant) {
        (Some(task), _) => page(format!("/tasks/{task}")),
        (None, Some(grant)) => page(format!("/grants/{grant}")),
        (None, None) => Value::Null,
    };
    match (decision.verdict, decision.set) {
        (Verdict::Permit, _) => ("it passed all three sets".to_owned(), Value::Null),
        (Verdict::StepUp, _) => (
            format!("the grant refused: this client was not granted {}; ask the user to grant more", decision.scopes),
            json!({ "scopes": decision.scopes }),
        ),
        (Verdict::Ask, _) => {
            ("a rule wants the user's yes to this very call; the refusal named the page".to_owned(), Value::Null)
        }
        (Verdict::Deny, Some(SetName::Grant)) => {
            ("the authority behind the call had ended; log in again".to_owned(), Value::Null)
        }
        (Verdict::Deny, Some(SetName::Need)) => {
            let said = match decision.why {
                Some(Why::ArgumentOutsideTask) => "an argument was outside the bounds of the task",
                Some(Why::BudgetSpent) => "the calls of the task are used up",
                Some(Why::TaskFinished) => "the task is finished",
                Some(Why::TaskRequired) => "the call is only for a declared task, and none was",
                _ => "the call is not part of the task",
            };
            (format!("the task (need) refused: {said}; only the user can widen it"), task())
        }
        (Verdict::Deny, Some(SetName::Rights) | None) if decision.why == Some(Why::Declined) => {
            ("the user said no to this very call; do not make it again unless the user asks".to_owned(), Value::Null)
        }
        (Verdict::Deny, None) if decision.why == Some(Why::ArgumentsInvalid) => {
            ("the arguments were not those that the tool takes: see its input schema".to_owned(), Value::Null)
        }
        // The text must not show whether the thing exists or is held back (RS-36).
        (Verdict::Deny, Some(SetName::Rights) | None) => (
            "the user's rights refused: there is no such thing here, or the user may not use it, or a rule forbids the \
             call; the user can see at the link what can be done"
                .to_owned(),
            page(format!("/access/{request}")),
        ),
    }
}

/// Explains how the three sets would judge a call through the client that asks.
async fn possible(
    server: &CheckpointServer,
    (subject, client): (&Subject, &ClientId),
    (at, tool, arguments): (ServerName, String, Option<Map<String, Value>>),
) -> Result<Found, String> {
    let Subject::User(user) = subject else { return Err("only calls for a user can be explained here".to_owned()) };
    let failed = |error: sekisho_acts::ActError| {
        tracing::error!(%error, "a call could not be explained");
        "the call cannot be explained at the moment".to_owned()
    };
    let name = {
        let mut tx = server.store.read().await.map_err(|error| failed(error.into()))?;
        if tx.catalogue().list(&at).await.map_err(|error| failed(error.into()))?.is_empty() {
            return Err(format!("nothing is known of the tools of `{at}` yet: list them there first"));
        }
        let found = tx.users().find(*user).await.map_err(|error| failed(error.into()))?;
        found.ok_or_else(|| "there is no such user any more".to_owned())?.name
    };
    let question = Question {
        user: name,
        client: Some(client.clone()),
        server: at.clone(),
        tool: tool.clone(),
        arguments: arguments.map(|arguments| Value::Object(arguments).to_string()),
    };
    let rights = server.rights.borrow().clone();
    let classes = classes(server).remove(&at).unwrap_or_default();
    let now = server.clock.now();
    let explained = question::explain(&server.store, &rights, &classes, &question, now).await.map_err(failed)?;
    let (said, data) = would(&explained);
    Ok(Found { text: format!("tools/call {tool} at {at}: {said}"), data: Some(data) })
}

/// Returns what the caller may know about the explanation. If the rights refuse, nothing else is told: what the other
/// sets require would show what exists.
fn would(explained: &Explained) -> (String, Value) {
    let of = &explained.explanation;
    if !of.rights.inside && of.decision == Verdict::Deny {
        let said = "the user's rights would refuse: there is no such tool here, or the user may not use it";
        return (said.to_owned(), json!({ "decision": Verdict::Deny, "set": SetName::Rights }));
    }
    let mut lines = vec![match of.decision {
        Verdict::Permit => "it would pass".to_owned(),
        Verdict::StepUp => format!("it needs {}, which this client was not granted", of.grant.needed),
        Verdict::Ask => "a person would be asked for a yes to the very call".to_owned(),
        Verdict::Deny => "it would be refused".to_owned(),
    }];
    if explained.grant.is_none() {
        lines.push("nothing is granted to this client at that server yet".to_owned());
    }
    let need = if of.need.declared {
        let why = of.need.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("{} the task{why}", if of.need.inside { "inside" } else { "outside" })
    } else if of.rights.task_required.is_some() {
        "undeclared, and the call wants a task".to_owned()
    } else {
        "undeclared".to_owned()
    };
    lines.extend(of.invalid.clone());
    let side = |inside| if inside { "inside" } else { "outside" };
    let (rights, grant) = (side(of.rights.inside), side(of.grant.inside));
    lines.push(format!("rights: {rights}; grant: {grant}; need: {need}"));
    if of.observed.is_some() {
        lines.push("the server only observes at the moment, and would refuse it otherwise".to_owned());
    }
    let data = json!({
        "decision": of.decision,
        "set": of.set,
        "rights": { "inside": of.rights.inside },
        "grant": { "inside": of.grant.inside, "needed": of.grant.needed },
        "need": { "declared": of.need.declared, "inside": of.need.inside, "why": of.need.why },
    });
    (lines.join("; "), data)
}

/// Returns how the caller's own grants could be narrower.
pub(super) async fn advise(server: &CheckpointServer, caller: &Caller, asked: Since) -> Result<Found, String> {
    let Some(client) = caller.client() else { return Err("nobody in particular has no calls of its own".to_owned()) };
    let days = asked.days.unwrap_or(30);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(format!("`days` must be from 1 to {DAYS_MAX}"));
    }
    let now = server.clock.now();
    let since = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN);
    let rights = server.rights.borrow().clone();
    let whose = Whose { subject: caller.subject(), client, rights: &rights };
    let advice = question::advise(&server.store, &classes(server), since, now, Some(whose)).await.map_err(|error| {
        tracing::error!(%error, "no advice could be given");
        "the records cannot be read at the moment".to_owned()
    })?;
    // Proposed rules are only for owners, because they would tell about other users.
    let own: Vec<&Advice> = advice.iter().filter(|advice| !matches!(advice.proposal, Proposal::Policy(_))).collect();
    let texts: Vec<String> = own.iter().map(|advice| history::text(advice)).collect();
    let text = if texts.is_empty() {
        "nothing to say: no calls of this client are on record, or they used all that was granted".to_owned()
    } else {
        texts.join("\n\n")
    };
    Ok(Found { text, data: Some(json!({ "advice": own })) })
}

fn classes(server: &CheckpointServer) -> Classes {
    let directory = server.directory.borrow();
    directory.iter().map(|card| (card.name.clone(), card.classes.clone())).collect()
}
