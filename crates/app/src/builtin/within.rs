//! The tools `explain` and `advise`: their arguments and their words. What a caller may know is decided in
//! `sekisho_acts::question`.

use std::time::Duration;

use jiff::SignedDuration;
use sekisho_acts::question::{
    self, Outlook, OwnDecision, OwnQuestionError, OwnRemedy, PossibleCall, SetsOutlook, Whose,
};
use sekisho_acts::reading::Classes;
use sekisho_policy::rights::Rights;
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{RequestId, ServerName};
use sekisho_protocol::refusal::SetName;
use sekisho_store::{Store, StoreError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{CheckpointServer, Found, tool};
use crate::command::history;

/// How often the record of a refusal is looked for: it is written in batches, after the caller has its answer.
const LOOKS: u32 = 5;
/// How long to wait before looking for the record again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How far back advice may look, in days.
const DAYS_MAX: u32 = 90;

/// Arguments of `advise`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdviseArguments {
    days: Option<u32>,
}

/// Arguments of `explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainArguments {
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

/// Answers what was decided on a call, or what would be decided.
pub(super) async fn explain(
    server: &CheckpointServer,
    caller: &Caller,
    arguments: ExplainArguments,
) -> Result<Found, String> {
    let rights = server.rights.borrow().clone();
    let whose = whose(caller, &rights)?;
    match arguments {
        ExplainArguments { request: Some(request), server: None, tool: None, arguments: None } => {
            recorded(server, whose, request).await
        }
        ExplainArguments { request: None, server: Some(at), tool: Some(tool), arguments } => {
            let arguments = arguments.map(|arguments| Value::Object(arguments).to_string());
            possible(server, whose, PossibleCall { server: at, tool, arguments }).await
        }
        _ => Err("give either `request`, or `server` and `tool`".to_owned()),
    }
}

/// The user and the client whose calls are asked about.
fn whose<'a>(caller: &'a Caller, rights: &'a Rights) -> Result<Whose<'a>, String> {
    let client = caller.client().ok_or("an anonymous caller has no calls of its own")?;
    Ok(Whose { subject: caller.subject(), client, rights })
}

/// What was decided on a call of the caller's own.
async fn recorded(server: &CheckpointServer, whose: Whose<'_>, request: RequestId) -> Result<Found, String> {
    let (decision, looks) = looked_for(&server.store, whose, request).await.map_err(|error| {
        tracing::error!(%error, "the records could not be read");
        "the records cannot be read at the moment".to_owned()
    })?;
    tracing::debug!(looks, "the record of a call was looked for");
    let OwnDecision { server: at, method, target, verdict, set, reason, remedy } =
        decision.ok_or_else(|| format!("no call of this client is on record as `{request}`"))?;
    let text = format!("{method} {} at {at}: {reason}", target.as_deref().unwrap_or_default());
    let remedy = match remedy {
        None => Value::Null,
        Some(OwnRemedy::Page(path)) => json!({ "url": format!("{}{path}", server.base_url) }),
        Some(OwnRemedy::Scopes(scopes)) => json!({ "scopes": scopes }),
    };
    let data = json!({
        "request": request,
        "server": at,
        "method": method,
        "target": target,
        "decision": verdict,
        "set": set,
        "reason": reason,
        "remedy": remedy,
    });
    Ok(Found { text, data: Some(data) })
}

