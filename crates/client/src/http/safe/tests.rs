//! Tests with real sockets on loopback. A *canary* is a listener that nothing may connect to.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderName, Method};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sekisho_protocol::secret::AccessToken;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{Destination, HttpClient, HttpError, HttpSettings, Request, Resolve, SafeHttp, SetupError};

mod refused;

/// A resolver whose look-ups return the next set of addresses each time.
#[derive(Debug, Clone)]
struct Names(Arc<(Vec<Vec<IpAddr>>, AtomicUsize)>);

impl Names {
    fn of(sets: &[&[&str]]) -> Self {
        let sets = sets.iter().map(|set| set.iter().map(|text| text.parse().unwrap()).collect()).collect();
        Self(Arc::new((sets, AtomicUsize::new(0))))
    }

    fn lookups(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        let turn = self.0.1.fetch_add(1, Ordering::SeqCst);
        let set = self.0.0[turn % self.0.0.len()].clone();
        Box::pin(async move { Ok(set) })
    }
}

/// A listener that nothing may connect to. On loopback, a connection is ready to be accepted as soon as `connect`
/// returns, so none is missed.
struct Canary(std::net::TcpListener);

impl Canary {
    fn new() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
    }

    fn at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn is_silent(&self) -> bool {
        self.0.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// A server that reads one request header per connection, passes it on, and answers with fixed bytes.
struct Server {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let answer = answer.into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &answer, &sender).await;
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], seen: &mpsc::UnboundedSender<String>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.send(String::from_utf8(request).unwrap()).ok();
    // The client may close the connection early: some tests are about that.
    stream.write_all(answer).await.ok();
    stream.shutdown().await.ok();
}

fn loopback() -> HttpSettings {
    HttpSettings { allow_http_loopback: true, timeout: Duration::from_secs(20), ..HttpSettings::default() }
}

async fn get(settings: HttpSettings, url: &str) -> Result<(u16, String), HttpError> {
    let response = SafeHttp::new(settings).unwrap().send(Request::get(Destination::given(url))).await?;
    Ok((response.status.as_u16(), String::from_utf8(response.body.to_vec()).unwrap()))
}

fn plain(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_exchange_on_loopback_works_where_allowed() {
    let server = Server::answering(plain("{}")).await;
    assert_eq!(get(loopback(), &server.url("/a?b=c")).await.unwrap(), (200, "{}".to_owned()));
}

/// The request that is sent is unambiguous, whatever headers the caller set.
#[tokio::test]
async fn the_request_on_the_wire_is_ours() {
    let mut server = Server::answering(plain("{}")).await;
    let mut request = Request::new(Method::POST, Destination::given(server.url("/a/../b?c=d")), "body".into());
    for (name, value) in [
        ("host", "evil.example"),
        ("transfer-encoding", "chunked"),
        ("content-length", "999"),
        ("connection", "keep-alive, x"),
        ("upgrade", "h2c"),
        ("accept-encoding", "gzip"),
        ("x-own", "kept"),
    ] {
        request = request.header(HeaderName::from_static(name), value);
    }
    SafeHttp::new(loopback()).unwrap().send(request.bearer(&AccessToken::from_outside("t"))).await.unwrap();
    let seen = server.seen.recv().await.unwrap().to_ascii_lowercase();
    assert!(seen.starts_with("post /b?c=d http/1.1\r\n"), "{seen}");
    for header in [
        "accept-encoding: identity",
        "connection: close",
        "content-length: 4",
        "x-own: kept",
        "authorization: bearer t",
    ] {
        assert_eq!(seen.matches(&format!("\r\n{header}\r\n")).count(), 1, "{header} in {seen}");
    }
    assert!(seen.contains(&format!("\r\nhost: {}\r\n", server.address)));
    assert!(!seen.contains("evil") && !seen.contains("chunked") && !seen.contains("upgrade"));
}

/// ATK-31, ATK-88, CL-37, CL-45: a redirect is returned as the response and not followed; no other server sees the
/// token.
#[tokio::test]
async fn no_redirect_is_followed() {
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let canary = Canary::new();
        let answer = format!(
            "HTTP/1.1 {status} Go\r\nlocation: http://127.0.0.1:{}/\r\nrefresh: 0; url=http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
            canary.port(),
            canary.port()
        );
        let server = Server::answering(answer).await;
        let request = Request::get(Destination::given(server.url("/"))).bearer(&AccessToken::from_outside("t"));
        let response = SafeHttp::new(loopback()).unwrap().send(request).await.unwrap();
        assert_eq!(response.status.as_u16(), status);
        assert!(canary.is_silent());
    }
}

/// ATK-32: a slow body, slow headers, and a server that sends nothing all end at the deadline.
#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline() {
    for (first, drop) in
        [(&b"HTTP/1.1 200 OK\r\n\r\n"[..], &b"x"[..]), (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), (b"", b"")]
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The server waits for the request: a response before it would be an error of its own.
            stream.read_u8().await.unwrap();
            stream.write_all(first).await.unwrap();
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(drop).await.is_ok() {
                tick.tick().await;
            }
        });
        let settings = HttpSettings { timeout: Duration::from_millis(300), ..loopback() };
        let error = get(settings, &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(error, HttpError::Deadline { .. }), "{error:?}");
        server.abort();
    }
}

