//! The client commands of the binary, with a person at a real browser.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::checkpoint::{Finished, binary, finish};
use super::{Process, node};

/// Runs `sekisho login` and related commands, as one user with their own data directory.
#[derive(Debug, Clone)]
pub struct Outside {
    data: PathBuf,
    environment: Vec<(String, String)>,
}

impl Outside {
    /// Creates a user who logs in with this name and password in every browser that is opened.
    pub fn new(data: &Path, user: &str, password: &str) -> Self {
        let variable = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
        let path = variable("PATH").unwrap_or_default();
        let node = node::node();
        let beside = node.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let chromium = variable("SEKISHO_TEST_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".to_owned());
        let environment = [
            ("BROWSER", node::folder().join("browser.mjs").display().to_string()),
            ("PATH", format!("{beside}:{path}")),
            ("SEKISHO_E2E_PASSWORD", password.to_owned()),
            ("SEKISHO_E2E_USER", user.to_owned()),
            ("SEKISHO_TEST_CHROMIUM", chromium),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { data: data.to_owned(), environment }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Runs a command to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Finished {
        self.run_with(words, "").await
    }

    /// Starts a command, which is stopped when it is dropped.
    pub fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Process {
        Process::start(&mut self.command(words))
    }

    /// Runs a command with this text on its standard input.
    pub async fn run_with<S: AsRef<OsStr>>(&self, words: &[S], input: &str) -> Finished {
        finish(&mut self.command(words), input).await
    }

    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(binary());
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.env("SEKISHO_DATA_DIR", &self.data).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).args(words);
        command
    }
}
