//! The HTTP client for URLs that strangers chose.
//!
//! Each request has a connection of its own: the name is looked up once, every address is checked, and the connection
//! goes to a checked address. There is no connection pool, so no connection outlives its check. There is no connector
//! that could skip the resolver for an address literal, and no code for redirects, proxies, cookies or decompression.

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use super::address::is_public;
use super::settings::HttpSettings;
use super::target::Target;
use super::{Destination, HttpClient, HttpError, Opened, Request, Resolve, Response, SystemResolver};

/// Why no client can be created with these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The extra certificate authorities are not valid PEM, or contain no certificate.
    #[error("the CA file holds no certificate in PEM form")]
    ExtraRoots,
}

/// The only [`HttpClient`] that opens connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SafeHttp(Arc<Inner>);

struct Inner {
    settings: HttpSettings,
    extra_roots: Vec<CertificateDer<'static>>,
    resolver: Box<dyn Resolve>,
    /// Created at the first https request: a machine without trust roots can still serve on loopback.
    tls: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
    places: Arc<Semaphore>,
    /// Hosts that were found at a public address. They count as outside for good, even if they resolve to an inner
    /// address later, and may name nothing inside.
    public: Mutex<HashSet<String>>,
}

impl Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafeHttp")
            .field("settings", &self.settings)
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// How many hosts are remembered as public. Once the list is full, every other host counts as public too.
const PUBLIC_HOSTS_MAX: usize = 1024;
/// How many addresses of one name are tried.
const ADDRESSES_TRIED_MAX: usize = 4;
/// The highest number of headers in a response.
const HEADERS_MAX: usize = 100;
/// The largest header section of a response, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;

impl SafeHttp {
    /// Creates a client that uses the system's resolver.
    pub fn new(settings: HttpSettings) -> Result<Self, SetupError> {
        Self::with_resolver(settings, Box::new(SystemResolver))
    }

    /// Creates a client that uses `resolver`, whose results are checked all the same.
    pub fn with_resolver(settings: HttpSettings, resolver: Box<dyn Resolve>) -> Result<Self, SetupError> {
        let extra_roots = CertificateDer::pem_slice_iter(&settings.extra_roots_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| SetupError::ExtraRoots)?;
        if extra_roots.is_empty() && !settings.extra_roots_pem.is_empty() {
            return Err(SetupError::ExtraRoots);
        }
        let places = Arc::new(Semaphore::new(settings.concurrent_max.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self(Arc::new(Inner {
            settings,
            extra_roots,
            resolver,
            tls: OnceLock::new(),
            places,
            public: Mutex::default(),
        })))
    }

    /// Checks whether a URL from an operator would be called with these settings, as far as that can be told without
    /// resolving its name. The rule is the same as for a request.
    pub fn check(url: &str, settings: &HttpSettings) -> Result<(), HttpError> {
        let target = Target::read(url, settings)?;
        match target.literal() {
            Some(address) => target.admit(vec![address], settings).map(drop),
            None => Ok(()),
        }
    }
}

impl HttpClient for SafeHttp {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move {
            let target = Target::read(request.url(), &self.0.settings)?;
            let limit = self.0.settings.timeout;
            let exchange = timeout(limit, self.0.exchange(&target, request));
            exchange.await.map_err(|_| HttpError::Deadline { seconds: limit.as_secs() })?
        })
    }

    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, HttpError>> {
        Box::pin(async move {
            let target = Target::read(request.url(), &self.0.settings)?;
            let limit = request.begins_within.unwrap_or(self.0.settings.timeout);
            let begun = timeout(limit, self.0.begin(&target, request));
            begun.await.map_err(|_| HttpError::Deadline { seconds: limit.as_secs() })?
        })
    }
}

/// The connection behind a body: it has to be polled so that the body arrives, and ends with the body.
type Driver = BoxFuture<'static, Result<(), hyper::Error>>;

