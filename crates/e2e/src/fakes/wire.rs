//! HTTP/1.1 by hand: a test decides on every byte that it sends, and sees every byte that it receives.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The timeout for every response. No honest response in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it is sent.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// Creates a request with any method and target. `Host`, `Content-Length` and `Connection` are added if they are
    /// missing.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Creates a `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Creates a `POST`.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Returns path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sets a form as the body.
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = encode(pairs);
        self.header("content-type", "application/x-www-form-urlencoded").body(body.as_bytes())
    }

    /// Sets a JSON body.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string().as_bytes())
    }

    /// Sets the bytes of the body.
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    /// Removes the headers with this name.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    /// Returns the bytes that are sent.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !has("host") {
            text += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !has("content-length") && !has("transfer-encoding") && (!self.body.is_empty() || self.method == "POST") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        if !has("connection") {
            text += "Connection: close\r\n";
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

/// Encodes as `application/x-www-form-urlencoded`, with every byte escaped that could have a meaning.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

/// A response, read completely.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// All headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the first header with this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON. For an event stream: the last message with an `id`, or else the last message.
    pub fn json(&self) -> Value {
        if let Ok(value) = serde_json::from_slice(&self.body) {
            return value;
        }
        let events = events(&self.text());
        events.iter().rev().find(|event| event.get("id").is_some()).or(events.last()).cloned().unwrap_or(Value::Null)
    }
}

/// Returns the JSON messages in the text of an event stream.
pub fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect()
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection.
pub struct Connection {
    stream: Box<dyn Io>,
    buffer: Vec<u8>,
    chunked: bool,
    left: Option<usize>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects over TCP.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Uses any stream, such as TLS.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), chunked: false, left: None }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut part = [0; 16 * 1024];
        let length = timeout(PATIENCE, self.stream.read(&mut part)).await??;
        self.buffer.extend(part.iter().take(length));
        Ok(length > 0)
    }

    /// Whether the other side closes within `wait`. Everything that it still sends is discarded.
    pub async fn closes_within(&mut self, wait: Duration) -> bool {
        let end = async {
            let mut part = [0; 4096];
            while matches!(self.stream.read(&mut part).await, Ok(1..)) {}
        };
        timeout(wait, end).await.is_ok()
    }

    /// Reads the head of the next response. Its body is empty.
    pub async fn head(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let reply = read_head(&head)?;
                self.chunked = reply.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
                self.left = reply.header("content-length").and_then(|value| value.parse().ok());
                return Ok(reply);
            }
            if !self.more().await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    }

    /// Reads some more of the body. `None` when it has ended correctly, an error when it was cut off.
    pub async fn part(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.chunked { self.chunk().await } else { self.plain().await }
    }

    async fn plain(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        if self.buffer.is_empty() && !self.more().await? {
            return if self.left.is_none() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let take = self.left.map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
        self.left = self.left.map(|left| left - take);
        Ok(Some(self.buffer.drain(..take).collect()))
    }

    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).into_owned();
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                    .map_err(|_| io::Error::other(format!("not a chunk: {line:?}")))?;
                if self.buffer.len() >= end + 2 + size + 2 {
                    let chunk = self.buffer.get(end + 2..end + 2 + size).unwrap_or_default().to_vec();
                    self.buffer.drain(..end + 2 + size + 2);
                    return Ok((size > 0).then_some(chunk));
                }
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the next response completely.
    pub async fn reply(&mut self, to_method: &str) -> io::Result<Reply> {
        let mut reply = self.head().await?;
        if to_method == "HEAD" || matches!(reply.status, 100..=199 | 204 | 304) {
            return Ok(reply);
        }
        while let Some(part) = self.part().await? {
            reply.body.extend(part);
        }
        Ok(reply)
    }

    /// Reads everything until the other side closes or is silent for `wait`, without parsing it.
    pub async fn rest(&mut self, wait: Duration) -> Vec<u8> {
        let mut part = [0; 16 * 1024];
        while let Ok(Ok(length @ 1..)) = timeout(wait, self.stream.read(&mut part)).await {
            self.buffer.extend(part.iter().take(length));
        }
        std::mem::take(&mut self.buffer)
    }
}

/// Sends one request on its own connection.
pub async fn ask(address: SocketAddr, request: &Ask) -> io::Result<Reply> {
    let mut connection = Connection::open(address).await?;
    let host = format!("localhost:{}", address.port());
    // A refusal may arrive before the whole request was sent.
    let _ = connection.send(&request.bytes(&host)).await;
    connection.reply(&request.method).await
}

/// Does the same from another address of this machine, such as 127.0.0.2, which is another caller for the checkpoint.
pub async fn ask_from(source: IpAddr, address: SocketAddr, request: &Ask) -> io::Result<Reply> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let mut connection = Connection::over(timeout(PATIENCE, socket.connect(address)).await??);
    let _ = connection.send(&request.bytes(&format!("localhost:{}", address.port()))).await;
    connection.reply(&request.method).await
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn read_head(bytes: &[u8]) -> io::Result<Reply> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {first:?}")))?;
    let pair =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Reply { status, headers: lines.filter_map(pair).collect(), body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::AsyncWriteExt as _;

    use super::{Ask, Connection, encode, events};

    #[test]
    fn a_request_is_written_as_it_was_put_together() {
        let ask = Ask::post("/x").header("a", "b").body(b"hi");
        assert_eq!(
            ask.bytes("h:1"),
            b"POST /x HTTP/1.1\r\nHost: h:1\r\na: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
        );
        assert_eq!(encode(&[("a b", "c&d"), ("e", "")]), "a%20b=c%26d&e=");
    }

    #[tokio::test]
    async fn chunks_and_lengths_are_taken_off() {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            .await
            .unwrap();
        near.write_all(b"HTTP/1.1 404 No\r\nX: y\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        let mut connection = Connection::over(far);
        assert_eq!(connection.reply("GET").await.unwrap().body, b"abcde");
        let second = connection.reply("GET").await.unwrap();
        assert_eq!((second.status, second.header("x"), second.text().as_str()), (404, Some("y"), "no"));
        near.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut").await.unwrap();
        drop(near);
        assert!(connection.reply("GET").await.is_err(), "a cut body is no answer");
    }

    #[test]
    fn messages_are_found_in_a_stream_of_events() {
        assert_eq!(events("id: 1\ndata: {\"a\":1}\n\ndata:{\"b\":2}\n\n: x\n"), [json!({"a": 1}), json!({"b": 2})]);
    }
}
