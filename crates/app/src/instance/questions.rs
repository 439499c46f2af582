//! Answers questions about calls and servers, from the configuration and servers in force.

use sekisho_acts::ActError;
use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::{self};
use sekisho_acts::reading::Classes;
use sekisho_policy::rights::PolicyFile;
use sekisho_protocol::env::Timestamp;
use sekisho_store::Store;

use super::wiring::Instance;
use crate::config::Configuration;
use crate::definitions::{Source, defined, people};
use crate::described;
use crate::error::CommandError;
use crate::servers::{self, People};

impl Instance {
    /// Answers a question about calls, by the configuration in force.
    pub(crate) async fn judge(&self, command: Command) -> Result<Outcome, CommandError> {
        let configuration = self.configuration.load_full();
        judge(&self.store, &self.source, &configuration, self.clock.now(), command).await
    }

    /// Answers a question about the servers in force and what is known of their tools.
    pub(crate) async fn describe(&self, command: Command) -> Result<Outcome, CommandError> {
        let configuration = self.configuration.load_full();
        described::describe(&self.store, &self.source, &configuration, command).await
    }
}

/// Answers a question about calls: what the three sets decide, what could be narrower, what other policies would
/// change. Needs no running instance.
pub(crate) async fn judge(
    store: &Store,
    source: &Source,
    configuration: &Configuration,
    now: Timestamp,
    command: Command,
) -> Result<Outcome, CommandError> {
    let defined = defined(store, source, configuration).await?;
    let classes: Classes = defined.iter().map(|server| (server.name.clone(), server.classes())).collect();
    let people = people(store, now).await?;
    let no = |error: ActError| CommandError::no(error.to_string());
    match command {
        Command::Advise { since } => {
            Ok(Outcome::Advice { advice: question::advise(store, &classes, since, now, None).await.map_err(no)? })
        }
        Command::Explain(question) => {
            if !defined.iter().any(|server| server.name == question.server) {
                return Err(described::no_server(&question.server, &defined));
            }
            let rights = servers::rights(&defined, people, configuration)?;
            let own = classes.get(&question.server).cloned().unwrap_or_default();
            let explained = question::explain(store, &rights, &own, &question, now).await.map_err(no)?;
            Ok(Outcome::Explained(Box::new(explained)))
        }
        Command::Replay { files, since } => {
            let policy_files = files.into_iter().map(|(name, text)| PolicyFile { name, text }).collect();
            let changed = Configuration { policy_files, ..configuration.clone() };
            let rights = servers::rights(&defined, People { loans: Vec::new(), ..people }, &changed)?;
            Ok(Outcome::Replayed(question::replay(store, &rights, &classes, since).await.map_err(no)?))
        }
        Command::RequestWeigh { request } => {
            let rights = servers::rights(&defined, people, configuration)?;
            let (server, hindrance) = question::weigh(store, &rights, &classes, request, now).await.map_err(no)?;
            Ok(Outcome::Hindered { server, hindrance })
        }
        _ => Err(CommandError::no("not a question about calls")),
    }
}
