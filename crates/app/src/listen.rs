//! The accept loop: sockets, TLS, deadlines, a bound on connections, a graceful end.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::error::CommandError;

/// Connections served at one time; more wait in the kernel's queue (ATK-91).
const CONNECTIONS_MAX: usize = 4096;
/// From the connection to the end of the request's head (ATK-91).
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// For the TLS handshake (ATK-91).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of a request, in bytes (PX-30).
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Open streams may finish for so long when we end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Sockets that are open, all with one port.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
    /// The first socket's address.
    pub(crate) address: SocketAddr,
}

/// How often a port is drawn that is free at every address that we need.
const PORTS_TRIED_MAX: usize = 32;

/// Opens the sockets: `wanted`, or both loopback addresses with one port.
///
/// `localhost`, which we advertise, may mean either family. Whoever else held the port on the other one would get what
/// clients send to us, their tokens among it (ATK-221). So the port is ours at both, or there is no start; only a machine
/// that has no such address does without.
pub(crate) async fn bind(wanted: Option<SocketAddr>, port: u16) -> Result<Listeners, CommandError> {
    let first = wanted.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let unknown = |error: std::io::Error| CommandError::environment(error.to_string(), "try again");
    'drawn: for _ in 0..PORTS_TRIED_MAX {
        let socket = TcpListener::bind(first).await.map_err(|error| {
            CommandError::environment(
                format!("cannot listen on {first}: {error}"),
                "another program uses the port, or the address is not this machine's: choose with --listen ADDR:PORT (port 0 takes a free one)",
            )
        })?;
        let address = socket.local_addr().map_err(unknown)?;
        let others = others_of_localhost(&socket, address.ip());
        let mut sockets = vec![socket];
        for other in others.into_iter().map(|ip| SocketAddr::new(ip, address.port())) {
            match TcpListener::bind(other).await {
                Ok(socket) => sockets.push(socket),
                Err(error) if is_absent(&error) => {}
                Err(error) if first.port() == 0 && error.kind() == ErrorKind::AddrInUse => continue 'drawn,
                Err(error) => {
                    return Err(CommandError::environment(
                        format!("cannot listen on {other} as well as on {address}: {error}"),
                        "clients that are told `localhost` may reach either: end the program that uses the port there, or choose another with --listen ADDR:PORT",
                    ));
                }
            }
        }
        return Ok(Listeners { sockets, address });
    }
    Err(CommandError::environment(
        format!("no port was free at both 127.0.0.1 and [::1] in {PORTS_TRIED_MAX} attempts"),
        "name one with --listen ADDR:PORT",
    ))
}

/// The addresses that `localhost` may mean beside this one. None where it is not meant at all: clients then know us by
/// another name (see `Listeners::is_localhost`).
fn others_of_localhost(socket: &TcpListener, ip: IpAddr) -> Vec<IpAddr> {
    let (four, six) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    match ip {
        _ if ip == four => vec![six],
        _ if ip == six => vec![four],
        IpAddr::V4(_) if ip.is_unspecified() => vec![six],
        // Where the system says so, it listens on IPv4, too.
        IpAddr::V6(_) if ip.is_unspecified() => {
            let alone = rustix::net::sockopt::ipv6_v6only(socket).unwrap_or(true);
            if alone { vec![four] } else { Vec::new() }
        }
        _ if ip.is_loopback() => vec![four, six],
        _ => Vec::new(),
    }
}

/// Whether the machine has no such address, so that nobody else has it either.
fn is_absent(error: &std::io::Error) -> bool {
    let no_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(no_family)
}

impl Listeners {
    /// Whether what is sent to `localhost` arrives here.
    pub(crate) fn is_localhost(&self) -> bool {
        self.address.ip().is_loopback() || self.address.ip().is_unspecified()
    }
}

/// A certificate and its key, read again when the files change.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    config: ArcSwap<rustls::ServerConfig>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, CommandError> {
        let config = tls_config(cert, key)?;
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), config: ArcSwap::from_pointee(config) }))
    }

    /// Reads the files again; on a mistake the old certificate stays.
    pub(crate) fn reload(&self) -> Result<(), CommandError> {
        self.config.store(Arc::new(tls_config(&self.cert, &self.key)?));
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn tls_config(cert: &Path, key: &Path) -> Result<rustls::ServerConfig, CommandError> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        CommandError::environment(
            format!("`{}` cannot be used for TLS: {error}", path.display()),
            "give PEM files with the certificate chain and its private key",
        )
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| bad(cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(cert, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| bad(cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What answers requests: in production the entrance.
pub(crate) trait Surface: Clone + Send + Sync + 'static {
    /// Answers one request of this peer, whatever it is.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> impl Future<Output = Response> + Send;
}

/// Serves until `stop` says so; then lets what is open finish for a moment.
pub(crate) async fn serve<S: Surface>(
    listeners: Listeners,
    surface: S,
    certificate: Option<Arc<Certificate>>,
    stop: watch::Receiver<bool>,
) {
    let graceful = Arc::new(GracefulShutdown::new());
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut loops = tokio::task::JoinSet::new();
    for socket in listeners.sockets {
        let door = Door {
            surface: surface.clone(),
            certificate: certificate.clone(),
            graceful: graceful.clone(),
            slots: slots.clone(),
        };
        loops.spawn(door.accept(socket, stop.clone()));
    }
    while loops.join_next().await.is_some() {}
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    }
}

#[derive(Clone)]
struct Door<S> {
    surface: S,
    certificate: Option<Arc<Certificate>>,
    graceful: Arc<GracefulShutdown>,
    slots: Arc<Semaphore>,
}

impl<S: Surface> Door<S> {
    async fn accept(self, socket: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let door = self.clone();
                    let watcher = self.graceful.watcher();
                    tokio::spawn(async move {
                        door.connection(stream, peer, watcher).await;
                        drop(slot);
                    });
                }
                // Out of descriptors, or the peer went away: neither ends the loop.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
        let _ = stream.set_nodelay(true);
        // The watcher ends with this connection; nothing else of the door is kept meanwhile.
        let Self { surface, certificate, graceful, slots } = self;
        drop((graceful, slots));
        let asked = Arc::new(AtomicBool::new(false));
        let has_asked = asked.clone();
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            let surface = surface.clone();
            async move { Ok::<_, Infallible>(surface.answer(request, peer).await) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .max_concurrent_streams(128)
            .max_pending_accept_reset_streams(16)
            .keep_alive_interval(Duration::from_secs(30));
        let ended = match certificate {
            None => {
                let serving = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
                unless_silent(serving, &has_asked).await
            }
            Some(certificate) => {
                let Ok(Ok(stream)) =
                    tokio::time::timeout(HANDSHAKE_TIMEOUT, certificate.acceptor().accept(stream)).await
                else {
                    return;
                };
                let serving = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
                unless_silent(serving, &has_asked).await
            }
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, %peer, "a connection ended");
        }
    }
}

/// Serves a connection to its end, unless nothing was asked on it in time: the deadline of a head begins with its
/// first byte, and that may never come (ATK-91). `None`: it was closed for that.
async fn unless_silent<T>(serving: impl Future<Output = T>, has_asked: &AtomicBool) -> Option<T> {
    let mut serving = std::pin::pin!(serving);
    if let Ok(ended) = tokio::time::timeout(HEAD_TIMEOUT, &mut serving).await {
        return Some(ended);
    }
    if has_asked.load(Ordering::Relaxed) { Some(serving.await) } else { None }
}

#[cfg(test)]
mod tests;
