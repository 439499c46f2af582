//! What happens to every request before any surface sees it: an id, one spelling of its path, a known host.
//!
//! One function and not a stack of layers: this stands in front of every call, and each layer would cost it a box. A
//! panic in one request answers that request with 500 and affects no other.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use sekisho_gateway::{Arrival, Gateway};
use sekisho_protocol::caller::PeerAddress;
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::ids::{RequestId, ServerName};
use tower::ServiceExt as _;

use crate::listen::Surface;
use crate::listen::guest::{self, Guest, Inbound, Trouble};
use crate::listen::table::Line;
use crate::proxies::Proxies;

/// Under which id the records know a request; on every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything below is a call of a server.
const CALLS: &str = "/mcp/";
/// Paths that monitors ask for. They are answered also when everything else is refused.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];
/// The text of the refusal when requests hold too much memory already.
const NO_ROOM: &str = "too much is being sent or waits to be read; try again in a moment";
/// The text of the refusal for a client that sends too slowly.
const SLOW: &str = "the body of the request did not arrive in time";

/// What the entrance needs to know, and what lies behind it.
pub(crate) struct Entrance {
    /// For request ids.
    pub(crate) clock: Arc<dyn Clock>,
    /// For request ids.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Values of `Host` under which we are reached.
    pub(crate) hosts: Vec<String>,
    /// The proxies that are trusted to say where a request comes from.
    pub(crate) proxies: Proxies,
    /// Everything at `/mcp/{name}`.
    pub(crate) gateway: Arc<Gateway>,
    /// All other paths: pages and endpoints of the issuer, metadata, health.
    pub(crate) pages: Router,
}

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

impl Surface for Front {
    async fn answer(&self, request: Request<Incoming>, line: &Arc<Line>) -> Response {
        self.0.answer(request, line).await
    }

    fn stop(&self) {
        self.0.gateway.stop();
    }
}

impl Entrance {
    /// Admits a request: names it, refuses ambiguous paths (ATK-63) and unknown hosts (TR-03, ATK-13, ATK-78), and what
    /// there is no room for (ATK-186, ATK-188).
    async fn answer(&self, mut request: Request<Incoming>, line: &Arc<Line>) -> Response {
        if let Some(uri) = without_last_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        let id = RequestId::generate(self.clock.now(), self.entropy.as_ref());
        let (version, path) = (request.version(), request.uri().path());
        let (is_call, is_health) = (path.starts_with(CALLS), HEALTH.contains(&path));
        let guest = Guest::of(line, &request);
        let reads_on = version < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
        let refusal = if !is_canonical(request.uri()) {
            Some((StatusCode::BAD_REQUEST, "this spelling of the path is not accepted"))
        } else if !is_known_host(&self.hosts, request.uri(), request.headers()) {
            Some((
                StatusCode::MISDIRECTED_REQUEST,
                "this host is not served here; the operator can change it with `sekisho base-url set`",
            ))
        } else if is_call && line.is_reserve {
            Some((StatusCode::SERVICE_UNAVAILABLE, "all connections are taken; try again in a moment"))
        } else if guest.trouble().is_some() && !is_health {
            Some((StatusCode::SERVICE_UNAVAILABLE, NO_ROOM))
        } else {
            None
        };
        let unread_of = guest.clone();
        let mut response = match refusal {
            Some((status, text)) => {
                guest.leave(request.into_body());
                said(status, text, id)
            }
            None => {
                let source = self.proxies.source(line.peer.ip(), request.headers());
                let arrival = Arrival { request: id, source: Some(source), recognition: line.recognition.clone() };
                let request = request.map(|body| Body::new(Inbound::new(body, guest.clone(), is_call)));
                // It is pinned in place from the start, because it is large, and each combinator around it would move
                // it once.
                let mut answering = pin!(self.surface(request, arrival));
                let answered = caught(answering.as_mut()).await;
                let response = match (answered, guest.trouble()) {
                    // The surface's own answer does not count: the body was not read to its end.
                    (Ok(_), Some(Trouble::Slow)) => said(StatusCode::REQUEST_TIMEOUT, SLOW, id),
                    (Ok(_), Some(Trouble::NoRoom)) if !is_health => said(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM, id),
                    (Ok(response), _) => response,
                    (Err(Panicked), _) => {
                        tracing::error!(request = %id, "a request made us panic");
                        said(StatusCode::INTERNAL_SERVER_ERROR, "this should not have happened; the log knows more", id)
                    }
                };
                guest::outbound(response, guest, version, is_call)
                    .unwrap_or_else(|| said(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM, id))
            }
        };
        let unread = unread_of.take_unread();
        if let Some(unread) = unread.filter(|_| reads_on) {
            guest::read_on(unread).await;
        }
        if let Ok(value) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }

