//! Data that callers make us hold: all of it together has one bound.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::upstream::Conduct;
use sekisho_e2e::fakes::wire::{Ask, Connection};
use sekisho_e2e::harness::wait::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::field::{Field, OWNER, UP, USER};

const MIB: usize = 1 << 20;
/// The time after which a client that reads nothing is disconnected, with a margin for a busy machine.
const CUT_WITHIN: Duration = Duration::from_secs(25);

type Part = Result<Frame<Bytes>, Infallible>;

/// The largest permitted form, whose end never arrives.
fn endless_form() -> (mpsc::UnboundedSender<Part>, StreamBody<BoxStream<'static, Part>>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Part>();
    for _ in 0..25 {
        let _ = sender.send(Ok(Frame::data(Bytes::from(vec![b'a'; 10_000]))));
    }
    let parts = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|part| (part, receiver))
    });
    (sender, StreamBody::new(parts.boxed()))
}

/// ATK-188: twelve HTTP/2 connections, each with as many unfinished forms as it may send at once. What strangers hold
/// together is bounded, and authenticated callers do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_over_http2_hold_little() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.is_healthy(&granted).await;
    let before = field.checkpoint.resident_bytes();
    let (mut open, mut answers) = (Vec::new(), JoinSet::new());
    for _ in 0..12 {
        let stream = TcpStream::connect(field.address).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..128 {
            let (part, body) = endless_form();
            let request = hyper::Request::post(format!("http://{}/oauth/token", field.host()))
                .header("content-type", "application/x-www-form-urlencoded")
                .header("x-padding", "x".repeat(8000))
                .body(body)
                .unwrap();
            let mut sender = sender.clone();
            answers.spawn(async move { sender.send_request(request).await.map(|reply| reply.status().as_u16()) });
            open.push(part);
        }
    }
    let (mut most, mut refused) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        most = most.max(field.checkpoint.resident_bytes());
        field.is_healthy(&granted).await;
        assert_eq!(field.ask(&Ask::get("/healthz")).await.status, 200);
        while let Some(answer) = answers.try_join_next() {
            refused += usize::from(matches!(answer, Ok(Ok(503))));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 100, "only {refused} requests were told that there is no room");
    assert!(most < before + 180 * MIB, "from {} to {} MiB", before / MIB, most / MIB);
    drop(open);
}

/// ATK-189, ATK-190: sixty responses of 15 MB that their client does not read. What is held for one client is bounded,
/// others are answered meanwhile, and after a while the connections are closed and that client has room again.
#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_have_a_bound_and_an_end() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let other = field.granted(USER, "mcp:read").await;
    field.is_healthy(&granted).await;
    let before = field.checkpoint.resident_bytes();
    field.upstream.behave(Conduct::Large(15 * MIB));
    let mut unread = Vec::new();
    for _ in 0..60 {
        let mut connection = Connection::open(field.address).await.unwrap();
        connection.send(&tool(UP, &granted.access, "look").bytes(&field.host())).await.unwrap();
        unread.push(connection);
    }
    let mut most = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        most = most.max(field.checkpoint.resident_bytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(most < before + 300 * MIB, "from {} to {} MiB", before / MIB, most / MIB);
    field.upstream.behave(Conduct::Honest);
    field.is_healthy(&other).await;
    assert_eq!(field.ask(&Ask::get("/healthz")).await.status, 200);
    field.upstream.behave(Conduct::Large(15 * MIB));
    let large = tool(UP, &granted.access, "look");
    within(CUT_WITHIN, "room for one more answer of the same client", async || {
        let reply = field.ask(&large).await;
        assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
        (reply.status == 200 && reply.body.len() > 15 * MIB).then_some(())
    })
    .await;
    drop(unread);
}

/// ATK-190: over HTTP/2, a client may read everything from the connection and nothing of a response. It is disconnected
/// as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_window_is_cut() {
    let field = Field::start().await;
    let mut stream = TcpStream::connect(field.address).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0 (RFC 9113 §6.5.2).
    stream.write_all(&field.over_http2("/login", &[0, 4, 0, 0, 0, 0])).await.unwrap();
    let began = Instant::now();
    let reading = async {
        let mut heard = Vec::new();
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            heard.extend_from_slice(&part[..length]);
        }
        heard
    };
    let heard = timeout(CUT_WITHIN, reading).await.expect("the connection is still open");
    assert!(began.elapsed() > Duration::from_secs(10), "it had hardly any time");
    assert!(heard.len() > 50, "it was not answered at all: {heard:?}");
    field.lets_in().await;
}
