//! Reads lists of tools: one entry for each name, with the text of what the tool promises.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sekisho_protocol::canonical;
use sekisho_protocol::catalogue::ToolSeen;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::message::ListItem;
use sekisho_protocol::mcp::method::ListKind;
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_protocol::text::check_name;
use serde_json::Value;
use serde_json::value::RawValue;

use super::propose::propose;

/// The most characters of a tool's summary.
const SUMMARY_CHARACTERS_MAX: usize = 200;
/// The most tools of one server. Tools beyond that are not known, and so cannot be called.
const TOOLS_MAX: usize = 10_000;

/// Returns the tools of all lists, and which arguments they mirror. A name has one tool: several definitions of it in
/// one list become one entry that stays held back, because it is not known which of them a call would reach. Of the
/// lists of two eras the first counts. A tool whose name has several spellings cannot be called, so it is left out.
pub(super) fn read_all(
    server: &ServerName,
    lists: &[Vec<Box<RawValue>>],
) -> (Vec<ToolSeen>, HashMap<String, Annotations>) {
    let mut tools: BTreeMap<String, ToolSeen> = BTreeMap::new();
    let mut mirrors = HashMap::new();
    for list in lists {
        let listed = read_list(list, &mut mirrors);
        for (name, seen) in listed {
            let known = tools.entry(name).or_insert_with(|| seen.clone());
            if known.definition != seen.definition {
                tracing::warn!(
                    %server,
                    tool = %known.name,
                    "the upstream shows this tool differently to clients of older revisions; the newest counts, and in \
                     the lists of the others it is left out"
                );
            }
        }
    }
    for tool in tools.values().filter(|tool| tool.is_of_several()) {
        tracing::warn!(%server, tool = %tool.name, "the upstream has several tools of this name; all of them are held back");
    }
    (tools.into_values().take(TOOLS_MAX).collect(), mirrors)
}

/// Reads the tools of one list, by name.
fn read_list(list: &[Box<RawValue>], mirrors: &mut HashMap<String, Annotations>) -> BTreeMap<String, ToolSeen> {
    let mut definitions: BTreeMap<String, (ToolSeen, BTreeSet<String>)> = BTreeMap::new();
    for raw in list.iter().take(TOOLS_MAX) {
        let Some(item) = ListItem::read(ListKind::Tools, raw) else { continue };
        let ListItem::Tool { name, annotations, input_schema, .. } = &item else { continue };
        if check_name(name).is_err() {
            continue;
        }
        let name = name.clone().into_owned();
        let text = definition(&item);
        if let Some((seen, all)) = definitions.get_mut(&name) {
            seen.proposed = seen.proposed.max(propose(&name, *annotations));
            all.insert(text);
            continue;
        }
        if let Some(Ok(mirrored)) = input_schema.map(Annotations::read)
            && !mirrored.is_empty()
        {
            mirrors.insert(name.clone(), mirrored);
        }
        let seen = ToolSeen {
            name: name.clone(),
            summary: summary(&item),
            proposed: propose(&name, *annotations),
            definition: text.clone(),
        };
        definitions.insert(name, (seen, BTreeSet::from([text])));
    }
    let one = |(name, (seen, all)): (String, (ToolSeen, BTreeSet<String>))| {
        if all.len() == 1 {
            return (name, seen);
        }
        let definition = format!("[{}]", all.into_iter().collect::<Vec<_>>().join(","));
        let summary = "several tools of the upstream have this name".to_owned();
        (name, ToolSeen { definition, summary, ..seen })
    };
    definitions.into_iter().map(one).collect()
}

/// Returns the title or the first line of the description. It is foreign text, so it is shortened and has no control
/// characters.
fn summary(item: &ListItem<'_>) -> String {
    let ListItem::Tool { title, description, .. } = item else { return String::new() };
    let text = title.as_deref().filter(|title| !title.trim().is_empty()).or(description.as_deref()).unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|character| !character.is_control()).take(SUMMARY_CHARACTERS_MAX).collect()
}

/// Returns what a tool promises: name, title, description, schemas and annotations. Each is in canonical form, so that
/// the order of members and white space do not count and everything else does (ATK-76).
pub(super) fn definition(item: &ListItem<'_>) -> String {
    let ListItem::Tool { name, title, description, input_schema, output_schema, annotations, .. } = item else {
        return item.raw().get().to_owned();
    };
    let mut members = serde_json::Map::new();
    let texts = [("name", Some(name)), ("title", title.as_ref()), ("description", description.as_ref())];
    for (member, text) in texts {
        members.extend(text.map(|text| (member.to_owned(), Value::from(text.as_ref()))));
    }
    let values = [("inputSchema", input_schema), ("outputSchema", output_schema), ("annotations", annotations)];
    for (member, raw) in values {
        // A value that is too deep to be read is kept as text.
        let value = raw.map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::from(raw.get())));
        members.extend(value.map(|value| (member.to_owned(), value)));
    }
    canonical::write(&Value::Object(members))
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::catalogue::ToolClass;
    use serde_json::value::RawValue;

    use super::read_all;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    /// ATK-75, ATK-77: a summary has no control characters.
    #[test]
    fn a_list_is_read_without_what_cannot_be_judged() {
        let items = [
            raw(r#"{"name":"a","title":"  ","description":"\n first\u0007 line\nsecond"}"#),
            raw(r#"{"description":"nameless"}"#),
            raw("7"),
        ];
        let (tools, mirrors) = read_all(&"n".parse().unwrap(), &[items.to_vec()]);
        assert_eq!(tools.len(), 1);
        assert_eq!(tools.first().map(|tool| tool.summary.as_str()), Some("first line"));
        assert!(mirrors.is_empty());
    }

    /// ATK-75, ATK-76: nobody can say which of several tools of one name a call reaches. They are one entry, which
    /// counts as the most dangerous of them and cannot be accepted. The same tool listed twice is one tool.
    #[test]
    fn several_tools_of_one_name_are_one_entry_that_cannot_be_accepted() {
        let read = r#"{"name":"a","annotations":{"readOnlyHint":true}}"#;
        let destroys = r#"{"name":"a","annotations":{"destructiveHint":true}}"#;
        let server = "n".parse().unwrap();
        let of = |lists: &[Vec<&str>]| {
            let lists: Vec<Vec<_>> = lists.iter().map(|list| list.iter().map(|text| raw(text)).collect()).collect();
            let (mut tools, _) = read_all(&server, &lists);
            assert_eq!(tools.len(), 1);
            tools.remove(0)
        };
        for list in [vec![read, destroys], vec![destroys, read], vec![read, destroys, read]] {
            let tool = of(&[list]);
            assert!(tool.is_of_several(), "{}", tool.definition);
            assert_eq!(tool.proposed, ToolClass::Destructive);
            assert!(tool.definition.contains("readOnlyHint") && tool.definition.contains("destructiveHint"));
        }
        for lists in [vec![vec![read, read]], vec![vec![read], vec![read]], vec![vec![read], vec![destroys]]] {
            let tool = of(&lists);
            assert!(!tool.is_of_several());
            assert_eq!(tool.proposed, ToolClass::Read);
        }
    }
}