    async fn surface(&self, mut request: Request<Body>, arrival: Arrival) -> Response {
        if request.uri().path().starts_with(CALLS) {
            return self.gateway.serve(request, arrival).await;
        }
        request.extensions_mut().insert(arrival.request);
        request.extensions_mut().insert(arrival.recognition);
        if let Some(source) = arrival.source {
            request.extensions_mut().insert(PeerAddress(source));
        }
        // Boxed: a call need not have the room that a page needs.
        match Box::pin(self.pages.clone().oneshot(request)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// It panicked, and must not be polled again.
#[derive(Debug, PartialEq, Eq)]
struct Panicked;

/// Returns the output of a future, or `None` if it panics.
async fn caught<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Result<T, Panicked> {
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        catch_unwind(poll).map_or(Poll::Ready(Err(Panicked)), |poll| poll.map(Ok))
    })
    .await
}

fn said(status: StatusCode, text: &str, id: RequestId) -> Response {
    let mut response = (status, format!("{text}\nrequest {id}\n")).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same without a slash at the end, of a server and of its metadata. Clients that were given `/mcp/NAME/` are told of
/// the one identifier, and everything behind this sees the one spelling.
fn without_last_slash(uri: &Uri) -> Option<Uri> {
    const METADATA: &str = "/.well-known/oauth-protected-resource";
    let path = uri.path().strip_suffix('/')?;
    let name = path.strip_prefix(METADATA).unwrap_or(path).strip_prefix(CALLS)?;
    name.parse::<ServerName>().ok()?;
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// One spelling per path: no empty or dot segments, no parameters, no encoded separators, no backslash.
fn is_canonical(uri: &Uri) -> bool {
    let path = uri.path();
    let segments = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.is_empty() || rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    segments && (path.bytes().all(|byte| !matches!(byte, b'%' | b';' | b'\\')) || !hides(path))
}

/// Whether something in a path may mean more than it shows.
fn hides(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ["%2e", "%2f", "%5c", "%00", "%25", ";", "\\"].iter().any(|bad| lower.contains(bad))
}

fn is_known_host(hosts: &[String], uri: &Uri, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::HOST).iter();
    // HTTP/2 carries the host in the URI (RFC 9113 §8.3.1); both, if present, must be known.
    let authority = uri.authority().map(axum::http::uri::Authority::as_str);
    let known = |host: &str| hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
    match (given.next(), given.next()) {
        (Some(host), None) => {
            let host = host.to_str().unwrap_or_default();
            known(host) && authority.is_none_or(known)
        }
        (None, None) => authority.is_some_and(known),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header};

    use std::pin::pin;

    use super::{Panicked, caught, is_canonical, is_known_host, without_last_slash};

    /// A panic of one request ends only that request, whether it panics at once or after it has waited.
    #[tokio::test]
    async fn a_panic_ends_its_request_and_nothing_else() {
        let panics = async |waits: bool| -> u8 {
            if waits {
                tokio::task::yield_now().await;
            }
            panic!("as a bug would")
        };
        assert_eq!(caught(pin!(panics(false))).await, Err(Panicked));
        assert_eq!(caught(pin!(panics(true))).await, Err(Panicked));
        assert_eq!(
            caught(pin!(async {
                tokio::task::yield_now().await;
                7
            }))
            .await,
            Ok(7)
        );
    }

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

    /// ATK-63: a slash at the end of a server's path, and of its metadata's, is taken away; nothing else is respelled.
    #[test]
    fn one_slash_at_the_end_of_a_server_is_taken_away() {
        const METADATA: &str = "/.well-known/oauth-protected-resource/mcp/notes";
        let of = |uri: &str| without_last_slash(&uri.parse::<Uri>().unwrap()).map(|uri| uri.to_string());
        for (uri, expected) in [
            ("/mcp/notes/", "/mcp/notes"),
            ("/mcp/notes/?a=/&b", "/mcp/notes?a=/&b"),
            (&format!("{METADATA}/"), METADATA),
            ("http://localhost:8420/mcp/notes/", "http://localhost:8420/mcp/notes"),
        ] {
            assert_eq!(of(uri).as_deref(), Some(expected), "{uri}");
            assert!(is_canonical(&expected.parse::<Uri>().unwrap()));
        }
        for uri in [
            "/mcp/notes",
            "/mcp/",
            "/mcp/notes//",
            "/mcp/notes/x/",
            "/mcp/../notes/",
            "/mcp/%6eotes/",
            "/mcp/NOTES/",
            "//mcp/notes/",
            "/MCP/notes/",
            "/oauth/token/",
            "/",
            "/.well-known/oauth-protected-resource/",
            "/.well-known/oauth-authorization-server/",
            "/x/.well-known/oauth-protected-resource/mcp/notes/",
        ] {
            assert_eq!(of(uri), None, "{uri}");
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
