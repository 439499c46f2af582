//! Built-in TLS: its certificate, its cookies, and a change of the files.

use std::process::Command;
use std::sync::Arc;

use sekisho_e2e::fakes::documents::{Certificate, certificate};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Process, binary};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::WATCHED;

/// Sends a request over TLS, trusting only this certificate. `None` if there is no connection.
async fn ask(port: u16, trusted: &Certificate, request: &Ask) -> Option<Reply> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.cert.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()?;
    let mut connection = Connection::over(stream);
    connection.send(&request.bytes(&format!("localhost:{port}"))).await.ok()?;
    connection.reply("GET").await.ok()
}

fn write(folder: &std::path::Path, certificate: &Certificate) {
    std::fs::write(folder.join("key.pem"), &certificate.key).unwrap();
    std::fs::write(folder.join("cert.pem"), &certificate.cert).unwrap();
}

/// AS-07, RS-42, PX-06: over https, cookies are `__Host-`, the metadata say https, and plain HTTP gets no response; a
/// renewed certificate is used without a restart, and an invalid one is not.
#[tokio::test]
async fn it_serves_tls_and_takes_over_a_renewed_certificate() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (certificate(&["localhost"]), certificate(&["localhost"]));
    write(folder.path(), &first);
    let port = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let path = folder.path().display();
    let toml = format!(
        "base_url = \"https://localhost:{port}\"\n[tls]\ncert = \"{path}/cert.pem\"\nkey = \"{path}/key.pem\"\n[servers.one]\nurl = \"{}\"\n",
        upstream.url()
    );
    let file = folder.path().join("sekisho.toml");
    std::fs::write(&file, toml).unwrap();
    // The port has to be known before the start, because the base URL contains it.
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", folder.path().join("data")).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
    command.args(["--json", "serve", "--listen", &format!("127.0.0.1:{port}"), "-c"]).arg(&file);
    let checkpoint = Process::start(&mut command);
    checkpoint.stdout().contains(&format!("\"base_url\":\"https://localhost:{port}\"")).await;
    let metadata =
        ask(port, &first, &Ask::get("/.well-known/oauth-authorization-server")).await.expect("TLS works").json();
    assert_eq!(metadata["token_endpoint"], format!("https://localhost:{port}/oauth/token"));
    let login = ask(port, &first, &Ask::get("/login")).await.unwrap();
    let cookies: Vec<_> =
        login.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value).collect();
    assert!(
        !cookies.is_empty()
            && cookies.iter().all(|cookie| cookie.starts_with("__Host-") && cookie.contains("; Secure")),
        "{cookies:?}"
    );
    let mut plain = Connection::open(([127, 0, 0, 1], port).into()).await.unwrap();
    plain.send(&Ask::get("/").bytes(&format!("localhost:{port}"))).await.unwrap();
    assert!(plain.head().await.is_err(), "plain HTTP is not answered");
    assert!(ask(port, &second, &Ask::get("/healthz")).await.is_none());
    std::fs::write(folder.path().join("cert.pem"), "not a certificate").unwrap();
    checkpoint.stderr().contains("the old one stays").await;
    assert!(ask(port, &first, &Ask::get("/healthz")).await.is_some(), "a broken file changes nothing");
    write(folder.path(), &second);
    within(WATCHED, "the renewed certificate", async || ask(port, &second, &Ask::get("/healthz")).await.map(drop))
        .await;
    assert!(ask(port, &first, &Ask::get("/healthz")).await.is_none(), "the old one is gone");
}
