//! Waiting on loopback for the browser to come back (RFC 8252 §7.3).
//!
//! Every user of this machine can connect to a port on loopback, and can read the command line of a browser. So the URL
//! on that command line contains no part of the request. It leads to a page of this listener, which redirects one
//! browser to the issuer and gives it a cookie. An answer is accepted only from the browser with that cookie (decision
//! 0052).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderValue, LOCATION, REFERRER_POLICY,
    SET_COOKIE,
};
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
use sekisho_protocol::env::Entropy;
use sekisho_protocol::redirect::{RedirectUri, RedirectUriError};
use sekisho_protocol::secret::CsrfToken;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::authorization::{
    AuthorizationAnswer, AuthorizationRequest, FinishError, SHARED_PATH, finish, redirect_path,
};

/// The address at which an answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackAddress {
    host: Host,
    port: Port,
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// `127.0.0.1`
    V4,
    /// `[::1]`
    V6,
    /// `localhost`: both addresses.
    Localhost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Any,
    /// This port if it is free: some issuers compare the port, although RFC 8252 §7.3 says that they must not.
    Before(u16),
    Exactly(u16),
}

impl CallbackAddress {
    /// An address for the answers of one issuer alone. `before` is the redirect URI of an earlier login, whose port is
    /// tried first.
    pub fn of_issuer(issuer: &str, before: Option<&RedirectUri>) -> Self {
        let port = before.and_then(|before| url::Url::parse(before.as_str()).ok()?.port());
        Self { host: Host::V4, port: port.map_or(Port::Any, Port::Before), path: redirect_path(issuer) }
    }

    /// The shared address for issuers that send `iss`.
    pub fn shared() -> Self {
        Self { host: Host::V4, port: Port::Any, path: SHARED_PATH.to_owned() }
    }

    /// The address of a redirect URI that a person registered. `None`: it is not on loopback, or has a query.
    pub fn registered(redirect: &RedirectUri) -> Option<Self> {
        let (authority, path) = match redirect.as_str().strip_prefix("http://")? {
            rest if rest.contains('?') => return None,
            rest => rest.split_at_checked(rest.find('/')?)?,
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Port::Exactly(port.parse().ok()?)),
            _ => (authority, Port::Any),
        };
        let host = match host {
            "127.0.0.1" => Host::V4,
            "[::1]" => Host::V6,
            "localhost" => Host::Localhost,
            _ => return None,
        };
        Some(Self { host, port, path: path.to_owned() })
    }

    /// The path of the redirect URI.
    pub fn path(&self) -> &str {
        &self.path
    }

    async fn listen(&self) -> io::Result<Listeners> {
        match self.port {
            Port::Any => self.listen_at(0).await,
            Port::Exactly(port) => self.listen_at(port).await,
            Port::Before(port) => match self.listen_at(port).await {
                Ok(listeners) => Ok(listeners),
                Err(_) => self.listen_at(0).await,
            },
        }
    }

    async fn listen_at(&self, port: u16) -> io::Result<Listeners> {
        if self.host == Host::V6 {
            return Ok(Listeners { first: TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await?, second: None });
        }
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        if self.host == Host::V4 {
            return Ok(Listeners { first, second: None });
        }
        // A browser may use either address for `localhost`, so no other program may listen on one of them. A machine
        // without IPv6 has only one.
        let second = match TcpListener::bind((Ipv6Addr::LOCALHOST, first.local_addr()?.port())).await {
            Ok(second) => Some(second),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => None,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        Ok(Listeners { first, second })
    }

    fn authority(&self, port: u16) -> String {
        let host = match self.host {
            Host::V4 => "127.0.0.1",
            Host::V6 => "[::1]",
            Host::Localhost => "localhost",
        };
        format!("{host}:{port}")
    }
}

#[derive(Debug)]
struct Listeners {
    first: TcpListener,
    second: Option<TcpListener>,
}

impl Listeners {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(second) = &self.second else { return self.first.accept().await };
        tokio::select! {
            accepted = self.first.accept() => accepted,
            accepted = second.accept() => accepted,
        }
    }
}

/// Tells whether a connection belongs to another user of this machine. Its arguments are the remote and the local
/// address of the connection.
pub type IsStranger = fn(SocketAddr, SocketAddr) -> bool;

/// A listener on loopback that waits for one answer.
pub struct CallbackListener {
    listeners: Listeners,
    authority: String,
    redirect_uri: RedirectUri,
    path: String,
    is_stranger: IsStranger,
    /// The last part of the path of the page that begins the login.
    once: CsrfToken,
    /// The value of the cookie.
    mark: CsrfToken,
    is_opened: AtomicBool,
}

/// Why no code arrived.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The browser did not come back in time.
    #[error("nobody logged in within {seconds} seconds: begin again")]
    Deadline {
        /// How many seconds were waited.
        seconds: u64,
    },
    /// The answer is a refusal, or cannot be trusted.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// The listener failed.
    #[error("`{at}` cannot be listened on: another program may have the port")]
    Listen {
        /// The address.
        at: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Two browsers opened the page that begins the login. One of them may belong to somebody else.
    #[error(
        "the page that begins this login was opened by two browsers, and somebody else on this machine may have been the first: nothing was accepted; begin again, and open the page once"
    )]
    OpenedTwice,
    /// The address with its port is not a valid redirect URI. This cannot happen.
    #[error("the loopback address makes no redirect URI")]
    RedirectUri(#[source] RedirectUriError),
}

