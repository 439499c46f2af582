//! What happens to every request before any surface sees it: an id, one spelling of its path, a known host.
//!
//! A plain service and not a stack of layers: this stands in front of every call, and each layer would cost it a
//! box. A panic of one request is that request's 500, and nobody else's.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use sekisho_gateway::Gateway;
use sekisho_protocol::caller::PeerAddress;
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::RequestId;
use tower::{Service, ServiceExt as _};

/// What the entrance needs to know, and what lies behind it.
pub(crate) struct Entrance {
    /// For request ids.
    pub(crate) clock: Arc<dyn Clock>,
    /// For request ids.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Values of `Host` under which we are reached, in lower case.
    pub(crate) hosts: Vec<String>,
    /// Everything at `/mcp/{name}`.
    pub(crate) gateway: Arc<Gateway>,
    /// Everything else.
    pub(crate) pages: Router,
}

/// The peer of a connection, put into every request by the accept loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The one way in.
#[derive(Clone, Debug)]
pub(crate) struct Front(Arc<Entrance>);

impl Front {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self(Arc::new(entrance))
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Entrance").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let entrance = Arc::clone(&self.0);
        Box::pin(async move { Ok(entrance.answer(request).await) })
    }
}

impl Entrance {
    /// Admits a request: names it, refuses ambiguous paths (ATK-63) and unknown hosts (TR-03, ATK-13, ATK-78).
    async fn answer(&self, mut request: Request<Incoming>) -> Response {
        let id = RequestId::generate(self.clock.now(), self.entropy.as_ref());
        if let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() {
            request.extensions_mut().insert(PeerAddress(peer.ip()));
        }
        request.extensions_mut().insert(id);
        let refusal = if !is_canonical(request.uri()) {
            Some((StatusCode::BAD_REQUEST, "this spelling of the path is not accepted"))
        } else if !is_known_host(&self.hosts, request.uri(), request.headers()) {
            Some((
                StatusCode::MISDIRECTED_REQUEST,
                "this host is not served here; the operator can change it with `sekisho base-url set`",
            ))
        } else {
            None
        };
        let mut response = match refusal {
            Some((status, text)) => said(status, text, id),
            None => AssertUnwindSafe(self.surface(request)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(request = %id, "a request made us panic");
                said(StatusCode::INTERNAL_SERVER_ERROR, "this should not have happened; the log knows more", id)
            }),
        };
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert("x-request-id", value);
        }
        response
    }

    async fn surface(&self, request: Request<Incoming>) -> Response {
        let request = request.map(Body::new);
        if request.uri().path().starts_with("/mcp/") {
            return self.gateway.serve(request).await;
        }
        // Boxed: a call need not have the room that a page needs.
        match Box::pin(self.pages.clone().oneshot(request)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn said(status: StatusCode, text: &str, id: RequestId) -> Response {
    (status, format!("{text}\nrequest {id}\n")).into_response()
}

/// One spelling per path: no empty or dot segments, no parameters, no encoded separators, no backslash.
fn is_canonical(uri: &Uri) -> bool {
    let path = uri.path();
    let lower = path.to_ascii_lowercase();
    let segments = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.is_empty() || rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    let hidden = ["%2e", "%2f", "%5c", "%00", "%25", ";", "\\"].iter().any(|bad| lower.contains(bad));
    segments && !hidden
}

fn is_known_host(hosts: &[String], uri: &Uri, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::HOST).iter();
    // HTTP/2 carries the host in the URI (RFC 9113 §8.3.1); both, if present, must be known.
    let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let known = |host: &str| hosts.iter().any(|own| own == host);
    match (given.next(), given.next()) {
        (Some(host), None) => {
            let host = host.to_str().map(str::to_ascii_lowercase).unwrap_or_default();
            known(&host) && authority.is_none_or(|authority| known(&authority))
        }
        (None, None) => authority.is_some_and(|authority| known(&authority)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header};

    use super::{is_canonical, is_known_host};

    /// ATK-63: every other spelling of a path is refused before routing.
    #[test]
    fn a_path_has_one_spelling() {
        for good in ["/", "/mcp/notes", "/.well-known/oauth-protected-resource/mcp/notes", "/oauth/token?x=%2F"] {
            assert!(is_canonical(&good.parse::<Uri>().unwrap()), "{good}");
        }
        for bad in [
            "//mcp/notes",
            "/mcp//notes",
            "/mcp/notes/",
            "/mcp/./notes",
            "/mcp/../mcp/notes",
            "/mcp/notes;x",
            "/mcp%2fnotes",
            "/mcp/%2e%2e/x",
            "/mcp/%2E/x",
            "/mcp%5cnotes",
            "/mcp/%00",
            "/%256dcp",
        ] {
            assert!(!is_canonical(&bad.parse::<Uri>().unwrap()), "{bad}");
        }
    }

    /// TR-03, ATK-78: a name that was rebound to our address is not our name.
    #[test]
    fn only_known_hosts_are_served() {
        let hosts = ["localhost:8420".to_owned(), "127.0.0.1:8420".to_owned()];
        let uri: Uri = "/".parse().unwrap();
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::HOST, HeaderValue::from_str(value).unwrap());
            }
            is_known_host(&hosts, &uri, &headers)
        };
        assert!(check(&["localhost:8420"]));
        assert!(check(&["LOCALHOST:8420"]));
        for bad in [
            &[][..],
            &[""],
            &["attacker.example"],
            &["localhost"],
            &["localhost:8421"],
            &["localhost.evil.test:8420"],
            &["0.0.0.0:8420"],
            &["localhost:8420", "localhost:8420"],
        ] {
            assert!(!check(bad), "{bad:?}");
        }
        let foreign: Uri = "http://evil.test/".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8420"));
        assert!(!is_known_host(&hosts, &foreign, &headers));
    }
}
