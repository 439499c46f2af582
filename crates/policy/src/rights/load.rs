//! Reads policies from their texts, checks them strictly, and refuses all if anything is wrong.

use std::collections::HashSet;
use std::fmt::Write as _;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use sekisho_protocol::audit::RuleId;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::uri::{NotCanonical, ResourceUri};
use serde_json::Value;

use super::index::{Indexed, Looking};
use super::looks::{Bag, Looks, guard, odd_addresses};
use super::parts::{OWNERS, PolicyFile, RightsParts};
use super::request::{Terms, level, uid};
use super::spelling::{self, Unclear};
use super::uses::Uses;

const SCHEMA: &str = include_str!("schema.cedarschema");

/// The most bytes of one policy file.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The schema that policies are checked against, with its comments, which say what policies can use.
pub fn schema_text() -> &'static str {
    SCHEMA
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The position of the first byte.
    pub at: usize,
    /// The number of bytes.
    pub len: usize,
}

/// A mistake in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct Fault {
    /// The file, or whatever else the policy comes from.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// The place, if it is known.
    pub span: Option<Span>,
    /// What to do about it, if the parser of policies says so.
    pub help: Option<String>,
}

/// The annotations that have a meaning. All others are refused, because a misspelt one would silently do nothing.
const ANNOTATIONS: [&str; 4] = ["approval", "id", "reason", "task_required"];

/// Returns all policies of these parts and the oddities in them, or every mistake.
pub(super) fn policies(parts: &RightsParts, terms: &Terms) -> Result<(Vec<Indexed>, Vec<Fault>), Vec<Fault>> {
    let mut files: Vec<PolicyFile> = parts.files.clone();
    files.push(PolicyFile { name: CONFIGURED.to_owned(), text: configured(parts, terms) });
    let mut faults = Vec::new();
    let mut all = Vec::new();
    for file in &files {
        match read(file) {
            Ok(policies) => all.extend(policies.into_iter().map(|policy| (file, policy))),
            Err(found) => faults.extend(found),
        }
    }
    let mut names = HashSet::new();
    for (file, policy) in &all {
        if !names.insert(policy.id().clone()) {
            faults.push(Fault {
                file: file.name.clone(),
                message: format!("the rule `{}` exists twice", policy.id()),
                span: None,
                help: Some("give each rule an `@id` of its own".to_owned()),
            });
        }
    }
    if faults.is_empty() {
        faults = validate(&all);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut odd = Vec::new();
    let indexed: Result<Vec<Indexed>, Fault> =
        all.into_iter().map(|(file, policy)| index(file, policy, &mut odd)).collect();
    Ok((indexed.map_err(|fault| vec![fault])?, odd))
}

/// The name, in errors, of what policies come from that the configuration's short words stand for.
const CONFIGURED: &str = "the configuration";

/// Reads one file and names its policies: by `@id`, or by their position in the file.
pub(super) fn read(file: &PolicyFile) -> Result<Vec<Policy>, Vec<Fault>> {
    let fault = |message: String, span, help| Fault { file: file.name.clone(), message, span, help };
    if file.text.len() > FILE_BYTES_MAX {
        return Err(vec![fault(format!("longer than {FILE_BYTES_MAX} bytes"), None, None)]);
    }
    let set: PolicySet = file.text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|error| described(file, error)).collect::<Vec<_>>()
    })?;
    if set.templates().next().is_some() {
        let help = Some("write the principal and the resource out".to_owned());
        return Err(vec![fault("policies with slots are not used here".to_owned(), None, help)]);
    }
    let mut policies: Vec<(usize, Policy)> =
        set.policies().map(|policy| (place(policy.id()), policy.clone())).collect();
    policies.sort_by_key(|(place, _)| *place);
    let mut named = Vec::new();
    let mut faults = Vec::new();
    for (place, policy) in policies {
        for (name, _) in policy.annotations() {
            if !ANNOTATIONS.contains(&name) {
                let message = format!("rule {}: the annotation `@{name}` means nothing here", place + 1);
                faults.push(fault(message, None, Some(format!("known are @{}", ANNOTATIONS.join(", @")))));
            }
        }
        let only_permit = ["approval", "task_required"].into_iter().find(|name| policy.annotation(name).is_some());
        if let (Effect::Forbid, Some(name)) = (policy.effect(), only_permit) {
            let message = format!("rule {}: `@{name}` on a `forbid` asks for what is never given", place + 1);
            faults.push(fault(message, None, Some("put it on the `permit`".to_owned())));
        }
        let id = match policy.annotation("id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("{}#{}", file.name, place + 1),
        };
        if let Some(taken) = taken(&id).filter(|_| file.name != CONFIGURED) {
            let message = format!("rule {}: {taken}", place + 1);
            faults.push(fault(message, None, Some("give it another `@id`".to_owned())));
        }
        named.push(policy.new_id(PolicyId::new(id)));
    }
    if faults.is_empty() { Ok(named) } else { Err(faults) }
}