/// A body that is still coming.
struct Coming {
    incoming: Incoming,
    /// `None` once the connection has ended; data that it had read before is still in `incoming`.
    driver: Option<Driver>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Coming {
    async fn next(mut self) -> Option<(Result<Bytes, HttpError>, Self)> {
        loop {
            let frame = match &mut self.driver {
                None => self.incoming.frame().await,
                Some(driver) => tokio::select! {
                    frame = self.incoming.frame() => frame,
                    _ = driver => {
                        self.driver = None;
                        continue;
                    }
                },
            };
            match frame? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), self));
                    }
                }
                Err(error) => return Some((Err(HttpError::Protocol(error)), self)),
            }
        }
    }
}

impl Inner {
    /// Returns the head of a response, on its own connection, which lives as long as the body is read.
    async fn begin(&self, target: &Target, request: Request) -> Result<Opened, HttpError> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let addresses = self.admitted(target, &request.to).await?;
        let message = message(target, request)?;
        let limit = self.settings.connect_timeout;
        let late = || HttpError::Connect { host: target.host.to_string(), source: io::ErrorKind::TimedOut.into() };
        let (response, driver) = if target.secure {
            let stream = timeout(limit, self.connect_tls(target, &addresses)).await.map_err(|_| late())??;
            head(stream, message).await?
        } else {
            let stream = timeout(limit, connect(target, &addresses)).await.map_err(|_| late())??;
            head(stream, message).await?
        };
        let (parts, incoming) = response.into_parts();
        plain(&parts.headers)?;
        let coming = Coming { incoming, driver, _place: place };
        Ok(Opened::new(parts.status, parts.headers, stream::unfold(coming, Coming::next)))
    }

    async fn exchange(&self, target: &Target, request: Request) -> Result<Response, HttpError> {
        // The semaphore is never closed. If it were, the request would go out without a bound.
        let _place = self.places.acquire().await.ok();
        let body_bytes_max = request.body_bytes_max.min(self.settings.body_bytes_max);
        let addresses = self.admitted(target, &request.to).await?;
        let message = message(target, request)?;
        let limit = self.settings.connect_timeout;
        let late = || HttpError::Connect { host: target.host.to_string(), source: io::ErrorKind::TimedOut.into() };
        if target.secure {
            let stream = timeout(limit, self.connect_tls(target, &addresses)).await.map_err(|_| late())??;
            speak(stream, message, body_bytes_max).await
        } else {
            let stream = timeout(limit, connect(target, &addresses)).await.map_err(|_| late())??;
            speak(stream, message, body_bytes_max).await
        }
    }

    /// Returns the addresses that may be called for this request, by the settings and by who named the URL (ATK-222). A
    /// name does not show where it leads, and an allowed network is not open to every stranger who knows a name in it.
    async fn admitted(&self, target: &Target, to: &Destination) -> Result<Vec<IpAddr>, HttpError> {
        let host = target.host.to_string();
        let addresses = target.admit(self.addresses(&target.host).await?, &self.settings)?;
        if addresses.iter().all(|address| is_public(*address)) {
            self.is_seen_outside(host);
        } else if let Some(by) = to.by().filter(|by| *by != host)
            && self.is_outside(by).await
        {
            let what = to.what().map_or("a place", |what| what.row().what);
            return Err(HttpError::Named { by: by.to_owned(), what });
        }
        Ok(addresses)
    }

    fn is_seen_outside(&self, host: String) {
        let mut public = self.public.lock().unwrap_or_else(PoisonError::into_inner);
        if public.len() < PUBLIC_HOSTS_MAX && self.calls_inside() {
            public.insert(host);
        }
    }

    /// Whether these settings allow any address that is not public.
    fn calls_inside(&self) -> bool {
        self.settings.allow_http_loopback || !self.settings.allow_private.is_empty()
    }

    /// Whether this host is, or was, at a public address. A host that cannot be looked up counts as public.
    async fn is_outside(&self, host: &str) -> bool {
        let known = {
            let public = self.public.lock().unwrap_or_else(PoisonError::into_inner);
            public.contains(host) || public.len() >= PUBLIC_HOSTS_MAX
        };
        if known {
            return true;
        }
        let Ok(host) = Host::parse(host) else { return true };
        self.addresses(&host).await.map_or(true, |addresses| addresses.into_iter().any(is_public))
    }

    async fn addresses(&self, host: &Host<String>) -> Result<Vec<IpAddr>, HttpError> {
        match host {
            Host::Ipv4(address) => Ok(vec![IpAddr::V4(*address)]),
            Host::Ipv6(address) => Ok(vec![IpAddr::V6(*address)]),
            Host::Domain(name) => {
                self.resolver.lookup(name).await.map_err(|_| HttpError::Resolve { host: name.clone() })
            }
        }
    }

    async fn connect_tls(
        &self,
        target: &Target,
        addresses: &[IpAddr],
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, HttpError> {
        let config = self.tls.get_or_init(|| tls_config(&self.extra_roots)).clone().map_err(HttpError::TrustRoots)?;
        // The certificate is checked for the name in the URL, whichever address answers.
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| HttpError::Url)?,
            Host::Ipv4(address) => ServerName::IpAddress((*address).into()),
            Host::Ipv6(address) => ServerName::IpAddress((*address).into()),
        };
        let stream = connect(target, addresses).await?;
        let secured = TlsConnector::from(config).connect(name, stream).await;
        secured.map_err(|source| HttpError::Tls { host: target.host.to_string(), source })
    }
}

