//! Proposals, drawn from the records, to make rights and scopes narrower. Each comes with its evidence; nothing is
//! changed here.
//!
//! Only recorded calls count. If arguments were not kept, nothing is proposed about them.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::{ClientId, GrantId, RequestId, ServerName};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::task::{OWN_TOOLS, TaskDefinition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The fewest calls with an argument from which a bound is drawn; with fewer, only its type is proposed.
const CALLS_FOR_A_BOUND: usize = 3;
/// The most different texts that are listed as allowed values; with more, only their common beginning is proposed.
const TEXTS_MAX: usize = 5;
/// The fewest characters of a common beginning that make a bound.
const PREFIX_CHARS_MIN: usize = 3;
/// The fewest refusals of one kind for which there is a proposal.
const REFUSALS_MIN: usize = 3;

/// The records and settings from which proposals are made.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// The grants that live.
    pub grants: Vec<ObservedGrant>,
    /// The tools of each server, with the class in force.
    pub tools: BTreeMap<ServerName, BTreeMap<String, Option<ToolClass>>>,
    /// The calls of tools, oldest first.
    pub calls: Vec<ObservedCall>,
}

/// What matters here of a grant.
#[derive(Debug, Clone)]
pub struct ObservedGrant {
    /// Its identifier.
    pub id: GrantId,
    /// The server that it is for.
    pub server: ServerName,
    /// The scopes that were granted.
    pub scopes: ScopeSet,
}

/// A call that was judged.
#[derive(Debug, Clone)]
pub struct ObservedCall {
    /// Under which id the records know it.
    pub request: RequestId,
    /// The caller, as a name for people.
    pub who: String,
    /// The client that made the call.
    pub client: Option<ClientId>,
    /// The server that was called.
    pub server: ServerName,
    /// The tool that was called.
    pub tool: String,
    /// The decision.
    pub verdict: Verdict,
    /// The set that refused.
    pub set: Option<SetName>,
    /// Why no loan would change a refusal by rights. `None` if one could, or if the reader must not know.
    pub beyond_loans: Option<BeyondLoans>,
    /// The arguments; `None` if they were not kept.
    pub arguments: Option<Map<String, Value>>,
}

/// Why a loan would not change a refusal by rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeyondLoans {
    /// The rules that forbid the call.
    Forbidden(Vec<String>),
    /// The tool was held back.
    Held,
}

/// One proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// The server that the proposal is about.
    pub server: ServerName,
    /// The proposal, as a sentence.
    pub what: String,
    /// The recorded facts that support it.
    pub evidence: Vec<String>,
    /// What could not be found out, and why.
    pub undecidable: Vec<String>,
    /// The change itself.
    pub proposal: Proposal,
}

/// A change, ready to be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// Nothing can be applied: a person has to think about it.
    Look,
    /// A policy file.
    Policy(String),
    /// The scopes of ordinary use (`scopes_default`).
    Scopes(ScopeSet),
    /// A template for tasks.
    Task(TaskDefinition),
}

/// All proposals, by server.
pub fn advise(seen: &Observations) -> Vec<Advice> {
    let servers: BTreeSet<&ServerName> = seen.calls.iter().map(|call| &call.server).collect();
    let mut advice = Vec::new();
    for server in servers {
        let none = BTreeMap::new();
        let tools = seen.tools.get(server).unwrap_or(&none);
        // The checkpoint's own tools need no scope, no rule and no place in a task.
        let is_own = |call: &ObservedCall| OWN_TOOLS.contains(&call.tool.as_str()) && !tools.contains_key(&call.tool);
        let calls = seen.calls.iter().filter(|call| call.server == *server && !is_own(call));
        let calls: Vec<&ObservedCall> = calls.collect();
        // A person who was asked, and what went on after that, are both use.
        let used: Vec<&ObservedCall> = calls.iter().filter(|call| call.verdict == Verdict::Permit).copied().collect();
        advice.extend(scopes(server, tools, &used, &seen.grants));
        advice.extend(policy(server, tools, &used));
        advice.extend(task(server, &used));
        advice.extend(refusals(server, &calls));
    }
    advice
}

