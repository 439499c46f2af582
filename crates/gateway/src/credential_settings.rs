//! What an upstream is shown beside its fixed headers or variables: settings by an operator.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

/// What an upstream is shown beside its fixed headers or variables.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CredentialSettings {
    /// The account that the user of the call linked for the server. Without one, the user is asked to link one.
    Account(CredentialPlace),
    /// What a command prints.
    Command {
        /// Where it is put.
        place: CredentialPlace,
        /// The command.
        command: SecretCommand,
    },
    /// Nothing.
    #[default]
    None,
}

/// Where a credential is put.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CredentialPlace {
    /// In a header of every request, after `prefix`.
    Header {
        /// The header.
        name: HeaderName,
        /// The text before the value, such as `Bearer `.
        prefix: String,
    },
    /// In a variable of the program.
    Variable(String),
}

impl CredentialPlace {
    /// The name of the header or variable, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Header { name, .. } => name.as_str(),
            Self::Variable(name) => name,
        }
    }
}

/// A command whose output is a secret, such as that of a vault's command line.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretCommand {
    /// A path, or a name that is looked up in the `PATH` of `environment`.
    pub program: OsString,
    /// Its arguments. No shell reads them.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// How long its output is used before it runs again.
    pub lifetime: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// The directory in which it starts; our own if absent.
    pub directory: Option<PathBuf>,
}

impl Debug for SecretCommand {
    /// Prints no arguments, because people put secrets into them, and only the names of variables.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretCommand")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("lifetime", &self.lifetime)
            .field("timeout", &self.timeout)
            .field("directory", &self.directory)
            .finish()
    }
}
