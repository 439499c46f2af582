//! `sekisho task`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::TaskRow;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::task::TaskDefinition;
use serde_json::Value;

use super::{check, print_json, print_table, seconds, unexpected};
use crate::cli::{Common, TaskCommand, TaskStart};
use crate::control;
use crate::data_dir::DataDir;
use crate::error::CommandError;

/// Performs one of the `task` commands.
pub(crate) async fn perform(common: &Common, command: TaskCommand) -> Result<(), CommandError> {
    let mut data_dir = common.data_dir.clone();
    let (act, done) = match command {
        TaskCommand::Finish { task } => {
            (Command::TaskFinish { task }, "finished; `sekisho task resume` frees its grant")
        }
        TaskCommand::List { user, all } => (Command::TaskList { user, all }, ""),
        TaskCommand::Resume { grant } => {
            (Command::TaskResume { grant }, "resumed; the client gets a new token by itself")
        }
        TaskCommand::Start(start) => {
            let (grant, definition, configured) = read(*start)?;
            data_dir = data_dir.or(configured);
            (Command::TaskStart { grant, definition }, "")
        }
    };
    let outcome = control::act_in(&DataDir::open(data_dir.as_deref())?, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { .. } => say!("{done}"),
        Outcome::Task { id } => {
            say!("{id}");
            say!("nothing outside it passes any more; `sekisho task finish {id}` ends it");
        }
        Outcome::Tasks { tasks } => {
            let rows: Vec<Vec<String>> = tasks.iter().map(row).collect();
            print_table(&["TASK", "SERVER", "STATE", "CALLS LEFT", "ENDS", "PURPOSE", "GRANT"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

fn row(task: &TaskRow) -> Vec<String> {
    vec![
        task.id.to_string(),
        task.server.to_string(),
        if task.over { "over" } else { "running" }.to_owned(),
        task.calls_left.map_or_else(|| "-".to_owned(), |left| left.to_string()),
        task.ends.map_or_else(|| "-".to_owned(), |end| end.strftime("%F %R").to_string()),
        task.definition.purpose.clone(),
        task.grant.to_string(),
    ]
}

/// Returns the grant, the task to begin on it, and the data directory of the configuration, if one was named.
fn read(start: TaskStart) -> Result<(GrantId, TaskDefinition, Option<PathBuf>), CommandError> {
    let (offered, data_dir) = match (&start.template, &start.config) {
        (Some(template), Some(config)) => offered(template, config)?,
        // Without a template, only the data directory is read from the file.
        (_, Some(config)) => (TaskDefinition::default(), check::read(config)?.configuration.data_dir),
        (_, None) => (TaskDefinition::default(), None),
    };
    let TaskStart { grant, purpose, tools, bounds, resources, prompts, calls, lasts, .. } = start;
    let expires_in = lasts.as_deref().map(seconds).transpose()?.or(offered.expires_in);
    let (purpose, calls) = (purpose.unwrap_or(offered.purpose), calls.or(offered.calls));
    let definition = if start.template.is_some() {
        TaskDefinition { purpose, calls, expires_in, ..offered }
    } else {
        TaskDefinition { purpose, tools: bound(tools, bounds)?, resources, prompts, calls, expires_in }
    };
    Ok((grant, definition, data_dir))
}

/// Returns the task template that a configuration has under this name, and its data directory.
fn offered(template: &str, config: &Path) -> Result<(TaskDefinition, Option<PathBuf>), CommandError> {
    let configuration = check::sound(config)?;
    let servers = &configuration.servers;
    let found = template.split_once('/').and_then(|(server, name)| servers.get(server)?.templates.get(name));
    if let Some(found) = found {
        return Ok((found.definition(), configuration.data_dir));
    }
    let all = servers.iter().flat_map(|(server, of)| of.templates.keys().map(move |name| format!("{server}/{name}")));
    let all: Vec<String> = all.collect();
    let hint = if all.is_empty() { "it offers none".to_owned() } else { format!("it offers {}", all.join(", ")) };
    Err(CommandError::usage(format!("`{}` offers no task `{template}`", config.display()), hint))
}

fn bound(tools: Vec<String>, bounds: Vec<String>) -> Result<BTreeMap<String, Option<Value>>, CommandError> {
    let mut tools: BTreeMap<_, _> = tools.into_iter().map(|tool| (tool, None)).collect();
    for bound in bounds {
        let wrong = |error: &dyn std::fmt::Display| {
            CommandError::usage(
                format!("`--bounds {bound}`: {error}"),
                r#"write it as TOOL=SCHEMA, such as read={"properties":{"path":{"pattern":"^/tmp/"}}}"#,
            )
        };
        let (tool, schema) = bound.split_once('=').ok_or_else(|| wrong(&"there is no `=`"))?;
        let schema = serde_json::from_str(schema).map_err(|error| wrong(&error))?;
        tools.insert(tool.to_owned(), Some(schema));
    }
    Ok(tools)
}
