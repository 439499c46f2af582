//! The registry: what a reload keeps and what it stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::server::ServerCard;
use serde_json::json;
use tokio::sync::watch;

use super::fixture::program::{is_alive, scripted};
use super::fixture::{self, MODERN, call, text_of};
use super::stdio::StdioUpstream;
use super::{ForwardError, ForwardLimits, StdioSettings, UpstreamSettings, Upstreams};
use crate::route::{KeepArguments, Route, Routes};

pub(super) fn stdio(settings: StdioSettings) -> Arc<StdioUpstream> {
    Arc::new(StdioUpstream::new(ForwardLimits::default(), fixture::name(), settings))
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
    };
    let upstream = UpstreamSettings::Stdio(settings);
    let route = Route { card, upstream, arguments: KeepArguments::None, agent_tasks: false };
    Routes { servers: BTreeMap::from([(name, Arc::new(route))]) }
}

async fn process(upstreams: &Upstreams) -> u32 {
    let answer = upstreams.send(call("a", MODERN, "process", json!({}))).await;
    text_of(answer.unwrap()).parse().unwrap()
}

/// ST-13, ATK-151: a reload that changes nothing keeps the children; one that changes the server stops them in the
/// background, and shutting down leaves none. A route that is in force is reached also before it was taken over.
#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_stops_what_did() {
    let (sender, in_force) = watch::channel(Arc::default());
    let upstreams = Upstreams::new(ForwardLimits::default(), in_force);
    let refused = upstreams.send(call("a", MODERN, "process", json!({}))).await;
    assert!(matches!(refused, Err(ForwardError::UnknownServer { .. })));

    sender.send_replace(Arc::new(routes(scripted("modern"))));
    let first = process(&upstreams).await;
    sender.send_replace(Arc::new(routes(scripted("modern"))));
    upstreams.mount();
    assert_eq!(process(&upstreams).await, first);

    let mut changed = scripted("modern");
    changed.children_max = 3;
    sender.send_replace(Arc::new(routes(changed)));
    upstreams.mount();
    let second = process(&upstreams).await;
    assert_ne!(second, first);

    upstreams.shutdown().await;
    assert!(!is_alive(first) && !is_alive(second));
    let refused = upstreams.send(call("a", MODERN, "process", json!({}))).await;
    assert!(matches!(refused, Err(ForwardError::UnknownServer { .. })));
}
