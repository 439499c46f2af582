//! Advice from recorded calls on what could be narrower, and recorded calls judged again by other rights.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::advise::{Advice, BeyondLoans, Observations, ObservedCall, ObservedGrant, advise as advise_on};
use sekisho_policy::case::Case;
use sekisho_policy::model::{Authority, Call, Target, ToolState, Trust};
use sekisho_policy::replay::{Before, Kept, Replayed, replay as judge_again};
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::ToolSchema;
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::audit::{Decision, Event, Record, RuleId, Verdict, Why};
use sekisho_protocol::caller::{Principal, Subject};
use sekisho_protocol::canonical;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, RequestId, ServerName, TaskId};
use sekisho_protocol::refusal::SetName;
use sekisho_store::{AUDIT_PAGE_MAX, AuditFilter, GrantFilter, Store, Tx};
use serde::{Deserialize, Serialize};

use super::Names;
use crate::ActError;
use crate::reading::{self, Classes};

/// The most calls that are read, the oldest first.
const CALLS_MAX: usize = 200_000;

/// The result of judging recorded calls again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// How many calls were judged again.
    pub calls: u64,
    /// How many of them could not be judged, because rules look at what is not on record: the address that the call came
    /// from, arguments that were not kept, a task or a grant that was removed.
    pub undecidable: u64,
    /// How many were not judged because their tool, user or grant's client is not there any more.
    pub gone: u64,
    /// How many passed by a loan. These are not judged again.
    pub lent: u64,
    /// Whether there were more calls than are read.
    pub cut: bool,
    /// The calls that would be decided differently.
    pub changes: Vec<Change>,
}

/// Calls of one tool by one user that would be decided differently.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    /// The new decision.
    pub becomes: Replayed,
    /// The user, or the subject.
    pub who: String,
    /// The server.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// How many calls.
    pub count: u64,
    /// The last of these calls.
    pub last: RequestId,
}

/// A call of a tool on record.
struct Recorded {
    at: Timestamp,
    request: RequestId,
    decision: Decision,
    tool: String,
    /// The arguments, if they are known.
    arguments: Option<Bytes>,
}

/// Whose calls are looked at: those of one user through one client, who may know no more than the user may use.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The user.
    pub subject: &'a Subject,
    /// The client.
    pub client: &'a ClientId,
    /// What the user may do.
    pub rights: &'a Rights,
}

impl Whose<'_> {
    /// Whether the decision was on a call of this user through this client.
    pub(super) fn made(self, decision: &Decision) -> bool {
        decision.subject == *self.subject && decision.client.as_ref() == Some(self.client)
    }

    /// Whether the user may use this tool with any arguments.
    fn may_know(self, server: &ServerName, name: &str, class: Option<ToolClass>, now: Timestamp) -> bool {
        let standing = class.map_or(ToolState::Unclassified, ToolState::Classified);
        let call = Call::bare(server.clone(), "tools/call", Target::Tool { name: name.to_owned(), standing });
        self.rights.judge(Principal::of(self.subject), &Authority::default(), &call, now).permitted
    }
}

/// What could be narrower, by what was seen since then; of everybody, or within what one caller may know.
pub async fn advise(
    store: &Store,
    classes: &Classes,
    since: Timestamp,
    now: Timestamp,
    whose: Option<Whose<'_>>,
) -> Result<Vec<Advice>, ActError> {
    let mut tx = store.read().await?;
    let (recorded, _) = calls(&mut tx, since, |decision| whose.is_none_or(|whose| whose.made(decision))).await?;
    let names = Names::read(&mut tx).await?;
    let mut seen = Observations::default();
    for call in recorded {
        let server = call.decision.server.clone();
        if !seen.tools.contains_key(&server) {
            let tools = tx.catalogue().list(&server).await?;
            let tools = tools.into_iter().filter(|tool| !tool.is_held());
            let tools = tools.map(|tool| (tool.name.clone(), class(classes, &server, &tool)));
            let may_know = |name: &str, class| whose.is_none_or(|whose| whose.may_know(&server, name, class, now));
            seen.tools.insert(server.clone(), tools.filter(|(name, class)| may_know(name, *class)).collect());
        }
        // An agent is not told what exists (RS-36).
        let beyond_loans = if whose.is_none() { beyond_loans(&call.decision) } else { None };
        seen.calls.push(ObservedCall {
            request: call.request,
            who: names.of(&call.decision.subject),
            client: call.decision.client,
            server,
            tool: call.tool,
            verdict: call.decision.verdict,
            set: call.decision.set,
            beyond_loans,
            arguments: call.arguments.and_then(|text| serde_json::from_slice(&text).ok()),
        });
    }
    let filter = GrantFilter {
        subject: whose.map(|whose| whose.subject.clone()),
        client: whose.map(|whose| whose.client.clone()),
        ..GrantFilter::default()
    };
    for grant in tx.grants().list(&filter).await? {
        let lives = grant.revoked_at.is_none() && grant.expires_at.is_none_or(|end| now < end);
        if lives {
            seen.grants.push(ObservedGrant { id: grant.id, server: grant.server, scopes: grant.scopes });
        }
    }
    Ok(advise_on(&seen))
}

