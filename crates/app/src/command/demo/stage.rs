//! The checkpoint that the demo plays at: on loopback, in a temporary folder, with the servers of the story.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sekisho_acts::command::{Command, Outcome};
use sekisho_demo::{CheckpointParts, DemoError, NaiveProxy, OWNER, Output, POLICY, Performance, READER};
use sekisho_issuer::login::password::hash_password;
use sekisho_policy::rights::PolicyFile;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Entropy as _;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::Password;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::{Common, DemoArguments};
use crate::command::connect_lines::print_connect_lines;
use crate::command::print_json;
use crate::config::{Arguments, Configuration, ServerDefinition};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::instance::{Instance, Parts, Source};
use crate::os::{OsEntropy, SystemClock};
use crate::signals::stop_signal;
use crate::{control, listen, say, serving, telemetry};

/// `sekisho bundled`: serves the notebook on standard input and output.
pub(crate) async fn bundled(name: &str) -> Result<(), CommandError> {
    if name != "notes" {
        return Err(CommandError::usage(format!("there is no bundled server `{name}`"), "there is `notes`"));
    }
    sekisho_demo::notes::serve()
        .await
        .map_err(|error| CommandError::environment(format!("standard input or output failed: {error}"), "try again"))
}

/// `sekisho demo`: plays the story; then stays up unless told otherwise.
pub(crate) async fn play(common: &Common, arguments: &DemoArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let names: Vec<_> = sekisho_demo::scene_names().collect();
    let scene = arguments.scene.as_deref();
    if scene.is_some_and(|scene| !names.contains(&scene)) {
        return Err(CommandError::usage("there is no such scene", format!("scenes: {}", names.join(", "))));
    }
    let stage = Stage::start(arguments.listen).await?;
    let output = if common.json { Output::Json(say::json) } else { Output::Text(print) };
    let performance = Performance { scene, output, out: arguments.out.as_deref() };
    let played = sekisho_demo::play(stage.checkpoint()?, performance).await.map_err(failed);
    if played.is_ok() && !arguments.once {
        stage.stay(common).await;
    }
    stage.stop().await;
    played
}

/// Prints one line of the story, escaped: it may hold text from servers.
fn print(line: &str) {
    say!("{line}");
}

fn failed(error: DemoError) -> CommandError {
    match error {
        DemoError::Begin(_) => CommandError::environment(error.to_string(), "leave out --listen"),
        DemoError::Otherwise(_) => CommandError::no(error.to_string()),
        DemoError::Write { .. } => CommandError::environment(error.to_string(), "name another folder with --out DIR"),
    }
}

/// The checkpoint while it runs.
struct Stage {
    base_url: String,
    password: String,
    data: DataDir,
    naive: Arc<NaiveProxy>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), CommandError>>,
    _folder: TempDir,
}

impl Stage {
    /// Starts the checkpoint and the naive proxy, and makes the two users.
    async fn start(listen: SocketAddr) -> Result<Self, CommandError> {
        let folder = tempfile::tempdir()
            .map_err(|error| CommandError::environment(format!("no temporary folder: {error}"), "free some disk"))?;
        let data = DataDir::open(Some(folder.path()))?;
        let lock =
            data.lock()?.ok_or_else(|| CommandError::environment("the temporary folder is in use", "try again"))?;
        let store = data.store().await?;
        let listeners = listen::bind(Some(listen), 0).await?;
        if !listeners.address.ip().is_loopback() {
            return Err(CommandError::usage("the demo listens on loopback only", "leave out --listen"));
        }
        let naive = NaiveProxy::start()
            .await
            .map_err(|error| CommandError::environment(format!("no port on loopback: {error}"), "try again"))?;
        let policy = PolicyFile { name: "demo.cedar".to_owned(), text: POLICY.to_owned() };
        let configuration =
            Configuration { servers: servers(&naive.origin)?, policy_files: vec![policy], ..Configuration::default() };
        let port = listeners.address.port();
        let parts = Parts { data: data.clone(), lock, store, configuration, source: Source::File, port };
        let instance = Instance::start(parts).await?;
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn({
            let instance = Arc::clone(&instance);
            async move {
                let entry = serving::Entry { listeners, certificate: None, stop: stopped };
                serving::serve(&instance, entry, || Ok(())).await
            }
        });
        let password = password();
        for (name, role) in [(OWNER, Role::Owner), (READER, Role::User)] {
            let hashed = hash_password(Password::from_outside(password.clone()), &OsEntropy).await;
            let hashed = hashed.map_err(|error| {
                CommandError::environment(format!("no password could be made: {error}"), "free some memory")
            })?;
            perform(&instance, Command::UserAdd { name: name.to_owned(), role, password: Some(hashed) }).await?;
        }
        instance.take_over().await?;
        let base_url = instance.base_url.clone();
        Ok(Self { base_url, password, data, naive: Arc::new(naive), stop, serving, _folder: folder })
    }

