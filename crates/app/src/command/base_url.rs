//! `sekisho base-url`

use sekisho_acts::command::{Command, Outcome};

use super::{print_json, unexpected};
use crate::base_url::check_base_url;
use crate::cli::{BaseUrlCommand, Common};
use crate::control;
use crate::data_dir::DataDir;
use crate::error::CommandError;

/// Performs one of the `base-url` commands.
pub(crate) async fn perform(common: &Common, command: BaseUrlCommand) -> Result<(), CommandError> {
    let outcome = match command {
        BaseUrlCommand::Set { url } => {
            check_base_url(&url).map_err(|message| CommandError::usage(message, "give scheme, host and port only"))?;
            let data = DataDir::open(common.data_dir.as_deref())?;
            if data.lock()?.is_none() {
                return Err(CommandError::environment(
                    "an instance is running with the old base URL",
                    "end it, change the base URL, start it again",
                ));
            }
            control::act_in(&data, Command::BaseUrlSet { url }).await?
        }
        BaseUrlCommand::Show => control::act(common, Command::BaseUrlShow).await?,
    };
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::BaseUrl { url } => {
            say!("{}", url.unwrap_or_else(|| "not set yet: it is stored at first start".to_owned()))
        }
        Outcome::Done { count } => say!("changed; {count} grants ended"),
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
