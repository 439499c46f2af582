//! One running checkpoint: store, keys, issuer, gateway, and the watches that carry changes to them.

use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use sekisho_client::http::SafeHttp;
use sekisho_console::acts::{self, Act, ActError, Classes, Outcome};
use sekisho_gateway::memory::Memory;
use sekisho_gateway::{BuiltInSettings, Gateway, GatewayParts, GatewaySettings, Limits, ProbeError, Routes};
use sekisho_issuer::{Issuer, IssuerParts, IssuerSettings};
use sekisho_policy::rights::{PolicyFile, Rights};
use sekisho_protocol::env::{Clock, Entropy, Timestamp};
use sekisho_protocol::ids::{ClientId, NodeId, ServerName};
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::{ChangeKind, FeedEvent, Store};
use sekisho_token::Keys;
use tokio::sync::watch;

use crate::builtin::CheckpointServer;
use crate::config::{Configuration, ServerDefinition};
use crate::data_dir::{DataDir, InstanceLock};
use crate::error::CommandError;
use crate::heads::{Heads, SecondPlace};
use crate::layers::{Entrance, Front};
use crate::os::{self, OsEntropy, SystemClock};
use crate::proxies::Proxies;
use crate::readiness::{self, Away, Readiness};
use crate::servers::{self, Defined};
use crate::webhook::Announcer;
use crate::{control, described, keys, listen, reach};

mod base_url;
mod upkeep;

use base_url::base_url;
pub(crate) use base_url::{advertises_localhost, check_base_url, is_local, stored_port};

/// How long files may take to be read while requests are served.
pub(crate) const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

use upkeep::Upkeep;

/// Where the definitions of servers come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The configuration file.
    File,
    /// The store, where `run` keeps them.
    Store,
}

/// A checkpoint that is wired and serves nothing yet.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The issuer identifier.
    pub(crate) base_url: String,
    /// Everything that is remembered.
    pub(crate) store: Store,
    /// The name of this node in the records.
    pub(crate) node: NodeId,
    /// The one clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The protected resource.
    pub(crate) gateway: Arc<Gateway>,
    upkeep: Upkeep,
    /// Which servers cannot be reached.
    away: Away,
    issuer: Arc<Issuer>,
    builtin: BuiltInSettings,
    data: DataDir,
    source: Source,
    extra_ca: Option<Vec<u8>>,
    /// What requests and answers may hold.
    memory: Memory,
    /// The configuration in force: what a change of users is combined with.
    configuration: ArcSwap<Configuration>,
    keys: watch::Sender<Keys>,
    rights: watch::Sender<Arc<Rights>>,
    directory: watch::Sender<Arc<ServerDirectory>>,
    routes: watch::Sender<Arc<Routes>>,
    reloading: tokio::sync::Mutex<()>,
    _lock: InstanceLock,
}

/// What an instance is made from.
pub(crate) struct Parts {
    /// The folder, locked.
    pub(crate) data: DataDir,
    /// The lock.
    pub(crate) lock: InstanceLock,
    /// The store, open.
    pub(crate) store: Store,
    /// The configuration; its servers count only for [`Source::File`].
    pub(crate) configuration: Configuration,
    /// Where servers come from.
    pub(crate) source: Source,
    /// The port that is listened on.
    pub(crate) port: u16,
}

