//! Wires an instance: store, keys, issuer, gateway, and the watches that carry changes to them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sekisho_console::Console;
use sekisho_gateway::memory::Memory;
use sekisho_gateway::{BuiltInSettings, Gateway, GatewayParts, Routes};
use sekisho_issuer::{Issuer, IssuerParts};
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::NodeId;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::Store;
use sekisho_token::Keys;
use sekisho_web::{Site, SiteParts, SiteSettings};
use tokio::sync::watch;

use super::login::login_parts;
use super::settings;
use super::upkeep_state::Upkeep;
use crate::base_url;
use crate::builtin::{CheckpointParts, CheckpointServer};
use crate::config::Configuration;
use crate::data_dir::{DataDir, InstanceLock};
use crate::definitions::{Source, defined, people};
use crate::error::CommandError;
use crate::os::{OsEntropy, SystemClock};
use crate::readiness::Away;
use crate::servers::{self, RouteParts};
use crate::{keys, reach};

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
    /// What the work beside answering goes by.
    pub(super) upkeep: Upkeep,
    /// Which servers cannot be reached.
    pub(crate) away: Away,
    /// What the surfaces share that show pages.
    pub(crate) site: Arc<Site>,
    /// The pages of signed-in people.
    pub(crate) console: Arc<Console>,
    /// The authorization server.
    pub(crate) issuer: Arc<Issuer>,
    /// The checkpoint as a server.
    pub(super) builtin: BuiltInSettings,
    /// The folder that everything is kept in.
    pub(crate) data: DataDir,
    /// Where the definitions of servers come from.
    pub(super) source: Source,
    /// Certificate authorities that the configuration adds, as PEM.
    pub(super) extra_ca: Option<Vec<u8>>,
    /// What requests and answers may hold.
    pub(crate) memory: Memory,
    /// The configuration in force: what a change of users is combined with.
    pub(crate) configuration: ArcSwap<Configuration>,
    /// What changes while calls are answered.
    pub(super) watches: Watches,
    /// Changes are put in force one after another.
    pub(super) reloading: tokio::sync::Mutex<()>,
    _lock: InstanceLock,
}

/// What changes while calls are answered: issuer and gateway read it once per request.
#[derive(Debug)]
pub(super) struct Watches {
    /// The signing keys in force, and those that are still believed.
    pub(super) keys: watch::Sender<Keys>,
    /// What users may do.
    pub(super) rights: watch::Sender<Arc<Rights>>,
    /// What the pages know of the servers.
    pub(super) directory: watch::Sender<Arc<ServerDirectory>>,
    /// What is behind the servers.
    pub(super) routes: watch::Sender<Arc<Routes>>,
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
        let base_url = base_url::settle(&store, settings::base_url_settings(&configuration, port)).await?;
        let extra_ca = reach::read_ca(&configuration)?;
        let (keys, keys_seen) = watch::channel(keys::in_force(&store, clock.as_ref(), entropy.as_ref()).await?);
        let defined = defined(&store, &source, &configuration).await?;
        let people = people(&store, clock.now()).await?;
        let (rights, rights_seen) = watch::channel(Arc::new(servers::rights(&defined, people, &configuration)?));
        let (directory, directory_seen) = watch::channel(Arc::new(servers::directory(&defined, &base_url)?));
        let builtin = BuiltInSettings(Arc::new(CheckpointServer::new(CheckpointParts {
            store: store.clone(),
            rights: rights_seen.clone(),
            directory: directory_seen.clone(),
            clock: clock.clone(),
            http: Arc::new(reach::documents(&configuration, extra_ca.clone())?),
            base_url: base_url.clone(),
        })));
        let arguments_days = configuration.audit.arguments_days;
        let parts =
            RouteParts { base_url: &base_url, arguments_days, extra_ca: extra_ca.as_deref(), builtin: &builtin };
        let (routes, routes_seen) = watch::channel(Arc::new(servers::routes(&defined, parts)?));
        let site = Site::new(SiteParts {
            store: store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            servers: directory_seen,
            node,
            settings: SiteSettings { base_url: base_url.clone(), ..SiteSettings::default() },
        });
        let console = Console::new(site.clone(), rights_seen.clone());
        let issuer = Issuer::new(IssuerParts {
            site: site.clone(),
            keys: keys_seen.clone(),
            http: Arc::new(reach::outbound(&configuration, extra_ca.clone())?),
            rights: rights_seen.clone(),
            refusals: upkeep.refusals.clone(),
            settings: settings::issuer_settings(&configuration),
            login: login_parts(&configuration, &base_url, extra_ca.clone())?,
        });
        let settings = settings::gateway_settings(&configuration, &base_url);
        let memory = settings.limits.memory.clone();
        let gateway = GatewayParts {
            store: store.clone(),
            keys: keys_seen,
            rights: rights_seen,
            routes: routes_seen,
            clock: clock.clone(),
            entropy,
            node,
            refusals: upkeep.refusals.clone(),
            settings,
        };
        let gateway = Gateway::start(gateway).await;
        Ok(Arc::new(Self {
            base_url,
            store,
            node,
            clock,
            gateway,
            upkeep,
            away: Away::default(),
            site,
            console,
            issuer,
            builtin,
            data,
            source,
            extra_ca,
            memory,
            configuration: ArcSwap::from_pointee(configuration),
            watches: Watches { keys, rights, directory, routes },
            reloading: tokio::sync::Mutex::default(),
            _lock: lock,
        }))
    }
}
