//! `sekisho server`

use sekisho_console::acts::{Act, Outcome};
use sekisho_protocol::catalogue::{Tool, ToolClass};

use super::{print_json, print_table, unexpected};
use crate::cli::{Common, ServerCommand};
use crate::config::ServerDefinition;
use crate::control;
use crate::error::CommandError;

/// Performs one of the commands.
pub(crate) async fn perform(common: &Common, command: ServerCommand) -> Result<(), CommandError> {
    let act = match command {
        ServerCommand::Classify { server, classes } => {
            Act::ToolsClassify { server, classes: classes.iter().map(|text| class(text)).collect::<Result<_, _>>()? }
        }
        ServerCommand::List => Act::ServerList,
        ServerCommand::Remove { name } => Act::ServerRemove { name },
        ServerCommand::Tools { server } => Act::ToolsList { server },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { count } => anstream::println!("done ({count})"),
        Outcome::Servers { servers } => {
            let rows: Vec<Vec<String>> =
                servers.into_iter().map(|server| vec![server.name.to_string(), behind(&server.definition)]).collect();
            print_table(&["SERVER", "BEHIND IT"], &rows);
        }
        Outcome::Tools { tools } => {
            let rows: Vec<Vec<String>> = tools.into_iter().map(tool_row).collect();
            print_table(&["TOOL", "CLASS", "PROPOSED", "WHAT THE SERVER SAYS OF IT"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
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

/// What stands behind a server, exactly and whole (ST-14).
fn behind(definition: &str) -> String {
    match serde_json::from_str::<ServerDefinition>(definition) {
        Ok(ServerDefinition { url: Some(url), .. }) => url,
        Ok(definition) => definition.command.join(" "),
        Err(_) => "kept by another version".to_owned(),
    }
}

fn tool_row(tool: Tool) -> Vec<String> {
    let class = tool.class.map_or("not classified", ToolClass::as_str);
    let summary: String = tool.summary.chars().filter(|c| !c.is_control()).take(60).collect();
    vec![tool.name, class.to_owned(), tool.proposed.as_str().to_owned(), summary]
}
