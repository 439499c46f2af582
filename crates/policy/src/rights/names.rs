//! The names that policies write out. A rule about a name that nothing has looks like a rule, but does nothing.
//!
//! If a comparison takes something away when it is true (in a `forbid`, in an `unless` of a `permit`), a typing error
//! opens a hole. If it gives something, a typing error gives nothing.

use std::collections::{HashMap, HashSet};

use cedar_policy::Effect;
use serde_json::Value;

use super::load::{Span, read};
use super::parts::PolicyFile;

/// What a name in a policy stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameOf {
    /// An argument of one tool: `context.numbers.hasTag("…")`, in a rule for this tool alone.
    Argument,
    /// The class of a tool: `resource.class == "…"`.
    Class,
    /// A client, by its identifier: `Client::"…"`.
    Client,
    /// A group of users: `Group::"…"`.
    Group,
    /// A caller without a token: `Nobody::"…"`.
    Nobody,
    /// Who runs a server: `resource.party == "…"`.
    Party,
    /// A prompt: `Prompt::"server/name"`.
    Prompt,
    /// A resource: `Resource::"server/uri"`.
    Resource,
    /// A tool, a prompt or a server: `resource.name == "…"`.
    ResourceName,
    /// A server: `Server::"…"`.
    Server,
    /// A group of servers: `ServerGroup::"…"`.
    ServerGroup,
    /// A client in its own name: `Service::"…"`.
    Service,
    /// A tool: `Tool::"server/name"`.
    Tool,
    /// A user, by its identifier: `User::"…"`.
    User,
    /// A user, by name: `principal.name == "…"`.
    UserName,
}

impl NameOf {
    /// Returns what names of this entity type stand for.
    fn entity(kind: &str) -> Option<Self> {
        Some(match kind {
            "Client" => Self::Client,
            "Group" => Self::Group,
            "Nobody" => Self::Nobody,
            "Prompt" => Self::Prompt,
            "Resource" => Self::Resource,
            "Server" => Self::Server,
            "ServerGroup" => Self::ServerGroup,
            "Service" => Self::Service,
            "Tool" => Self::Tool,
            "User" => Self::User,
            _ => return None,
        })
    }

    /// Returns what names stand for that are compared with this attribute.
    fn attribute(expression: &Value) -> Option<Self> {
        let access = expression.get(".")?;
        let of = access.get("left")?.get("Var")?.as_str()?;
        match (of, access.get("attr")?.as_str()?) {
            ("principal", "name") => Some(Self::UserName),
            ("resource", "class") => Some(Self::Class),
            ("resource", "name") => Some(Self::ResourceName),
            ("resource", "party") => Some(Self::Party),
            _ => None,
        }
    }
}

/// A name that a policy writes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameUse {
    /// What the name stands for.
    pub of: NameOf,
    /// The name.
    pub name: String,
    /// The rule.
    pub rule: String,
    /// Whether the rule takes something away if the name matches.
    pub takes: bool,
    /// The place in the file.
    pub span: Option<Span>,
    /// The tool, as `server/name`, whose argument this is; only for arguments.
    pub tool: Option<String>,
}

/// Returns all names that the policies of a file write out, in the order of the rules. For a file with mistakes there
/// are none.
pub fn names(file: &PolicyFile) -> Vec<NameUse> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let written = written(&file.text);
    for policy in read(file).unwrap_or_default() {
        let Ok(json) = policy.to_json() else { continue };
        seen.clear();
        let rule = policy.id().to_string();
        let tool =
            json.pointer("/resource").filter(|scope| scope.get("op").is_some_and(|op| op == "==")).and_then(tool);
        let mut reader = Reader { written: &written, rule, tool, found: &mut found, seen: &mut seen };
        let takes = policy.effect() == Effect::Forbid;
        for part in ["principal", "resource"] {
            let scope = json.get(part);
            for entity in
                scope.into_iter().flat_map(|scope| [scope.get("entity"), scope.pointer("/in/entity")]).flatten()
            {
                reader.entity(entity, takes);
            }
        }
        for condition in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            let is_unless = condition.get("kind").is_some_and(|kind| kind == "unless");
            condition.get("body").into_iter().for_each(|body| reader.expression(body, takes != is_unless));
        }
    }
    found
}

/// Returns the tool that a scope names.
fn tool(scope: &Value) -> Option<String> {
    let entity = scope.get("entity")?;
    let entity = entity.get("__entity").unwrap_or(entity);
    (entity.get("type")? == "Tool").then(|| entity.get("id")?.as_str().map(str::to_owned)).flatten()
}

