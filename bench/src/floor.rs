//! The floor: a reverse proxy that only forwards messages, with the same libraries and allocator as the gateway.
//!
//! It parses each message once in each direction, streams both bodies, reuses connections, and checks, decides and
//! records nothing. It speaks HTTP/1.1 only (no protocol detection), uses one thread, and changes only the target of a
//! request: everything that a gateway costs beyond this is its own cost.

use std::io;
use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, server::conn::http1};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Proxies every request to `upstream` until the process ends.
pub(crate) async fn serve(listener: TcpListener, upstream: SocketAddr) -> Result<(), io::Error> {
    if !upstream.ip().is_loopback() {
        return Err(io::Error::other(format!("upstream `{upstream}` is not on loopback")));
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // The `Host` of the request is forwarded unchanged.
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).set_host(false).build(connector);
    let authority = upstream.to_string();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        let authority = authority.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| forward(&client, &authority, request));
            // If a connection breaks, the caller notices, because it checks every answer.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn forward(
    client: &Client<HttpConnector, Incoming>,
    authority: &str,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, io::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() =
        Uri::builder().scheme("http").authority(authority).path_and_query(path).build().map_err(io::Error::other)?;
    client.request(request).await.map_err(io::Error::other)
}
