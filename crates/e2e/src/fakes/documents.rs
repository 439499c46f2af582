//! A host of client metadata documents, over https with a self-signed certificate.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A self-signed certificate and its key, both in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, for the server and for those who are to trust it.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// Creates a certificate for these names.
pub fn certificate(names: &[&str]) -> Certificate {
    let made =
        rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    Certificate { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// How a page is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Whole,
    /// The head, and then one byte at a time with this pause, without end.
    Drip(Duration),
    /// Bytes without end, as fast as they are read.
    Endless,
}

/// The response for a path.
#[derive(Debug, Clone)]
pub struct Page {
    /// The status code and its word.
    pub status: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it is sent.
    pub manner: Manner,
}

impl Page {
    /// Returns a page with a JSON document.
    pub fn json(value: &Value) -> Self {
        Self::of("200 OK", "application/json", value.to_string().as_bytes())
    }

    /// Returns a page with any body.
    pub fn of(status: &str, kind: &str, body: &[u8]) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { status: status.to_owned(), headers, body: body.to_vec(), manner: Manner::Whole }
    }

    /// Returns a redirect.
    pub fn redirect(status: &str, to: &str) -> Self {
        Self::of(status, "text/plain", b"").header("Location", to)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes how the page is sent.
    pub fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }
}

#[derive(Debug, Default)]
struct State {
    pages: Mutex<BTreeMap<String, Page>>,
    fetched: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host. It stops when it is dropped.
#[derive(Debug)]
pub struct Documents {
    /// The address at which it listens.
    pub address: SocketAddr,
    /// The certificate with which it serves.
    pub certificate: Certificate,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Documents {
    /// Listens on 127.0.0.1 at a free port, as `localhost`.
    pub async fn start() -> io::Result<Self> {
        let certificate = certificate(&["localhost"]);
        let acceptor = acceptor(&certificate)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, certificate, state, serving })
    }

    /// Returns the URL of a path at this host.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Sets the response for a path.
    pub fn put(&self, path: &str, page: Page) {
        lock(&self.state.pages).insert(path.to_owned(), page);
    }

    /// Puts an honest document at this path, for a client with this redirect URI. Returns its URL, which is the client
    /// identifier.
    pub fn put_client(&self, path: &str, name: &str, redirect_uri: &str) -> String {
        let id = self.url(path);
        self.put(path, Page::json(&self.document(path, name, redirect_uri)));
        id
    }

    /// Returns the content of an honest document at this path.
    pub fn document(&self, path: &str, name: &str, redirect_uri: &str) -> Value {
        json!({
            "client_id": self.url(path),
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        })
    }

    /// Returns the paths that were requested.
    pub fn fetched(&self) -> Vec<String> {
        lock(&self.state.fetched).clone()
    }
}

fn acceptor(certificate: &Certificate) -> io::Result<TlsAcceptor> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.cert.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, state: Arc<State>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(length @ 1..) => head.extend(part.iter().take(length)),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    lock(&state.fetched).push(path.clone());
    let page = lock(&state.pages)
        .get(&path)
        .cloned()
        .unwrap_or_else(|| Page::of("404 Not Found", "text/plain", b"nothing here"));
    let mut answer = format!("HTTP/1.1 {}\r\nConnection: close\r\n", page.status);
    for (name, value) in &page.headers {
        answer += &format!("{name}: {value}\r\n");
    }
    if page.manner == Manner::Whole {
        answer += &format!("Content-Length: {}\r\n", page.body.len());
    }
    answer += "\r\n";
    let _ = stream.write_all(&[answer.as_bytes(), &page.body].concat()).await;
    let _ = stream.flush().await;
    match page.manner {
        Manner::Whole => {}
        Manner::Drip(every) => {
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(every).await;
            }
        }
        Manner::Endless => while stream.write_all(&[b' '; 4096]).await.is_ok() {},
    }
    let _ = stream.shutdown().await;
}
