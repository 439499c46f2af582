//! `sekisho import`: a client's MCP configuration, what authority each entry carries today, and the same through a
//! checkpoint.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{print_json, visible};
use crate::cli::{Common, ImportArguments};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::os;

mod entries;
mod jsonc;

use entries::{Entry, Weight};

/// Reads the file, shows what is in it, and rewrites it where that was asked for.
pub(crate) fn import(common: &Common, arguments: &ImportArguments) -> Result<(), CommandError> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file).map_err(|error| cannot("read", file, &error))?;
    let mut document = jsonc::parse(&text).map_err(|error| {
        let message = format!("`{}` is no JSON: {error}", file.display());
        CommandError::usage(message, "give the client's own file, such as mcp.json or claude_desktop_config.json")
    })?;
    let entries = entries::of(&document).ok_or_else(|| {
        let message = format!("`{}` has no MCP servers", file.display());
        CommandError::usage(message, "it has to have `mcpServers`, or `servers` as VS Code has it")
    })?;
    let base = arguments.base_url.trim_end_matches('/');
    let vs_code = entries::is_vs_code(&document);
    let through = |entry: &Entry| entry.through(base, arguments.bridge, vs_code);
    if common.json {
        let rows: Vec<Value> = entries.iter().map(|entry| json!({ "name": entry.name, "server": entry.server, "carries": entry.carries, "through": through(entry), "stays": entry.stays })).collect();
        print_json(&rows)?;
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
    let entries: Vec<Entry> = entries.into_iter().filter(|entry| entry.stays.is_none()).collect();
    if entries.is_empty() {
        return Err(CommandError::no(format!("no server of `{}` can be moved", file.display())));
    }
    let before = known(&arguments.config, &entries)?;
    let data = DataDir::open(common.data_dir.as_deref())?;
    let definitions = definitions(&entries, &data)?;
    append(&arguments.config, before, &definitions)?;
    for entry in &entries {
        entries::put(&mut document, &entry.name, through(entry));
    }
    let backup = keep(file, &text)?;
    let written = serde_json::to_string_pretty(&document).unwrap_or_default();
    replace(file, &format!("{written}\n"))?;
    if !common.json {
        say_lines!("\n{} is rewritten; what it was is in {}.", file.display(), backup.display());
        say_lines!("{} has {} more servers. Next:", arguments.config.display(), entries.len());
        say_lines!(
            "  sekisho check -c {}\n  sekisho serve -c {}",
            arguments.config.display(),
            arguments.config.display()
        );
        if jsonc::has_comments(&text) {
            say_lines!("Its comments are only in the backup now.");
        }
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("cannot {what} `{}`: {error}", path.display()), "check the path and its owner")
}

/// One entry: what it starts or calls, what it carries, and what would be in its place. Secrets are never shown.
fn say(entry: &Entry, through: &Value) {
    say_lines!("\n{}", visible(&entry.name));
    say_lines!("  today    {}", visible(&entry.shown));
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

/// The servers as `serve` has them. Secrets go into files that only we may read.
fn definitions(entries: &[Entry], data: &DataDir) -> Result<toml::Table, CommandError> {
    let folder = data.path().join("imported");
    os::private_folder(&folder).map_err(|error| cannot("make", &folder, &error))?;
    let mut servers = toml::Table::new();
    for entry in entries {
        let kept = |name: &str, value: &str| -> Result<toml::Value, CommandError> {
            // What refers to a variable is none, and would not be filled in where it stands in a file.
            if !entries::is_secret(name, value) || value.contains("${") {
                return Ok(toml::Value::String(value.to_owned()));
            }
            // One that is there is of another value or of another import, and in use.
            let path = free(&folder, &format!("{}-{}", entry.server, plain(name)))?;
            os::private_file(&path, value.as_bytes()).map_err(|error| cannot("write", &path, &error))?;
            Ok(toml::Value::String(format!("${{file:{}}}", path.display())))
        };
        let values = |pairs: &Map<String, Value>| -> Result<toml::Table, CommandError> {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.iter().map(|(name, value)| Ok((name.clone(), kept(name, &text(value))?))).collect()
        };
        let mut server = toml::Table::new();
        server.insert("title".to_owned(), toml::Value::String(entry.name.clone()));
        if entry.command.is_empty() {
            server.insert("url".to_owned(), toml::Value::String(entry.url.clone()));
        } else {
            let words = entry.command.iter().cloned().map(toml::Value::String).collect();
            server.insert("command".to_owned(), toml::Value::Array(words));
        }
        for (member, pairs) in [("environment", &entry.environment), ("headers", &entry.headers)] {
            if !pairs.is_empty() {
                server.insert(member.to_owned(), toml::Value::Table(values(pairs)?));
            }
        }
        servers.insert(entry.server.clone(), toml::Value::Table(server));
    }
    Ok(servers)
}

/// Secrets whose names become one.
const SAME_NAMES_MAX: u32 = 1000;

fn plain(name: &str) -> String {
    name.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '_').collect()
}

