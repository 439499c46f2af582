//! `sekisho link`

use sekisho_acts::command::{Command, Outcome};

use super::{print_json, print_table, unexpected};
use crate::cli::{Common, LinkCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the `link` commands.
pub(crate) async fn perform(common: &Common, command: LinkCommand) -> Result<(), CommandError> {
    let act = match command {
        LinkCommand::List { user } => Command::LinkList { user },
        LinkCommand::Remove { user, server } => Command::LinkRemove { user, server },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { .. } => say!("removed; calls ask for another account within a second"),
        Outcome::Links { links } => {
            let moment = |at: Option<sekisho_protocol::env::Timestamp>| {
                at.map_or_else(|| "–".to_owned(), |at| at.strftime("%F %R").to_string())
            };
            let rows: Vec<Vec<String>> = links
                .into_iter()
                .map(|link| {
                    vec![
                        link.user,
                        link.server.to_string(),
                        link.account.unwrap_or_else(|| "–".to_owned()),
                        link.issuer,
                        moment(Some(link.created)),
                        moment(link.last_used),
                        link.ended.map_or_else(|| "linked".to_owned(), |reason| format!("expired: {reason}")),
                    ]
                })
                .collect();
            print_table(&["USER", "SERVER", "ACCOUNT", "VENDOR", "SINCE", "LAST USED", "STATE"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