impl Instance {
    /// Wires everything.
    pub(crate) async fn start(parts: Parts) -> Result<Arc<Self>, CommandError> {
        let Parts { data, lock, store, configuration, source, port } = parts;
        let (entropy, node): (Arc<dyn Entropy>, _) = (Arc::new(OsEntropy), data.node(&SystemClock)?);
        let upkeep = Upkeep::begin(&store, node).await?;
        let clock: Arc<dyn Clock> = upkeep.clock.clone();
        let (base_url, extra_ca) = (base_url(&store, &configuration, port).await?, read_ca(&configuration)?);
        let (keys, keys_seen) = watch::channel(keys::in_force(&store, clock.as_ref(), entropy.as_ref()).await?);
        let defined = defined(&store, &source, &configuration).await?;
        let (users, loans) = people(&store, clock.now()).await?;
        let (rights, rights_seen) =
            watch::channel(Arc::new(servers::rights(&defined, (&users, loans), &configuration)?));
        let (directory, directory_seen) = watch::channel(Arc::new(servers::directory(&defined, &base_url)?));
        let builtin = BuiltInSettings(Arc::new(CheckpointServer::new(
            (store.clone(), rights_seen.clone(), directory_seen.clone()),
            clock.clone(),
            Arc::new(reach::documents(&configuration, extra_ca.clone())?),
            base_url.clone(),
        )));
        let kept = (base_url.as_str(), configuration.audit.arguments_days);
        let routes = servers::routes(&defined, kept, (extra_ca.as_deref(), &builtin))?;
        let (routes, routes_seen) = watch::channel(Arc::new(routes));
        let issuer = Issuer::new(IssuerParts {
            store: store.clone(),
            keys: keys_seen.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            http: Arc::new(reach::outbound(&configuration, extra_ca.clone())?),
            rights: rights_seen.clone(),
            servers: directory_seen,
            node,
            refusals: upkeep.refusals.clone(),
            settings: issuer_settings(&configuration, &base_url),
        });
        let settings = gateway_settings(&configuration, &base_url);
        let memory = settings.limits.memory.clone();
        let gateway = Gateway::start(GatewayParts {
            store: store.clone(),
            keys: keys_seen,
            rights: rights_seen,
            routes: routes_seen,
            clock: clock.clone(),
            entropy,
            node,
            refusals: upkeep.refusals.clone(),
            settings,
        })
        .await;
        Ok(Arc::new(Self {
            base_url,
            store,
            node,
            clock,
            gateway,
            upkeep,
            away: Away::default(),
            issuer,
            builtin,
            data,
            source,
            extra_ca,
            memory,
            configuration: ArcSwap::from_pointee(configuration),
            keys,
            rights,
            directory,
            routes,
            reloading: tokio::sync::Mutex::default(),
            _lock: lock,
        }))
    }

    /// Everything behind one entrance.
    fn front(&self) -> Front {
        let readiness = Readiness::new(self.store.clone(), self.gateway.clone(), self.away.clone());
        let health = Router::new()
            .route("/healthz", axum::routing::get(|| async { "ok\n" }))
            .route("/readyz", axum::routing::get(readiness::show).with_state(readiness));
        Front::new(Entrance {
            clock: self.clock.clone(),
            entropy: Arc::new(OsEntropy),
            hosts: hosts(&self.base_url),
            // What is no network was refused when the file was read.
            proxies: Proxies::read(&self.configuration.load().tls.trusted_proxies).unwrap_or_default(),
            gateway: self.gateway.clone(),
            pages: self.issuer.clone().router().merge(self.gateway.clone().router()).merge(health),
        })
    }

