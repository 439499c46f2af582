//! Builds an instance: store, keys, issuer, gateway, and the watch channels that carry changes to them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sekisho_console::Console;
use sekisho_console::scim::{Provisioning, ProvisioningParts};
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
use crate::{keys, provisioning, reach};

/// A checkpoint whose parts are connected, but which does not listen yet.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The issuer identifier.
    pub(crate) base_url: String,
    /// The store.
    pub(crate) store: Store,
    /// The name of this node in the records.
    pub(crate) node: NodeId,
    /// The clock that all parts use.
    pub(crate) clock: Arc<dyn Clock>,
    /// The protected resource.
    pub(crate) gateway: Arc<Gateway>,
    /// The state of the background work.
    pub(super) upkeep: Upkeep,
    /// The servers that cannot be reached.
    pub(crate) away: Away,
    /// The state that all pages share.
    pub(crate) site: Arc<Site>,
    /// The pages of signed-in people.
    pub(crate) console: Arc<Console>,
    /// The endpoint for provisioning clients.
    pub(crate) provisioning: Arc<Provisioning>,
    /// The authorization server.
    pub(crate) issuer: Arc<Issuer>,
    /// The settings of the built-in server.
    pub(super) builtin: BuiltInSettings,
    /// The data directory.
    pub(crate) data: DataDir,
    /// Where the definitions of servers come from.
    pub(super) source: Source,
    /// Certificate authorities that the configuration adds, as PEM.
    pub(super) extra_ca: Option<Vec<u8>>,
    /// How much memory requests and answers may take.
    pub(crate) memory: Memory,
    /// The configuration in force, with which changes in the store are combined.
    pub(crate) configuration: ArcSwap<Configuration>,
    /// Values that change while calls are answered.
    pub(super) watches: Watches,
    /// The lock for putting changes in force one after another.
    pub(super) reloading: tokio::sync::Mutex<()>,
    _lock: InstanceLock,
}

/// Values that change while calls are answered; issuer and gateway read them once per request.
#[derive(Debug)]
pub(super) struct Watches {
    /// The signing keys in force, and older ones that are still accepted.
    pub(super) keys: watch::Sender<Keys>,
    /// What users may do.
    pub(super) rights: watch::Sender<Arc<Rights>>,
    /// The servers as the pages show them.
    pub(super) directory: watch::Sender<Arc<ServerDirectory>>,
    /// The routes to the upstreams of the servers.
    pub(super) routes: watch::Sender<Arc<Routes>>,
}

/// The parts that an instance is made from.
pub(crate) struct Parts {
    /// The data directory, locked.
    pub(crate) data: DataDir,
    /// The lock of the data directory.
    pub(crate) lock: InstanceLock,
    /// The store, open.
    pub(crate) store: Store,
    /// The configuration; its servers are used only for [`Source::File`].
    pub(crate) configuration: Configuration,
    /// Where the definitions of servers come from.
    pub(crate) source: Source,
    /// The port that we listen on.
    pub(crate) port: u16,
}

impl Instance {
    /// Builds an instance and connects its parts.
    #[expect(clippy::too_many_lines, reason = "each part is built once, after what it needs")]
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
        let (directory, directory_seen) =
            watch::channel(Arc::new(servers::directory(&defined, &base_url, &configuration.login)?));
        let builtin = BuiltInSettings(Arc::new(CheckpointServer::new(CheckpointParts {
            store: store.clone(),
            rights: rights_seen.clone(),
            directory: directory_seen.clone(),
            clock: clock.clone(),
            http: Arc::new(reach::documents(&configuration, extra_ca.clone())?),
            base_url: base_url.clone(),
        })));
        let arguments_days = configuration.audit.arguments_days;
        let parts = RouteParts {
            base_url: &base_url,
            arguments_days,
            extra_ca: extra_ca.as_deref(),
            builtin: &builtin,
            login: &configuration.login,
        };
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
        let rules = provisioning::rules(&configuration.login.provider);
        let refusals = upkeep.refusals.clone();
        let provisioning = Provisioning::new(ProvisioningParts { site: site.clone(), rules, refusals });
        let issuer = Issuer::new(IssuerParts {
            site: site.clone(),
            keys: keys_seen.clone(),
            http: Arc::new(reach::outbound(&configuration, extra_ca.clone())?),
            rights: rights_seen.clone(),
            refusals: upkeep.refusals.clone(),
            listings: upkeep.listings.clone(),
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
            http: Arc::new(reach::named(&configuration, extra_ca.clone())?),
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
            provisioning,
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