/// What no loan would have changed of a refusal: rights name rules only where rules forbid.
fn beyond_loans(decision: &Decision) -> Option<BeyondLoans> {
    if decision.verdict != Verdict::Deny || decision.set != Some(SetName::Rights) {
        return None;
    }
    if decision.why == Some(Why::HeldBack) {
        return Some(BeyondLoans::Held);
    }
    let rules: Vec<String> = decision.because.iter().map(RuleId::to_string).collect();
    (!rules.is_empty()).then_some(BeyondLoans::Forbidden(rules))
}

fn class(classes: &Classes, server: &ServerName, tool: &Tool) -> Option<ToolClass> {
    reading::class(classes.get(server), tool)
}

/// The calls since then, under these rights.
pub async fn replay(store: &Store, rights: &Rights, classes: &Classes, since: Timestamp) -> Result<Report, ActError> {
    let mut tx = store.read().await?;
    let (recorded, cut) = calls(&mut tx, since, |_| true).await?;
    let names = Names::read(&mut tx).await?;
    let gone: Vec<Subject> =
        tx.users().list().await?.into_iter().filter(|user| user.disabled).map(|user| Subject::User(user.id)).collect();
    let mut known = LookupCache::default();
    let mut report = Report { cut, ..Report::default() };
    let mut changes: BTreeMap<(Replayed, String, ServerName, String), (u64, RequestId)> = BTreeMap::new();
    for call in recorded {
        let Recorded { at, request, decision, tool, arguments } = call;
        if is_lent(&decision) {
            report.lent += 1;
            continue;
        }
        report.calls += 1;
        // A user who is disabled now may do nothing, whatever the rules say.
        if gone.contains(&decision.subject) {
            report.gone += 1;
            continue;
        }
        let standing = known.standing(&mut tx, classes, &decision.server, &tool).await?;
        let Some(standing) = standing else {
            report.gone += 1;
            continue;
        };
        let (authority, kept) = known.authority(&mut tx, &decision).await?;
        let kept = Kept { arguments: arguments.is_some(), ..kept };
        let target = Target::Tool { name: tool.clone(), standing };
        let schema = known.schema(&mut tx, &decision.server, &tool).await?;
        let call = Call { arguments, schema, ..Call::bare(decision.server.clone(), "tools/call", target) };
        let case = Case { principal: principal(&decision), authority: &authority, call: &call };
        let becomes = judge_again(rights, case, kept, before(&decision), at);
        match becomes {
            Replayed::Same => {}
            Replayed::Undecidable => report.undecidable += 1,
            Replayed::Asks | Replayed::Breaks | Replayed::Passes => {
                let key = (becomes, names.of(&decision.subject), decision.server, tool);
                let change = changes.entry(key).or_insert((0, request));
                *change = (change.0 + 1, request);
            }
        }
    }
    let change = |((becomes, who, server, tool), (count, last))| Change { becomes, who, server, tool, count, last };
    report.changes = changes.into_iter().map(change).collect();
    Ok(report)
}

/// Whether the call passed by a loan.
fn is_lent(decision: &Decision) -> bool {
    decision.because.iter().any(|rule| match rule {
        RuleId::Loan(_) => true,
        RuleId::Configuration(_) | RuleId::Owner | RuleId::Policy(_) => false,
    })
}

/// What rights said when the call was made. Where a server only observed, what was let pass counts as use.
fn before(decision: &Decision) -> Before {
    let refused = decision.verdict == Verdict::Deny && decision.set == Some(SetName::Rights);
    let (used, asked) = (decision.verdict == Verdict::Permit, decision.verdict == Verdict::Ask);
    Before { permitted: !refused, used, asked }
}

fn principal(decision: &Decision) -> Principal<'_> {
    Principal { subject: &decision.subject, path: decision.path.as_ref() }
}

/// Calls of tools, and whether there are more. Not those that were judged a second time after a person was asked.
async fn calls(
    tx: &mut Tx,
    since: Timestamp,
    wanted: impl Fn(&Decision) -> bool,
) -> Result<(Vec<Recorded>, bool), ActError> {
    let mut found = Vec::new();
    for node in tx.audit().nodes().await? {
        let mut after = 0;
        loop {
            let filter = AuditFilter {
                node: Some(node),
                since: Some(since),
                after_seq: Some(after),
                limit: AUDIT_PAGE_MAX,
                ..AuditFilter::default()
            };
            let page = tx.audit().list(&filter).await?;
            let Some(last) = page.last().map(|stored| stored.seq) else { break };
            after = last;
            for stored in page {
                if let Some(recorded) = recorded(tx, stored.record, &wanted).await? {
                    if found.len() >= CALLS_MAX {
                        return Ok((found, true));
                    }
                    found.push(recorded);
                }
            }
        }
    }
    Ok((found, false))
}

