//! Sessions that outlive a restart: what is stored in the identifier that a client has (decision 72).
//!
//! What is needed to continue a session is sealed into its identifier, for its subject, client, grant, server and the
//! URL of its upstream, and for no other. It is only opened for a session that another process began: within one
//! process, a session that ended stays ended. The sessions of a program end with the program, and those of anonymous
//! callers belong to nobody, so neither is kept.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::secret::McpSessionToken;
use serde::{Deserialize, Serialize};

use super::identifier::{BETWEEN, parts};
use super::{FarSession, NewSession, Session};
use crate::Gateway;
use crate::forward::UpstreamSession;
use crate::revision::NearRevision;
use crate::route::Routed;
use crate::upstream::UpstreamSettings;

/// Characters of what is sealed: an upstream's identifier has a kibibyte at most.
const SEALED_CHARS_MAX: usize = 2560;
/// How long after its beginning a session can be continued in another process, in milliseconds. Clients that live
/// longer begin a new session, as the protocol requires.
const KEPT_MILLIS_MAX: i64 = 24 * 60 * 60 * 1000;

/// The content of the sealed part.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// When the session began, in milliseconds since 1970.
    began: i64,
    /// The process that began it.
    process: Digest,
    revision: String,
    /// The upstream's own identifier, if it has sessions.
    upstream: Option<String>,
    elicits_urls: bool,
    has_tools: bool,
}

/// For what it is sealed. `None`: the session of an anonymous caller, or one that ends with its program.
fn about(gateway: &Gateway, caller: &Caller, server: &ServerName, token: &str) -> Option<[String; 7]> {
    let url = match gateway.routes.borrow().servers.get(server)?.upstream.settings() {
        UpstreamSettings::Http(settings) => Digest::of(settings.url.as_bytes()).to_string(),
        UpstreamSettings::BuiltIn(_) | UpstreamSettings::Stdio(_) => return None,
    };
    let granted = match &caller.basis {
        Basis::Grant(granted) => granted,
        Basis::Open => return None,
    };
    let (client, grant) = (granted.client.as_str().to_owned(), granted.grant.to_string());
    let word = "mcp session".to_owned();
    Some([word, granted.subject.to_string(), client, grant, server.to_string(), url, token.to_owned()])
}

/// Returns the identifier for a client, with what is needed to continue the session in another process, if that is
/// possible.
pub(crate) fn name(gateway: &Gateway, token: &McpSessionToken, new: &NewSession<'_>, now: Timestamp) -> String {
    let bare = token.expose().to_owned();
    let upstream = match new.far.as_ref().map(|far| &far.session) {
        None => None,
        Some(UpstreamSession::Http(id)) => Some(id.clone()),
        Some(UpstreamSession::Stdio(_)) => return bare,
    };
    let Some(about) = about(gateway, new.caller, new.server, &bare) else { return bare };
    let kept = Kept {
        began: now.as_millisecond(),
        process: gateway.sessions.process(gateway.entropy.as_ref()),
        revision: new.near.0.as_str().to_owned(),
        upstream,
        elicits_urls: new.elicits_urls,
        has_tools: new.has_tools,
    };
    let sealed = serde_json::to_vec(&kept)
        .ok()
        .and_then(|plain| gateway.store.seal_state(&about.each_ref().map(String::as_str), &plain).ok())
        .map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
        .filter(|sealed| sealed.len() <= SEALED_CHARS_MAX);
    sealed.map_or(bare, |sealed| format!("{}{BETWEEN}{sealed}", token.expose()))
}

/// Continues a session that another process began, if it is this caller's at this server.
pub(crate) fn revive(gateway: &Gateway, routed: &Routed, caller: &Caller, id: &str) -> Option<Arc<Session>> {
    let (token, sealed) = parts(id);
    let sealed = sealed.filter(|sealed| sealed.len() <= SEALED_CHARS_MAX)?;
    McpSessionToken::parse(token).ok()?;
    let about = about(gateway, caller, routed.server(), token)?;
    let opened = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let opened = gateway.store.open_state(&about.each_ref().map(String::as_str), &opened).ok()?;
    let kept: Kept = serde_json::from_slice(opened.expose()).ok()?;
    let age = routed.now.as_millisecond().checked_sub(kept.began)?;
    // The age is measured with the clock of the other process. If that was ahead, its sessions end sooner, and none
    // lasts longer.
    if kept.process == gateway.sessions.process(gateway.entropy.as_ref()) || !(0..=KEPT_MILLIS_MAX).contains(&age) {
        return None;
    }
    let revision = Revision::of_upstream(&kept.revision).filter(|revision| revision.era() == Era::Initialize)?;
    gateway.sessions.revive(
        id,
        NewSession {
            caller,
            source: routed.source,
            server: routed.server(),
            near: NearRevision(revision),
            far: kept.upstream.map(|id| FarSession {
                upstream: routed.route.upstream.name().clone(),
                session: UpstreamSession::Http(id),
            }),
            elicits_urls: kept.elicits_urls,
            has_tools: kept.has_tools,
        },
    )
}