/// Returns the places of the texts in quotes, each with the type before it: `"a"`, `Group::"a"`. Only the first place
/// of each is kept. The text is read once, so that the cost grows only with the length of the file.
fn written(text: &str) -> HashMap<&str, usize> {
    let mut found = HashMap::new();
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find(['"', '/'])) {
        let begin = at + next;
        let rest = text.get(begin..).unwrap_or_default();
        if rest.starts_with("//") {
            at = begin + rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if !rest.starts_with('"') {
            at = begin + 1;
            continue;
        }
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, character)| {
            let closes = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            closes
        });
        let end = end.map_or(text.len(), |(end, _)| begin + end + 1);
        let before = text.get(..begin).unwrap_or_default();
        let word = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_');
        for from in [begin, word.len()] {
            found.entry(text.get(from..end).unwrap_or_default()).or_insert(from);
        }
        at = end;
    }
    found
}

struct Reader<'a> {
    written: &'a HashMap<&'a str, usize>,
    rule: String,
    /// The one tool that the rule is about, if there is one.
    tool: Option<String>,
    found: &'a mut Vec<NameUse>,
    /// The names that were found in this rule so far.
    seen: &'a mut HashSet<(NameOf, String, bool)>,
}

impl Reader<'_> {
    fn note(&mut self, of: NameOf, name: &str, written: &str, takes: bool) {
        if self.seen.insert((of, name.to_owned(), takes)) {
            let span = self.written.get(written).map(|at| Span { at: *at, len: written.len() });
            let tool = self.tool.clone().filter(|_| of == NameOf::Argument);
            self.found.push(NameUse { of, name: name.to_owned(), rule: self.rule.clone(), takes, span, tool });
        }
    }

    fn entity(&mut self, entity: &Value, takes: bool) {
        let entity = entity.get("__entity").unwrap_or(entity);
        let member = |name: &str| entity.get(name).and_then(Value::as_str);
        if let (Some(kind), Some(id)) = (member("type"), member("id"))
            && let Some(of) = NameOf::entity(kind)
        {
            self.note(of, id, &format!("{kind}::\"{id}\""), takes);
        }
    }

    /// Reads an expression, in the JSON form of policies.
    fn expression(&mut self, expression: &Value, takes: bool) {
        match expression {
            Value::Array(items) => items.iter().for_each(|item| self.expression(item, takes)),
            Value::Object(members) => {
                members.iter().for_each(|(operator, operand)| self.operation(operator, operand, takes))
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn operation(&mut self, operator: &str, operand: &Value, takes: bool) {
        let turned = match operator {
            "!" | "!=" => !takes,
            _ => takes,
        };
        match operator {
            "Value" => return operand.get("__entity").into_iter().for_each(|entity| self.entity(entity, takes)),
            "==" | "!=" | "contains" | "containsAny" | "containsAll" => self.compared(operand, turned),
            "getTag" | "hasTag" if self.tool.is_some() => self.tagged(operand, takes),
            // A match in the condition may lead to either branch, so it counts as taking something away.
            "if-then-else" => {
                operand.get("if").into_iter().for_each(|condition| self.expression(condition, true));
                for branch in ["then", "else"] {
                    operand.get(branch).into_iter().for_each(|branch| self.expression(branch, takes));
                }
                return;
            }
            _ => {}
        }
        self.expression(operand, turned);
    }

    /// Notes the name of an argument in one of the bags, which are the only things with tags.
    fn tagged(&mut self, operand: &Value, takes: bool) {
        if let Some(name) = operand.pointer("/right/Value").and_then(Value::as_str) {
            self.note(NameOf::Argument, name, &format!("\"{name}\""), takes);
        }
    }

    /// Notes the texts that are compared with an attribute.
    fn compared(&mut self, operand: &Value, takes: bool) {
        let sides = || ["left", "right"].into_iter().filter_map(|side| operand.get(side));
        let Some(of) = sides().find_map(NameOf::attribute) else { return };
        let set = |side: &Value| side.get("Set").and_then(Value::as_array).cloned();
        for literal in sides().flat_map(|side| set(side).unwrap_or_else(|| vec![side.clone()])) {
            if let Some(text) = literal.get("Value").and_then(Value::as_str) {
                self.note(of, text, &format!("\"{text}\""), takes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NameOf, PolicyFile, names};

    #[test]
    fn texts_in_quotes_are_found_once() {
        let text = "// it's \"not\" this\npermit(principal in Group::\"a\", action == Action::\"x\") // \"\nwhen { r == \"a\" || r == \"b\\\"c\" };";
        let found = super::written(text);
        for (written, expected) in [
            ("Group::\"a\"", text.find("Group::")),
            ("\"a\"", text.find("\"a\"")),
            ("\"b\\\"c\"", text.find("\"b")),
            ("\"not\"", None),
        ] {
            assert_eq!(found.get(written).copied(), expected, "{written}");
        }
    }

    /// The cost of long files grows only with their length.
    #[test]
    fn finding_texts_grows_with_the_file() {
        for unit in ["Group::\"a#\" ", "// \"\n", "a::\"\\\" "] {
            let make = |count: usize| (0..count).map(|at| unit.replace('#', &at.to_string())).collect::<String>();
            sekisho_protocol::growth::in_proportion(unit, 256, make, |text| super::written(text).len());
        }
    }

    /// Each name is found, wherever it stands, with whether a match takes something away.
    #[test]
    fn names_are_found_with_what_they_do() {
        let scope = "principal, action == Action::\"call\", resource";
        for (rule, expected) in [
            ("permit(principal in Group::\"a\", action, resource);", vec![(NameOf::Group, "a", false)]),
            ("forbid(principal in Group::\"a\", action, resource);", vec![(NameOf::Group, "a", true)]),
            ("forbid(principal == User::\"bob\", action, resource);", vec![(NameOf::User, "bob", true)]),
            (
                "permit(principal is User in Group::\"a\", action, resource == Tool::\"s/t\");",
                vec![(NameOf::Group, "a", false), (NameOf::Tool, "s/t", false)],
            ),
            (&format!("permit({scope}) unless {{ resource in Server::\"s\" }};"), vec![(NameOf::Server, "s", true)]),
            (&format!("forbid({scope}) unless {{ resource in Server::\"s\" }};"), vec![(NameOf::Server, "s", false)]),
            (
                &format!("permit({scope}) when {{ !(resource in ServerGroup::\"g\") }};"),
                vec![(NameOf::ServerGroup, "g", true)],
            ),
            (
                &format!("permit({scope}) when {{ resource != Tool::\"s/t\" && resource.class == \"reed\" }};"),
                vec![(NameOf::Tool, "s/t", true), (NameOf::Class, "reed", false)],
            ),
            (
                &format!("forbid({scope}) when {{ [\"a\", \"b\"].contains(resource.name) }};"),
                vec![(NameOf::ResourceName, "a", true), (NameOf::ResourceName, "b", true)],
            ),
            (
                &format!("permit({scope}) when {{ principal is User && principal.name == \"bob\" }};"),
                vec![(NameOf::UserName, "bob", false)],
            ),
            (
                &format!("permit({scope}) when {{ context has path && context.path.first == Client::\"c\" }};"),
                vec![(NameOf::Client, "c", false)],
            ),
            (
                &format!("permit({scope}) when {{ if principal in Group::\"a\" then true else false }};"),
                vec![(NameOf::Group, "a", true)],
            ),
            (
                "forbid(principal, action, resource == Tool::\"s/t\") when { context.numbers.hasTag(\"n\") && context.numbers.getTag(\"n\") > 5 };",
                vec![(NameOf::Tool, "s/t", true), (NameOf::Argument, "n", true)],
            ),
            (
                "forbid(principal, action, resource == Tool::\"s/t\") unless { context.flags.hasTag(\"dry\") };",
                vec![(NameOf::Tool, "s/t", true), (NameOf::Argument, "dry", false)],
            ),
            // The rule is not about a single tool, so it is unknown whose argument this is.
            (&format!("forbid({scope}) when {{ context.numbers.hasTag(\"n\") }};"), vec![]),
            ("permit(principal, action, resource);", vec![]),
        ] {
            let file = PolicyFile { name: "a.cedar".to_owned(), text: rule.to_owned() };
            let found = names(&file);
            let short: Vec<_> = found.iter().map(|name| (name.of, name.name.as_str(), name.takes)).collect();
            assert_eq!(short, expected, "{rule}");
            for name in &found {
                let span = name.span.unwrap();
                assert!(rule.get(span.at..span.at + span.len).unwrap().contains(&name.name), "{rule}");
            }
        }
    }
}
