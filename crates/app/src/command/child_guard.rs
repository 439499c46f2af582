//! `sekisho child-guard`: stands between us and a child, so that the child ends even when we are killed.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::error::CommandError;
use crate::os;

/// How long the program may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// The subcommand through which a guard with a small heap starts its program, so that the program gets a normal one.
const UNBURDENED: &str = "child-unburdened";

/// Returns the command after `sekisho child-guard --`, which only we ourselves start.
pub(crate) fn asked(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    follows("child-guard", words)
}

/// Returns the command after `sekisho child-unburdened --`, which only a guard starts.
pub(crate) fn asked_to_become(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    follows(UNBURDENED, words)
}

fn follows(word: &str, words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut words = words.skip(1);
    let is_asked = words.next()? == word && words.next()? == "--";
    is_asked.then(|| words.collect())
}

/// Replaces this process by the program; returns only if that fails.
pub(crate) fn become_program(command: &[OsString]) -> ExitCode {
    if let Some((program, arguments)) = command.split_first() {
        tell!("{}", sekisho_gateway::guard::unburden(program, arguments));
    }
    ExitCode::from(sekisho_gateway::guard::NOT_FOUND)
}

/// Runs a guard process from start to end.
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

/// Runs the program until it ends or our parent does.
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
