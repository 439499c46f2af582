//! Why a request has no answer.

/// Why there is no answer. Says nothing of what an answer held; to strangers say even less (ATK-29).
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The host is, or resolves to, an address that must not be called (RFC 9728 §7.7).
    #[error("`{host}` leads to an address that must not be called: if you mean it, add its network to those allowed")]
    Address {
        /// The host as the URL names it.
        host: String,
    },
    /// The answer's body is longer than allowed.
    #[error("the answer has more than {max} bytes")]
    BodyTooLarge {
        /// The bound, in bytes.
        max: usize,
    },
    /// A stranger names something less secure than itself.
    #[error(
        "`{by}` names {what} that is less secure than itself, or lies further inside: it is not asked for (see docs/threats.md)"
    )]
    Named {
        /// Who.
        by: String,
        /// What, in words.
        what: &'static str,
    },
    /// Nobody listens, or does not in time.
    #[error("`{host}` does not answer: is it running, and is the port right")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// The last reason.
        #[source]
        source: std::io::Error,
    },
    /// The whole exchange took too long.
    #[error("no complete answer within {seconds} seconds")]
    Deadline {
        /// The bound, in seconds.
        seconds: u64,
    },
    /// The answer is compressed though we asked for it plain; it is not unpacked (ATK-32).
    #[error("the answer is encoded though a plain one was asked for")]
    Encoding,
    /// A port that serves something else than HTTP.
    #[error("port {port} must not be called")]
    Port {
        /// The port.
        port: u16,
    },
    /// Not HTTP/1.1.
    #[error("the answer is not HTTP")]
    Protocol(#[source] hyper::Error),
    /// The request itself cannot be sent.
    #[error("the request cannot be sent")]
    Request(#[source] ::http::Error),
    /// The name has no address.
    #[error("`{host}` has no address: check the name")]
    Resolve {
        /// The host as the URL names it.
        host: String,
    },
    /// Plain `http` to a host that is not loopback, or at all where not allowed (CL-43).
    #[error("only https is called: plain http is for loopback, where allowed")]
    Scheme,
    /// The certificate or the handshake is not good.
    #[error("no secure connection to `{host}`: a private certificate authority can be added with a CA file")]
    Tls {
        /// The host as the URL names it.
        host: String,
        /// What the TLS library says.
        #[source]
        source: std::io::Error,
    },
    /// No certificate authority is trusted on this machine.
    #[error("no trusted certificate authorities on this machine: install them or name a CA file")]
    TrustRoots(#[source] rustls::Error),
    /// Not an absolute URL without user information and fragment.
    #[error("not an absolute URL without user information and fragment")]
    Url,
}
