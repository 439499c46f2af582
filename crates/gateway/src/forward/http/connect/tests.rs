//! Connections to real servers: one with a certificate that is trusted only by configuration, and one that counts its
//! connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::super::fixture::{MODERN, call, json_of, name};
use super::super::super::{ForwardError, ForwardLimits};
use super::super::HttpUpstream;
use super::aws_lc_rs;
use crate::credential::CredentialSource;
use crate::upstream::{HttpSettings, UpstreamName, UpstreamSettings};

fn upstream(settings: &HttpSettings) -> Arc<HttpUpstream> {
    let source = Arc::new(CredentialSource::new(&UpstreamSettings::Http(settings.clone())));
    Arc::new(HttpUpstream::new(ForwardLimits::default(), UpstreamName::behind(&name()), settings, source))
}

async fn send(settings: &HttpSettings) -> Result<serde_json::Value, ForwardError> {
    upstream(settings).send(call("a", MODERN, "x", json!({}))).await.map(json_of)
}

/// A server for `localhost`, and the authority that signed its certificate, in PEM.
async fn tls_server() -> (SocketAddr, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            read_call(&mut stream).await;
            let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, authority.pem())
}

/// Reads one call to its end. Returns `false` at the end of the connection.
async fn read_call(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"}}") {
        let mut chunk = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut chunk).await else { return false };
        seen.extend_from_slice(&chunk[..length]);
    }
    true
}

/// A server that answers only once as many calls wait as the barrier holds, and keeps its connections open. Counts the
/// connections that it accepted.
async fn crowded_server(crowd: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    async fn serve(mut stream: TcpStream, barrier: Arc<Barrier>) {
        while read_call(&mut stream).await {
            barrier.wait().await;
            let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let barrier = Arc::new(Barrier::new(crowd));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, Arc::clone(&barrier)));
        }
    });
    (address, accepted)
}

/// As many connections are kept as were in use at once, so a steady number of callers opens hardly any new ones.
#[tokio::test]
async fn the_pool_keeps_a_connection_for_each_caller_of_a_crowd() {
    const CROWD: usize = 64;
    let (address, accepted) = crowded_server(CROWD).await;
    let upstream = upstream(&HttpSettings::new(format!("http://{address}/mcp")));
    for _ in 0..3 {
        let mut calls = JoinSet::new();
        for _ in 0..CROWD {
            let upstream = Arc::clone(&upstream);
            calls.spawn(async move { upstream.send(call("a", MODERN, "x", json!({}))).await.map(json_of) });
        }
        while let Some(answered) = calls.join_next().await {
            assert_eq!(answered.unwrap().unwrap()["id"], 1);
        }
    }
    // A call may open a connection although one is about to be free again, so it is a few more than the crowd. With a
    // pool of 32, each later round would open 32.
    let accepted = accepted.load(Ordering::SeqCst);
    assert!((CROWD..CROWD + CROWD / 2).contains(&accepted), "{accepted} connections for {CROWD} callers at a time");
}

/// A company's own authority is trusted only if it is configured, and only for the names in the certificates it signed.
#[tokio::test]
async fn a_certificate_is_trusted_by_configuration_alone() {
    let (address, authority) = tls_server().await;
    let mut settings = HttpSettings::new(format!("https://localhost:{}/mcp", address.port()));
    let error = send(&settings).await.unwrap_err();
    assert!(!error.sent(), "{error}");
    settings.extra_ca_pem = Some(authority.into_bytes());
    assert_eq!(send(&settings).await.unwrap()["id"], 1);
    settings.url = format!("https://127.0.0.1:{}/mcp", address.port());
    let error = send(&settings).await.unwrap_err();
    assert!(matches!(error, ForwardError::Unreachable { sent: false, .. }), "{error}");
}

/// A server that accepts the connection and sends nothing is given up in time, and nothing was sent to it.
#[tokio::test]
async fn a_handshake_has_a_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_, authority) = tls_server().await;
    let mut settings = HttpSettings::new(format!("https://{}/mcp", listener.local_addr().unwrap()));
    settings.extra_ca_pem = Some(authority.into_bytes());
    settings.connect_timeout = Duration::from_millis(100);
    let error = send(&settings).await.unwrap_err();
    assert!(matches!(&error, ForwardError::Unreachable { sent: false, reason, .. } if reason.contains("100 ms")));
}
