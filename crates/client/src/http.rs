//! All outgoing requests of this crate (CL-42..45, AS-31, ATK-28..30, ATK-85, ATK-88).
//!
//! [`HttpClient`] is the interface: product code takes `&dyn HttpClient`. [`SafeHttp`] is the real client,
//! [`Recording`] keeps the exchanges so that they can be shown, and tests bring their own.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::secret::{AccessToken, ClientSecret};
use serde::de::DeserializeOwned;

pub mod address;
mod destination;
mod error;
mod named;
mod recording;
mod resolve;
mod safe;
#[cfg(any(test, feature = "test-util"))]
mod scripted;
mod settings;
mod target;

pub use destination::{Destination, Reach, is_as_secure, may_name};
pub use error::HttpError;
pub use named::{Named, NamedRow};
pub use recording::{Leg, Recording};
pub use resolve::{Resolve, SystemResolver};
pub use safe::{SafeHttp, SetupError};
#[cfg(any(test, feature = "test-util"))]
pub use scripted::{Scripted, SentRequest};
pub use settings::HttpSettings;

/// Sends requests. Each call is one exchange: no redirect is followed, and nothing is retried or decompressed.
pub trait HttpClient: Send + Sync + Debug {
    /// Sends the request and reads the whole response.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>>;

    /// Sends the request and returns the response as soon as it begins; its body is read as it arrives. The default
    /// implementation reads the whole response first.
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, HttpError>> {
        Box::pin(async move { Ok(Opened::whole(self.send(request).await?)) })
    }
}

impl<H: HttpClient + ?Sized> HttpClient for Arc<H> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        (**self).send(request)
    }

    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, HttpError>> {
        (**self).open(request)
    }
}

/// An HTTP request. Built with [`Request::get`] and the functions beside it.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL, and who named it.
    pub to: Destination,
    /// The headers. The client itself sets `Host`, `Connection`, `Content-Length` and the like.
    pub headers: HeaderMap,
    /// The body; may be empty.
    pub body: Bytes,
    /// How many bytes of the response's body are read at most. The client's own bound may be lower.
    pub body_bytes_max: usize,
    /// How long a streamed response may take to begin. `None`: as long as the client allows for any exchange.
    pub begins_within: Option<Duration>,
}

impl Request {
    /// The default bound for the body of a response, in bytes: enough for any OAuth document.
    pub const BODY_BYTES_MAX: usize = 64 * 1024;

    /// Builds a `GET` that asks for JSON.
    pub fn get(to: Destination) -> Self {
        Self::new(Method::GET, to, Bytes::new()).header(ACCEPT, "application/json")
    }

    /// Builds a `POST` of a form (RFC 6749 appendix B).
    pub fn post_form<'a>(to: Destination, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::new(Method::POST, to, body.into())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// Builds a `POST` of JSON.
    pub fn post_json(to: Destination, body: &serde_json::Value) -> Self {
        Self::new(Method::POST, to, body.to_string().into())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
    }

    /// Builds any other request.
    pub fn new(method: Method, to: Destination, body: Bytes) -> Self {
        Self { method, to, headers: HeaderMap::new(), body, body_bytes_max: Self::BODY_BYTES_MAX, begins_within: None }
    }

    /// The absolute URL.
    pub fn url(&self) -> &str {
        self.to.as_str()
    }

    /// Sets a header. A value that is not a valid header value is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets `Authorization: Bearer` (CL-36), marked as sensitive.
    #[must_use]
    pub fn bearer(self, token: &AccessToken) -> Self {
        self.authorization(&format!("Bearer {}", token.expose()))
    }

    /// Sets `Authorization: DPoP` with its proof (RFC 9449 §7.1), both marked as sensitive.
    #[must_use]
    pub fn dpop(self, token: &AccessToken, proof: &str) -> Self {
        self.proof(proof).authorization(&format!("DPoP {}", token.expose()))
    }

    /// Sets only the header `DPoP`, as for a token request (RFC 9449 §5).
    #[must_use]
    pub fn proof(mut self, proof: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(proof) {
            value.set_sensitive(true);
            self.headers.insert(HeaderName::from_static("dpop"), value);
        }
        self
    }

    /// Sets `Authorization: Basic` (RFC 6749 §2.3.1: both halves are form-encoded first), marked as sensitive.
    #[must_use]
    pub fn basic(self, client: &ClientId, secret: &ClientSecret) -> Self {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(client.as_str()), encode(secret.expose()));
        self.authorization(&format!("Basic {}", STANDARD.encode(pair)))
    }

    fn authorization(mut self, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }
}

impl Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query, the headers and the body can contain secrets, so they are not shown here. `Recording`
        // redacts them.
        let end = self.url().split(['?', '#']).next().unwrap_or_default();
        write!(f, "Request({} {end}, {} bytes)", self.method, self.body.len())
    }
}

/// A response, with any status.
#[derive(Clone)]
pub struct Response {
    /// The status. A redirect is a response like any other: it was not followed (ATK-31, ATK-88).
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// The media type in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        media_type(&self.headers)
    }

    /// Returns the body as JSON, if its media type is JSON and it can be parsed. A known member that occurs twice is
    /// refused.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        let media = self.media_type()?;
        let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
        if json { serde_json::from_slice(&self.body).ok() } else { None }
    }
}

impl Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// A response whose body is still to be read.
pub struct Opened {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: BoxStream<'static, Result<Bytes, HttpError>>,
}

impl Opened {
    /// Creates a response whose body is this stream.
    pub fn new(
        status: StatusCode,
        headers: HeaderMap,
        body: impl futures_util::Stream<Item = Result<Bytes, HttpError>> + Send + 'static,
    ) -> Self {
        Self { status, headers, body: body.boxed() }
    }

    fn whole(response: Response) -> Self {
        let body = futures_util::stream::iter([Ok(response.body)]);
        Self::new(response.status, response.headers, body)
    }

    /// Returns the next bytes of the body, or `None` at its end. Cancelling is safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, HttpError>> {
        self.body.next().await
    }

    /// Reads the rest of the body, up to `max` bytes.
    pub async fn read(mut self, max: usize) -> Result<Response, HttpError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > max {
                return Err(HttpError::BodyTooLarge { max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status: self.status, headers: self.headers, body: body.freeze() })
    }

    /// The media type in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        media_type(&self.headers)
    }
}

impl Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.status)
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