/// How many connections are open at once. For a further one, the oldest connection without a request is closed.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to send its request headers, once it has begun.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live in all. Every honest browser can read one small page in that time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a browser keeps the cookie, in seconds: as long as a person may take to log in.
const MARK_SECONDS: u32 = 600;
/// How long to wait after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The outcome that a connection brought, if it brought the answer to this request.
type Brought = Option<Outcome>;

/// The connections on which no request has arrived yet, oldest first.
#[derive(Debug, Default)]
struct Silent(VecDeque<(Arc<AtomicBool>, watch::Sender<bool>)>);

/// A connection's entry in that queue.
struct Turn {
    /// Whether a request has arrived on the connection.
    asked: Arc<AtomicBool>,
    /// Changes, or closes, when the connection has to be closed to make room.
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

    /// Closes the oldest connection without a request. Returns whether there was one.
    fn give_way(&mut self) -> bool {
        self.forget();
        self.0.pop_front().is_some()
    }

    /// Removes the connections that have sent a request or have ended, in which case nobody receives from the sender.
    fn forget(&mut self) {
        self.0.retain(|(asked, sender)| !asked.load(Ordering::Relaxed) && !sender.is_closed());
    }
}

impl Debug for CallbackListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackListener").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl CallbackListener {
    /// Starts to listen at this address.
    pub async fn bind(
        place: &CallbackAddress,
        is_stranger: IsStranger,
        entropy: &dyn Entropy,
    ) -> Result<Self, CallbackError> {
        let failed = |source| {
            let port = if let Port::Exactly(port) = place.port { port } else { 0 };
            CallbackError::Listen { at: place.authority(port), source }
        };
        let listeners = place.listen().await.map_err(failed)?;
        let authority = place.authority(listeners.first.local_addr().map_err(failed)?.port());
        let redirect_uri =
            RedirectUri::parse(&format!("http://{authority}{}", place.path)).map_err(CallbackError::RedirectUri)?;
        Ok(Self {
            listeners,
            authority,
            redirect_uri,
            path: place.path.clone(),
            is_stranger,
            once: CsrfToken::generate(entropy),
            mark: CsrfToken::generate(entropy),
            is_opened: AtomicBool::new(false),
        })
    }

    /// The redirect URI, to which the browser is to be sent back.
    pub fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect_uri
    }

    /// The page that begins the login. It may be on a command line: it redirects only one browser.
    pub fn link(&self) -> String {
        format!("http://{}{}/{}", self.authority, self.beginning(), self.once.expose())
    }

    /// Returns the path of that page without its last part. It is below the redirect URI's path, so that one cookie
    /// covers both.
    fn beginning(&self) -> String {
        format!("{}/begin", self.path.trim_end_matches('/'))
    }

    /// Waits until the browser that was sent brings the answer to `request`, tells the person there what happened, and
    /// stops listening. Any other request is turned away and changes nothing (CL-30).
    pub async fn wait(
        self,
        request: &AuthorizationRequest,
        patience: Duration,
    ) -> Result<AuthorizationAnswer, CallbackError> {
        let answer = tokio::time::timeout(patience, self.serve(request)).await;
        answer.map_err(|_| CallbackError::Deadline { seconds: patience.as_secs() })?
    }

    async fn serve(&self, request: &AuthorizationRequest) -> Result<AuthorizationAnswer, CallbackError> {
        let mut connections = FuturesUnordered::<BoxFuture<'_, Brought>>::new();
        let mut silent = Silent::default();
        loop {
            tokio::select! {
                // Outcomes are handled before new connections, so that no connection is closed whose request has
                // arrived.
                biased;
                Some(outcome) = connections.next() => {
                    if let Some(outcome) = outcome {
                        return outcome;
                    }
                }
                accepted = self.listeners.accept() => match accepted {
                    Ok((stream, _)) => {
                        // The oldest connection without a request is closed: a browser opens connections that it never
                        // uses, and so does an attacker who wants to block the answer (ATK-224).
                        let room = connections.len() < CONNECTIONS_MAX || silent.give_way();
                        if let Some(ended) = room.then(|| silent.enter()) {
                            connections.push(Box::pin(self.connection(stream, request, ended)));
                        }
                    }
                    // A connection that broke before it was accepted brings no answer, and a lack of file descriptors
                    // passes.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Serves one connection to its end, so that the page was sent before the outcome is used.
    async fn connection(&self, stream: TcpStream, request: &AuthorizationRequest, mut turn: Turn) -> Brought {
        let is_stranger = self.is_stranger;
        let ends = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?))).ok()?;
        // This check reads a table of the operating system, which may be long.
        let asked = tokio::task::spawn_blocking(move || is_stranger(ends.0, ends.1)).await;
        let is_stranger = asked.unwrap_or(true);
        let outcome = Mutex::new(None);
        let asked_at_all = Arc::clone(&turn.asked);
        let service = service_fn(|asked: ::http::Request<Incoming>| {
            asked_at_all.store(true, Ordering::Relaxed);
            let (page, decided) = if is_stranger {
                let told =
                    "This page belongs to another user of this machine. Open it as the user who started the program.";
                (page(StatusCode::FORBIDDEN, "Not your login", told), None)
            } else {
                self.answer(&asked, request)
            };
            if decided.is_some() {
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = decided;
            }
            async { Ok::<_, Infallible>(page) }
        });
        let mut server = http1::Builder::new();
        server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_headers(100);
        // If a connection breaks after its request was answered, its outcome still counts.
        tokio::select! {
            biased;
            _ = server.serve_connection(TokioIo::new(stream), service) => {}
            _ = turn.over.changed() => {}
            () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
        }
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, asked: &::http::Request<Incoming>, request: &AuthorizationRequest) -> (Page, Option<Outcome>) {
        // A foreign name that resolves to 127.0.0.1 shows in the `Host` header (DNS rebinding).
        let here = asked.headers().get(HOST).is_some_and(|host| host.as_bytes() == self.authority.as_bytes());
        let path = asked.uri().path();
        if here && asked.method() == Method::GET {
            if path == self.path {
                return self.answered(asked, request);
            }
            let (above, once) = path.rsplit_once('/').unwrap_or_default();
            // `CsrfToken` compares in constant time.
            if above == self.beginning() && CsrfToken::from_outside(once) == self.once {
                return self.begin(asked, request);
            }
        }
        (page(StatusCode::NOT_FOUND, "Not found", "There is nothing here."), None)
    }

    /// Redirects the first browser to the issuer. A second browser ends the login.
    fn begin(&self, asked: &::http::Request<Incoming>, request: &AuthorizationRequest) -> (Page, Option<Outcome>) {
        if self.is_opened.swap(true, Ordering::SeqCst) && !self.is_marked(asked) {
            let told = "Another browser has opened this page before. If it was not yours, somebody else on this machine may try to log in in your place. The program has ended this login; begin again.";
            return (page(StatusCode::FORBIDDEN, "Opened before", told), Some(Err(CallbackError::OpenedTwice)));
        }
        let mut response = page(StatusCode::FOUND, "Log in", "You are sent on.");
        let cookie = format!(
            "{}={}; Path={}; Max-Age={MARK_SECONDS}; HttpOnly; SameSite=Lax",
            self.cookie_name(),
            self.mark.expose(),
            self.path
        );
        for (name, value) in [(LOCATION, request.url().to_owned()), (SET_COOKIE, cookie)] {
            let Ok(value) = HeaderValue::try_from(value) else {
                return (page(StatusCode::NOT_FOUND, "Not found", "There is nothing here."), None);
            };
            response.headers_mut().insert(name, value);
        }
        (response, None)
    }

    fn answered(&self, asked: &::http::Request<Incoming>, request: &AuthorizationRequest) -> (Page, Option<Outcome>) {
        let path = asked.uri().path_and_query().map_or("", |path| path.as_str());
        let answer = match finish(request, &format!("http://{}{path}", self.authority)) {
            Err(FinishError::Elsewhere | FinishError::Malformed | FinishError::State) => {
                return (
                    page(StatusCode::BAD_REQUEST, "Not this login", "This answer belongs to another login."),
                    None,
                );
            }
            answer => answer,
        };
        if !self.is_marked(asked) {
            let told = "This browser was not sent by the program. If the program asks for an address, give it the one of this page; otherwise begin again at the page that it printed or opened, in a browser that keeps cookies.";
            return (page(StatusCode::FORBIDDEN, "Not the browser that was sent", told), None);
        }
        match answer {
            Ok(answer) => (page(StatusCode::OK, "Logged in", "You can close this window."), Some(Ok(answer))),
            Err(error) => {
                let told = "Access was not given. You can close this window; the program says why.";
                (page(StatusCode::OK, "Not logged in", told), Some(Err(error.into())))
            }
        }
    }

    /// Returns the name of the cookie. A cookie is sent to every port of a host, so two logins in one browser need two
    /// names.
    fn cookie_name(&self) -> String {
        format!("sekisho-{}", self.authority.rsplit(':').next().unwrap_or_default())
    }

    /// Whether the request has the cookie.
    fn is_marked(&self, asked: &::http::Request<Incoming>) -> bool {
        let name = self.cookie_name();
        let lines = asked.headers().get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut values = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        values.any(|(known, value)| known == name && CsrfToken::from_outside(value) == self.mark)
    }
}

type Page = ::http::Response<Full<Bytes>>;
type Outcome = Result<AuthorizationAnswer, CallbackError>;

/// Builds a page of fixed text: nothing from the request is in it.
fn page(status: StatusCode, title: &'static str, text: &'static str) -> Page {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n"
    );
    let mut response = ::http::Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        // The address of this page contains the code.
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
