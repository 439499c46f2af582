//! Which server a request is for, and whether it was sent to one of our names.
//!
//! Host and origin are checked before anything else of a request, even its token and its body (TR-02).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};
use sekisho_policy::model::ToolState;
use sekisho_protocol::caller::Recognition;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{RequestId, ServerName};
use sekisho_protocol::server::ServerCard;
use tokio::time::Instant;

use crate::credential::{Credential, CredentialSource};
use crate::external::ExternalTokens;
use crate::limits::{GatewaySettings, Limits};
use crate::upstream::{UpstreamName, UpstreamSettings};

/// All mounted servers. A change of configuration makes a new value; an existing one is never changed.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// The servers, by the last segment of their URL.
    pub servers: BTreeMap<ServerName, Arc<Route>>,
}

/// What stands behind mounts: an upstream with its key, its settings, and its credential.
#[derive(Debug)]
pub struct Upstream {
    name: UpstreamName,
    settings: UpstreamSettings,
    source: Arc<CredentialSource>,
}

impl Upstream {
    /// Creates an upstream of this key.
    pub fn new(name: UpstreamName, settings: UpstreamSettings) -> Arc<Self> {
        let source = Arc::new(CredentialSource::new(&settings));
        Arc::new(Self { name, settings, source })
    }

    /// Creates an upstream that stands behind this mount alone.
    pub fn behind(server: &ServerName, settings: UpstreamSettings) -> Arc<Self> {
        Self::new(UpstreamName::behind(server), settings)
    }

    /// The upstream's key.
    pub fn name(&self) -> &UpstreamName {
        &self.name
    }

    /// The upstream's settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Where the credential comes from that the upstream is shown.
    pub(crate) fn source(&self) -> &Arc<CredentialSource> {
        &self.source
    }
}

/// One mounted server: what a client addresses. Its key is the name in its card. Sessions, jobs, rights, grants,
/// records and the catalogue are kept by that key.
#[derive(Debug, Clone)]
pub struct Route {
    /// The part of it that the issuer sees, too.
    pub card: ServerCard,
    /// The upstream behind it. Mounts that share an upstream hold the same one.
    pub upstream: Arc<Upstream>,
    /// What the records keep of arguments.
    pub arguments: KeepArguments,
    /// Whether agents get the two tools with which they bind themselves to a task.
    pub agent_tasks: bool,
    /// What it accepts of an external authorization server, if its card names one.
    pub external: Option<Arc<ExternalTokens>>,
}

impl Route {
    /// Returns the mount's key and its upstream's key, for questions to the upstream whose answers are kept for the
    /// mount. `asking`: what the upstream is shown with them, if it is somebody's account.
    pub(crate) fn mount<'a>(&'a self, asking: Option<&'a Credential>) -> Mount<'a> {
        Mount { server: &self.card.name, upstream: self.upstream.name(), asking }
    }

    /// How a tool stands that the catalogue knows as `known`. A class does not make a tool exist, nor accept it.
    pub(crate) fn standing(&self, name: &str, known: ToolState) -> ToolState {
        match (known, self.card.classes.get(name)) {
            (ToolState::Classified(_) | ToolState::Unclassified, Some(class)) => ToolState::Classified(*class),
            (known, _) => known,
        }
    }
}

/// The key of a mount, and the key of the upstream behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mount<'a> {
    pub(crate) server: &'a ServerName,
    pub(crate) upstream: &'a UpstreamName,
    /// What the upstream is shown with our questions, if it is somebody's account.
    pub(crate) asking: Option<&'a Credential>,
}

/// What the records keep of a call's arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepArguments {
    /// The SHA-256 of their canonical form, for everything but reads.
    #[default]
    Digest,
    /// Nothing.
    None,
    /// Their digest, and the arguments themselves, sealed, for a limited time.
    Sealed {
        /// The number of seconds for which they are kept.
        seconds: u32,
    },
}

