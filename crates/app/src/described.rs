//! Lists servers and their known tools, from the configuration in force or from what `run` stores.

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::ServerRow;
use sekisho_protocol::ids::ServerName;
use sekisho_store::Store;

use crate::config::Configuration;
use crate::definitions::{self, Source};
use crate::error::CommandError;
use crate::servers::Defined;

/// Answers for the servers in force. A class of the configuration wins over what the store knows, as it does for calls.
pub(crate) async fn describe(
    store: &Store,
    source: &Source,
    configuration: &Configuration,
    command: Command,
) -> Result<Outcome, CommandError> {
    let defined = definitions::defined(store, source, configuration).await?;
    match command {
        Command::ServerList => {
            let row = |server: Defined| {
                let definition = serde_json::to_string(&server.definition);
                let definition =
                    definition.map_err(|error| CommandError::environment(error.to_string(), "report this"))?;
                Ok(ServerRow { name: server.name, definition })
            };
            Ok(Outcome::Servers { servers: defined.into_iter().map(row).collect::<Result<_, CommandError>>()? })
        }
        Command::ToolsAsk { server } | Command::ToolsList { server } => {
            let found = defined.iter().find(|known| known.name == server);
            let classes = found.ok_or_else(|| no_server(&server, &defined))?.classes();
            let failed = |error: sekisho_store::StoreError| {
                CommandError::environment(format!("tools cannot be read: {error}"), "see the disk")
            };
            let mut tx = store.read().await.map_err(failed)?;
            let mut tools = tx.catalogue().list(&server).await.map_err(failed)?;
            for tool in &mut tools {
                tool.class = classes.get(&tool.name).copied().or(tool.class);
            }
            let later = tx.catalogue().seen_later(&server).await.map_err(failed)?;
            Ok(Outcome::Tools { tools, later })
        }
        _ => Err(CommandError::no("not a question about servers")),
    }
}

/// Returns the error that there is no such server, with the names of those that exist.
pub(crate) fn no_server(name: &ServerName, defined: &[Defined]) -> CommandError {
    let names: Vec<String> = defined.iter().map(|server| format!("`{}`", server.name)).collect();
    let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
    CommandError::no(format!("there is no server `{name}`; {there}"))
}
