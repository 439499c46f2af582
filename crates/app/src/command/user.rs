//! `sekisho user`

use sekisho_acts::command::{Command, Outcome};
use sekisho_issuer::login::password_rules::PASSWORD_CHARS_MIN;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::Password;
use tokio::io::AsyncReadExt as _;

use super::{print_json, print_table, unexpected};
use crate::cli::{Common, UserCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the `user` commands.
pub(crate) async fn perform(common: &Common, command: UserCommand) -> Result<(), CommandError> {
    let act = match command {
        UserCommand::Add { name, owner, role, password_stdin } => {
            let password = if password_stdin { Some(hashed_password().await?) } else { None };
            let role = if owner { Role::Owner } else { role };
            Command::UserAdd { name, role, password }
        }
        UserCommand::Disable { name } => Command::UserDisable { name },
        UserCommand::Enable { name } => Command::UserEnable { name },
        UserCommand::Link { name } => Command::UserLink { name },
        UserCommand::List => Command::UserList,
        UserCommand::Remove { name } => Command::UserRemove { name },
        UserCommand::Role { name, role } => Command::UserRole { name, role },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { count: 0 } => say!("done"),
        Outcome::Done { count } => say!("done; {count} grants ended"),
        Outcome::Link { token, minutes } => {
            let base = match control::act(common, Command::BaseUrlShow).await? {
                Outcome::BaseUrl { url: Some(url) } => url,
                _ => "{base_url}".to_owned(),
            };
            say!("a password can be set within {minutes} minutes, once, at");
            say!("  {base}/setup/{token}");
        }
        Outcome::Users { users } => {
            let rows: Vec<Vec<String>> = users
                .into_iter()
                .map(|user| {
                    let state = match (user.disabled, user.password) {
                        (true, _) => "disabled",
                        (false, true) => "active",
                        (false, false) => "no password yet",
                    };
                    vec![user.name, user.role.to_string(), state.to_owned()]
                })
                .collect();
            print_table(&["NAME", "ROLE", "STATE"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// Reads a password from standard input, without its line end, and returns its PHC string.
async fn hashed_password() -> Result<String, CommandError> {
    let mut text = String::new();
    let unreadable = |error: std::io::Error| {
        CommandError::environment(format!("standard input cannot be read: {error}"), "pipe the password in")
    };
    tokio::io::stdin().take(4096).read_to_string(&mut text).await.map_err(unreadable)?;
    let password = Password::from_outside(text.trim_end_matches(['\n', '\r']));
    let least = PASSWORD_CHARS_MIN;
    if password.expose().chars().count() < least {
        return Err(CommandError::usage(
            format!("a password needs at least {least} characters"),
            "give a longer one on standard input",
        ));
    }
    sekisho_issuer::login::password::hash_password(password, &crate::os::OsEntropy).await.map_err(|error| {
        CommandError::environment(format!("the password could not be hashed: {error}"), "free some memory")
    })
}
