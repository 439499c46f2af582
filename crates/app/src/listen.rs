//! The accept loop: sockets, TLS, deadlines, a place for each connection, a graceful end.

pub(crate) mod guest;
mod stream;
pub(crate) mod table;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekisho_gateway::memory::Memory;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::error::CommandError;
use crate::os;
use stream::Paced;
use table::{Bounds, ConnectionSlot, DESCRIPTORS, Line, SWEEP, Table};

/// The port that is listened on if no other is named.
pub(crate) const PORT: u16 = 8420;
/// From the connection to the end of the request's head (ATK-91).
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the TLS handshake may take (ATK-91).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// On a connection of the reserve: until its head is there, and until it is over.
const RESERVE_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const RESERVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of a request, in bytes (PX-30). A full table of them that never end is 128 MiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests at one time on one connection of HTTP/2, and what each and all of them may send ahead of being read.
const STREAMS_MAX: u32 = 128;
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// The most bytes of one answer that are kept for a client that does not read them yet, beside the part that was read
/// last.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// After this time without an acknowledgement of sent data, the kernel gives a connection up.
const UNTAKEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long open streams may take to finish when we end, and how long it may then take to drop the others.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
const DROP_TIMEOUT: Duration = Duration::from_millis(500);
/// Connections that are told at one time that there is no place, and how long that may take for each.
const REFUSALS_MAX: usize = 64;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The response to a connection that is refused.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 49\r\n\r\nall connections are taken; try again in a moment\n";

/// Sockets that are open, all with one port.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
    /// The first socket's address.
    pub(crate) address: SocketAddr,
}

/// How often we try to find a port that is free at every address that we need.
const PORTS_TRIED_MAX: usize = 32;

/// Opens the sockets: `wanted`, or both loopback addresses with one port.
///
/// `localhost`, which we advertise, may mean either family. Another program that held the port on the other one would get what
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

/// Whether the machine has no such address. Then no other program can listen on it.
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

/// The service that answers requests. In production it is the entrance.
pub(crate) trait Surface: Clone + Send + Sync + 'static {
    /// Answers one request on this connection.
    fn answer(&self, request: Request<Incoming>, line: &Arc<Line>) -> impl Future<Output = Response> + Send;

    /// Ends with an error what is not answered yet, because we stop.
    fn stop(&self);
}

/// What connections share.
#[derive(Debug)]
pub(crate) struct Sharing {
    /// The memory that their requests may hold.
    pub(crate) memory: Memory,
    /// Addresses of proxies: behind each stand many callers. This machine's own need not be named.
    pub(crate) proxies: Vec<IpNet>,
}

/// Serves until `stop` says so. Then open requests may finish for a moment, and what is still open is ended.
pub(crate) async fn serve<S: Surface>(
    listeners: Listeners,
    surface: S,
    certificate: Option<Arc<Certificate>>,
    sharing: Sharing,
    stop: watch::Receiver<bool>,
) {
    let table = Table::new(Bounds::of(os::raise_descriptors(DESCRIPTORS)), sharing.memory, sharing.proxies);
    let door = Door {
        surface,
        certificate,
        table: table.clone(),
        connections: TaskTracker::new(),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
    };
    let mut loops = tokio::task::JoinSet::new();
    for socket in listeners.sockets {
        loops.spawn(door.clone().accept(socket, stop.clone()));
    }
    let sweeping = async {
        let mut every = tokio::time::interval(SWEEP);
        loop {
            table.sweep(every.tick().await);
        }
    };
    let accepting = async { while loops.join_next().await.is_some() {} };
    tokio::select! {
        () = sweeping => {}
        () = accepting => {}
    }
    door.connections.close();
    table.leave_all();
    if tokio::time::timeout(DRAIN_TIMEOUT, door.connections.wait()).await.is_err() {
        // Clients that still wait for an answer are told why there is none.
        door.surface.stop();
        let _ = tokio::time::timeout(DROP_TIMEOUT, door.connections.wait()).await;
        table.cut_all();
        let _ = tokio::time::timeout(DROP_TIMEOUT, door.connections.wait()).await;
    }
}

#[derive(Clone)]
struct Door<S> {
    surface: S,
    certificate: Option<Arc<Certificate>>,
    table: Arc<Table>,
    connections: TaskTracker,
    refusals: Arc<Semaphore>,
}

impl<S: Surface> Door<S> {
    /// Takes connections until `stop`. Nothing else is waited for here: who finds no place is told so.
    async fn accept(self, socket: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.table.admit(peer) {
                    Some(place) => drop(self.connections.spawn(self.clone().connection(stream, place))),
                    None => self.refuse(stream),
                },
                // Out of descriptors, or the peer went away: neither ends the loop.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return,
                        () = tokio::time::sleep(Duration::from_millis(50)) => {}
                    }
                }
            }
        }
    }

    /// Tells a client that there is no place. Of those who come while many are being told, the connection is closed.
    fn refuse(&self, mut stream: TcpStream) {
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
        if self.certificate.is_some() {
            return;
        }
        self.connections.spawn(async move {
            let telling = async {
                stream.write_all(REFUSAL).await?;
                stream.shutdown().await?;
                // Unread bytes of the client would otherwise make its kernel discard the answer.
                let mut unread = [0; 4096];
                while stream.read(&mut unread).await? > 0 {}
                std::io::Result::Ok(())
            };
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, telling).await;
            drop(permit);
        });
    }

    async fn connection(self, stream: TcpStream, place: ConnectionSlot) {
        let _ = stream.set_nodelay(true);
        os::give_up_after(&stream, UNTAKEN_TIMEOUT);
        let stream = Paced::new(stream);
        let line = place.line.clone();
        let Some(certificate) = self.certificate.clone() else { return self.serve(stream, line).await };
        let shaking = tokio::time::timeout(HANDSHAKE_TIMEOUT, certificate.acceptor().accept(stream));
        let shaken = tokio::select! {
            () = line.cut.cancelled() => return,
            shaken = shaking => shaken,
        };
        if let Ok(Ok(stream)) = shaken {
            self.serve(stream, line).await;
        }
    }

    /// Serves a connection to its end, unless it is told to end before, or nothing was asked on it in time: the deadline
    /// of a head begins with its first byte, and that may never come (ATK-91).
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, line: Arc<Line>) {
        let Self { surface, .. } = self;
        let (head_timeout, timeout) = match line.is_reserve {
            true => (RESERVE_HEAD_TIMEOUT, Some(RESERVE_TIMEOUT)),
            false => (HEAD_TIMEOUT, None),
        };
        let asked = line.clone();
        let service = service_fn(move |request| {
            let (surface, line) = (surface.clone(), asked.clone());
            async move {
                let response = surface.answer(request, &line).await;
                if line.is_reserve {
                    line.leave.cancel();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let builder = builder(head_timeout);
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silence = pin!(tokio::time::sleep(timeout.unwrap_or(head_timeout).min(head_timeout)));
        let mut over = pin!(until(timeout));
        let (mut is_leaving, mut was_silent) = (false, false);
        loop {
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, peer = %line.peer, "a connection ended");
                    }
                    return;
                }
                () = line.cut.cancelled() => return,
                () = &mut over => return,
                () = line.leave.cancelled(), if !is_leaving => {
                    is_leaving = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = &mut silence, if !was_silent => {
                    was_silent = true;
                    if !line.has_asked() {
                        return;
                    }
                }
            }
        }
    }
}

async fn until(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn builder(head_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(16)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

#[cfg(test)]
mod tests;
