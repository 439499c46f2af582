//! `sekisho client`

use sekisho_acts::command::{Command, Outcome};
use sekisho_protocol::redirect::RedirectUri;

use super::{print_json, print_table, unexpected};
use crate::cli::{ClientCommand, Common};
use crate::control;
use crate::error::CommandError;

/// Performs one of the `client` commands.
pub(crate) async fn perform(common: &Common, command: ClientCommand) -> Result<(), CommandError> {
    let act = match command {
        ClientCommand::Add { name, redirect_uris, confidential } => {
            let read = |text: &String| {
                RedirectUri::parse(text).map_err(|error| {
                    CommandError::usage(
                        format!("redirect URI `{text}`: {error}"),
                        "give the exact URI that the client uses",
                    )
                })
            };
            let redirect_uris = redirect_uris.iter().map(read).collect::<Result<_, _>>()?;
            Command::ClientAdd { name, redirect_uris, confidential }
        }
        ClientCommand::List => Command::ClientList,
        ClientCommand::Remove { client } => Command::ClientRemove { client },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Client { id, secret } => {
            say!("client_id      {id}");
            if let Some(secret) = secret {
                say!("client_secret  {secret}");
                say!("The secret is shown this once; only its digest is kept.");
            }
        }
        Outcome::Clients { clients } => {
            let rows: Vec<Vec<String>> = clients
                .into_iter()
                .map(|client| {
                    vec![
                        client.id.to_string(),
                        client.origin,
                        client.created.strftime("%F %R").to_string(),
                        client.name,
                    ]
                })
                .collect();
            print_table(&["CLIENT", "ORIGIN", "SINCE", "NAME"], &rows);
        }
        Outcome::Done { .. } => say!("removed; its grants have ended"),
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
