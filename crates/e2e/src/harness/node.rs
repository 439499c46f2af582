//! Runs the programs in `crates/e2e/node`: real clients, a real browser, public test suites, real servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Process;

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether the program says that it succeeded.
    pub ok: bool,
    /// The program's result, from its last line.
    pub result: Value,
    /// What it wrote to standard error, for error messages.
    pub stderr: String,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Serving {
    /// Its URL.
    pub url: String,
    process: Process,
}

/// A program that answers each line of its standard input with one line, until it is dropped.
#[derive(Debug)]
pub struct Conversation {
    process: Process,
    /// How many lines it has written that were read.
    read: usize,
}

impl Conversation {
    /// Starts `NAME.mjs`, and waits for its first line, which says that it is ready.
    pub async fn start<S: AsRef<str>>(name: &str, arguments: &[S]) -> Self {
        let mut conversation = Self { process: start(name, arguments), read: 0 };
        conversation.line().await;
        conversation
    }

    /// Sends a line and returns the answer. The test fails if the answer says that something went wrong.
    pub async fn ask(&mut self, wish: &Value) -> Value {
        self.process.write(&format!("{wish}\n"));
        self.line().await
    }

    async fn line(&mut self) -> Value {
        let at = self.read;
        let found = self
            .process
            .stdout()
            .find(|text| text.split_inclusive('\n').nth(at).filter(|line| line.ends_with('\n')).and_then(last_line))
            .await;
        self.read += 1;
        let answer = found.unwrap_or_default();
        assert_eq!(answer["ok"], true, "{answer:#}\n{}", self.process.stderr().now());
        answer
    }
}

impl Outcome {
    /// Returns the outcome. The test fails if the program did not succeed.
    #[must_use]
    pub fn worked(self) -> Self {
        assert!(self.ok, "{:#}\n{}", self.result, self.stderr);
        self
    }
}

impl Serving {
    /// Returns what it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr().now()
    }
}

/// Runs `NAME.mjs` with these arguments to its end.
pub async fn run<S: AsRef<str>>(name: &str, arguments: &[S]) -> Outcome {
    outcome(&format!("{name}.mjs"), start(name, arguments)).await
}

/// Waits until a program ends, and reads its last line.
pub async fn outcome(name: &str, process: Process) -> Outcome {
    // Whole suites take minutes; nextest limits how long a test may take.
    let result = loop {
        if !process.is_running() {
            process.ended().await;
            break last_line(&process.stdout().now());
        }
        process.stdout().find(|_| (!process.is_running()).then_some(())).await;
    };
    let stderr = process.stderr().now();
    let Some(result) = result else { panic!("{name} printed no result:\n{}\n{stderr}", process.stdout().now()) };
    Outcome { ok: result["ok"] == true, result, stderr }
}

/// Starts `NAME.mjs`, which is a server, and waits until it serves.
pub async fn serve<S: AsRef<str>>(name: &str, arguments: &[S]) -> Serving {
    serving(start(name, arguments), name).await
}

async fn serving(process: Process, name: &str) -> Serving {
    let ready = process.stdout().find(|text| text.ends_with('\n').then(|| last_line(text)).flatten()).await;
    let url = ready.as_ref().and_then(|ready| ready["url"].as_str());
    let Some(url) = url else { panic!("{name} does not serve: {ready:?}\n{}", process.stderr().now()) };
    Serving { url: url.to_owned(), process }
}

/// Runs a program in `crates/e2e/python` to its end.
pub async fn run_python(program: &str, arguments: &[&str]) -> Outcome {
    outcome(program, start_python(program, arguments)).await
}

/// Starts a program in `crates/e2e/python` that reads input and ends by itself: see [`outcome`].
pub fn start_python(program: &str, arguments: &[&str]) -> Process {
    let python = root().join("crates/e2e/python");
    let mut command = Command::new(python.join(".venv/bin/python"));
    command.arg(python.join(program)).args(arguments);
    Process::start(&mut command)
}

/// Starts FastMCP with its own OAuth provider, and waits until it serves.
pub async fn serve_fastmcp() -> Serving {
    serve_python("fastmcp_oauth.py", &[]).await
}

/// Starts a program in `crates/e2e/python` that is a server, and waits until it serves.
pub async fn serve_python(program: &str, arguments: &[&str]) -> Serving {
    let python = root().join("crates/e2e/python");
    let mut command = Command::new(python.join(".venv/bin/python"));
    command.arg(python.join(program)).args(arguments);
    serving(Process::start(&mut command), program).await
}

/// Returns a program of the identity software in `.venv-company`: `scim2` or `canaille`.
pub fn company_program(name: &str) -> Command {
    let program = root().join("crates/e2e/python/.venv-company/bin").join(name);
    assert!(program.exists(), "{} is not there: run `scripts/install` first", program.display());
    Command::new(program)
}

/// Returns program and arguments of the reference server over standard input and output.
pub fn everything_stdio() -> Vec<String> {
    let entry = folder().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    vec![node().display().to_string(), entry.display().to_string(), "stdio".to_owned()]
}

/// Returns program and arguments of a server in a package in `node_modules`.
pub fn package_stdio(entry: &str, arguments: &[&str]) -> Vec<String> {
    let entry = folder().join("node_modules").join(entry).display().to_string();
    let own = arguments.iter().map(|&word| word.to_owned());
    [node().display().to_string(), entry].into_iter().chain(own).collect()
}

/// Returns program and arguments of a program in `crates/e2e/python`.
pub fn python_stdio(program: &str, arguments: &[&str]) -> Vec<String> {
    let python = root().join("crates/e2e/python");
    let words = [python.join(".venv/bin/python"), python.join(program)].map(|path| path.display().to_string());
    words.into_iter().chain(arguments.iter().map(|&word| word.to_owned())).collect()
}

/// Returns program and arguments of our own upstream of both eras over standard input and output.
pub fn upstream_stdio() -> Vec<String> {
    vec![node().display().to_string(), folder().join("upstream.mjs").display().to_string(), "--stdio".to_owned()]
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// The folder of the programs.
pub fn folder() -> PathBuf {
    root().join("crates/e2e/node")
}

/// The Node binary.
pub fn node() -> PathBuf {
    let own = || folder().join("node_modules/node/bin/node");
    let node = std::env::var_os("SEKISHO_TEST_NODE").map_or_else(own, PathBuf::from);
    assert!(node.exists(), "{} is not there: run `scripts/install` first", node.display());
    node
}

fn start<S: AsRef<str>>(name: &str, arguments: &[S]) -> Process {
    let node = node();
    // Programs that these programs start look for `node` on the path.
    let mut path = node.parent().map(PathBuf::from).into_iter().collect::<Vec<_>>();
    path.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let mut command = Command::new(&node);
    command.arg(folder().join(name).with_extension("mjs")).args(arguments.iter().map(AsRef::as_ref));
    command.env("PATH", std::env::join_paths(path).expect("a path")).env_remove("DISPLAY");
    Process::start(&mut command)
}

fn last_line(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim_end().lines().next_back()?).ok()
}
