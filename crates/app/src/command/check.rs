//! `sekisho check` and `sekisho schema`

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::cli::Common;
use crate::config::{self, Loaded};
use crate::error::CommandError;

/// Reports every mistake of a configuration file.
pub(crate) fn check(common: &Common, path: &Path) -> Result<(), CommandError> {
    let loaded = read(path)?;
    let fatal = loaded.mistakes.iter().filter(|mistake| mistake.fatal).count();
    if common.json {
        let mistakes: Vec<_> = loaded
            .mistakes
            .iter()
            .map(|mistake| serde_json::json!({ "message": mistake.message, "help": mistake.help, "fatal": mistake.fatal, "from": mistake.span.start, "to": mistake.span.end }))
            .collect();
        super::print_json(&mistakes)?;
    } else {
        report(&loaded);
    }
    match (fatal, loaded.configuration.servers.len()) {
        (0, _) if common.json => Ok(()),
        (0, servers) => {
            say_lines!("{} is good: {servers} {}", path.display(), if servers == 1 { "server" } else { "servers" });
            Ok(())
        }
        (count, _) => Err(CommandError::no(format!("{count} mistakes in {}", path.display()))),
    }
}

/// Reads a file, or says why it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Loaded, CommandError> {
    config::load(path).map_err(|error| {
        CommandError::environment(
            format!("`{}` cannot be read: {error}", path.display()),
            "make one with `sekisho init`, or name another with -c FILE",
        )
    })
}

/// Prints every mistake with its line and a caret.
pub(crate) fn report(loaded: &Loaded) {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    for mistake in &loaded.mistakes {
        let mut text = String::new();
        match handler.render_report(&mut text, mistake) {
            Ok(()) => tell!("{text}"),
            Err(_) => tell!("{mistake}"),
        }
    }
}

/// Logs what is unwise in a file that is used all the same.
pub(crate) fn warn(loaded: &Loaded) {
    for mistake in loaded.mistakes.iter().filter(|mistake| !mistake.fatal) {
        tracing::warn!(help = mistake.help.as_deref().unwrap_or_default(), "{mistake}");
    }
}

/// Prints the JSON Schema.
pub(crate) fn schema() -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| CommandError::environment(error.to_string(), "report this"))?;
    crate::say::json(&text);
    Ok(())
}