    /// Serves until `stop`, with the control socket, change feed and housekeeping beside it. `ready` is called once
    /// callers and commands reach us.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        listeners: listen::Listeners,
        certificate: Option<Arc<listen::Certificate>>,
        stop: watch::Receiver<bool>,
        ready: impl FnOnce() -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let control = control::Control::of(self).listen(&self.data.socket())?;
        let follow = tokio::spawn(self.clone().follow());
        let heads = self.heads()?.map(Arc::new);
        if let Err(error) = self.note_second_place().await {
            tracing::warn!(%error, "the second place of the records could not be noted");
        }
        if let Some(heads) = &heads {
            self.compare_heads(heads).await;
        }
        let reach = tokio::spawn(readiness::follow(self.gateway.clone(), self.away.clone()));
        let mut tasks = vec![control, follow, reach];
        tasks.extend(self.keep_up());
        tasks.extend(heads.clone().map(|heads| tokio::spawn(heads.keep())));
        tasks.extend(self.announcer()?.map(|announcer| tokio::spawn(Arc::new(announcer).keep())));
        ready()?;
        let proxies = Proxies::read(&self.configuration.load().tls.trusted_proxies).unwrap_or_default();
        let sharing = listen::Sharing { memory: self.memory.clone(), proxies: proxies.networks().to_vec() };
        listen::serve(listeners, self.front(), certificate, sharing, stop).await;
        for task in tasks {
            task.abort();
        }
        let _ = std::fs::remove_file(self.data.socket());
        self.gateway.shutdown().await;
        if let Err(error) = self.write_refusals().await {
            tracing::error!(%error, "sums of refusals could not be recorded before the end");
        }
        // Whatever was recorded up to the end.
        if let Some(heads) = heads
            && let Err(error) = heads.write(0).await
        {
            tracing::error!(%error, "the last head of the records could not be written to its second place");
        }
        self.store.close().await;
        Ok(())
    }

    /// Where the heads of our chain go, if anywhere.
    fn heads(&self) -> Result<Option<Heads>, CommandError> {
        let configuration = self.configuration.load();
        let Some(place) = &configuration.audit.heads else { return Ok(None) };
        let place = SecondPlace::read(place).map_err(|message| CommandError::usage(message, "see `sekisho check`"))?;
        Ok(Some(Heads {
            place,
            every: std::time::Duration::from_secs(u64::from(configuration.audit.heads_every.max(1))),
            http: self.reach_out(&configuration)?,
            store: self.store.clone(),
            node: self.node,
            clock: self.clock.clone(),
        }))
    }

    /// Who announces requests for access, if anybody does.
    fn announcer(&self) -> Result<Option<Announcer>, CommandError> {
        let configuration = self.configuration.load();
        let Some(webhook) = &configuration.webhook else { return Ok(None) };
        let secret = servers::resolve("the webhook", UpstreamSecret::from_outside(webhook.secret.clone()))?;
        Ok(Some(Announcer {
            url: webhook.url.clone(),
            secret,
            base_url: self.base_url.clone(),
            http: self.reach_out(&configuration)?,
            store: self.store.clone(),
            clock: self.clock.clone(),
        }))
    }

    /// The way out to what the operator named: loopback, too, which no stranger can make us call.
    fn reach_out(&self, configuration: &Configuration) -> Result<Arc<SafeHttp>, CommandError> {
        reach::named(configuration, self.extra_ca.clone()).map(Arc::new)
    }

    /// Answers a question about calls, by the configuration in force.
    pub(crate) async fn judge(&self, act: Act) -> Result<Outcome, CommandError> {
        let configuration = self.configuration.load_full();
        judge(&self.store, (&self.source, &configuration), self.clock.now(), act).await
    }

    /// Which servers are in force, and what is known of their tools.
    pub(crate) async fn describe(&self, act: Act) -> Result<Outcome, CommandError> {
        let configuration = self.configuration.load_full();
        described::describe(&self.store, (&self.source, &configuration), act).await
    }

    /// Asks a server what it offers if nobody ever has. Whether it answers is told by what is known afterwards.
    pub(crate) async fn look_once(&self, name: &ServerName) {
        let known = match self.store.read().await {
            Ok(mut tx) => tx.catalogue().list(name).await.is_ok_and(|tools| !tools.is_empty()),
            Err(_) => true,
        };
        if !known && let Err(error) = self.look_behind(name).await {
            tracing::info!(server = %name, %error, "the server does not say what it offers");
        }
    }

    /// Starts or calls what is behind a server, and learns its tools; the error says why it does not work. What cannot be
    /// reached at the moment is no mistake: then this gives why.
    pub(crate) async fn look_behind(&self, name: &ServerName) -> Result<Option<String>, CommandError> {
        // A server that was added a moment ago is not in force yet.
        self.take_over().await?;
        match self.gateway.probe(name).await {
            Ok(_) => Ok(None),
            Err(ProbeError::Away(why)) => Ok(Some(why)),
            Err(error) => Err(CommandError::environment(
                error.to_string(),
                "see that it starts by itself and speaks MCP; --env and --secret give a program variables, --secret-header a URL its credential",
            )),
        }
    }

    /// Takes over what changed in the store, so that it is in force when this returns and not a moment later.
    pub(crate) async fn take_over(&self) -> Result<(), CommandError> {
        let _turn = self.reloading.lock().await;
        self.put_in_force(&self.configuration.load_full()).await
    }

    /// Takes over changed definitions; on a mistake the old ones stay.
    pub(crate) async fn reload(&self, configuration: &Configuration) -> Result<(), CommandError> {
        let _turn = self.reloading.lock().await;
        self.put_in_force(configuration).await
    }

    /// For whoever has the turn: what was read earlier must not be put over what was read later.
    async fn put_in_force(&self, configuration: &Configuration) -> Result<(), CommandError> {
        let defined = defined(&self.store, &self.source, configuration).await?;
        let (users, loans) = people(&self.store, self.clock.now()).await?;
        let directory = servers::directory(&defined, &self.base_url)?;
        let rights = servers::rights(&defined, (&users, loans), configuration)?;
        let routes = self.routes_of(defined, configuration.audit.arguments_days).await?;
        self.rights.send_replace(Arc::new(rights));
        self.directory.send_replace(Arc::new(directory));
        self.routes.send_replace(Arc::new(routes));
        // Whoever is told that something is in force may use it at once.
        self.gateway.remount().await;
        self.configuration.store(Arc::new(configuration.clone()));
        Ok(())
    }

    /// Routes, with the secrets that they name: files that may hang, and are read beside everything that waits.
    async fn routes_of(&self, defined: Vec<Defined>, arguments_days: u32) -> Result<Routes, CommandError> {
        let (base_url, extra_ca, builtin) = (self.base_url.clone(), self.extra_ca.clone(), self.builtin.clone());
        let read = os::beside(READ_TIMEOUT, move || {
            servers::routes(&defined, (&base_url, arguments_days), (extra_ca.as_deref(), &builtin))
        });
        read.await.unwrap_or_else(|| {
            Err(CommandError::environment(
                "the files that hold secrets of servers could not be read in time",
                "see that none of them is a pipe, and the disk",
            ))
        })
    }

    /// Follows the change feed: users, loans, servers and keys are re-read when they change.
    async fn follow(self: Arc<Self>) {
        let mut feed = self.store.changes();
        loop {
            let kind = match feed.next().await {
                FeedEvent::Change(change) => Some(change.kind),
                FeedEvent::Gap => None,
                FeedEvent::Unavailable => continue,
            };
            if matches!(kind, None | Some(ChangeKind::Key))
                && let Ok(keys) = keys::in_force(&self.store, self.clock.as_ref(), &OsEntropy).await
            {
                self.keys.send_replace(keys);
            }
            if matches!(kind, None | Some(ChangeKind::Loan | ChangeKind::Server | ChangeKind::User))
                && let Err(error) = self.take_over().await
            {
                tracing::error!(%error, "a change could not be taken over; the old state stays");
            }
        }
    }
}

