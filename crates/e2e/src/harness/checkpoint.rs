//! The binary, started with its own data directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, Text};
use super::{Agent, Mcp, Person, Tokens};
use sekisho_protocol::mcp::method::Revision;

/// A running `sekisho`. When it is dropped, the process is stopped and its data directory removed.
#[derive(Debug)]
pub struct Checkpoint {
    process: Process,
    setup: Setup,
    ready: Value,
}

/// How a checkpoint is started.
#[derive(Debug, Clone)]
pub struct Setup {
    folder: Arc<TempDir>,
    command: Vec<String>,
    upstream: Vec<String>,
    environment: Vec<(String, String)>,
    /// The words that start every process, if there are any.
    by: Vec<String>,
    users: Vec<(String, String, bool)>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Setup {
    fn new(command: &[&str], upstream: Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("sekisho-e2e-").tempdir().expect("a temporary folder can be made");
        std::fs::create_dir(folder.path().join("data")).expect("a folder can be made");
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { folder: Arc::new(folder), command, upstream, environment: Vec::new(), by: Vec::new(), users: Vec::new() }
    }

    /// Adds an argument of the command itself, such as `--name`.
    #[must_use]
    pub fn argument(mut self, word: impl Into<String>) -> Self {
        self.command.push(word.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the checkpoint, and every command on it, with these words in front.
    #[must_use]
    pub fn started_by(mut self, words: Vec<String>) -> Self {
        self.by = words;
        self
    }

    /// Limits the number of file descriptors.
    #[must_use]
    pub fn descriptors(self, max: usize) -> Self {
        let limited = format!("ulimit -n {max}; exec \"$0\" \"$@\"");
        self.started_by(vec!["sh".to_owned(), "-c".to_owned(), limited])
    }

    /// Adds an owner with a password before the start.
    #[must_use]
    pub fn owner(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned(), true));
        self
    }

    /// Adds another user with a password before the start.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned(), false));
        self
    }

    /// A folder for files of the test, beside the data directory. It is removed with the checkpoint.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds the users, starts, and waits for the line that says that it listens.
    pub async fn start(self) -> Checkpoint {
        for (name, password, owner) in &self.users {
            add_user(self.sekisho(), name, password, *owner).await;
        }
        self.start_again().await
    }

    /// Does the same with a data directory that was used before.
    pub async fn start_again(self) -> Checkpoint {
        let process = self.spawn();
        let ready = process.stdout().find(ready_line).await;
        let Some(ready) = ready else {
            panic!("sekisho did not get ready; it said:\n{}\n{}", process.stdout().now(), process.stderr().now())
        };
        Checkpoint { process, setup: self, ready }
    }

    /// Starts it where it should not become ready. Returns its output.
    pub async fn fail(&self) -> Finished {
        for (name, password, owner) in &self.users {
            add_user(self.sekisho(), name, password, *owner).await;
        }
        let mut process = self.spawn();
        process.close_stdin();
        Finished::of(process).await
    }

    fn spawn(&self) -> Process {
        let mut command = self.sekisho();
        command.args(["--json"]).args(&self.command).args(&self.upstream);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start(&mut command)
    }

    fn sekisho(&self) -> Command {
        sekisho_by(&self.by, &self.data_dir())
    }

    /// Runs an administrative command to its end while no checkpoint runs.
    pub async fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Finished {
        finish(self.sekisho().args(words), "").await
    }
}

impl Checkpoint {
    /// A setup for `sekisho run -- WORDS…`.
    pub fn program<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Setup {
        let words = std::iter::once("--".to_owned()).chain(words.into_iter().map(Into::into));
        Setup::new(&["run", "--listen", "127.0.0.1:0"], words.collect())
    }

    /// A setup for `sekisho run -- sekisho bundled notes`: a small server that needs nothing else.
    pub fn notes() -> Setup {
        let program = binary().display().to_string();
        Self::program([program.as_str(), "bundled", "notes"]).argument("--name").argument("notes")
    }

    /// A setup for `sekisho run --http URL`.
    pub fn http(url: &str) -> Setup {
        Setup::new(&["run", "--listen", "127.0.0.1:0", "--http", url], Vec::new())
    }

    /// A setup for `sekisho serve` with this configuration, in the file [`Checkpoint::configuration`].
    pub fn configured(toml: &str) -> Setup {
        Self::configured_at("127.0.0.1:0", toml)
    }

    /// Does the same with this listening address.
    pub fn configured_at(listen: &str, toml: &str) -> Setup {
        let setup = Setup::new(&["serve", "--listen", listen, "--config"], Vec::new());
        let file = setup.folder().join("sekisho.toml");
        std::fs::write(&file, toml).expect("a file can be written");
        setup.argument(file.display().to_string())
    }

    /// The path of the configuration file of `serve`.
    pub fn configuration(&self) -> PathBuf {
        self.setup.folder().join("sekisho.toml")
    }

    /// A folder for files of the test. It is removed with the checkpoint.
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Returns what it has written to standard error so far.
    pub fn stderr(&self) -> &Text {
        self.process.stderr()
    }

    /// Returns the line that said that it listens.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Returns the base URL, such as `http://localhost:41234`.
    pub fn base_url(&self) -> &str {
        self.ready["base_url"].as_str().expect("the ready line has `base_url`")
    }

    /// The URL of the first (or only) server.
    pub fn server(&self) -> &str {
        self.ready["servers"][0]["url"].as_str().expect("the ready line names a server")
    }

    /// Returns the URL of a server by name, even of one that was added later.
    pub fn server_named(&self, name: &str) -> String {
        format!("{}/mcp/{name}", self.base_url())
    }

    /// The name of the first (or only) server.
    pub fn server_name(&self) -> &str {
        self.ready["servers"][0]["name"].as_str().expect("the ready line names a server")
    }