/// What the listener knows of a request. None of it is read from a header.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The id under which the records know the request.
    pub request: RequestId,
    /// The address that it came from.
    pub source: Option<IpAddr>,
    /// Tells the listener that the caller is known.
    pub recognition: Recognition,
}

/// A request that found its server.
#[derive(Debug, Clone)]
pub(crate) struct Routed {
    /// The server.
    pub(crate) route: Arc<Route>,
    /// The id under which the records know the request.
    pub(crate) request: RequestId,
    /// The time of the request; every step uses this one.
    pub(crate) now: Timestamp,
    /// For measuring durations; not a time of day.
    pub(crate) started: Instant,
    /// The address that it came from, as the listener saw it.
    pub(crate) source: Option<IpAddr>,
}

impl Routed {
    pub(crate) fn card(&self) -> &ServerCard {
        &self.route.card
    }

    pub(crate) fn server(&self) -> &ServerName {
        &self.route.card.name
    }

    /// How long one call to this server may take without progress.
    pub(crate) fn call_time(&self, limits: &Limits) -> Duration {
        self.route.upstream.settings().call_timeout().unwrap_or(limits.request_deadline)
    }
}

/// Why no server is found for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("exactly one well-formed `Host` is needed")]
    HostMalformed,
    #[error("this host name is not served here; add it to the allowed hosts, or use the configured base URL")]
    HostUnknown,
    #[error("this origin may not call here; add it to the allowed origins")]
    OriginForbidden,
    #[error("there is no such server")]
    ServerUnknown,
}

/// Checks that the request was sent to one of our names (TR-03, ATK-13, ATK-78).
pub(crate) fn check_host(settings: &GatewaySettings, uri: &Uri, headers: &HeaderMap) -> Result<(), RouteError> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| RouteError::HostMalformed)?),
        (Some(_), Some(_)) => return Err(RouteError::HostMalformed),
    };
    // HTTP/2 has `:authority`, and HTTP/1.1 may have a host in the target. If there are two names, they must be equal
    // (RFC 9112 §3.2.2).
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let host = match (authority, header) {
        (None, None) => return Err(RouteError::HostMalformed),
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(RouteError::HostMalformed);
        }
        (Some(host), _) | (None, Some(host)) => host,
    };
    let known = settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if known { Ok(()) } else { Err(RouteError::HostUnknown) }
}

/// Whether a request was sent to a name of ours that clients are not told: `127.0.0.1` if the base URL says
/// `localhost`. It was checked before that the name is ours.
pub(crate) fn is_other_name(settings: &GatewaySettings, uri: &Uri, headers: &HeaderMap) -> bool {
    let own = settings.base_url.split_once("://").map_or("", |(_, authority)| authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(http::uri::Authority::as_str).or(host);
    host.is_some_and(|host| !host.eq_ignore_ascii_case(own))
}

/// Returns the origin, if there is one. It must be allowed (TR-01, TR-02, ATK-51).
pub(crate) fn check_origin<'a>(
    settings: &GatewaySettings,
    headers: &'a HeaderMap,
) -> Result<Option<&'a HeaderValue>, RouteError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(None),
        (Some(origin), None)
            if settings.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) =>
        {
            Ok(Some(origin))
        }
        (Some(_), _) => Err(RouteError::OriginForbidden),
    }
}