/// Returns why a rule of a file cannot have this name: it would look like a rule of another kind.
fn taken(id: &str) -> Option<String> {
    if id.starts_with(RuleId::LOAN_PREFIX) {
        return Some(format!("names that begin with `{}` are those of loans", RuleId::LOAN_PREFIX));
    }
    match RuleId::read(id) {
        RuleId::Policy(_) => None,
        RuleId::Configuration(_) => Some(format!("`{id}` is the name of a rule of the configuration")),
        RuleId::Loan(_) => Some(format!("`{id}` is the name of a loan")),
        RuleId::Owner => Some(format!("`{id}` is the name of the built-in rule for owners")),
    }
}

/// Returns the position of a policy, which the parser counts from 0 in the order of the text.
fn place(id: &PolicyId) -> usize {
    AsRef::<str>::as_ref(id).strip_prefix("policy").and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn described(file: &PolicyFile, error: &dyn Diagnostic) -> Fault {
    let label = error.labels().and_then(|mut labels| labels.next());
    Fault {
        file: file.name.clone(),
        message: error.to_string(),
        span: label.map(|label| Span { at: label.offset(), len: label.len() }),
        help: error.help().map(|help| help.to_string()),
    }
}

/// Checks every rule against the schema, strictly (types, attributes that may be missing, actions that cannot apply).
fn validate(policies: &[(&PolicyFile, Policy)]) -> Vec<Fault> {
    let schema = match Schema::from_cedarschema_str(SCHEMA) {
        Ok((schema, _)) => schema,
        Err(error) => {
            return vec![Fault { file: "the schema".to_owned(), message: error.to_string(), span: None, help: None }];
        }
    };
    let set = match PolicySet::from_policies(policies.iter().map(|(_, policy)| policy.clone())) {
        Ok(set) => set,
        Err(error) => {
            return vec![Fault { file: CONFIGURED.to_owned(), message: error.to_string(), span: None, help: None }];
        }
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let of = |id: &PolicyId| policies.iter().find(|(_, policy)| policy.id() == id).map(|(file, _)| *file);
    let fallback = PolicyFile { name: CONFIGURED.to_owned(), text: String::new() };
    let errors = result.validation_errors().map(|error| described(of(error.policy_id()).unwrap_or(&fallback), error));
    // A rule that can never apply is a mistake, too, because somebody believes that it does.
    let warnings =
        result.validation_warnings().map(|warning| described(of(warning.policy_id()).unwrap_or(&fallback), warning));
    errors.chain(warnings).collect()
}

fn index(file: &PolicyFile, policy: Policy, odd: &mut Vec<Fault>) -> Result<Indexed, Fault> {
    let fault = |error: &dyn std::fmt::Display| Fault {
        file: file.name.clone(),
        message: format!("rule `{}`: {error}", policy.id()),
        span: None,
        help: None,
    };
    let json = policy.to_json().map_err(|error| fault(&error))?;
    let given = json.clone();
    let mut uses = Uses::default();
    let conditions = json.get("conditions").unwrap_or(&Value::Null);
    look(conditions, &mut uses);
    let looks = Looks::of(conditions);
    odd.extend(odd_addresses(conditions).iter().map(|what| fault(what)));
    if let Some((name, one, other)) = looks.contradiction() {
        let both = format!(
            "it looks for `{name}` as {one} and as {other}, so a call with `{name}` is always one that it cannot compare"
        );
        odd.push(Fault {
            help: Some("write one rule for each, and name the tools of each".to_owned()),
            ..fault(&both)
        });
    }
    let open = match (policy.effect(), uses.arguments) {
        (Effect::Permit, true) => {
            // Only the scope is left, and that was parsed before.
            let open = Policy::from_json(Some(policy.id().clone()), without_conditions(json));
            Some(open.map_err(|error| fault(&error))?)
        }
        _ => None,
    };
    let asks = policy.annotation("approval").is_some() || policy.annotation("task_required").is_some();
    let written = |json: Result<Option<Value>, Unclear>| match json.map_err(|error| fault(&error))? {
        None => Ok(None),
        Some(json) => Policy::from_json(Some(policy.id().clone()), json).map(Some).map_err(|error| fault(&error)),
    };
    let widened = spelling::spell(&given, policy.effect());
    let looking = match looks.is_empty() {
        true => None,
        false => {
            // Like a scope, these are parts of a policy that was parsed before; they are widened like the rule itself.
            let stands = widened.clone().ok().flatten().unwrap_or_else(|| given.clone());
            let guard = Policy::from_json(Some(policy.id().clone()), guard(stands));
            Some(Looking { looks, guard: guard.map_err(|error| fault(&error))? })
        }
    };
    let spelled = written(widened)?;
    // If the widened policy permits less than its text says, it still requires an approval or task for all of its text.
    let as_said = || spelled.is_some().then(|| policy.clone());
    let mark = if asks { written(spelling::mark(&given))?.or_else(as_said) } else { None };
    uses.spellings |= spelled.is_some() || mark.is_some();
    let id = policy.id().to_string();
    // Several policies can come from one word of the configuration.
    let rule = if file.name == CONFIGURED {
        RuleId::read(id.split('#').next().unwrap_or_default())
    } else {
        RuleId::Policy(id)
    };
    Ok(Indexed {
        rule,
        uses,
        approval: policy.annotation("approval").is_some(),
        task_required: policy.annotation("task_required").is_some(),
        reason: policy.annotation("reason").map(str::to_owned),
        open,
        spelled: spelled.unwrap_or_else(|| policy.clone()),
        mark,
        looking,
        policy,
    })
}

/// Returns warnings about policies that are in force: they compare a URI with a text that no URI can be. A file with
/// mistakes has no warnings.
pub fn warnings(files: &[PolicyFile]) -> Vec<Fault> {
    let in_file = |file: &PolicyFile| {
        let policies = read(file).unwrap_or_default();
        policies.iter().flat_map(|policy| unequal(file, policy)).collect::<Vec<_>>()
    };
    files.iter().flat_map(in_file).collect()
}

fn unequal(file: &PolicyFile, policy: &Policy) -> Vec<Fault> {
    let texts = policy.to_json().map(|json| spelling::never_equal(&json)).unwrap_or_default();
    let fault = |text: String| Fault {
        file: file.name.clone(),
        message: format!("rule `{}`: no resource is asked for by `{text}`", policy.id()),
        span: file.text.find(&text).map(|at| Span { at, len: text.len() }),
        help: Some(match ResourceUri::parse(&text) {
            Err(NotCanonical { canonical: Some(canonical), .. }) => format!("write `{canonical}`"),
            _ => "write the URI as the server lists it; docs/policies.md says what a rule compares".to_owned(),
        }),
    };
    texts.into_iter().map(fault).collect()
}

fn without_conditions(mut json: Value) -> Value {
    if let Some(conditions) = json.get_mut("conditions") {
        *conditions = Value::Array(Vec::new());
    }
    json
}

/// Notes what a condition looks at, in the JSON form of a policy. What is not understood counts as everything.
fn look(condition: &Value, uses: &mut Uses) {
    match condition {
        Value::Array(items) => items.iter().for_each(|item| look(item, uses)),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member.get("attr").and_then(Value::as_str)) {
                    ("." | "has", Some(attribute)) if is_variable(member.get("left"), "context") => {
                        used(attribute, uses)
                    }
                    ("." | "has", Some("class" | "level")) if is_variable(member.get("left"), "resource") => {}
                    ("Var", _) if member == "context" => *uses = Uses::ALL,
                    ("Var", _) if member == "resource" => uses.identity = true,
                    _ => look(member, uses),
                }
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_variable(left: Option<&Value>, variable: &str) -> bool {
    left.and_then(|left| left.get("Var")).is_some_and(|name| name == variable)
}

fn used(attribute: &str, uses: &mut Uses) {
    match attribute {
        bag if Bag::named(bag).is_some() => uses.arguments = true,
        "now" => uses.time = true,
        "path" => uses.path = true,
        "source" => uses.source = true,
        "task" => uses.task = true,
        _ => *uses = Uses::ALL,
    }
}

/// Returns the policies that the short words of the configuration stand for.
fn configured(parts: &RightsParts, terms: &Terms) -> String {
    let mut text = format!("@id(\"owner\") permit(principal in {}, action, resource);\n", uid(&terms.group, OWNERS));
    for (name, server) in &parts.servers {
        if server.public {
            let _ = writeln!(
                text,
                "@id(\"servers.{name}.public\") permit(principal is Nobody, action, resource in {});",
                uid(&terms.server, name.as_str())
            );
        }
        if let Some(class) = server.everyone {
            up_to(&mut text, terms, name, ShortRule { word: "everyone", principal: "principal is User", class });
        }
        for (user, class) in &server.users {
            let principal = format!("principal == {}", uid(&terms.user, &user.to_string()));
            let word = format!("users.{user}");
            up_to(&mut text, terms, name, ShortRule { word: &word, principal: &principal, class: *class });
        }
    }
    text
}

/// One short rule of a server's configuration: who may use its tools up to a class.
struct ShortRule<'a> {
    /// The setting, for the identifiers of the policies.
    word: &'a str,
    /// Who may, as the scope of a policy says it.
    principal: &'a str,
    class: ToolClass,
}

fn up_to(text: &mut String, terms: &Terms, name: &ServerName, rule: ShortRule<'_>) {
    let ShortRule { word, principal, class } = rule;
    let server = uid(&terms.server, name.as_str());
    let _ = writeln!(
        text,
        "@id(\"servers.{name}.{word}#look\") permit({principal}, action in [Action::\"read\", Action::\"get\", \
         Action::\"list\"], resource in {server});\n@id(\"servers.{name}.{word}#call\") permit({principal}, \
         action == Action::\"call\", resource in {server}) when {{ resource.level <= {} }};",
        level(class)
    );
}

/// Returns a policy text in its usual format.
pub fn format_policies(file: &PolicyFile) -> Result<String, Fault> {
    let config = cedar_policy_formatter::Config { line_width: 100, indent_width: 4 };
    cedar_policy_formatter::policies_str_to_pretty(&file.text, &config).map_err(|report| Fault {
        file: file.name.clone(),
        message: report.to_string(),
        span: None,
        help: report.help().map(|help| help.to_string()),
    })
}