/// Answers a question about calls: what the three sets say to one, what could be narrower, what other policies would come
/// to. Nothing has to run for it.
pub(crate) async fn judge(
    store: &Store,
    (source, configuration): (&Source, &Configuration),
    now: Timestamp,
    act: Act,
) -> Result<Outcome, CommandError> {
    let defined = defined(store, source, configuration).await?;
    let classes: Classes = defined.iter().map(|server| (server.name.clone(), server.classes())).collect();
    let (users, loans) = people(store, now).await?;
    let no = |error: ActError| CommandError::no(error.to_string());
    match act {
        Act::Advise { since } => {
            Ok(Outcome::Advice { advice: acts::advise(store, &classes, since, now, None).await.map_err(no)? })
        }
        Act::Explain(question) => {
            if !defined.iter().any(|server| server.name == question.server) {
                return Err(described::no_server(&question.server, &defined));
            }
            let rights = servers::rights(&defined, (&users, loans), configuration)?;
            let own = classes.get(&question.server).cloned().unwrap_or_default();
            let explained = acts::explain(store, &rights, &own, &question, now).await.map_err(no)?;
            Ok(Outcome::Explained(Box::new(explained)))
        }
        Act::Replay { files, since } => {
            let policy_files = files.into_iter().map(|(name, text)| PolicyFile { name, text }).collect();
            let changed = Configuration { policy_files, ..configuration.clone() };
            let rights = servers::rights(&defined, (&users, Vec::new()), &changed)?;
            Ok(Outcome::Replayed(acts::replay(store, &rights, &classes, since).await.map_err(no)?))
        }
        Act::RequestWeigh { request } => {
            let rights = servers::rights(&defined, (&users, loans), configuration)?;
            acts::weigh(store, &rights, &classes, request, now).await.map_err(no)
        }
        _ => Err(CommandError::no("not a question about calls")),
    }
}

/// Values of `Host` under which a base URL is reached: itself, and for loopback the three spellings.
pub(crate) fn hosts(base_url: &str) -> Vec<String> {
    let authority = base_url.split("://").nth(1).unwrap_or_default().to_owned();
    let Ok(url) = url::Url::parse(base_url) else { return vec![authority] };
    if !url.host_str().is_some_and(sekisho_protocol::redirect::is_loopback_host) {
        return vec![authority];
    }
    let port = url.port_or_known_default().unwrap_or(80);
    ["localhost", "127.0.0.1", "[::1]"].iter().map(|host| format!("{host}:{port}")).collect()
}

