//! `sekisho scim`

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::scim::token::ScimTokenLine;

use super::{print_json, print_table, seconds, unexpected};
use crate::cli::{Common, ScimCommand, ScimTokenCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the commands.
pub(crate) async fn perform(common: &Common, ScimCommand::Token(command): ScimCommand) -> Result<(), CommandError> {
    let act = match command {
        ScimTokenCommand::Add { name, provider, lasts } => {
            let seconds = lasts.as_deref().map(seconds).transpose()?;
            Command::ScimTokenAdd { provider, label: name, seconds }
        }
        ScimTokenCommand::List => Command::ScimTokenList,
        ScimTokenCommand::Remove { name, provider } => Command::ScimTokenRemove { provider, label: name },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { .. } => say!("done"),
        Outcome::ScimToken { token } => {
            let base = match control::act(common, Command::BaseUrlShow).await? {
                Outcome::BaseUrl { url: Some(url) } => url,
                _ => "{base_url}".to_owned(),
            };
            say!("the provisioning client needs this URL and this token, which is not shown again:");
            say!("  {base}/scim/v2");
            say!("  {token}");
        }
        Outcome::ScimTokens { tokens } => {
            let rows: Vec<Vec<String>> = tokens.into_iter().map(row).collect();
            print_table(&["PROVIDER", "NAME", "STATE", "LAST USED"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

fn row(token: ScimTokenLine) -> Vec<String> {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("removed {}", at.strftime("%F")),
        (None, Some(at)) => format!("until {}", at.strftime("%F")),
        (None, None) => "in force".to_owned(),
    };
    let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| at.strftime("%F %R").to_string());
    vec![token.provider, token.label, state, used]
}
