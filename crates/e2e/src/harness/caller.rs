//! Plain HTTP: no redirects are followed, no cookies are kept, and nothing is decompressed.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wait::LONG;

/// Sends requests.
#[derive(Debug, Clone)]
pub struct Caller(Client);

/// A request that is being built.
#[derive(Debug)]
pub struct Call(RequestBuilder);

/// A response, read completely.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A response whose body is still arriving.
#[derive(Debug)]
pub struct Opened {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    text: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}

impl Caller {
    /// Creates a caller with its own connections.
    pub fn new() -> Self {
        Self::built(|builder| builder)
    }

    /// Creates a caller that trusts only this certificate authority, in PEM.
    pub fn trusting(authority_pem: &str) -> Self {
        let authority = reqwest::Certificate::from_pem(authority_pem.as_bytes()).expect("a certificate in PEM");
        Self::built(|builder| builder.tls_certs_only([authority]))
    }

    fn built(change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Self {
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(LONG);
        Self(change(builder).build().expect("a client can be made"))
    }

    /// Creates a request.
    pub fn request(&self, method: Method, url: &str) -> Call {
        Call(self.0.request(method, url))
    }

    /// Creates a GET.
    pub fn get(&self, url: &str) -> Call {
        self.request(Method::GET, url)
    }

    /// Creates a POST.
    pub fn post(&self, url: &str) -> Call {
        self.request(Method::POST, url)
    }

    /// Creates a DELETE.
    pub fn delete(&self, url: &str) -> Call {
        self.request(Method::DELETE, url)
    }
}

impl Call {
    /// Returns the path of the request.
    pub fn path(&self) -> String {
        self.url().path().to_owned()
    }

    /// Returns scheme, host and port of the request.
    pub fn origin(&self) -> String {
        self.url().origin().ascii_serialization()
    }

    fn url(&self) -> reqwest::Url {
        let copy = self.0.try_clone().expect("a body that is not a stream");
        copy.build().expect("a request that can be sent").url().clone()
    }

    /// Adds a header. The same name twice is sent twice.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    /// Adds `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Sets these bytes as the body.
    #[must_use]
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        Self(self.0.body(bytes.into()))
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").body(value.to_string())
    }

    /// Sets a form as the body.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.header(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded").body(body)
    }

    /// Sends the request and reads the whole response.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Does the same for a request that may get no response.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    /// Sends the request and returns when the head of the response has arrived.
    pub async fn open(self) -> Opened {
        let response = self.0.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Opened { status, headers, response, text: String::new() }
    }
}

impl Answer {
    /// Returns a header, if it is text and occurs once.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns `Location`.
    pub fn location(&self) -> Option<&str> {
        self.header(LOCATION.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON, with status {}: {}", self.status, self.text()))
    }

    /// Returns the parameters of `WWW-Authenticate: Bearer …`, or `null` if there is none.
    pub fn challenge(&self) -> Value {
        self.header("www-authenticate").map_or(Value::Null, challenge)
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    assert!(values.next().is_none(), "`{name}` stands there twice");
    Some(first.to_str().expect("a header is text"))
}

/// Reads `Bearer a="b", c="d"` into an object. It is for our own challenges only: it knows no escapes.
fn challenge(value: &str) -> Value {
    let parameters = value.strip_prefix("Bearer").unwrap_or_else(|| panic!("not a bearer challenge: {value}"));
    let pairs = parameters.split("\", ").map(|pair| pair.trim().trim_end_matches('"')).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once("=\"").unwrap_or_else(|| panic!("not a parameter: {pair}")));
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).collect())
}

impl Opened {
    /// Returns a header, if it is text and occurs once.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the part of the body that has arrived.
    pub fn so_far(&self) -> &str {
        &self.text
    }

    /// Reads until this text has arrived. Returns false if the stream ends without it.
    pub async fn until(&mut self, text: &str) -> bool {
        while !self.text.contains(text) {
            match tokio::time::timeout(LONG, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                Ok(_) => return false,
                Err(_) => panic!("`{text}` did not come within {LONG:?}; there is: {}", self.text),
            }
        }
        true
    }

    /// Whether the stream ends, correctly or not, within `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        let ends = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        tokio::time::timeout(limit, ends).await.is_ok()
    }
}

/// Sends bytes as they are over their own connection, and reads until the other side closes. It is for requests that no
/// HTTP library would send.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.expect("it listens");
        stream.write_all(bytes).await.expect("it reads");
        let mut answer = Vec::new();
        // A refusal may be followed by a reset of the connection.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(LONG, exchange).await.expect("it comes to an end")
}
