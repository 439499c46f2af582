//! The binary: arguments, configuration, wiring, listening, shutting down. No product logic.

#[macro_use]
mod say;

mod base_url;
mod builtin;
mod cli;
mod clock;
mod command;
mod config;
mod configuration_file;
mod configuration_report;
mod control;
mod data_dir;
mod definitions;
mod described;
mod documents;
mod error;
mod heads;
mod instance;
mod keys;
mod layers;
mod listen;
mod map_picture;
mod os;
mod outside;
mod provisioning;
mod proxies;
mod reach;
#[cfg(test)]
mod reference;
mod readiness;
mod servers;
mod serving;
mod signals;
mod telemetry;
mod webhook;

use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches as _;
use tokio::runtime::Builder;

use crate::cli::{Cli, Command};
use crate::error::CommandError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long threads that are blocked may take to end once everything else has.
const END_WAIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // A guard runs beside each program. It reads its arguments itself and has a runtime of one thread, so that it stays
    // small.
    if let Some(command) = command::child_guard::asked(std::env::args_os()) {
        return command::child_guard::run(command);
    }
    if let Some(command) = command::child_guard::asked_to_become(std::env::args_os()) {
        return command::child_guard::become_program(&command);
    }
    let parsed = Cli::described().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // The message quotes what was typed, which may have been copied from anywhere.
        Err(error) if error.use_stderr() => {
            tell!("{}", error.render().to_string().trim_end());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        // Help and version are our own words.
        Err(error) => error.exit(),
    };
    // A second thread on the only core would take turns with the first, and wake it for everything that comes in.
    let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report(
                cli.common.json,
                CommandError::environment(format!("no runtime: {error}"), "free some memory or threads"),
            );
        }
    };
    let json = cli.common.json;
    let ended = runtime.block_on(Box::pin(dispatch(cli)));
    // A thread that is blocked, such as one that waits for a process that hangs, does not delay the end further.
    runtime.shutdown_timeout(END_WAIT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(json, error),
    }
}

async fn dispatch(cli: Cli) -> Result<(), CommandError> {
    let Cli { common, command } = cli;
    match command {
        Command::Advise(arguments) => Box::pin(command::history::advise(&common, &arguments)).await,
        Command::Audit(act) => command::audit::perform(&common, act).await,
        Command::BaseUrl(act) => command::base_url::perform(&common, act).await,
        Command::Bundled { name } => command::demo::bundled(&name).await,
        Command::Check { config, login } => command::check::check(&common, &config, &login).await,
        Command::ChildGuard { command } => command::child_guard::watch(command).await,
        // Taken before this, where a guard starts it.
        Command::ChildUnburdened { command } => {
            command::child_guard::become_program(&command);
            Ok(())
        }
        Command::Client(act) => command::client::perform(&common, act).await,
        Command::Connect(arguments) => Box::pin(command::connect::connect(&common, &arguments)).await,
        Command::Demo(arguments) => Box::pin(command::demo::play(&common, &arguments)).await,
        Command::Doctor(arguments) => Box::pin(command::doctor::examine(&common, &arguments)).await,
        Command::Explain(arguments) => Box::pin(command::explain::explain(&common, &arguments)).await,
        Command::Forget(what) => command::login::forget(&common, &what),
        Command::Grant(act) => command::grant::perform(&common, act).await,
        Command::Link(act) => command::link::perform(&common, act).await,
        Command::Import(arguments) => Box::pin(command::import::import(&common, &arguments)).await,
        Command::Init { file } => command::init::write(&file),
        Command::Policy(act) => command::policy::perform(&common, act).await,
        Command::Run(arguments) => Box::pin(command::run::run(&common, &arguments)).await,
        Command::Schema => command::check::schema(),
        Command::Scim(act) => command::scim::perform(&common, act).await,
        Command::Serve { config, listen } => Box::pin(command::serve::serve(&common, &config, listen)).await,
        Command::Server(act) => Box::pin(command::server::perform(&common, act)).await,
        Command::Login(arguments) => Box::pin(command::login::login(&common, &arguments)).await,
        Command::Logout(arguments) => Box::pin(command::login::logout(&common, &arguments)).await,
        Command::Loan(act) => command::access::loans(&common, act).await,
        Command::Request(act) => command::access::requests(&common, act).await,
        Command::Replay(arguments) => Box::pin(command::history::replay(&common, &arguments)).await,
        Command::Specmap(arguments) => Box::pin(command::specmap::specmap(&common, &arguments)).await,
        Command::Task(act) => command::task::perform(&common, act).await,
        Command::Token(arguments) => Box::pin(command::login::token(&common, &arguments)).await,
        Command::Trace { id, format } => command::trace::trace(&common, &id, format).await,
        Command::User(act) => command::user::perform(&common, act).await,
        Command::Whoami => command::login::whoami(&common),
    }
}

/// Says what went wrong, to a person or to a program.
fn report(json: bool, error: CommandError) -> ExitCode {
    let code = error.code();
    // The message may quote foreign text.
    let error = error.for_terminal();
    if json {
        say::json_error(&serde_json::json!({ "error": error.to_string(), "help": error.hint() }).to_string());
    } else if let CommandError::No { message } = &error {
        // If the output is the answer, there is nothing to add.
        if !message.is_empty() {
            tell!("{message}");
        }
    } else {
        say::error(error);
    }
    code
}
