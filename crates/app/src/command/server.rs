//! `sekisho server`

use std::collections::BTreeMap;
use std::path::Path;

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::HeldRow;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::ids::ServerName;
use sekisho_store::SeenLater;

use super::{print_json, print_table, unexpected, visible};
use crate::cli::{Common, ServerCommand, ToolsCommand};
use crate::config::ServerDefinition;
use crate::control;
use crate::error::CommandError;

/// Performs one of the `server` commands.
pub(crate) async fn perform(common: &Common, command: ServerCommand) -> Result<(), CommandError> {
    let mut config = None;
    let act = match command {
        ServerCommand::Allow { server, user, class } => {
            return reach(common, Command::ServerReach { server, user, class: Some(class) }).await;
        }
        ServerCommand::Deny { server, user } => {
            return reach(common, Command::ServerReach { server, user, class: None }).await;
        }
        ServerCommand::Classify { server, classes } => Command::ToolsClassify {
            server,
            classes: classes.iter().map(|text| class(text)).collect::<Result<_, _>>()?,
        },
        ServerCommand::List(of) => {
            config = of.config;
            Command::ServerList
        }
        ServerCommand::Remove { name } => Command::ServerRemove { name },
        ServerCommand::Tools(ToolsCommand::Accept { server, tools, all: _ }) => {
            Command::ToolsAccept { server, tools: tools.iter().map(|text| named(text)).collect() }
        }
        ServerCommand::Tools(ToolsCommand::Diff { server }) => return diff(common, server).await,
        ServerCommand::Tools(ToolsCommand::List { server, of }) => {
            config = of.config;
            Command::ToolsList { server }
        }
        ServerCommand::Tools(ToolsCommand::Propose { server, of }) => {
            return propose(common, server, of.config.as_deref()).await;
        }
    };
    let outcome = match act {
        Command::ServerList | Command::ToolsList { .. } => control::judge(common, config.as_deref(), act).await?,
        act => control::act(common, act).await?,
    };
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { count } => say!("done ({count})"),
        Outcome::Servers { servers } => {
            let rows: Vec<Vec<String>> =
                servers.into_iter().map(|server| vec![server.name.to_string(), behind(&server.definition)]).collect();
            print_table(&["SERVER", "BEHIND IT"], &rows);
        }
        Outcome::Tools { tools, later } => {
            let rows: Vec<Vec<String>> = tools.into_iter().map(tool_row).collect();
            print_table(&["TOOL", "CLASS", "PROPOSED", "WHAT THE SERVER SAYS OF IT"], &rows);
            later.iter().for_each(say_later);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// Tells the owner about a tool that was not in the first list, and so was not reviewed with the others.
fn say_later(later: &SeenLater) {
    let (name, when) = (visible(&later.name), later.first_seen.strftime("%F %R"));
    if later.listed {
        say!("{name}: first seen on {when} UTC, after the server's first list");
    } else {
        say!("{name}: shown to a client and not to the checkpoint, first on {when} UTC; it cannot be called");
    }
}

/// Prints the table `tools` of a server, with the class of each tool, or the one that its name and annotations suggest.
async fn propose(common: &Common, server: ServerName, config: Option<&Path>) -> Result<(), CommandError> {
    let act = Command::ToolsAsk { server: server.clone() };
    let tools = match control::judge(common, config, act).await? {
        Outcome::Tools { tools, .. } => tools,
        other => return Err(unexpected(&other)),
    };
    if tools.is_empty() {
        return Err(CommandError::environment(
            format!("it is not known which tools `{server}` has: nobody has asked it yet"),
            "start `sekisho serve`, which asks it, and then this again",
        ));
    }
    if common.json {
        let classes: BTreeMap<&str, &str> =
            tools.iter().map(|tool| (tool.name.as_str(), tool.class.unwrap_or(tool.proposed).as_str())).collect();
        return print_json(&classes);
    }
    say!("# Proposed from names and annotations, which are the server's own words: read each line before you keep it.");
    say!("[servers.{server}.tools]");
    for tool in &tools {
        let class = tool.class.unwrap_or(tool.proposed).as_str();
        let known = match (tool.is_held(), tool.class) {
            (true, _) => " (held back: see `server tools diff`)",
            (false, Some(_)) => " (as it is now)",
            (false, None) => "",
        };
        say!("{} = \"{class}\" #{known} {}", toml::Value::String(tool.name.clone()), summary(tool));
    }
    Ok(())
}

/// Returns the server's description of a tool, on one short line.
fn summary(tool: &Tool) -> String {
    tool.summary.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Splits `TOOL@FINGERPRINT`. A name may contain an `@`; a fingerprint is hexadecimal.
fn named(text: &str) -> (String, Option<String>) {
    let is_print = |print: &str| print.len() == 24 && print.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.rsplit_once('@') {
        Some((name, print)) if is_print(print) => (name.to_owned(), Some(print.to_owned())),
        _ => (text.to_owned(), None),
    }
}

/// Shows the tools that are held back.
async fn diff(common: &Common, server: ServerName) -> Result<(), CommandError> {
    let tools = match control::act(common, Command::ToolsHeld { server: server.clone() }).await? {
        Outcome::Held { tools } => tools,
        other => return Err(unexpected(&other)),
    };
    if common.json {
        print_json(&tools)?;
    } else if tools.is_empty() {
        say!("nothing is held back");
    } else {
        tools.iter().for_each(say_held);
        let all: Vec<String> =
            tools.iter().map(|held| quoted(&format!("{}@{}", visible(&held.tool.name), held.fingerprint))).collect();
        say!();
        say!("accept what you have read:");
        say!("  sekisho server tools accept {server} {}", all.join(" "));
    }
    if tools.is_empty() { Ok(()) } else { Err(CommandError::no("")) }
}

/// Quotes a text as one word for a shell: the user will paste this name, which the server chose, into one.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn say_held(held: &HeldRow) {
    let what = if held.is_new { "new" } else { "changed" };
    let class = held.tool.class.map_or_else(String::new, |class| format!(", was {}", class.as_str()));
    say!("{what}: {} (looks like {}{class})", visible(&held.tool.name), held.tool.proposed.as_str());
    for difference in &held.differences {
        say!("  {}", visible(&difference.at));
        for (sign, text) in [("-", &difference.before), ("+", &difference.after)] {
            for line in text.iter().flat_map(|text| text.lines()) {
                say!("    {sign} {}", visible(line));
            }
        }
    }
    if held.more > 0 {
        say!("  and {} more", held.more);
    }
}

fn class(text: &str) -> Result<(String, ToolClass), CommandError> {
    let wrong = || {
        CommandError::usage(
            format!("`{text}` is not TOOL=CLASS"),
            "write `create_note=write`; classes are read, write, destructive",
        )
    };
    let (tool, class) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((tool.to_owned(), class.parse().map_err(|_| wrong())?))
}

/// Returns the whole command or URL of a server, unchanged (ST-14).
fn behind(definition: &str) -> String {
    match serde_json::from_str::<ServerDefinition>(definition) {
        Ok(ServerDefinition { url: Some(url), .. }) => url,
        Ok(definition) => definition.command.join(" "),
        Err(_) => "kept by another version".to_owned(),
    }
}

fn tool_row(tool: Tool) -> Vec<String> {
    let class = tool.class.map_or("not classified", ToolClass::as_str);
    let class = if tool.is_held() { "held back" } else { class };
    let summary = summary(&tool);
    vec![tool.name, class.to_owned(), tool.proposed.as_str().to_owned(), summary]
}

/// Changes what a user may use at a server of `run`. For `serve`, its configuration file says that.
async fn reach(common: &Common, command: Command) -> Result<(), CommandError> {
    match control::act(common, command).await {
        Ok(outcome) if common.json => print_json(&outcome),
        Ok(_) => {
            say!("done: it is in force");
            Ok(())
        }
        Err(error @ CommandError::No { .. }) => Err(CommandError::no(format!(
            "{error}; what users of `serve` may use stands in its configuration: `[servers.NAME.users]`"
        ))),
        Err(error) => Err(error),
    }
}
