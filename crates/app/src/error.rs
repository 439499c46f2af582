//! How a command can fail, and with which exit code: 0 yes, 1 no, 2 usage, 3 environment.

use std::process::ExitCode;

use miette::Diagnostic;
use sekisho_protocol::text::lines_for_terminal;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum CommandError {
    /// The machine, a file or an upstream is not as it must be.
    #[error("{message}")]
    Environment {
        /// What happened, and where.
        message: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// The answer is no; what was found has been printed.
    #[error("{message}")]
    No {
        /// What was found.
        message: String,
    },
    /// The command was given something it cannot take.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
}

impl CommandError {
    /// The machine is not as it must be.
    pub(crate) fn environment(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Environment { message: message.into(), help: Some(help.into()) }
    }

    /// The command was given something it cannot take.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }

    /// The answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::No { message: message.into() }
    }

    /// The same, as a terminal may show it (ATK-231).
    pub(crate) fn for_terminal(self) -> Self {
        let shown = |text: String| lines_for_terminal(&text).into_owned();
        match self {
            Self::Environment { message, help } => Self::Environment { message: shown(message), help: help.map(shown) },
            Self::No { message } => Self::No { message: shown(message) },
            Self::Usage { message, help } => Self::Usage { message: shown(message), help: help.map(shown) },
        }
    }

    /// What to do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Environment { help, .. } | Self::Usage { help, .. } => help.clone(),
            Self::No { .. } => None,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Environment { .. } => ExitCode::from(3),
            Self::No { .. } => ExitCode::from(1),
            Self::Usage { .. } => ExitCode::from(2),
        }
    }
}
