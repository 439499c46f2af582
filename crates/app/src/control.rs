//! The control socket: how a command reaches the instance that uses the data directory.
//!
//! The command is one JSON line, and so is the reply. The socket is in a folder that only its owner may enter and has
//! mode 0600 itself (ST-02, PX-35); whoever can write to it could as well write to the store.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sekisho_acts::command::{self, Command, Outcome};
use sekisho_acts::server::Add as ServerAdd;
use sekisho_acts::{Performer, server};
use sekisho_protocol::audit::{ActKind, Actor};
use sekisho_protocol::env::Clock;
use sekisho_protocol::ids::{NodeId, RequestId, ServerName};
use sekisho_store::{SignedHead, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::cli::Common;
use crate::command::check;
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::heads::{self, SecondPlace};
use crate::instance::{self, Instance, Source};
use crate::os::{OsEntropy, SystemClock};
use crate::{described, servers};

/// The longest line either side sends, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long to wait after an error before accepting commands again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The longest a command may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The reply to a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done(Outcome),
    /// The command cannot work on this machine.
    Failed {
        message: String,
        help: Option<String>,
    },
    /// The command has wrong arguments.
    Misused {
        message: String,
        help: Option<String>,
    },
    Refused(String),
}

/// Performs acts for whoever may open the socket, until dropped.
#[derive(Debug)]
pub(crate) struct Control {
    store: Store,
    node: NodeId,
    clock: Arc<dyn Clock>,
    /// The running instance, for what only it can do. A weak reference, because the instance owns this value.
    instance: Weak<Instance>,
}

impl Control {
    /// Makes the control of this instance.
    pub(crate) fn of(instance: &Arc<Instance>) -> Self {
        let (store, clock) = (instance.store.clone(), instance.clock.clone());
        Self { store, node: instance.node, clock, instance: Arc::downgrade(instance) }
    }

