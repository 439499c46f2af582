//! Protected resource metadata (RFC 9728): at the path with the server's name, for every server, and at the root if
//! there is exactly one server. Anybody may read it, from any page, without credentials (RS-03 to RS-12).

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::metadata::ProtectedResource;

use crate::route::{Route, RouteError, Routes};
use crate::scope_words::{challenged, spoken};

/// The second path of the metadata, if there is only one server.
pub(crate) const ROOT: &str = "/.well-known/oauth-protected-resource";

/// The URL of a server's metadata (RFC 9728 §3.1).
pub(crate) fn url(base_url: &str, server: &ServerName) -> String {
    format!("{base_url}{ROOT}/mcp/{server}")
}

/// Returns the server whose metadata a path names, read from the bytes of the path.
pub(crate) fn find<'a>(routes: &'a Routes, path: &str) -> Result<&'a Route, RouteError> {
    let rest = path.strip_prefix(ROOT).ok_or(RouteError::ServerUnknown)?;
    let route = if rest.is_empty() {
        let mut all = routes.servers.values();
        all.next().filter(|_| all.next().is_none())
    } else {
        let name: Option<ServerName> = rest.strip_prefix("/mcp/").and_then(|name| name.parse().ok());
        name.and_then(|name| routes.servers.get(&name))
    };
    route.map(AsRef::as_ref).ok_or(RouteError::ServerUnknown)
}

/// Describes a server: identifier and issuer come from configuration, never from the request (RS-05, RS-12, ATK-13). An
/// external authorization server comes first: clients ask the first one.
pub(crate) fn document(route: &Route, base_url: &str) -> ProtectedResource {
    let card = &route.card;
    let external = route.external.as_ref().map(|external| external.issuer().issuer.clone());
    let ours = card.takes_ours().then(|| base_url.to_owned());
    let scopes = spoken(route, &challenged(&card.scopes_default)).unwrap_or_default();
    ProtectedResource {
        resource: card.resource.as_str().to_owned(),
        authorization_servers: external.into_iter().chain(ours).collect(),
        bearer_methods_supported: vec!["header".to_owned()],
        scopes_supported: scopes.iter().cloned().collect(),
        resource_name: Some(card.title.clone()),
        dpop_signing_alg_values_supported: Vec::new(),
        dpop_bound_access_tokens_required: false,
    }
}

/// The document as a response.
pub(crate) fn response(route: &Route, base_url: &str) -> Response {
    // Strings and lists of strings always serialise, so the default is never taken.
    let body = serde_json::to_vec(&document(route, base_url)).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
