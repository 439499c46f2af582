//! The registry: what a reload keeps and what it stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::server::ServerCard;
use serde_json::json;
use tokio::sync::watch;

use super::fixture::program::{is_alive, scripted};
use super::fixture::{self, MODERN, call, text_of};
use super::stdio::StdioUpstream;
use super::{Answer, ForwardError, ForwardLimits, ForwardRequest, ListenRequest, Upstreams};
use crate::credential::{Credential, CredentialSource};
use crate::route::{KeepArguments, Route, Routes, Upstream};
use crate::upstream::{StdioSettings, UpstreamName, UpstreamSettings};

/// A program, and the credential that its configuration gives it.
pub(super) struct Program {
    upstream: Arc<StdioUpstream>,
    credential: Credential,
}

impl Program {
    pub(super) async fn send(&self, request: ForwardRequest) -> Result<Answer, ForwardError> {
        self.upstream.send(ForwardRequest { credential: self.credential.clone(), ..request }).await
    }

    pub(super) fn listen(&self, request: ListenRequest) -> Result<Answer, ForwardError> {
        self.upstream.listen(ListenRequest { credential: self.credential.clone(), ..request })
    }
}

impl std::ops::Deref for Program {
    type Target = Arc<StdioUpstream>;

    fn deref(&self) -> &Arc<StdioUpstream> {
        &self.upstream
    }
}

pub(super) fn stdio(settings: StdioSettings) -> Arc<Program> {
    stdio_within(ForwardLimits::default(), settings)
}

pub(super) fn stdio_within(limits: ForwardLimits, settings: StdioSettings) -> Arc<Program> {
    let source = Arc::new(CredentialSource::new(&UpstreamSettings::Stdio(settings.clone())));
    let credential = source.own().now_or_never().unwrap().unwrap();
    let upstream = Arc::new(StdioUpstream::new(limits, UpstreamName::behind(&fixture::name()), settings, source));
    Arc::new(Program { upstream, credential })
}

/// A call through the upstream that these routes mount.
fn through(routes: &Routes) -> ForwardRequest {
    let upstream = Arc::clone(&routes.servers[&fixture::name()].upstream);
    let credential = upstream.source().own().now_or_never().unwrap().unwrap();
    ForwardRequest { upstream, credential, ..call("a", MODERN, "process", json!({})) }
}

fn routes(settings: StdioSettings) -> Routes {
    let name = fixture::name();
    let card = ServerCard {
        name: name.clone(),
        title: "Probe".to_owned(),
        resource: ResourceId::parse("http://localhost:8420/mcp/probe").unwrap(),
        scopes_default: ScopeSet::empty(),
        public: false,
        classes: BTreeMap::new(),
        templates: Vec::new(),
        classify_at_consent: false,
        external: None,
        account: None,
    };
    let upstream = Upstream::behind(&name, UpstreamSettings::Stdio(settings));
    let route = Route { card, upstream, arguments: KeepArguments::None, agent_tasks: false, external: None };
    Routes { servers: BTreeMap::from([(name, Arc::new(route))]) }
}

async fn process(upstreams: &Upstreams, routes: &Routes) -> u32 {
    let answer = upstreams.send(through(routes)).await;
    text_of(answer.unwrap()).parse().unwrap()
}

/// ST-13, ATK-151: a reload that changes nothing keeps the children. One that changes the server stops them in the
/// background, and a shutdown leaves none. A route in force can be used before it was mounted.
#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_stops_what_did() {
    let (sender, in_force) = watch::channel(Arc::default());
    let upstreams = Upstreams::new(ForwardLimits::default(), in_force);
    let refused = upstreams.send(call("a", MODERN, "process", json!({}))).await;
    assert!(matches!(refused, Err(ForwardError::UnknownUpstream { .. })));

    let before = routes(scripted("modern"));
    sender.send_replace(Arc::new(before.clone()));
    let first = process(&upstreams, &before).await;
    let same = routes(scripted("modern"));
    sender.send_replace(Arc::new(same.clone()));
    upstreams.mount();
    assert_eq!(process(&upstreams, &before).await, first);
    assert_eq!(process(&upstreams, &same).await, first);

    let mut changed = scripted("modern");
    changed.children_max = 3;
    let after = routes(changed);
    sender.send_replace(Arc::new(after.clone()));
    let second = process(&upstreams, &after).await;
    assert_ne!(second, first);
    // PX-12: a call that was routed before the change does not show its credential to the new upstream.
    assert_eq!(upstreams.send(through(&same)).await.unwrap_err(), ForwardError::Replaced);

    upstreams.shutdown().await;
    assert!(!is_alive(first) && !is_alive(second));
    let refused = upstreams.send(through(&after)).await;
    assert!(matches!(refused, Err(ForwardError::UnknownUpstream { .. })));
}

/// Two mounts that share an upstream share its children.
#[tokio::test]
async fn mounts_that_share_an_upstream_share_its_children() {
    let mut routes = routes(scripted("modern"));
    let mut other = (*routes.servers[&fixture::name()]).clone();
    other.card.name = "other".parse().unwrap();
    routes.servers.insert(other.card.name.clone(), Arc::new(other));
    let (_sender, in_force) = watch::channel(Arc::new(routes.clone()));
    let upstreams = Upstreams::new(ForwardLimits::default(), in_force);
    let first = process(&upstreams, &routes).await;
    let shared = Arc::clone(&routes.servers["other"].upstream);
    let credential = shared.source().own().await.unwrap();
    let request = ForwardRequest { upstream: shared, credential, ..call("a", MODERN, "process", json!({})) };
    assert_eq!(text_of(upstreams.send(request).await.unwrap()).parse::<u32>().unwrap(), first);
    upstreams.shutdown().await;
}
