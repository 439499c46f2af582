//! Floods that HTTP/2 makes cheap, written as bare frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use axum::routing::get;
use hyper::body::Incoming;
use sekisho_gateway::memory::Memory;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::table::Line;
use super::{Sharing, Surface, bind, serve};

/// The connection preface and our empty settings (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET / http` by the static table, and an authority (RFC 7541 appendix A).
const FIELDS: &[u8] = b"\x82\x86\x84\x41\x01a";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Kind and payload of every frame in these bytes.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        found.push((head[3], payload.to_vec()));
        bytes = rest;
    }
    found
}

impl Surface for Router {
    async fn answer(&self, request: Request<Incoming>, _: &Arc<Line>) -> Response {
        let Ok(response) = self.clone().oneshot(request.map(Body::new)).await;
        response
    }

    fn stop(&self) {}
}

/// What is being worked on.
struct Working(Arc<AtomicUsize>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// ATK-92: streams that are opened and reset, by the client or by its mistakes, and headers without an end, end the
/// connection with a word; what they began is dropped, and the next caller is served.
#[tokio::test]
async fn a_flood_of_frames_ends_its_connection_and_nothing_else() {
    let working = Arc::new(AtomicUsize::new(0));
    let hang = {
        let working = working.clone();
        move || {
            let working = working.clone();
            async move {
                working.fetch_add(1, Ordering::SeqCst);
                let _working = Working(working);
                std::future::pending::<()>().await;
            }
        }
    };
    let router = Router::new().route("/", get(hang)).route("/ok", get(async || "fine"));
    let listeners = bind(Some("127.0.0.1:0".parse().unwrap()), 0).await.unwrap();
    let address = listeners.address;
    let (_stop, stopped) = watch::channel(false);
    let sharing = Sharing { memory: Memory::default(), proxies: Vec::new() };
    tokio::spawn(serve(listeners, router, None, sharing, stopped));

    let streams = || (0..4000_u32).map(|at| 2 * at + 1);
    let opened = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, FIELDS);
    let resets: Vec<u8> =
        streams().flat_map(|s| [opened(s), frame(RST_STREAM, 0, s, &[0, 0, 0, 8])].concat()).collect();
    // Data after the end is the stream's error or the connection's (RFC 9113 §5.1); we take it for the latter, so that
    // no client can make us reset one stream after the other.
    let mistakes = streams().flat_map(|s| [opened(s), frame(DATA, 0, s, b"x")].concat()).collect();
    let unended = frame(HEADERS, END_STREAM, 1, FIELDS);
    let rest = (0..4000_u32).flat_map(|at| frame(CONTINUATION, 0, 1, format!("\0\x08x-{at:06}\x01y").as_bytes()));
    let continued: Vec<u8> = unended.into_iter().chain(rest).collect();
    let floods = [
        ("resets", resets, ENHANCE_YOUR_CALM),
        ("mistakes", mistakes, PROTOCOL_ERROR),
        ("continuations", continued, ENHANCE_YOUR_CALM),
    ];
    for (what, flood, expected) in floods {
        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let writing = tokio::spawn(async move {
            // The other side may have had enough before the end.
            let _ = writer.write_all(&[PREFACE, &flood].concat()).await;
            writer
        });
        let mut heard = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut heard)).await;
        assert!(reading.is_ok(), "{what}: the connection is still open");
        drop(writing.await);
        let goodbye = frames(&heard).into_iter().rev().find(|(kind, _)| *kind == GOAWAY);
        let code = goodbye.map(|(_, payload)| u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        assert_eq!(code, Some(expected), "{what}");

        let mut honest = TcpStream::connect(address).await.unwrap();
        honest.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        honest.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("fine"), "{what}: {answer}");
        let idle = async {
            while working.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), idle).await.expect("what was reset is still worked on");
    }
}
