//! `sekisho child-guard`: stands between us and a child, so that the child ends even when we are killed.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::error::CommandError;
use crate::os;

/// How long the program may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// What a guard puts before its program, to have it started without what keeps the guard itself small.
const UNBURDENED: &str = "child-unburdened";

/// What follows `sekisho child-guard --`, as we start it ourselves.
pub(crate) fn asked(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    follows("child-guard", words)
}

/// What follows `sekisho child-unburdened --`, as a guard starts it.
pub(crate) fn asked_to_become(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    follows(UNBURDENED, words)
}

fn follows(word: &str, words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut words = words.skip(1);
    let is_asked = words.next()? == word && words.next()? == "--";
    is_asked.then(|| words.collect())
}

/// Becomes this program; comes back only where that cannot be.
pub(crate) fn become_program(command: &[OsString]) -> ExitCode {
    if let Some((program, arguments)) = command.split_first() {
        tell!("{}", sekisho_gateway::guard::unburden(program, arguments));
    }
    ExitCode::from(sekisho_gateway::guard::NOT_FOUND)
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
    if command.is_empty() {
        return Err(CommandError::usage("no program given", "sekisho child-guard -- PROGRAM ARGS"));
    }
    let (name, ours) = sekisho_gateway::guard::SMALL_HEAP;
    let is_small = os::variable(name).is_some_and(|value| value == ours);
    let own = std::env::current_exe().ok().filter(|_| is_small);
    let before = own.into_iter().flat_map(|own| [own.into_os_string(), UNBURDENED.into(), "--".into()]);
    let mut words = before.chain(command);
    let program = words.next().unwrap_or_default();
    match sekisho_gateway::guard::run(program, words.collect(), GRACE).await {
        Ok(code) => std::process::exit(i32::from(code)),
        Err(error) => {
            tell!("{error}");
            std::process::exit(i32::from(sekisho_gateway::guard::NOT_FOUND))
        }
    }
}