    /// Returns the one-time link for the owner's password. It exists if there was no owner.
    pub fn setup_url(&self) -> &str {
        self.ready["setup_url"].as_str().expect("the ready line has a `setup_url`")
    }

    /// Runs an administrative command on this checkpoint to its end, such as `["grant", "list"]`.
    pub async fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Finished {
        finish(self.setup.sekisho().args(words), "").await
    }

    /// Does the same for a command that must succeed. Returns its JSON lines.
    pub async fn ask<S: AsRef<OsStr>>(&self, words: &[S]) -> Vec<Value> {
        let finished = finish(self.setup.sekisho().arg("--json").args(words), "").await;
        let said = || words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        assert!(finished.status.success(), "sekisho {}: {}", said(), finished.stderr);
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("`--json` writes JSON lines")).collect()
    }

    /// Adds a user while it runs.
    pub async fn add_user(&self, name: &str, password: &str, owner: bool) {
        add_user(self.setup.sekisho(), name, password, owner).await;
    }

    /// Sets the classes of tools of the first server, such as `["write_note=write"]`.
    pub async fn classify(&self, classes: &[&str]) {
        let mut words = vec!["server", "classify", self.server_name()];
        words.extend(classes);
        self.ask(&words).await;
    }

    /// Returns all records, oldest first.
    pub async fn records(&self) -> Vec<Value> {
        self.ask(&["audit", "export"]).await
    }

    /// Registers a client at the first server, and lets a person approve it with these scopes.
    pub async fn let_in(&self, person: &mut Person, scopes: &str) -> (Agent, Tokens) {
        let agent = Agent::register(self.server()).await;
        let tokens = agent.be_let_in(person, Some(scopes)).await;
        (agent, tokens)
    }

    /// Creates a conversation with the first server.
    pub fn talk(&self, revision: Revision, token: Option<&str>) -> Mcp {
        Mcp::new(self.server(), revision, token)
    }

    /// Returns its resident memory, in bytes.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says what it holds");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// Ends it with SIGTERM. Returns its output.
    pub async fn stop(self) -> Finished {
        self.process.terminate();
        Finished::of(self.process).await
    }

    /// Ends it with SIGKILL, and waits until it has ended.
    pub async fn kill(self) -> Setup {
        self.process.kill();
        self.process.ended().await;
        self.setup.clone()
    }

    /// Ends it with SIGTERM, and starts it again with the same data directory and arguments.
    pub async fn restart(self) -> Self {
        self.process.terminate();
        self.process.ended().await;
        self.setup.clone().start_again().await
    }

    /// Ends it with SIGKILL, and starts it again with the same data directory and arguments.
    pub async fn crash(self) -> Self {
        self.kill().await.start_again().await
    }
}

impl Finished {
    async fn of(process: Process) -> Self {
        let status = process.ended().await;
        Self { status, stdout: process.stdout().now(), stderr: process.stderr().now() }
    }

    /// Returns the exit code: 0 yes, 1 no, 2 usage, 3 environment.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs `sekisho WORDS…` without its own data directory: for commands that need none, or that name one.
pub async fn sekisho_alone<S: AsRef<OsStr>>(words: &[S]) -> Finished {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    finish(sekisho(folder.path()).args(words), "").await
}

async fn add_user(mut command: Command, name: &str, password: &str, owner: bool) {
    command.args(["user", "add", name, "--password-stdin"]);
    if owner {
        command.arg("--owner");
    }
    let finished = finish(&mut command, password).await;
    assert!(finished.status.success(), "user `{name}` cannot be added: {}", finished.stderr);
}

pub(super) async fn finish(command: &mut Command, input: &str) -> Finished {
    let mut process = Process::start(command);
    process.write(input);
    process.close_stdin();
    Finished::of(process).await
}

/// Creates the command without the parts of our own environment that could change its behaviour.
fn sekisho(data: &Path) -> Command {
    sekisho_by(&[], data)
}

/// Does the same, started with these words in front.
fn sekisho_by(by: &[String], data: &Path) -> Command {
    let mut command = match by {
        [] => Command::new(binary()),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary());
            command
        }
    };
    command.env("SEKISHO_DATA_DIR", data).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
    command
}

fn ready_line(output: &str) -> Option<Value> {
    let complete = output.rsplit_once('\n')?.0;
    complete.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["ready"] == true)
}

/// Returns the path of the binary under test: `SEKISHO_TEST_BINARY`, or the one beside this test, which is built if it
/// is missing.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("SEKISHO_TEST_BINARY") {
        Some(path) => PathBuf::from(path),
        None => built(),
    })
}

/// Returns the path of an example program of the binary's package. It is built beside this test if it is missing.
pub fn example(name: &str) -> PathBuf {
    let program = Path::new("examples").join(name);
    made(&program, &["build", "-p", "sekisho", "--example", name])
}

fn built() -> PathBuf {
    made(Path::new("sekisho"), &["build", "-p", "sekisho"])
}

fn made(program: &Path, words: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    // `target/debug/deps/it-0123456789abcdef`
    let profile = test.ancestors().nth(2).expect("a test is built two folders below its profile");
    let binary = profile.join(format!("{}{}", program.display(), std::env::consts::EXE_SUFFIX));
    let lock = std::fs::File::create(profile.join(".sekisho-e2e.lock")).expect("the target folder can be written");
    lock.lock().expect("a file can be locked");
    if !binary.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(words).current_dir(super::node::root());
        // The folder of a profile has the profile's name, except for `dev`.
        if let Some(name) = profile.file_name().filter(|name| *name != "debug") {
            build.arg("--profile").arg(name);
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success() && binary.exists(), "the binary cannot be built");
    }
    binary
}
