//! One blocking HTTP/1.1 connection: sends the bytes of a request and reads one response.
//!
//! It is blocking, because a thread that writes and reads one socket makes only two system calls for each call: the
//! generator shares a core with the stub and has to be the cheaper of the two.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use url::{Host, Url};

/// The largest response that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The longest wait for more bytes of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The socket failed, or the wait took too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The answer is longer than anything this benchmark expects.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    Long,
    /// The answer is not HTTP/1.1 as this reader knows it.
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The URL leads away from loopback.
    #[error("`{0}` is not a plain HTTP URL on loopback; nothing else is called from here")]
    NotLoopback(String),
}

/// Returns the address at which the host of a URL listens. Only loopback is permitted.
pub(crate) fn loopback_address(url: &Url) -> Result<SocketAddr, HttpError> {
    let address = match url.host() {
        Some(Host::Domain("localhost")) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => None,
    };
    let address = address.filter(|address| address.is_loopback() && url.scheme() == "http");
    match (address, url.port_or_known_default()) {
        (Some(address), Some(port)) => Ok(SocketAddr::new(address, port)),
        _ => Err(HttpError::NotLoopback(url.to_string())),
    }
}

/// Returns the value of `Host` for a URL.
pub(crate) fn host_header(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A kept-alive connection with its buffers.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    unchunked: Vec<u8>,
}

/// A complete response, which borrows the connection's buffers.
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body, chunks joined.
    pub(crate) body: &'a [u8],
    head: &'a str,
}

impl Answer<'_> {
    /// The values of every header line of that name, in order.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        header_values(self.head, name)
    }
}

enum Framing {
    Chunked,
    Length(usize),
}

impl Connection {
    /// Opens a connection.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, HttpError> {
        let stream = TcpStream::connect_timeout(&address, READ_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Self { stream, received: Vec::with_capacity(8 << 10), unchunked: Vec::new() })
    }

    /// Sends the bytes of one request and reads the whole answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, HttpError> {
        self.stream.write_all(request)?;
        self.received.clear();
        let head_bytes = loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.read_more()?;
        };
        let body_start = head_bytes + 4;
        let (status, framing) = understand(head_of(&self.received, head_bytes)?)?;
        let chunked = match framing {
            Framing::Chunked => {
                self.read_chunks(body_start)?;
                true
            }
            Framing::Length(length) => {
                let end = body_start.saturating_add(length);
                while self.received.len() < end {
                    self.read_more()?;
                }
                if self.received.len() > end {
                    return Err(HttpError::Malformed("more bytes than its length"));
                }
                false
            }
        };
        let body = if chunked { &self.unchunked } else { self.received.get(body_start..).unwrap_or_default() };
        Ok(Answer { status, body, head: head_of(&self.received, head_bytes)? })
    }

    fn read_more(&mut self) -> Result<(), HttpError> {
        if self.received.len() > ANSWER_BYTES_MAX {
            return Err(HttpError::Long);
        }
        let mut buffer = [0; 8 << 10];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(HttpError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(())
    }

    fn read_chunks(&mut self, body_start: usize) -> Result<(), HttpError> {
        loop {
            self.unchunked.clear();
            if unchunk(self.received.get(body_start..).unwrap_or_default(), &mut self.unchunked)? {
                return Ok(());
            }
            self.read_more()?;
        }
    }
}

fn head_of(received: &[u8], bytes: usize) -> Result<&str, HttpError> {
    let head = received.get(..bytes).unwrap_or_default();
    std::str::from_utf8(head).map_err(|_| HttpError::Malformed("its head is not text"))
}

fn header_values<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    head.lines().skip(1).filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn understand(head: &str) -> Result<(u16, Framing), HttpError> {
    let mut status_line = head.lines().next().unwrap_or_default().split(' ');
    if status_line.next() != Some("HTTP/1.1") {
        return Err(HttpError::Malformed("another protocol"));
    }
    let status = status_line.next().and_then(|status| status.parse().ok()).ok_or(HttpError::Malformed("no status"))?;
    if header_values(head, "transfer-encoding").any(|value| value.eq_ignore_ascii_case("chunked")) {
        return Ok((status, Framing::Chunked));
    }
    let length = match header_values(head, "content-length").next() {
        Some(length) => length.parse().map_err(|_| HttpError::Malformed("a length that is no number"))?,
        None if matches!(status, 204 | 304) => 0,
        None => return Err(HttpError::Malformed("neither a length nor chunks")),
    };
    Ok((status, Framing::Length(length)))
}

/// Joins chunks into `body`. Returns `false` if the last chunk is not there yet.
fn unchunk(mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, HttpError> {
    loop {
        let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else {
            return Ok(false);
        };
        let (size, rest) = bytes.split_at(line);
        let size = std::str::from_utf8(size).ok().map(|size| size.split(';').next().unwrap_or_default().trim());
        let size = size
            .and_then(|size| usize::from_str_radix(size, 16).ok())
            .filter(|size| *size <= ANSWER_BYTES_MAX)
            .ok_or(HttpError::Malformed("a chunk without a size"))?;
        let (Some(chunk), Some(end)) = (rest.get(2..2 + size), rest.get(2 + size..4 + size)) else {
            return Ok(false);
        };
        if end != b"\r\n" {
            return Err(HttpError::Malformed("a chunk of another size, or a trailer"));
        }
        if size == 0 {
            return Ok(true);
        }
        body.extend_from_slice(chunk);
        bytes = rest.get(4 + size..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves one connection with the given pieces, each of which is written separately.
    fn one_answer(pieces: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn an_answer_is_read_whole_however_it_is_cut() {
        let cases: [(&[&str], u16, &str); 4] = [
            (&["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"], 200, "body"),
            (&["HTTP/1.1 401 No\r\nconte", "nt-length: 4\r\n\r\nbo", "dy"], 401, "body"),
            (
                &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r", "\n2;x\r\ndy\r\n0\r\n", "\r\n"],
                200,
                "body",
            ),
            (&["HTTP/1.1 204 No Content\r\n\r\n"], 204, ""),
        ];
        for (pieces, status, body) in cases {
            let mut connection = Connection::open(one_answer(pieces)).unwrap();
            let answer = connection.exchange(b"x").unwrap();
            assert_eq!((answer.status, answer.body), (status, body.as_bytes()), "{pieces:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_or_not_http_is_an_error() {
        let cases: [&[&str]; 5] = [
            &["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"],
            &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbody"],
            &["HTTP/1.1 200 OK\r\n\r\n"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbody\r\n0\r\n\r\n"],
            &["SSH-2.0-x\r\n\r\n"],
        ];
        for pieces in cases {
            let mut connection = Connection::open(one_answer(pieces)).unwrap();
            assert!(connection.exchange(b"x").is_err(), "{pieces:?}");
        }
    }

    #[test]
    fn only_loopback_is_called() {
        let addressed = |url: &str| loopback_address(&Url::parse(url).unwrap());
        assert_eq!(addressed("http://localhost:81/x").unwrap().to_string(), "127.0.0.1:81");
        for url in ["http://192.0.2.1/", "http://example.com/", "https://localhost/", "http://[2001:db8::1]/"] {
            assert!(matches!(addressed(url), Err(HttpError::NotLoopback(_))), "{url}");
        }
    }
}
