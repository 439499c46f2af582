//! `sekisho child-guard`: stands between us and a child, so that the child ends even when we are killed.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::error::CommandError;
use crate::os;

/// How long the program may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// What follows `sekisho child-guard --`, as we start it ourselves.
pub(crate) fn asked(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut words = words.skip(1);
    let is_asked = words.next()? == "child-guard" && words.next()? == "--";
    is_asked.then(|| words.collect())
}

/// The whole process of a guard.
pub(crate) fn run(command: Vec<OsString>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!("no runtime: {error}");
            return ExitCode::from(3);
        }
    };
    match runtime.block_on(watch(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("{error}");
            error.code()
        }
    }
}

/// Runs the program until it ends or we do.
pub(crate) async fn watch(command: Vec<OsString>) -> Result<(), CommandError> {
    let mut words = command.into_iter();
    let program =
        words.next().ok_or_else(|| CommandError::usage("no program given", "sekisho child-guard -- PROGRAM ARGS"))?;
    let (name, ours) = sekisho_gateway::guard::SMALL_HEAP;
    let hidden = os::variable(name).is_some_and(|value| value == ours).then_some(name);
    match sekisho_gateway::guard::run(program, words.collect(), GRACE, hidden).await {
        Ok(code) => std::process::exit(i32::from(code)),
        Err(error) => {
            tell!("{error}");
            std::process::exit(i32::from(sekisho_gateway::guard::NOT_FOUND))
        }
    }
}
