//! Very many streams that have to end at the same time.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::{message, tool};
use sekisho_e2e::fakes::documents::{Certificate, certificate};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT, code_in};
use sekisho_e2e::fakes::upstream::tools;
use sekisho_e2e::fakes::wire::ask;
use sekisho_e2e::harness::Checkpoint;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self};

use super::field::{OWNER, PASSWORD, UP, USER};

/// The number of streams of the user who is disabled.
const STREAMS: usize = 1024;
/// The environment variable that sets another number.
const STREAMS_VARIABLE: &str = "SEKISHO_TEST_STREAMS";
/// The number of streams that one grant may have.
const STREAMS_PER_GRANT: usize = 32;
/// The number of streams on one connection to the checkpoint, which permits a few more.
const STREAMS_PER_CONNECTION: usize = 100;
/// The promised time in which all streams end.
const PROMISE: Duration = Duration::from_secs(1);

/// Starts a server of 2026-07-28 over HTTP/2, so that many streams need few descriptors. It acknowledges subscriptions
/// and then sends nothing.
async fn silent_server(certificate: &Certificate) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(certificate.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.ok()?;
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(100_000);
                builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok()
            });
        }
    });
    port
}

type Parts = futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

async fn answer(request: Request<Incoming>) -> Result<http::Response<StreamBody<Parts>>, Infallible> {
    use futures_util::StreamExt as _;
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = message["id"].clone();
    let whole = |result: Value| {
        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        let part = futures_util::stream::iter([Ok(Frame::data(Bytes::from(reply)))]).boxed();
        http::Response::builder().header("content-type", "application/json").body(StreamBody::new(part)).unwrap()
    };
    Ok(match message["method"].as_str() {
        Some("server/discover") => whole(
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": { "listChanged": true } } }),
        ),
        Some("tools/list") => whole(json!({ "resultType": "complete", "tools": tools() })),
        Some("subscriptions/listen") => {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            let params = json!({ "notifications": message["params"]["notifications"], "_meta": meta });
            let method = "notifications/subscriptions/acknowledged";
            let event = format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "method": method, "params": params }));
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(event)))]);
            let parts = first.chain(futures_util::stream::pending()).boxed();
            http::Response::builder().header("content-type", "text/event-stream").body(StreamBody::new(parts)).unwrap()
        }
        _ => whole(json!({ "resultType": "complete", "content": [] })),
    })
}

/// Opens a connection to the checkpoint over HTTP/2.
async fn connection(port: u16) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Opens a subscription. Returns its body after the first event.
async fn subscribed(mut sender: SendRequest<Full<Bytes>>, port: u16, token: &str) -> Incoming {
    let body = message("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let request = Request::post(format!("http://localhost:{port}{UP}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "subscriptions/listen")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    body.frame().await.expect("a first event").unwrap();
    body
}

/// Creates this many grants of one user, who signs in once.
async fn grants(checkpoint: &Checkpoint, count: usize, user: &str) -> Vec<Granted> {
    let base_url = checkpoint.base_url();
    let resource = format!("{base_url}{UP}");
    let mut browser = Browser::new(base_url);
    let mut grants = Vec::with_capacity(count);
    let client = Client::register(base_url, "Client", REDIRECT).await;
    for _ in 0..count {
        let link = client.link(&client.wish(&resource, "mcp:read"));
        let Landing::Away(url) = browser.agree(&link, user, PASSWORD).await else { panic!("no code") };
        let code = code_in(&url).expect("a code");
        grants.push(client.granted(&client.token(&client.redemption(&code)).await));
    }
    grants
}

fn wanted() -> usize {
    let number = std::env::var_os(STREAMS_VARIABLE).and_then(|number| number.to_str()?.parse().ok());
    number.unwrap_or(STREAMS)
}

fn write(folder: &Path, certificate: &Certificate) -> String {
    let file = folder.join("ca.pem");
    std::fs::write(&file, &certificate.cert).unwrap();
    file.display().to_string()
}

/// ATK-156, ATK-59: a user with very many streams is disabled: all of them have ended a second after the command
/// returned, and no others. `SEKISHO_TEST_STREAMS=20000` opens that many (this takes some minutes, mostly for 625
/// consents); the times are written to standard error.
#[tokio::test(flavor = "multi_thread")]
async fn very_many_streams_end_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate(&["localhost"]);
    let upstream = silent_server(&certificate).await;
    let toml = format!(
        "[outbound]\nca_file = \"{}\"\n[servers.up]\nurl = \"https://localhost:{upstream}/mcp\"\neveryone = \"read\"\ntools = {{ look = \"read\" }}\n",
        write(folder.path(), &certificate)
    );
    let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
    let port: u16 = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    let streams = wanted();
    let victims = grants(&checkpoint, streams.div_ceil(STREAMS_PER_GRANT), USER).await;
    let other = grants(&checkpoint, 1, OWNER).await.remove(0);
    let mut untouched = subscribed(connection(port).await, port, &other.access).await;

    let (ended, mut ends) = mpsc::unbounded_channel();
    let events = Arc::new(AtomicUsize::new(0));
    let mut sender = connection(port).await;
    for number in 0..streams {
        if number % STREAMS_PER_CONNECTION == 0 {
            sender = connection(port).await;
        }
        let token = &victims[number / STREAMS_PER_GRANT].access;
        let mut body = subscribed(sender.clone(), port, token).await;
        let (ended, events) = (ended.clone(), Arc::clone(&events));
        tokio::spawn(async move {
            while let Some(Ok(_)) = body.frame().await {
                events.fetch_add(1, Ordering::Relaxed);
            }
            let _ = ended.send(Instant::now());
        });
    }
    drop(ended);
    assert!(ends.try_recv().is_err(), "a stream ended by itself");

    let before = events.load(Ordering::Relaxed);
    let asked = Instant::now();
    checkpoint.ask(&["user", "disable", USER]).await;
    let returned = Instant::now();
    let mut times = Vec::with_capacity(streams);
    let all = async {
        while let Some(at) = ends.recv().await {
            times.push(at.saturating_duration_since(returned));
        }
    };
    timeout(Duration::from_secs(30), all).await.expect("the streams end");
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    eprintln!(
        "{} streams ended after the command came back (it took {:?}): half within {:?}, 90 % {:?}, 99 % {:?}, all {:?}; {} events, {before} before",
        times.len(),
        returned - asked,
        at(50),
        at(90),
        at(99),
        at(100),
        events.load(Ordering::Relaxed)
    );
    assert_eq!(times.len(), streams);
    assert!(at(100) < PROMISE, "the last stream went on for {:?}", at(100));
    // The stream of another user gets at most a notice that lists may have changed, and continues.
    let goes_on = async { while untouched.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    assert!(timeout(Duration::from_millis(200), goes_on).await.is_err(), "somebody else's stream ended");
    let reply = ask(([127, 0, 0, 1], port).into(), &tool(UP, &other.access, "look")).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}