/// Connects to the first of the checked addresses that answers.
async fn connect(target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, HttpError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
        match TcpStream::connect(SocketAddr::new(*address, target.port)).await {
            Ok(stream) => {
                // Requests are small and wait for their response: Nagle's algorithm would only delay them.
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(HttpError::Connect { host: target.host.to_string(), source: last })
}

fn tls_config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots.iter().cloned(), Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // `dangerous()` is only the name of the method that sets a verifier; this is the platform's own one.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Builds the request as it is sent. Connection headers are set here; those of the caller are dropped.
fn message(target: &Target, request: Request) -> Result<::http::Request<Full<Bytes>>, HttpError> {
    let mut message = ::http::Request::new(Full::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = target.path.parse().map_err(|error| HttpError::Request(::http::Error::from(error)))?;
    let mut headers = request.headers;
    for own in [ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT]
    {
        headers.remove(own);
    }
    let host = HeaderValue::from_str(&target.authority).map_err(|error| HttpError::Request(error.into()))?;
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("sekisho/", env!("CARGO_PKG_VERSION"))));
    *message.headers_mut() = headers;
    Ok(message)
}

/// Does one exchange over one connection. Both halves run in this task, so that dropping it ends everything.
async fn speak<S>(
    stream: S,
    message: ::http::Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(HttpError::Protocol)?;
    let exchange = async {
        let response = sender.send_request(message).await.map_err(HttpError::Protocol)?;
        read(response, body_bytes_max).await
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        answer = &mut exchange => answer,
        // The data that the connection had read before it ended is still used; its error also reaches the exchange.
        _ = &mut connection => exchange.await,
    }
}

/// Sends the message and waits for the head of the response. `None`: the connection has ended already.
async fn head<S>(
    stream: S,
    message: ::http::Request<Full<Bytes>>,
) -> Result<(::http::Response<Incoming>, Option<Driver>), HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(HttpError::Protocol)?;
    let mut driver: Driver = Box::pin(connection);
    let mut response = pin!(sender.send_request(message));
    tokio::select! {
        response = &mut response => Ok((response.map_err(HttpError::Protocol)?, Some(driver))),
        _ = &mut driver => Ok((response.await.map_err(HttpError::Protocol)?, None)),
    }
}

/// Refuses a compressed response: no encoding was accepted, and nothing is decompressed (ATK-32).
fn plain(headers: &::http::HeaderMap) -> Result<(), HttpError> {
    let plain = |value: &HeaderValue| value.as_bytes().is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) { Ok(()) } else { Err(HttpError::Encoding) }
}

async fn read(response: ::http::Response<Incoming>, body_bytes_max: usize) -> Result<Response, HttpError> {
    let (parts, mut incoming) = response.into_parts();
    plain(&parts.headers)?;
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(HttpError::Protocol)?.into_data() else { continue };
        if body.len() + data.len() > body_bytes_max {
            return Err(HttpError::BodyTooLarge { max: body_bytes_max });
        }
        body.extend_from_slice(&data);
    }
    Ok(Response { status: parts.status, headers: parts.headers, body: body.freeze() })
}

#[cfg(test)]
mod tests;
