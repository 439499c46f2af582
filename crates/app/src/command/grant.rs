//! `sekisho grant`

use sekisho_acts::command::{Command, Outcome};

use super::names::Names;
use super::{print_json, print_table, unexpected};
use crate::cli::{Common, GrantCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the `grant` commands.
pub(crate) async fn perform(common: &Common, command: GrantCommand) -> Result<(), CommandError> {
    let act = match command {
        GrantCommand::List { user } => Command::GrantList { user },
        GrantCommand::Release { grant } => Command::GrantRelease { grant },
        GrantCommand::Revoke { grant: Some(grant), .. } => Command::GrantRevoke { grant },
        GrantCommand::Revoke { grant: None, user, .. } => Command::GrantRevokeAll { user },
    };
    let is_release = matches!(act, Command::GrantRelease { .. });
    let is_all = matches!(act, Command::GrantRevokeAll { .. });
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { count } if is_all => {
            say!("{count} grants ended; open streams end within a second");
        }
        Outcome::Done { .. } if is_release => say!("its next token makes a new grant"),
        Outcome::Done { .. } => say!("revoked; open streams end within a second"),
        Outcome::Grants { grants } => {
            let names = Names::read(common).await;
            let rows: Vec<Vec<String>> = grants
                .into_iter()
                .map(|grant| {
                    let state = match (grant.revoked, grant.ended) {
                        (true, _) if grant.keeps_out => "kept out",
                        (true, _) => "revoked",
                        (false, true) => "ended",
                        (false, false) => "alive",
                    };
                    let ends = grant.ends.map_or_else(|| "–".to_owned(), |end| end.strftime("%F %R").to_string());
                    let since = grant.created.strftime("%F %R").to_string();
                    vec![
                        grant.id.to_string(),
                        grant.subject,
                        grant.server.to_string(),
                        state.to_owned(),
                        since,
                        ends,
                        grant.scopes,
                        names.client(&grant.client),
                        grant.issuer.unwrap_or_else(|| "–".to_owned()),
                    ]
                })
                .collect();
            print_table(&["GRANT", "USER", "SERVER", "STATE", "SINCE", "ENDS", "SCOPES", "CLIENT", "LET IN BY"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
