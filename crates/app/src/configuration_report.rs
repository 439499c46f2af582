//! A configuration file as a command reads it: what is wrong with it is printed with its line and a caret.

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::config::Configuration;
use crate::configuration_file::{self, Loaded, Mistake};
use crate::error::CommandError;

/// Reads a file, or says why it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Loaded, CommandError> {
    configuration_file::load(path).map_err(|error| {
        CommandError::environment(
            format!("`{}` cannot be read: {error}", path.display()),
            "make one with `sekisho init`, or name another with -c FILE",
        )
    })
}

/// Reads a configuration for judging calls. What only a start needs may be missing.
pub(crate) fn sound(path: &Path) -> Result<Configuration, CommandError> {
    let loaded = read(path)?;
    if loaded.is_sound() {
        return Ok(loaded.configuration);
    }
    report(&loaded);
    let message = format!("`{}` has mistakes", path.display());
    Err(CommandError::usage(message, "correct them; `sekisho check` shows them all"))
}

/// Prints every mistake with its line and a caret.
pub(crate) fn report(loaded: &Loaded) {
    loaded.mistakes.iter().for_each(say);
}

/// The same without those that are mistakes on this machine alone.
pub(crate) fn report_sound(loaded: &Loaded) {
    loaded.mistakes.iter().filter(|mistake| !mistake.here).for_each(say);
}

fn say(mistake: &Mistake) {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut text = String::new();
    match handler.render_report(&mut text, mistake) {
        Ok(()) => tell!("{text}"),
        Err(_) => tell!("{mistake}"),
    }
}

/// Logs what is unwise in a file that is used all the same.
pub(crate) fn warn(loaded: &Loaded) {
    for mistake in loaded.mistakes.iter().filter(|mistake| !mistake.fatal) {
        tracing::warn!(help = mistake.help.as_deref().unwrap_or_default(), "{mistake}");
    }
}
