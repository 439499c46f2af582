//! The floor: a reverse proxy that only moves messages, on the same libraries and allocator as the gateway.
//!
//! It parses each message once on either side, streams both bodies, reuses connections, and decides, checks and
//! records nothing. HTTP/1.1 only (no protocol sniffing), one thread, no header edited but the target: whatever
//! a gateway does beyond this is the gateway's own cost.

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
    // `Host` arrives with the request and goes on with it.
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).set_host(false).build(connector);
    let authority = upstream.to_string();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        let authority = authority.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| forward(&client, &authority, request));
            // A connection that breaks shows at the caller, who checks every answer.
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
