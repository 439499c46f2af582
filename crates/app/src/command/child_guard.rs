//! `sekisho child-guard`: stands between us and a child, so that the child ends even when we are killed.

use std::ffi::OsString;
use std::time::Duration;

use crate::error::CommandError;

/// How long the program may take to end once nobody talks to it.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the program until it ends or we do.
pub(crate) async fn watch(command: Vec<OsString>) -> Result<(), CommandError> {
    let mut words = command.into_iter();
    let program =
        words.next().ok_or_else(|| CommandError::usage("no program given", "sekisho child-guard -- PROGRAM ARGS"))?;
    match sekisho_gateway::guard::run(program, words.collect(), GRACE).await {
        Ok(code) => std::process::exit(i32::from(code)),
        Err(error) => {
            tell!("{error}");
            std::process::exit(i32::from(sekisho_gateway::guard::NOT_FOUND))
        }
    }
}