/// Returns the server that `/mcp/{name}` names, read from the bytes of the path: no other spelling is accepted
/// (ATK-63).
pub(crate) fn find(routes: &Routes, path: &str) -> Result<Arc<Route>, RouteError> {
    let route = path.strip_prefix("/mcp/").and_then(|name| routes.servers.get(name));
    route.cloned().ok_or(RouteError::ServerUnknown)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Uri};

    use super::{RouteError, Routes, check_host, check_origin, find};
    use crate::limits::{GatewaySettings, Limits};

    fn settings() -> GatewaySettings {
        GatewaySettings {
            tool_error_clients: Vec::new(),
            record_reads_first: false,
            base_url: "http://localhost:8420".to_owned(),
            allowed_hosts: vec!["localhost:8420".to_owned(), "[::1]:8420".to_owned()],
            allowed_origins: vec!["http://localhost:8420".to_owned()],
            limits: Limits::default(),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// TR-03, ATK-13, ATK-78: only requests to our own names are answered, and none that gives two names.
    #[test]
    fn only_our_own_host_names_are_answered() {
        use RouteError::{HostMalformed, HostUnknown};
        for (target, host, expected) in [
            ("/mcp/a", Some("localhost:8420"), Ok(())),
            ("/mcp/a", Some("LOCALHOST:8420"), Ok(())),
            ("/mcp/a", Some("[::1]:8420"), Ok(())),
            ("http://localhost:8420/mcp/a", Some("localhost:8420"), Ok(())),
            ("http://localhost:8420/mcp/a", None, Ok(())),
            ("/mcp/a", None, Err(HostMalformed)),
            ("http://localhost:8420/mcp/a", Some("evil.example"), Err(HostMalformed)),
            ("http://evil.example/mcp/a", Some("evil.example"), Err(HostUnknown)),
            ("/mcp/a", Some("localhost"), Err(HostUnknown)),
            ("/mcp/a", Some("localhost:8421"), Err(HostUnknown)),
            ("/mcp/a", Some("localhost.evil.test:8420"), Err(HostUnknown)),
            ("/mcp/a", Some("0.0.0.0:8420"), Err(HostUnknown)),
            ("/mcp/a", Some("localhost:8420@evil.example"), Err(HostUnknown)),
            ("/mcp/a", Some(""), Err(HostUnknown)),
        ] {
            let map: HeaderMap = host.map(|host| headers(&[("host", host)])).unwrap_or_default();
            let target: Uri = target.parse().unwrap();
            assert_eq!(check_host(&settings(), &target, &map), expected, "{target} {host:?}");
        }
        let mut twice = headers(&[("host", "localhost:8420")]);
        twice.append("host", HeaderValue::from_static("localhost:8420"));
        assert_eq!(check_host(&settings(), &"/".parse().unwrap(), &twice), Err(HostMalformed));
    }

    /// TR-01, TR-02, ATK-51, ATK-78: an origin is absent, or on the list byte by byte; `null` is never accepted.
    #[test]
    fn an_origin_is_on_the_list_or_refused() {
        for (origin, allowed) in [
            ("http://localhost:8420", true),
            ("null", false),
            ("", false),
            ("http://localhost:8421", false),
            ("https://localhost:8420", false),
            ("http://localhost:8420/", false),
            ("http://localhost:8420.evil.test", false),
            ("http://LOCALHOST:8420", false),
            ("http://evil.example", false),
        ] {
            assert_eq!(check_origin(&settings(), &headers(&[("origin", origin)])).is_ok(), allowed, "{origin}");
        }
        assert_eq!(check_origin(&settings(), &HeaderMap::new()), Ok(None));
        let mut twice = headers(&[("origin", "http://localhost:8420")]);
        twice.append("origin", HeaderValue::from_static("http://localhost:8420"));
        assert!(check_origin(&settings(), &twice).is_err());
        // ATK-61: an empty list allows nobody, not everybody.
        let empty = GatewaySettings { allowed_origins: vec![], allowed_hosts: vec![], ..settings() };
        assert!(check_origin(&empty, &headers(&[("origin", "http://localhost:8420")])).is_err());
        assert!(check_host(&empty, &"/".parse().unwrap(), &headers(&[("host", "localhost:8420")])).is_err());
    }

    /// ATK-63: a path has one spelling.
    #[test]
    fn only_the_plain_spelling_of_a_path_finds_a_server() {
        for path in [
            "/mcp/",
            "/mcp",
            "/mcp/a/",
            "/mcp/%61",
            "/mcp/a;x",
            "/MCP/a",
            "//mcp/a",
            "/mcp//a",
            "/mcp/./a",
            "/mcp/a%2f",
            "/mcp/A",
        ] {
            assert_eq!(find(&Routes::default(), path).unwrap_err(), RouteError::ServerUnknown, "{path}");
        }
    }
}