    /// Listens at `path`, replacing a socket that an earlier instance left.
    pub(crate) fn listen(self, path: &Path) -> Result<tokio::task::JoinHandle<()>, CommandError> {
        let bad = |error: std::io::Error| {
            CommandError::environment(
                format!("the control socket `{}` cannot be opened: {error}", path.display()),
                "choose a shorter path with --data-dir DIR",
            )
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(bad(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(bad)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(bad)?;
        let control = Arc::new(self);
        Ok(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let control = control.clone();
                        tokio::spawn(async move { tokio::time::timeout(TIMEOUT, control.answer(stream)).await });
                    }
                    // Out of file descriptors, for example: go on, so that commands reach us again afterwards.
                    Err(error) => {
                        tracing::warn!(%error, "a command could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }))
    }

    async fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut line = String::new();
        BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
        let reply = match serde_json::from_str(&line) {
            Ok(Command::ServerAdd(server)) => self.add(server).await,
            Ok(Command::AuditVerify { heads }) => {
                let place = self.instance.upgrade().and_then(|instance| instance.second_place());
                verify(&self.store, self.node, self.clock.as_ref(), heads, place).await
            }
            Ok(
                command @ (Command::Advise { .. }
                | Command::Explain(_)
                | Command::Replay { .. }
                | Command::RequestWeigh { .. }),
            ) => self.judge(command).await,
            Ok(command @ (Command::ServerList | Command::ToolsAsk { .. } | Command::ToolsList { .. })) => {
                self.describe(command).await
            }
            Ok(command) => self.perform(command).await,
            Err(error) => Reply::Refused(format!("not a command of this version: {error}")),
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        writer.write_all(&line).await
    }

    /// Performs a command. Changes of users, servers and rights are in force when this returns, because the next
    /// command may need them. If they cannot be taken over, the old state stays until the feed reports the change
    /// again.
    pub(crate) async fn perform(&self, command: Command) -> Reply {
        let changes_rights = command.kind().is_some_and(ActKind::changes_rights);
        let reply = perform(&self.store, self.node, self.clock.as_ref(), command).await;
        if let (true, Reply::Done(_), Some(instance)) = (changes_rights, &reply, self.instance.upgrade())
            && let Err(error) = instance.take_over().await
        {
            tracing::error!(%error, "a change could not be taken over; the old state stays");
        }
        reply
    }

    /// Answers a question about calls, which only the running instance can do by the state in force.
    async fn judge(&self, command: Command) -> Reply {
        let Some(instance) = self.instance.upgrade() else { return Reply::Refused("we are stopping".to_owned()) };
        if let Command::Explain(question) = &command {
            instance.look_once(&question.server).await;
        }
        Self::reply(instance.judge(command).await)
    }

    /// Answers a question about the servers in force and what is known of their tools.
    async fn describe(&self, command: Command) -> Reply {
        let Some(instance) = self.instance.upgrade() else { return Reply::Refused("we are stopping".to_owned()) };
        if let Command::ToolsAsk { server } = &command
            && let Err(error) = instance.look_behind(server).await
        {
            return Self::reply(Err(error));
        }
        Self::reply(instance.describe(command).await)
    }

    fn reply(outcome: Result<Outcome, CommandError>) -> Reply {
        match outcome {
            Ok(outcome) => Reply::Done(outcome),
            Err(error @ CommandError::No { .. }) => Reply::Refused(error.to_string()),
            Err(error @ CommandError::Usage { .. }) => {
                Reply::Misused { message: error.to_string(), help: error.hint() }
            }
            Err(error) => Reply::Failed { message: error.to_string(), help: error.hint() },
        }
    }

    /// Adds a server that another `run` hands over, and probes its upstream like that of a first one. If it does not
    /// work, the previous definition is restored: a mistake, or an upstream that is down, must not end anybody's
    /// grants.
    async fn add(&self, server: ServerAdd) -> Reply {
        let name = server.name.clone();
        let before = match kept(&self.store, &name).await {
            Ok(before) => before,
            Err(error) => return Reply::Refused(error.to_string()),
        };
        if let Err(error) = servers::keep_name(before.as_ref(), &server) {
            return Self::reply(Err(error));
        }
        let reply = self.perform(Command::ServerAdd(server)).await;
        let (Reply::Done(_), Some(instance)) = (&reply, self.instance.upgrade()) else { return reply };
        let looked = match instance.look_behind(&name).await {
            Ok(None) => return reply,
            Ok(Some(why)) => CommandError::environment(why, "start what is behind it, then try again"),
            Err(error) => error,
        };
        let was_there = before.is_some();
        self.perform(undo(name.clone(), before)).await;
        // The previous definition has to be in force again before we reply.
        if was_there && let Err(error) = instance.look_behind(&name).await {
            tracing::warn!(server = %name, %error, "the server that was there before does not work either");
        }
        Reply::Failed { message: looked.to_string(), help: looked.hint() }
    }
}

/// Returns a stored server, secrets included.
pub(crate) async fn kept(store: &Store, name: &ServerName) -> Result<Option<ServerAdd>, StoreError> {
    server::kept(&mut store.read().await?, name).await
}

/// Returns the command that undoes the addition of a server.
pub(crate) fn undo(name: ServerName, before: Option<ServerAdd>) -> Command {
    before.map_or(Command::ServerRemove { name }, Command::ServerAdd)
}

async fn perform(store: &Store, node: NodeId, clock: &dyn Clock, command: Command) -> Reply {
    let now = clock.now();
    let request = RequestId::generate(now, &OsEntropy);
    let by = Performer { actor: Actor::Operator, node, request, now, entropy: &OsEntropy };
    match command::perform(store, &by, command).await {
        Ok(outcome) => Reply::Done(outcome),
        Err(error) => Reply::Refused(error.to_string()),
    }
}

/// Compares the records with the given heads, or with those of the second place if none are given.
async fn verify(
    store: &Store,
    node: NodeId,
    clock: &dyn Clock,
    heads: Vec<SignedHead>,
    place: Option<SecondPlace>,
) -> Reply {
    let (heads, why) = match (heads.is_empty(), place) {
        (false, _) => (heads, None),
        (true, None) => (heads, Some("no second place is known (`audit.heads`)")),
        (true, Some(place)) => match place.all() {
            Ok(Some(heads)) => (heads, None),
            Ok(None) => (heads, Some("what is sent to the second place cannot be asked back")),
            Err(error) => return Reply::Refused(error),
        },
    };
    match perform(store, node, clock, Command::AuditVerify { heads }).await {
        Reply::Done(Outcome::Audit { chains, .. }) => {
            Reply::Done(Outcome::Audit { chains, uncompared: why.map(str::to_owned) })
        }
        other => other,
    }
}

/// Returns the second place of the last running instance, which noted it in the store.
async fn noted_place(store: &Store) -> Option<SecondPlace> {
    let mut tx = store.read().await.ok()?;
    let place = tx.settings().get(heads::PLACE_SETTING).await.ok()??;
    SecondPlace::read(&place).ok()
}

/// Performs an act in a store that this process has open.
pub(crate) async fn perform_here(
    store: &Store,
    node: NodeId,
    clock: &dyn Clock,
    command: Command,
) -> Result<Outcome, CommandError> {
    answer(perform(store, node, clock, command).await)
}

/// Performs an act through the running instance if there is one, otherwise in this process.
pub(crate) async fn act(common: &Common, command: Command) -> Result<Outcome, CommandError> {
    act_in(&DataDir::open(common.data_dir.as_deref())?, command).await
}

/// Does the same as [`act`] in a data directory that is open already.
pub(crate) async fn act_in(data: &DataDir, command: Command) -> Result<Outcome, CommandError> {
    let reply = match data.lock()? {
        Some(_lock) => {
            let clock = SystemClock;
            let store = data.store().await?;
            let node = data.node(&clock)?;
            let reply = match command {
                Command::AuditVerify { heads } => {
                    let place = noted_place(&store).await;
                    verify(&store, node, &clock, heads, place).await
                }
                command => perform(&store, node, &clock, command).await,
            };
            store.close().await;
            reply
        }
        None => ask(&data.socket(), &command).await?,
    };
    answer(reply)
}

/// Answers a question about calls or servers: through the running instance if there is one, otherwise here, from a
/// configuration file or the servers of `run`.
pub(crate) async fn judge(common: &Common, config: Option<&Path>, command: Command) -> Result<Outcome, CommandError> {
    let configuration = config.map(check::sound).transpose()?;
    let configured = configuration.as_ref().and_then(|configuration| configuration.data_dir.as_deref());
    let data = DataDir::open(common.data_dir.as_deref().or(configured))?;
    match data.lock()? {
        None => answer(ask(&data.socket(), &command).await?),
        Some(_lock) => {
            if let Some(configuration) = &configuration {
                data.choose_database(configuration.store.url.as_deref())?;
            }
            let store = data.store().await?;
            let source = if configuration.is_some() { Source::File } else { Source::Store };
            let now = SystemClock.now();
            let configuration = configuration.unwrap_or_default();
            let outcome = match command {
                Command::ServerList | Command::ToolsAsk { .. } | Command::ToolsList { .. } => {
                    described::describe(&store, &source, &configuration, command).await
                }
                command => instance::judge(&store, &source, &configuration, now, command).await,
            };
            store.close().await;
            outcome
        }
    }
}

fn answer(reply: Reply) -> Result<Outcome, CommandError> {
    match reply {
        Reply::Done(outcome) => Ok(outcome),
        Reply::Failed { message, help } => Err(CommandError::Environment { message, help }),
        Reply::Misused { message, help } => Err(CommandError::Usage { message, help }),
        Reply::Refused(reason) => Err(CommandError::no(reason)),
    }
}

async fn ask(path: &Path, command: &Command) -> Result<Reply, CommandError> {
    let silent = |error: &dyn std::fmt::Display| {
        CommandError::environment(
            format!("the instance that has this data directory does not answer at `{}`: {error}", path.display()),
            "it may be starting or stopping: try again, or end it",
        )
    };
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
        Ok::<_, std::io::Error>(serde_json::from_str(&answer)?)
    };
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(silent(&error)),
        Err(error) => Err(silent(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use sekisho_protocol::env::ManualClock;

    use super::Control;
    use crate::data_dir::DataDir;

    /// ST-02, PX-35, ATK-100: the only way to administer a running instance is open to its own account alone, also if
    /// its folder or socket had other modes before.
    #[tokio::test]
    async fn the_control_socket_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = DataDir::open(Some(&path)).unwrap();
        let left = std::os::unix::net::UnixListener::bind(data.socket()).unwrap();
        std::fs::set_permissions(data.socket(), std::fs::Permissions::from_mode(0o777)).unwrap();
        drop(left);
        let clock = Arc::new(ManualClock::default());
        let node = data.node(clock.as_ref()).unwrap();
        let store = data.store().await.unwrap();
        let control = Control { store, node, clock, instance: std::sync::Weak::new() };
        let listening = control.listen(&data.socket()).unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o700);
        for entry in std::fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap().path();
            // The lock file is empty.
            assert!(
                mode(&entry) == 0o600 || entry.ends_with("instance.lock"),
                "{}: {:o}",
                entry.display(),
                mode(&entry)
            );
        }
        listening.abort();
    }
}
