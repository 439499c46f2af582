//! The connections to one upstream: how they are made and trusted. Only the callers of this upstream share them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use super::super::ForwardError;
use crate::upstream::HttpSettings;

/// The client of one upstream. It follows no redirects, keeps no cookies and knows no proxies (ATK-88).
pub(super) type UpstreamClient = Client<TimedConnector, Full<Bytes>>;

/// How long a connection may be idle before it is closed.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// The most idle connections that are kept. The pool keeps as many as were in use within the last [`POOL_IDLE`], so this
/// is a bound for bursts only. With a smaller one, more callers than that would open and close a connection per call.
const POOL_IDLE_MAX: usize = 1024;

/// Builds the client. `uri` is the parsed URL of `settings`.
pub(super) fn client(settings: &HttpSettings, uri: &Uri) -> Result<UpstreamClient, ForwardError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| misconfigured("tls", &error))?;
    let config = if uri.scheme_str() == Some("https") {
        let verifier = verifier(settings, provider)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        // Never used: a plain connection needs no trust anchors, so those of the platform are not read.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config.with_no_client_auth())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let connector = TimedConnector { inner: https, limit: settings.connect_timeout };
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        .build(connector))
}

fn verifier(
    settings: &HttpSettings,
    provider: Arc<CryptoProvider>,
) -> Result<rustls_platform_verifier::Verifier, ForwardError> {
    let pem = settings.extra_ca_pem.as_deref().unwrap_or_default();
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let roots = roots.map_err(|error| misconfigured("the extra CA file", &error))?;
    if roots.is_empty() && settings.extra_ca_pem.is_some() {
        return Err(misconfigured("the extra CA file", &"it holds no certificate"));
    }
    rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider)
        .map_err(|error| misconfigured("the trust anchors", &error))
}

fn misconfigured(what: &str, error: &dyn std::fmt::Display) -> ForwardError {
    ForwardError::Misconfigured { reason: format!("{what}: {error}") }
}

/// Connects within a time limit that includes the TLS handshake.
#[derive(Clone, Debug)]
pub(super) struct TimedConnector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

type Connected = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for TimedConnector {
    type Response = Connected;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            tokio::time::timeout(limit, connecting)
                .await
                .map_err(|_| format!("no connection within {} ms", limit.as_millis()))?
        })
    }
}

#[cfg(test)]
mod tests;