/// ATK-32: the bound holds while reading, whether or not the length was announced; the lower bound counts.
#[tokio::test]
async fn a_long_body_is_not_read_to_its_end() {
    let endless = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        b"3e8\r\n".to_vec(),
        vec![b'x'; 1000],
        b"\r\n".to_vec(),
    ]
    .concat();
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1000));
    for answer in [plain(&"x".repeat(1000)).into_bytes(), endless, until_close.into_bytes()] {
        let server = Server::answering(answer).await;
        let http = SafeHttp::new(HttpSettings { body_bytes_max: 999, ..loopback() }).unwrap();
        let error = http.send(Request::get(Destination::given(server.url("/")))).await.unwrap_err();
        assert!(matches!(error, HttpError::BodyTooLarge { max: 999 }), "{error:?}");
        let mut request = Request::get(Destination::given(server.url("/")));
        request.body_bytes_max = 10;
        let error = http.send(request).await.unwrap_err();
        assert!(matches!(error, HttpError::BodyTooLarge { max: 10 }), "{error:?}");
    }
    let exact = Server::answering(plain(&"x".repeat(999))).await;
    assert!(get(HttpSettings { body_bytes_max: 999, ..loopback() }, &exact.url("/")).await.is_ok());
}

/// ATK-32: nothing is decompressed, so no small response becomes a large one.
#[tokio::test]
async fn a_compressed_answer_is_refused() {
    for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP"] {
        let server = Server::answering(format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: 2\r\n\r\nxx"
        ))
        .await;
        assert!(matches!(get(loopback(), &server.url("/")).await.unwrap_err(), HttpError::Encoding), "{encoding}");
    }
    let server =
        Server::answering("HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 2\r\n\r\nxx").await;
    assert!(get(loopback(), &server.url("/")).await.is_ok());
}

/// A truncated or ambiguous response, or one that is not HTTP, is an error and never half a response.
#[tokio::test]
async fn a_broken_answer_is_no_answer() {
    let many = (0..200).map(|n| format!("h{n}: x\r\n")).collect::<String>();
    for answer in [
        String::new(),
        "SSH-2.0-x\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nlong: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(100_000)),
    ] {
        let server = Server::answering(answer.clone()).await;
        let error = get(loopback(), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, HttpError::Protocol(_)), "{error:?} for {answer:.60}");
    }
}

/// ATK-32: no more exchanges run at once than there are places; a further one does not even connect.
#[tokio::test]
async fn a_stalled_exchange_keeps_its_place() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let http = SafeHttp::new(HttpSettings { concurrent_max: 1, ..loopback() }).unwrap();
    let mut first = http.send(Request::get(Destination::given(url.as_str())));
    let held = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        answer = &mut first => panic!("{answer:?}"),
    };
    let second =
        tokio::time::timeout(Duration::from_millis(200), http.send(Request::get(Destination::given(url.as_str()))));
    assert!(second.await.is_err());
    let listener = listener.into_std().unwrap();
    assert!(listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    drop(held);
    assert!(matches!(first.await.unwrap_err(), HttpError::Protocol(_)));
}

/// ATK-28: proxies named in the environment are not used. The environment is set for another process, which runs the
/// test above.
#[test]
fn the_environment_names_no_proxy() {
    let canary = Canary::new();
    let proxy = format!("http://127.0.0.1:{}", canary.port());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, &proxy);
    }
    let output =
        child.args(["--exact", "http::safe::tests::an_exchange_on_loopback_works_where_allowed"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(canary.is_silent());
}

struct Authority {
    pem: String,
    acceptor: tokio_rustls::TlsAcceptor,
}

/// A certificate authority, and a server with its certificate for `name`.
fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    Authority { pem: root.pem(), acceptor: Arc::new(config).into() }
}

async fn tls_server(acceptor: tokio_rustls::TlsAcceptor) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us closes the connection during the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, plain("{}").as_bytes(), &sender).await;
            }
        }
    });
    Server { address, seen }
}

/// ATK-30, CL-45: the certificate must be for the name in the URL, wherever the connection goes.
#[tokio::test]
async fn the_certificate_must_be_for_the_name_in_the_url() {
    let authority = authority("server.test");
    let server = tls_server(authority.acceptor).await;
    let settings = HttpSettings {
        extra_roots_pem: authority.pem.into_bytes(),
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        ..HttpSettings::default()
    };
    let ask = async |settings: &HttpSettings, host: &str| {
        let http = SafeHttp::with_resolver(settings.clone(), Box::new(Names::of(&[&["127.0.0.1"]]))).unwrap();
        http.send(Request::get(Destination::given(format!("https://{host}:{}/", server.address.port()))))
            .await
            .map(|response| response.status.as_u16())
    };
    assert_eq!(ask(&settings, "server.test").await.unwrap(), 200);
    for other in ["other.test", "sub.server.test", "127.0.0.1"] {
        assert!(matches!(ask(&settings, other).await.unwrap_err(), HttpError::Tls { .. }), "{other}");
    }
    let distrustful = HttpSettings { extra_roots_pem: self::authority("server.test").pem.into_bytes(), ..settings };
    assert!(matches!(ask(&distrustful, "server.test").await.unwrap_err(), HttpError::Tls { .. }));
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    for pem in ["not pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let settings = HttpSettings { extra_roots_pem: pem.as_bytes().to_vec(), ..HttpSettings::default() };
        assert_eq!(SafeHttp::new(settings).unwrap_err(), SetupError::ExtraRoots);
    }
}