fn names<'a>(calls: &[&'a ObservedCall]) -> BTreeSet<&'a str> {
    calls.iter().map(|call| call.tool.as_str()).collect()
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Proposes narrower scopes if grants hold scopes that were never used.
fn scopes(
    server: &ServerName,
    tools: &BTreeMap<String, Option<ToolClass>>,
    used: &[&ObservedCall],
    grants: &[ObservedGrant],
) -> Option<Advice> {
    let class = |name: &&str| tools.get(*name).copied().flatten();
    let used_names = names(used);
    let most = used_names.iter().filter_map(class).max();
    let by_name = used_names.iter().filter(|name| class(name).is_none()).map(|name| Scope::tool(name));
    let needed: ScopeSet = most.map(Scope::of_class).into_iter().chain(by_name).collect();
    let wider: Vec<&ObservedGrant> = grants
        .iter()
        .filter(|grant| grant.server == *server)
        .filter(|grant| {
            let rest = grant.scopes.without(&Scope::offline_access()).without(&Scope::account());
            rest.iter().any(|scope| !needed.satisfies(scope))
        })
        .collect();
    if used.is_empty() || wider.is_empty() {
        return None;
    }
    let evidence = wider.iter().map(|grant| format!("{} holds {}", grant.id, grant.scopes));
    Some(Advice {
        server: server.clone(),
        what: format!("ordinary use needs {needed}; ask for that, and let the rest be a step-up"),
        evidence: std::iter::once(format!("{} calls needed no more than {needed}", used.len()))
            .chain(evidence)
            .collect(),
        undecidable: Vec::new(),
        proposal: Proposal::Scopes(needed),
    })
}

/// Tools that nobody used.
fn policy(server: &ServerName, tools: &BTreeMap<String, Option<ToolClass>>, used: &[&ObservedCall]) -> Option<Advice> {
    let used_names = names(used);
    let unused: Vec<&str> = tools.keys().map(String::as_str).filter(|name| !used_names.contains(name)).collect();
    if used_names.is_empty() || unused.is_empty() {
        return None;
    }
    let list: Vec<String> = used_names.iter().map(|name| literal(name)).collect();
    let text = format!(
        "// Only what was used: {} of {} tools.\n@id({})\n@reason(\"nobody has used it so far\")\nforbid (\n    principal,\n    \
         action == Action::\"call\",\n    resource in Server::{}\n)\nunless {{ [{}].contains(resource.name) }};\n",
        used_names.len(),
        used_names.len() + unused.len(),
        literal(&format!("only-used-at-{server}")),
        literal(server.as_str()),
        list.join(", "),
    );
    let count = |name: &&str| used.iter().filter(|call| call.tool == **name).count();
    let evidence = used_names.iter().map(|name| format!("{name} was called {}", times(count(name))));
    let never = std::iter::once(format!("never called: {}", unused.join(", ")));
    Some(Advice {
        server: server.clone(),
        what: "nobody needs the tools that nobody has used; this rule takes them from everybody, also from those to whom an \
               owner lends one".to_owned(),
        evidence: evidence.chain(never).collect(),
        undecidable: Vec::new(),
        proposal: Proposal::Policy(text),
    })
}

/// Writes a string of Cedar. The escapes are those of JSON, except for the braces around a code point.
fn literal(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|character| match character {
            '"' | '\\' => vec!['\\', character],
            other if other.is_control() => format!("\\u{{{:x}}}", u32::from(other)).chars().collect(),
            other => vec![other],
        })
        .collect();
    format!("\"{escaped}\"")
}

/// A task with what was used, and with the bounds in which arguments stayed.
fn task(server: &ServerName, used: &[&ObservedCall]) -> Option<Advice> {
    let mut undecidable = Vec::new();
    let mut evidence = Vec::new();
    let mut tools = BTreeMap::new();
    for name in names(used) {
        let calls: Vec<&&ObservedCall> = used.iter().filter(|call| call.tool == name).collect();
        let kept: Option<Vec<&Map<String, Value>>> = calls.iter().map(|call| call.arguments.as_ref()).collect();
        let bounds = match kept {
            Some(kept) => Some(bounds(&kept)),
            None => {
                undecidable.push(format!("bounds of {name}: arguments not kept"));
                None
            }
        };
        if let Some(bounds) = &bounds {
            evidence.push(format!("{name}, {}: arguments within {bounds}", times(calls.len())));
        } else {
            evidence.push(format!("{name}, {}", times(calls.len())));
        }
        tools.insert(name.to_owned(), bounds);
    }
    let purpose = format!("what was done at {server} so far");
    let definition = TaskDefinition { purpose, tools, ..TaskDefinition::default() };
    // A definition that would not be accepted as a task is not proposed.
    definition.check().ok()?;
    Some(Advice {
        server: server.clone(),
        what: "offer a task that holds an agent to what was used".to_owned(),
        evidence,
        undecidable,
        proposal: Proposal::Task(definition),
    })
}

