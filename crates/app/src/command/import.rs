//! `sekisho import`: shows what authority each entry of a client's MCP configuration carries today, and moves the
//! entries behind a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{print_json, visible};
use crate::cli::{Common, ImportArguments};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::os;

mod entries;
mod findings;
mod jsonc;
mod logins;
mod parts;
mod references;
mod secrets;
mod write;

use entries::Entry;
use findings::Weight;
use parts::Named;
use write::cannot;

/// Reads the file, shows what is in it, and rewrites it if asked to.
pub(crate) async fn import(common: &Common, arguments: &ImportArguments) -> Result<(), CommandError> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file).map_err(|error| cannot("read", file, &error))?;
    let mut document = jsonc::parse(&text).map_err(|error| {
        let message = format!("`{}` is no JSON: {error}", file.display());
        CommandError::usage(message, "give the client's own file, such as mcp.json or claude_desktop_config.json")
    })?;
    let base = arguments.base_url.trim_end_matches('/');
    let named = Named::new(&arguments.secrets);
    let mut entries = entries::of(&document, &named).ok_or_else(|| {
        let message = format!("`{}` has no MCP servers", file.display());
        CommandError::usage(message, "it has to have `mcpServers`, or `servers` as VS Code has it")
    })?;
    known_names(&arguments.secrets, &document)?;
    for entry in &mut entries {
        entry.stay_behind(base);
    }
    if !arguments.offline {
        logins::ask(&mut entries).await?;
    }
    let form = entries::form(&document, file);
    let through = |entry: &Entry| entry.through(base, arguments.bridge, form);
    if common.json {
        let row = |entry: &Entry| json!({ "name": entry.name, "server": entry.server, "carries": entry.carries, "through": through(entry), "stays": entry.stays });
        print_json(&entries.iter().map(row).collect::<Vec<_>>())?;
    } else {
        for entry in &entries {
            say(entry, &through(entry));
        }
    }
    if !arguments.write {
        if !common.json {
            say_lines!("\nNothing was changed. `--write` moves these servers behind a checkpoint, and keeps a backup.");
        }
        return Ok(());
    }
    let asked = ask(&mut entries, &document)?;
    let (entries, staying): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.stays.is_none());
    if entries.is_empty() {
        return Err(CommandError::no(format!("no server of `{}` can be moved", file.display())));
    }
    let before = write::known(&arguments.config, &entries)?;
    let data = DataDir::open(common.data_dir.as_deref())?;
    let definitions = write::definitions(&entries, &asked, &data)?;
    write::append(&arguments.config, before, &definitions)?;
    if let Some(servers) = entries::servers(&mut document) {
        for entry in &entries {
            servers.insert(entry.name.clone(), through(entry));
        }
    }
    let backup = write::keep(file, &text)?;
    let written = serde_json::to_string_pretty(&document).unwrap_or_default();
    write::replace(file, &format!("{written}\n"))?;
    if !common.json {
        let had_comments = jsonc::has_comments(&text);
        say_done(arguments, Rewrite { backup: &backup, had_comments, moved: entries.len(), staying: &staying });
    }
    Ok(())
}

/// How the client's file was changed.
struct Rewrite<'a> {
    /// A copy of the file as it was.
    backup: &'a Path,
    had_comments: bool,
    /// How many servers are behind the checkpoint now.
    moved: usize,
    /// The entries that were left as they are.
    staying: &'a [Entry],
}

/// Prints what was written, and what to do next.
fn say_done(arguments: &ImportArguments, rewrite: Rewrite<'_>) {
    let Rewrite { backup, had_comments, moved, staying } = rewrite;
    let config = arguments.config.display();
    say_lines!("\n{} is rewritten; what it was is in {}.", arguments.file.display(), backup.display());
    say_lines!("{config} has {moved} more servers. Next:\n  sekisho check -c {config}\n  sekisho serve -c {config}");
    if !staying.is_empty() {
        let names: Vec<String> = staying.iter().map(|entry| visible(&entry.name)).collect();
        say_lines!("These stay as they are, with what they carry: {}.", names.join(", "));
    }
    if had_comments {
        say_lines!("Its comments are only in the backup now.");
    }
}

/// Refuses names given with `--secret` that do not occur in the file: after a typing error, the secret would be shown.
fn known_names(names: &[String], document: &Value) -> Result<(), CommandError> {
    fn has(value: &Value, name: &str) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| {
                let word = item.as_str().unwrap_or_default().split('=').next().unwrap_or_default();
                word.trim_start_matches('-').eq_ignore_ascii_case(name) || has(item, name)
            }),
            Value::Object(members) => {
                members.iter().any(|(key, item)| key.eq_ignore_ascii_case(name) || has(item, name))
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
        }
    }
    match names.iter().find(|name| !has(document, name.trim_start_matches('-'))) {
        None => Ok(()),
        Some(name) => Err(CommandError::usage(
            format!("no server of this file has a variable, a header or an option `{name}`"),
            "give --secret the name under which the value stands",
        )),
    }
}

/// Asks for the values that the client would ask its user for. Without a terminal, servers that need one stay as they
/// are.
fn ask(entries: &mut [Entry], document: &Value) -> Result<BTreeMap<String, String>, CommandError> {
    let mut asked = BTreeMap::new();
    for entry in entries.iter_mut().filter(|entry| entry.stays.is_none()) {
        let wanted: Vec<String> = entry.inputs().map(str::to_owned).collect();
        for id in wanted {
            if asked.contains_key(&id) {
                continue;
            }
            if !os::is_terminal() {
                entry.stays = Some(format!("it asks its user for `{id}`: import it in a terminal"));
                break;
            }
            let described = document.get("inputs").and_then(Value::as_array).into_iter().flatten();
            let mut described = described.filter(|input| input.get("id").is_some_and(|known| *known == *id));
            let described = described.find_map(|input| input.get("description")?.as_str());
            let prompt = format!("{} (kept in a file that only you may read):", visible(described.unwrap_or(&id)));
            let value = inquire::Password::new(&prompt).without_confirmation().prompt().map_err(|error| {
                CommandError::usage(format!("no value for `{id}`: {error}"), "nothing was changed; try again")
            })?;
            asked.insert(id, value);
        }
    }
    Ok(asked)
}

/// Prints one entry: what it starts or calls, which authority it carries, and what would replace it. Secrets are never
/// shown.
fn say(entry: &Entry, through: &Value) {
    say_lines!("\n{}", visible(&entry.name));
    say_lines!("  today    {}", visible(&entry.shown()));
    if entry.carries.is_empty() {
        say_lines!("  carries  nothing that stands out");
    }
    for found in &entry.carries {
        let mark = if found.weight == Weight::Warning { "!" } else { " " };
        say_lines!("  carries {mark}{}", visible(&found.says));
    }
    for line in serde_json::to_string_pretty(&entry.masked).unwrap_or_default().lines() {
        say_lines!("  - {}", visible(line));
    }
    if let Some(why) = &entry.stays {
        say_lines!("  stays    {}", visible(why));
        return;
    }
    for line in serde_json::to_string_pretty(through).unwrap_or_default().lines() {
        say_lines!("  + {}", visible(line));
    }
}

#[cfg(test)]
mod growth;