/// Who there is, and what is lent to them.
async fn people(
    store: &Store,
    now: Timestamp,
) -> Result<(Vec<sekisho_store::User>, Vec<sekisho_store::Loan>), CommandError> {
    let failed = |error: sekisho_store::StoreError| {
        CommandError::environment(format!("users cannot be read: {error}"), "see the disk")
    };
    let mut tx = store.read().await.map_err(failed)?;
    let users = tx.users().list().await.map_err(failed)?;
    Ok((users, tx.loans().list(now).await.map_err(failed)?))
}

/// The servers in force.
pub(crate) async fn defined(
    store: &Store,
    source: &Source,
    configuration: &Configuration,
) -> Result<Vec<Defined>, CommandError> {
    match source {
        Source::File => configuration.servers.iter().map(|(name, definition)| of_file(name, definition)).collect(),
        Source::Store => of_store(store).await,
    }
}

fn of_file(name: &str, definition: &ServerDefinition) -> Result<Defined, CommandError> {
    let name = name.parse().map_err(|error| CommandError::usage(format!("{error}"), "see `sekisho check`"))?;
    Ok(Defined { name, definition: definition.clone(), secrets: Default::default(), classify_at_consent: false })
}

async fn of_store(store: &Store) -> Result<Vec<Defined>, CommandError> {
    let failed = |error: sekisho_store::StoreError| {
        CommandError::environment(format!("servers cannot be read: {error}"), "see the disk")
    };
    let mut tx = store.read().await.map_err(failed)?;
    let mut all = Vec::new();
    for row in tx.servers().list().await.map_err(failed)? {
        let definition = serde_json::from_str(&row.definition).map_err(|error| {
            CommandError::environment(
                format!("server `{}` was kept by another version: {error}", row.name),
                format!("sekisho server remove {}", row.name),
            )
        })?;
        let mut secrets = std::collections::BTreeMap::new();
        for name in tx.credentials().list_names(&row.name).await.map_err(failed)? {
            if let Some(secret) = tx.credentials().find(&row.name, &name).await.map_err(failed)? {
                secrets.insert(name, secret);
            }
        }
        all.push(Defined { name: row.name, definition, secrets, classify_at_consent: true });
    }
    Ok(all)
}

pub(crate) fn read_ca(configuration: &Configuration) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(path) = &configuration.outbound.ca_file else { return Ok(None) };
    std::fs::read(path).map(Some).map_err(|error| {
        CommandError::environment(
            format!("`outbound.ca_file` `{}` cannot be read: {error}", path.display()),
            "give a PEM file",
        )
    })
}

fn issuer_settings(configuration: &Configuration, base_url: &str) -> IssuerSettings {
    let clients = &configuration.clients;
    let mut settings = IssuerSettings { base_url: base_url.to_owned(), ..IssuerSettings::default() };
    if !clients.registration {
        settings.registration = sekisho_issuer::RegistrationPolicy::Closed;
    }
    settings.dynamic_clients_max = u64::from(clients.registered_max);
    settings.client_documents = match (clients.metadata_documents, clients.metadata_document_hosts.is_empty()) {
        (false, _) => sekisho_issuer::DocumentPolicy::Off,
        (true, true) => sekisho_issuer::DocumentPolicy::Any,
        (true, false) => sekisho_issuer::DocumentPolicy::Hosts(clients.metadata_document_hosts.clone()),
    };
    settings
}

/// What bodies and answers may hold. With less than the least, the share of one client would have no room for an answer.
fn memory(mib: u32) -> Memory {
    const LEAST_MIB: u32 = 128;
    Memory::new(self::mib(mib.max(LEAST_MIB)))
}

fn mib(mib: u32) -> usize {
    usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

fn gateway_settings(configuration: &Configuration, base_url: &str) -> GatewaySettings {
    let mut allowed_origins = vec![base_url.to_owned()];
    allowed_origins.extend(configuration.origins.iter().cloned());
    GatewaySettings {
        base_url: base_url.to_owned(),
        allowed_hosts: hosts(base_url),
        allowed_origins,
        record_reads_first: configuration.audit.reads_first,
        // What is no identifier was refused when the file was read.
        tool_error_clients: configuration
            .clients
            .tool_errors
            .iter()
            .filter_map(|id| ClientId::parse(id).ok())
            .collect(),
        limits: Limits {
            calls_per_second_max: NonZeroU32::new(configuration.limits.calls_per_second),
            memory: memory(configuration.limits.memory_mib),
            answer_bytes_max: mib(configuration.limits.result_mib.max(1)),
            ..Limits::default()
        },
    }
}

#[cfg(test)]
mod tests;