/// A name in this folder that nothing has: of several names that become one, each gets a file of its own (ATK-229).
fn free(folder: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let names =
        (1..SAME_NAMES_MAX).map(|number| if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
    let mut paths = names.map(|name| folder.join(name));
    // A link that leads nowhere is there as well.
    paths.find(|path| std::fs::symlink_metadata(path).is_err()).ok_or_else(|| {
        let message = format!("too many secrets are called `{name}` in `{}`", folder.display());
        CommandError::environment(message, "remove those that no configuration names")
    })
}

/// What a configuration holds, which must not have a server of these names.
fn known(config: &Path, entries: &[Entry]) -> Result<String, CommandError> {
    let before = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read", config, &error)),
    };
    let known: toml::Table = before.parse().map_err(|error| {
        CommandError::usage(format!("`{}` cannot be read: {error}", config.display()), "`sekisho check` says more")
    })?;
    let known = known.get("servers").and_then(toml::Value::as_table);
    let mut names = entries.iter().map(|entry| &entry.server);
    if let Some(name) = names.find(|name| known.is_some_and(|known| known.contains_key(*name))) {
        return Err(CommandError::usage(
            format!("`{}` has a server `{name}` already", config.display()),
            "rename one of them, or name another file with --config",
        ));
    }
    Ok(before)
}

/// Adds the servers to a configuration that has none of that name.
fn append(config: &Path, before: String, servers: &toml::Table) -> Result<(), CommandError> {
    let whole = toml::Table::from_iter([("servers".to_owned(), toml::Value::Table(servers.clone()))]);
    let added = toml::to_string(&whole).unwrap_or_default();
    let gap = if before.is_empty() || before.ends_with("\n\n") { "" } else { "\n" };
    replace(config, &format!("{before}{gap}{added}"))
}

/// Keeps what the file was, beside it, under a name that is free.
fn keep(file: &Path, text: &str) -> Result<PathBuf, CommandError> {
    for number in 1..100 {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".before-sekisho-{number}"));
        let path = PathBuf::from(name);
        // It may hold secrets, as the file did.
        let made =
            std::os::unix::fs::OpenOptionsExt::mode(std::fs::OpenOptions::new().write(true).create_new(true), 0o600)
                .open(&path);
        match made {
            Ok(mut kept) => {
                kept.write_all(text.as_bytes()).map_err(|error| cannot("write", &path, &error))?;
                return Ok(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("write", &path, &error)),
        }
    }
    Err(CommandError::environment(format!("too many backups of `{}`", file.display()), "remove some"))
}

/// Writes a file whole or not at all; its mode, its owner and a link that leads to it stay.
fn replace(file: &Path, text: &str) -> Result<(), CommandError> {
    os::replace_file(file, text.as_bytes()).map_err(|error| cannot("write", file, &error))
}