/// Looks for the record of a call until it is there, at most [`LOOKS`] times. The record of another caller's call is never
/// there for this one. So it is looked for as often, and answered as late, as a call that never was (RS-36).
/// Returns how often it was looked for, too.
async fn looked_for(
    store: &Store,
    whose: Whose<'_>,
    request: RequestId,
) -> Result<(Option<OwnDecision>, u32), StoreError> {
    let mut looks = 1;
    loop {
        let found = question::own_decision(store, whose, request).await?;
        if found.is_some() || looks == LOOKS {
            return Ok((found, looks));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        looks += 1;
    }
}

/// What the three sets would say to a call through the client that asks.
async fn possible(server: &CheckpointServer, whose: Whose<'_>, call: PossibleCall) -> Result<Found, String> {
    let title = format!("tools/call {} at {}", call.tool, call.server);
    let outlook = question::outlook(&server.store, &classes(server), whose, call, server.clock.now()).await;
    let outlook = outlook.map_err(|error| match error {
        OwnQuestionError::Act(error) => {
            tracing::error!(%error, "a call could not be explained");
            "the call cannot be explained at the moment".to_owned()
        }
        told @ (OwnQuestionError::NoTools(_) | OwnQuestionError::NoUser | OwnQuestionError::UserGone) => {
            told.to_string()
        }
    })?;
    let (said, data) = match outlook {
        Outlook::RightsRefuse => (
            "the user's rights would refuse: there is no such tool here, or the user may not use it".to_owned(),
            json!({ "decision": Verdict::Deny, "set": SetName::Rights }),
        ),
        Outlook::Sets(sets) => sets_text(&sets),
    };
    Ok(Found { text: format!("{title}: {said}"), data: Some(data) })
}

fn sets_text(of: &SetsOutlook) -> (String, Value) {
    let mut lines = vec![match of.decision {
        Verdict::Permit => "it would pass".to_owned(),
        Verdict::StepUp => format!("it needs {}, which this client was not granted", of.needed),
        Verdict::Ask => "a person would be asked for a yes to the very call".to_owned(),
        Verdict::Deny => "it would be refused".to_owned(),
    }];
    if !of.is_granted {
        lines.push("nothing is granted to this client at that server yet".to_owned());
    }
    let need = if of.task_declared {
        let why = of.outside_task.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("{} the task{why}", if of.in_task { "inside" } else { "outside" })
    } else if of.task_required {
        "undeclared, and the call wants a task".to_owned()
    } else {
        "undeclared".to_owned()
    };
    lines.extend(of.invalid.clone());
    let side = |inside| if inside { "inside" } else { "outside" };
    lines.push(format!("rights: {}; grant: {}; need: {need}", side(of.in_rights), side(of.in_grant)));
    if of.observed {
        lines.push("the server only observes at the moment, and would refuse it otherwise".to_owned());
    }
    let data = json!({
        "decision": of.decision,
        "set": of.set,
        "rights": { "inside": of.in_rights },
        "grant": { "inside": of.in_grant, "needed": of.needed },
        "need": { "declared": of.task_declared, "inside": of.in_task, "why": of.outside_task },
    });
    (lines.join("; "), data)
}

/// What could be narrower of the caller's own grants.
pub(super) async fn advise(
    server: &CheckpointServer,
    caller: &Caller,
    arguments: AdviseArguments,
) -> Result<Found, String> {
    let rights = server.rights.borrow().clone();
    let whose = whose(caller, &rights)?;
    let days = arguments.days.unwrap_or(30);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(format!("`days` must be from 1 to {DAYS_MAX}"));
    }
    let now = server.clock.now();
    let since = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN);
    let own = question::own_advice(&server.store, &classes(server), whose, since, now).await.map_err(|error| {
        tracing::error!(%error, "no advice could be given");
        "the records cannot be read at the moment".to_owned()
    })?;
    let texts: Vec<String> = own.iter().map(history::text).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_acts::question::Whose;
    use sekisho_policy::rights::{Rights, RightsParts};
    use sekisho_protocol::audit::{Decision, Event, Need, Record, Verdict};
    use sekisho_protocol::caller::Subject;
    use sekisho_protocol::env::{Clock as _, Entropy, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::{ClientId, NodeId, RequestId, UserId};
    use sekisho_protocol::refusal::SetName;
    use sekisho_protocol::scope::ScopeSet;
    use sekisho_store::{SealKey, Store, StoreSettings, StoreUrl};

    use super::{LOOKS, looked_for};

    /// RS-36: a call of another client, or of another user, is looked for as often as one that never was, so neither the
    /// answer nor its time tells them apart. A call of the caller's own is found at the first look.
    #[tokio::test]
    async fn a_call_of_another_caller_is_looked_for_as_often_as_one_that_never_was() {
        let (entropy, now) = (SeededEntropy::default(), ManualClock::default().now());
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("store.db"));
        let store = Store::open(StoreSettings::new(url, SealKey::generate(&entropy))).await.unwrap();
        let [own, of_other_client, of_other_user, never] = [(); 4].map(|()| RequestId::generate(now, &entropy));
        let [user, other] = [(); 2].map(|()| Subject::User(UserId::generate(now, &entropy as &dyn Entropy)));
        let [client, another] = ["cli_a", "cli_b"].map(|id| ClientId::parse(id).unwrap());
        let refused = |request, subject: &Subject, client: &ClientId| {
            let decision = Decision {
                subject: subject.clone(),
                client: Some(client.clone()),
                path: None,
                grant: None,
                token: None,
                issuer: None,
                task: None,
                server: "notes".parse().unwrap(),
                method: "tools/call".into(),
                target: Some("wipe".to_owned()),
                arguments: None,
                verdict: Verdict::Deny,
                set: Some(SetName::Rights),
                need: Need::Undeclared,
                why: None,
                observed: None,
                because: Arc::default(),
                scopes: ScopeSet::empty(),
            };
            Record { at: now, request, event: Event::Decision(Box::new(decision)) }
        };
        let records = [
            refused(own, &user, &client),
            refused(of_other_client, &user, &another),
            refused(of_other_user, &other, &client),
        ];
        let mut tx = store.begin().await.unwrap();
        tx.audit().append(NodeId::generate(now, &entropy), &records, now).await.unwrap();
        tx.commit().await.unwrap();
        let rights = Rights::new(RightsParts::default()).unwrap();
        let whose = Whose { subject: &user, client: &client, rights: &rights };
        for (request, is_found, expected) in
            [(own, true, 1), (of_other_client, false, LOOKS), (of_other_user, false, LOOKS), (never, false, LOOKS)]
        {
            let (found, looks) = looked_for(&store, whose, request).await.unwrap();
            assert_eq!((found.is_some(), looks), (is_found, expected), "{request}");
        }
    }
}