    /// Returns the description of the checkpoint that the demo works with.
    fn checkpoint(&self) -> Result<CheckpointParts, CommandError> {
        Ok(CheckpointParts {
            base_url: self.base_url.clone(),
            password: self.password.clone(),
            program: own_program()?,
            data_dir: self.data.path().to_owned(),
            naive: Arc::clone(&self.naive),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        })
    }

    /// Prints how to try the checkpoint, and waits for Ctrl-C.
    async fn stay(&self, common: &Common) {
        let notes = format!("{}/mcp/notes", self.base_url);
        if common.json {
            let servers = serde_json::json!([{ "name": "notes", "url": notes }]);
            let ready = serde_json::json!({ "ready": true, "base_url": self.base_url, "servers": servers, "pid": std::process::id() });
            let _ = print_json(&ready);
        } else {
            say_lines!("It stays up until Ctrl-C. Try it yourself:");
            say_lines!("  log in as `{OWNER}` (owner) or `{READER}` (may read) with the password `{}`", self.password);
            if let Ok(name) = "notes".parse() {
                print_connect_lines(&name, &notes);
            }
            say_lines!("\nYour own server: sekisho run -- PROGRAM, or sekisho run --http URL");
        }
        if let Ok(mut stop) = stop_signal() {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Stops the checkpoint and the proxy.
    async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
    }
}

/// Returns the path of this program, which also serves the notebook and runs the operator's commands.
fn own_program() -> Result<PathBuf, CommandError> {
    std::env::current_exe().map_err(|error| {
        CommandError::environment(format!("this program cannot be found: {error}"), "run it by its path")
    })
}

fn servers(naive: &str) -> Result<BTreeMap<String, ServerDefinition>, CommandError> {
    let command = vec![own_program()?.display().to_string(), "bundled".to_owned(), "notes".to_owned()];
    let classes = [
        ("list_notes", ToolClass::Read),
        ("read_note", ToolClass::Read),
        ("write_note", ToolClass::Write),
        ("delete_all_notes", ToolClass::Destructive),
    ];
    let tools: BTreeMap<_, _> = classes.into_iter().map(|(name, class)| (name.to_owned(), class)).collect();
    let notes = ServerDefinition {
        title: Some("Notes".to_owned()),
        command: command.clone(),
        users: BTreeMap::from([(READER.to_owned(), ToolClass::Read)]),
        tools: tools.clone(),
        arguments: Arguments::Sealed,
        ..ServerDefinition::default()
    };
    let diary = ServerDefinition { title: Some("Diary".to_owned()), command, tools, ..ServerDefinition::default() };
    let relay = ServerDefinition {
        title: Some("Relay".to_owned()),
        url: Some(format!("{naive}/upstream/mcp")),
        users: BTreeMap::from([(READER.to_owned(), ToolClass::Read)]),
        tools: BTreeMap::from([("lookup".to_owned(), ToolClass::Read)]),
        ..ServerDefinition::default()
    };
    let named = [("notes", notes), ("diary", diary), ("relay", relay)];
    Ok(named.into_iter().map(|(name, server)| (name.to_owned(), server)).collect())
}

/// Returns a random password: there is no default credential, not even in the demo (ATK-100).
fn password() -> String {
    let mut bytes = [0; 9];
    OsEntropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn perform(instance: &Instance, command: Command) -> Result<Outcome, CommandError> {
    control::perform_here(&instance.store, instance.node, instance.clock.as_ref(), command).await
}