/// Returns the narrowest simple schema that all of these fit.
fn bounds(calls: &[&Map<String, Value>]) -> Value {
    let names: BTreeSet<&String> = calls.iter().flat_map(|arguments| arguments.keys()).collect();
    let in_all = names.iter().filter(|name| calls.iter().all(|arguments| arguments.contains_key(**name)));
    let required: Vec<&&String> = in_all.collect();
    let properties: Map<String, Value> = names
        .iter()
        .map(|name| {
            let values: Vec<&Value> = calls.iter().filter_map(|arguments| arguments.get(*name)).collect();
            ((*name).clone(), bound(&values))
        })
        .collect();
    // Without `required`, all of the properties would be required.
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn bound(values: &[&Value]) -> Value {
    let enough = values.len() >= CALLS_FOR_A_BOUND;
    let texts: Option<BTreeSet<&str>> = values.iter().map(|value| value.as_str()).collect();
    if let Some(texts) = texts {
        return match common_prefix(&texts) {
            _ if !enough => json!({ "type": "string" }),
            _ if texts.len() <= TEXTS_MAX => json!({ "enum": texts }),
            prefix if prefix.chars().count() >= PREFIX_CHARS_MIN => {
                json!({ "type": "string", "pattern": format!("^{}", escaped(prefix)) })
            }
            _ => json!({ "type": "string" }),
        };
    }
    let numbers: Option<Vec<i64>> = values.iter().map(|value| value.as_i64()).collect();
    if let Some((Some(low), Some(high))) =
        numbers.map(|numbers| (numbers.iter().min().copied(), numbers.iter().max().copied()))
    {
        let kind = json!({ "type": "integer" });
        return if enough { json!({ "type": "integer", "minimum": low, "maximum": high }) } else { kind };
    }
    let kinds: BTreeSet<&str> = values.iter().map(|value| kind(value)).collect();
    json!({ "type": kinds })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(_) => "number",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    }
}

fn common_prefix<'a>(texts: &BTreeSet<&'a str>) -> &'a str {
    // The texts are sorted, so the first and the last have the shortest common beginning.
    let (Some(first), Some(last)) = (texts.first(), texts.last()) else { return "" };
    let same = first.char_indices().zip(last.chars()).find(|((_, one), other)| one != other);
    let end = same.map_or(first.len().min(last.len()), |((at, _), _)| at);
    first.get(..end).unwrap_or_default()
}

/// Returns a regular expression that fits only this text.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let is_plain = character.is_alphanumeric() || matches!(character, '_' | ' ' | '/' | ':' | '-' | '@' | ',');
            (!is_plain).then_some('\\').into_iter().chain(std::iter::once(character))
        })
        .collect()
}

/// Returns what can be done about a refusal by rights.
fn rights_way(beyond_loans: Option<&BeyondLoans>) -> String {
    match beyond_loans {
        Some(BeyondLoans::Forbidden(rules)) => {
            let rules = rules.join("`, `");
            format!("the rule `{rules}` forbids it, whatever is lent: change the rule, if that is right")
        }
        Some(BeyondLoans::Held) => {
            "the tool is held back: read what is new (`sekisho server tools diff`), and accept it, if that is right"
                .to_owned()
        }
        None => "the user may not: lend it (`sekisho request list`), or write a rule, if that is right".to_owned(),
    }
}

/// What is refused again and again.
fn refusals(server: &ServerName, calls: &[&ObservedCall]) -> Vec<Advice> {
    let mut by_kind: BTreeMap<(&str, &str, SetName), Vec<&ObservedCall>> = BTreeMap::new();
    for call in calls {
        if let (Verdict::Deny | Verdict::StepUp, Some(set)) = (call.verdict, call.set) {
            by_kind.entry((&call.who, &call.tool, set)).or_default().push(call);
        }
    }
    let often = by_kind.into_iter().filter(|(_, calls)| calls.len() >= REFUSALS_MIN);
    let advice = often.map(|((who, tool, set), calls)| {
        let way = match set {
            SetName::Grant => {
                "the client was not granted it: let what ordinary use asks for hold it, if it is ordinary".to_owned()
            }
            SetName::Need => "the task does not hold it: widen it, or the template that it began from".to_owned(),
            SetName::Rights => rights_way(calls.last().and_then(|call| call.beyond_loans.as_ref())),
        };
        let last = calls.last().map(|call| call.request.to_string()).unwrap_or_default();
        Advice {
            server: server.clone(),
            what: format!("{who} was refused {tool} again and again; {way}"),
            evidence: vec![format!("{} times, last as {last}", calls.len())],
            undecidable: Vec::new(),
            proposal: Proposal::Look,
        }
    });
    advice.collect()
}

#[cfg(test)]
mod tests;