async fn recorded(
    tx: &mut Tx,
    record: Record,
    wanted: impl Fn(&Decision) -> bool,
) -> Result<Option<Recorded>, ActError> {
    let Record { at, request, event } = record;
    let Event::Decision(decision) = event else { return Ok(None) };
    if !wanted(&decision) {
        return Ok(None);
    }
    let Some(tool) = decision.target.clone().filter(|_| decision.method == "tools/call") else { return Ok(None) };
    let none = decision.arguments == Some(canonical::digest_of_text(None));
    let kept = if none { None } else { tx.audit().arguments(request).await? };
    let arguments = match kept {
        Some(kept) => Some(Bytes::copy_from_slice(kept.expose())),
        None => none.then(|| Bytes::from_static(b"{}")),
    };
    Ok(Some(Recorded { at, request, decision: *decision, tool, arguments }))
}

/// What was looked up once.
#[derive(Default)]
struct LookupCache {
    tools: BTreeMap<ServerName, Vec<Tool>>,
    /// `None`: the grant or its clients are not there any more.
    trust: BTreeMap<GrantId, Option<Trust>>,
    tasks: BTreeMap<TaskId, Option<Arc<BoundTask>>>,
    schemas: BTreeMap<(ServerName, String), Option<Arc<ToolSchema>>>,
}

impl LookupCache {
    /// How a tool stands now. `None`: it is not there any more.
    async fn standing(
        &mut self,
        tx: &mut Tx,
        classes: &Classes,
        server: &ServerName,
        name: &str,
    ) -> Result<Option<ToolState>, ActError> {
        if !self.tools.contains_key(server) {
            self.tools.insert(server.clone(), tx.catalogue().list(server).await?);
        }
        let tool = self.tools.get(server).and_then(|tools| tools.iter().find(|tool| tool.name == name));
        let tool = tool.filter(|tool| !tool.is_held());
        Ok(tool.map(|tool| class(classes, server, tool).map_or(ToolState::Unclassified, ToolState::Classified)))
    }

    /// What a tool takes now.
    async fn schema(
        &mut self,
        tx: &mut Tx,
        server: &ServerName,
        name: &str,
    ) -> Result<Option<Arc<ToolSchema>>, ActError> {
        let key = (server.clone(), name.to_owned());
        if let Some(known) = self.schemas.get(&key) {
            return Ok(known.clone());
        }
        let definition = tx.catalogue().definition(server, name).await?;
        let schema = definition.as_deref().and_then(ToolSchema::of_definition).map(Arc::new);
        Ok(self.schemas.entry(key).or_insert(schema).clone())
    }

    /// What stood behind the call, and which parts of it are still known.
    async fn authority(&mut self, tx: &mut Tx, decision: &Decision) -> Result<(Authority, Kept), ActError> {
        let trust = match decision.grant {
            None => Some(Trust::default()),
            Some(grant) => match self.trust.get(&grant) {
                Some(trust) => *trust,
                None => {
                    let state = tx.grants().alive(grant).await?;
                    let trust = state.and_then(|state| reading::trust(&state.origins));
                    self.trust.insert(grant, trust);
                    trust
                }
            },
        };
        let need = match decision.task {
            None => Need::undeclared(),
            Some(id) => {
                let task = match self.tasks.entry(id) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(free) => {
                        let task = tx.tasks().find(id).await?;
                        free.insert(task.and_then(|task| BoundTask::new(task).ok()).map(Arc::new)).clone()
                    }
                };
                task.map_or_else(|| Need::unknown(id), |task| Need::of([task]))
            }
        };
        let kept = Kept { arguments: false, path: trust.is_some(), task: need.unknown_task().is_none() };
        Ok((Authority { need, trust: trust.unwrap_or_default() }, kept))
    }
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::audit::Decision;

    use super::is_lent;

    /// Only a rule that is a loan is one: `loan-desk` can be the `@id` of a policy, whose calls are judged again.
    #[test]
    fn a_policy_whose_name_begins_like_a_loan_is_no_loan() {
        for (rule, expected) in [
            ("loan:lon_01a2b3c4d5e6f708091a2b3c4d5e6f70", true),
            ("loan-desk", false),
            ("loan", false),
            ("owner", false),
            ("servers.notes.everyone", false),
        ] {
            let decision: Decision = serde_json::from_value(serde_json::json!({
                "subject": "anonymous",
                "server": "notes",
                "method": "tools/call",
                "verdict": "permit",
                "need": "undeclared",
                "because": [rule],
            }))
            .unwrap();
            assert_eq!(is_lent(&decision), expected, "{rule}");
        }
    }
}
