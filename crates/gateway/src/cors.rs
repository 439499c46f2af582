//! Which pages may read responses: those of allowed origins, by exact name, and never with the browser's credentials
//! (ATK-51). The metadata is open to every page and has headers of its own.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sekisho_protocol::mcp::headers::PARAM_PREFIX;

/// The request headers that a page may send.
const SENT: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "tracestate",
    "baggage",
];
/// The response headers that a page may read.
const READ: HeaderValue = HeaderValue::from_static("www-authenticate, mcp-session-id, retry-after, x-request-id");

/// Lets the page of an allowed origin read this response.
pub(crate) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// Answers a preflight request. Without an origin there is nothing to allow.
pub(crate) fn preflight(origin: Option<&HeaderValue>, headers: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let Some(origin) = origin else {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
        return response;
    };
    *response.status_mut() = StatusCode::NO_CONTENT;
    let sent = allowed_headers(headers);
    let out = response.headers_mut();
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    // The names were checked, so they are visible ASCII.
    if let Ok(sent) = HeaderValue::try_from(sent) {
        out.insert(ACCESS_CONTROL_ALLOW_HEADERS, sent);
    }
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    allow(&mut response, origin.clone());
    response
}

/// Answers a preflight request for the metadata, which any page may read. Clients in browsers send a version header
/// with it.
pub(crate) async fn preflight_for_everybody() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let out = response.headers_mut();
    out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    out.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, content-type, mcp-protocol-version"));
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Returns the fixed headers, and the requested ones that mirror arguments, because tools choose those names.
fn allowed_headers(headers: &HeaderMap) -> String {
    const MIRRORED_MAX: usize = 64;
    let asked = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let mirrored = asked
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| name.starts_with(PARAM_PREFIX) && http::HeaderName::try_from(name.as_str()).is_ok())
        .take(MIRRORED_MAX);
    SENT.iter().map(|name| (*name).to_owned()).chain(mirrored).collect::<Vec<_>>().join(", ")
}
