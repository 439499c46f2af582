//! `sekisho task`

use std::collections::BTreeMap;

use sekisho_console::acts::{Act, Outcome, TaskRow};
use sekisho_protocol::task::TaskDefinition;

use super::{print_json, print_table, seconds, unexpected};
use crate::cli::{Common, TaskCommand, TaskStart};
use crate::control;
use crate::error::CommandError;

/// Performs one of the commands.
pub(crate) async fn perform(common: &Common, command: TaskCommand) -> Result<(), CommandError> {
    let (act, done) = match command {
        TaskCommand::Finish { task } => (Act::TaskFinish { task }, "finished; `sekisho task resume` frees its grant"),
        TaskCommand::List { user, all } => (Act::TaskList { user, all }, ""),
        TaskCommand::Resume { grant } => (Act::TaskResume { grant }, "resumed; the client gets a new token by itself"),
        TaskCommand::Start(start) => {
            let grant = start.grant;
            (Act::TaskStart { grant, definition: definition(*start)? }, "")
        }
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { .. } => anstream::println!("{done}"),
        Outcome::Task { id } => {
            anstream::println!("{id}\nnothing outside it passes any more; `sekisho task finish {id}` ends it");
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

fn definition(start: TaskStart) -> Result<TaskDefinition, CommandError> {
    let mut tools: BTreeMap<_, _> = start.tools.into_iter().map(|tool| (tool, None)).collect();
    for bound in start.bounds {
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
    let expires_in = start.lasts.as_deref().map(seconds).transpose()?;
    let TaskStart { purpose, resources, prompts, calls, .. } =
        TaskStart { tools: Vec::new(), bounds: Vec::new(), lasts: None, ..start };
    Ok(TaskDefinition { purpose, tools, resources, prompts, calls, expires_in })
}
