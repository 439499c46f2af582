//! A real TLS server with a certificate that is trusted only by configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::super::fixture::{MODERN, call, json_of, name};
use super::super::super::{ForwardError, ForwardLimits};
use super::super::HttpUpstream;
use super::aws_lc_rs;
use crate::credential::CredentialSource;
use crate::upstream::{HttpSettings, UpstreamName, UpstreamSettings};

async fn send(settings: &HttpSettings) -> Result<serde_json::Value, ForwardError> {
    let source = Arc::new(CredentialSource::new(&UpstreamSettings::Http(settings.clone())));
    let upstream = HttpUpstream::new(ForwardLimits::default(), UpstreamName::behind(&name()), settings, source);
    let upstream = Arc::new(upstream);
    upstream.send(call("a", MODERN, "x", json!({}))).await.map(json_of)
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
            let mut seen = Vec::new();
            while !seen.ends_with(b"}}") {
                let mut chunk = [0; 4096];
                let length = stream.read(&mut chunk).await.unwrap();
                seen.extend_from_slice(&chunk[..length]);
            }
            let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, authority.pem())
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
