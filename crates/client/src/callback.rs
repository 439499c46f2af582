//! Waiting on loopback for the browser to come back (RFC 8252 §7.3).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY};
use ::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sekisho_protocol::redirect::{RedirectUri, RedirectUriError};
use sekisho_protocol::secret::AuthorizationCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::authorization::{AuthorizationRequest, FinishError, finish};

/// A listener on a free loopback port, for one answer.
#[derive(Debug)]
pub struct CallbackListener {
    listener: TcpListener,
    authority: String,
    redirect_uri: RedirectUri,
}

/// Why no code arrived.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// Nobody came in time.
    #[error("nobody logged in within {seconds} seconds: begin again")]
    Deadline {
        /// How long was waited.
        seconds: u64,
    },
    /// The answer is a refusal, or not to be trusted.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// The listener failed.
    #[error("no port on loopback could be listened on")]
    Listen(#[source] io::Error),
    /// The port makes no redirect URI; cannot be.
    #[error("the loopback address makes no redirect URI")]
    RedirectUri(#[source] RedirectUriError),
}

/// How many connections are open at once. Of more, the oldest that has said nothing gives way.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to send its request, once it has begun.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection lives in all: a browser that is slow to take one small page is none.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// The wait after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection brought, if it was an answer to this request.
type Brought = Option<Result<AuthorizationCode, FinishError>>;

/// The connections that have said nothing yet, oldest first.
#[derive(Debug, Default)]
struct Silent(VecDeque<(Arc<AtomicBool>, watch::Sender<bool>)>);

/// One connection's place.
struct Turn {
    /// Whether a request came on it.
    asked: Arc<AtomicBool>,
    /// Changes, or closes, when it has to give way.
    over: watch::Receiver<bool>,
}

impl Silent {
    fn enter(&mut self) -> Turn {
        let asked = Arc::new(AtomicBool::new(false));
        let (sender, over) = watch::channel(false);
        self.forget();
        self.0.push_back((Arc::clone(&asked), sender));
        Turn { asked, over }
    }

    /// Ends the oldest that is silent. Whether there was one.
    fn give_way(&mut self) -> bool {
        self.forget();
        self.0.pop_front().is_some()
    }

    /// Those that have spoken, or ended by themselves: of the latter nobody listens any more.
    fn forget(&mut self) {
        self.0.retain(|(asked, sender)| !asked.load(Ordering::Relaxed) && !sender.is_closed());
    }
}

impl CallbackListener {
    /// Listens on `127.0.0.1`, on a port that was free. The literal, not `localhost`: nothing else can answer for it.
    /// `before`: where an answer was awaited another time; that port is taken if it is free, because there are
    /// issuers that know only the port that was registered (RFC 8252 §7.3 has it otherwise).
    pub async fn bind(before: Option<&RedirectUri>) -> Result<Self, CallbackError> {
        let listen = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listener = match before.and_then(port) {
            Some(port) => match listen(port).await {
                Ok(listener) => Ok(listener),
                Err(_) => listen(0).await,
            },
            None => listen(0).await,
        };
        let listener = listener.map_err(CallbackError::Listen)?;
        let authority = listener.local_addr().map_err(CallbackError::Listen)?.to_string();
        let redirect_uri =
            RedirectUri::parse(&format!("http://{authority}/callback")).map_err(CallbackError::RedirectUri)?;
        Ok(Self { listener, authority, redirect_uri })
    }

    /// Where the browser shall be sent back to.
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// Waits until the answer to `request` arrives, tells the person in the browser what happened, and stops
    /// listening. What is not an answer to this request is turned away and changes nothing (CL-30).
    pub async fn wait(
        self,
        request: &AuthorizationRequest,
        patience: Duration,
    ) -> Result<AuthorizationCode, CallbackError> {
        let answer = tokio::time::timeout(patience, self.serve(request)).await;
        answer.map_err(|_| CallbackError::Deadline { seconds: patience.as_secs() })?
    }

    async fn serve(&self, request: &AuthorizationRequest) -> Result<AuthorizationCode, CallbackError> {
        let mut connections = FuturesUnordered::<BoxFuture<'_, Brought>>::new();
        let mut silent = Silent::default();
        loop {
            tokio::select! {
                // What a connection brings comes before the next one, so that none gives way with its request in hand.
                biased;
                Some(outcome) = connections.next() => {
                    if let Some(outcome) = outcome {
                        return outcome.map_err(CallbackError::Finish);
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // The oldest that has said nothing gives way: a browser opens some that it never uses, and so
                        // does whoever would keep the answer waiting (ATK-224).
                        let room = connections.len() < CONNECTIONS_MAX || silent.give_way();
                        if let Some(ended) = room.then(|| silent.enter()) {
                            connections.push(Box::pin(self.connection(stream, request, ended)));
                        }
                    }
                    // One that broke before it was accepted is nobody's answer; out of descriptors is not for long.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Serves one connection to its end, so that the page has left before the outcome is acted on.
    async fn connection(&self, stream: TcpStream, request: &AuthorizationRequest, mut turn: Turn) -> Brought {
        let outcome = Mutex::new(None);
        let asked_at_all = Arc::clone(&turn.asked);
        let service = service_fn(|asked: ::http::Request<Incoming>| {
            asked_at_all.store(true, Ordering::Relaxed);
            let (page, decided) = self.answer(&asked, request);
            if decided.is_some() {
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = decided;
            }
            async { Ok::<_, Infallible>(page) }
        });
        let mut server = http1::Builder::new();
        server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_headers(100);
        // A connection that breaks after it was answered has still brought its answer.
        tokio::select! {
            biased;
            _ = server.serve_connection(TokioIo::new(stream), service) => {}
            _ = turn.over.changed() => {}
            () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
        }
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(
        &self,
        asked: &::http::Request<Incoming>,
        request: &AuthorizationRequest,
    ) -> (::http::Response<Full<Bytes>>, Option<Result<AuthorizationCode, FinishError>>) {
        // A name that was bound to 127.0.0.1 brings its own `Host` (DNS rebinding).
        let here = asked.headers().get(HOST).is_some_and(|host| host.as_bytes() == self.authority.as_bytes());
        if !here || asked.method() != Method::GET || asked.uri().path() != "/callback" {
            return (page(StatusCode::NOT_FOUND, "Not found", "There is nothing here."), None);
        }
        let path = asked.uri().path_and_query().map_or("", |path| path.as_str());
        match finish(request, &format!("http://{}{path}", self.authority)) {
            Ok(code) => (page(StatusCode::OK, "Logged in", "You can close this window."), Some(Ok(code))),
            Err(error @ (FinishError::Issuer | FinishError::Refused { .. })) => {
                let told = "Access was not given. You can close this window; the program says why.";
                (page(StatusCode::OK, "Not logged in", told), Some(Err(error)))
            }
            Err(FinishError::Elsewhere | FinishError::Malformed | FinishError::State) => {
                (page(StatusCode::BAD_REQUEST, "Not this login", "This answer belongs to another login."), None)
            }
        }
    }
}

/// The port of a redirect URI of ours.
fn port(before: &RedirectUri) -> Option<u16> {
    before.as_str().strip_prefix("http://127.0.0.1:")?.strip_suffix("/callback")?.parse().ok()
}

/// A page of fixed words: nothing that came with the request is in it.
fn page(status: StatusCode, title: &'static str, text: &'static str) -> ::http::Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n"
    );
    let mut response = ::http::Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        // The address of this page holds the code.
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
