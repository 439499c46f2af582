//! Why a request has no response.

/// Why there is no response. It contains nothing of a response's content; show strangers even less (ATK-29).
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The host is an address that must not be called, or resolves to one (RFC 9728 §7.7).
    #[error("`{host}` leads to an address that must not be called: if you mean it, add its network to those allowed")]
    Address {
        /// The host as the URL names it.
        host: String,
    },
    /// The response's body is longer than allowed.
    #[error("the answer has more than {max} bytes")]
    BodyTooLarge {
        /// The bound, in bytes.
        max: usize,
    },
    /// A stranger names a URL that is less secure than the stranger's own.
    #[error(
        "`{by}` names {what} that is less secure than itself, or lies further inside: it is not asked for (see docs/threats.md)"
    )]
    Named {
        /// The host that names it.
        by: String,
        /// The kind of link, in words.
        what: &'static str,
    },
    /// The connection was refused, or was not established in time.
    #[error("`{host}` does not answer: is it running, and is the port right")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// The error of the last attempt.
        #[source]
        source: std::io::Error,
    },
    /// The whole exchange took longer than allowed.
    #[error("no complete answer within {seconds} seconds")]
    Deadline {
        /// The bound, in seconds.
        seconds: u64,
    },
    /// The response is compressed, although that was not accepted; it is not decompressed (ATK-32).
    #[error(
        "the answer is compressed, although it was asked for as it is; its operator has to switch compression off for requests with `Accept-Encoding: identity`"
    )]
    Encoding,
    /// The port belongs to a service other than HTTP.
    #[error("port {port} must not be called")]
    Port {
        /// The port.
        port: u16,
    },
    /// The response is not HTTP/1.1.
    #[error("the answer is not HTTP")]
    Protocol(#[source] hyper::Error),
    /// The request itself is not valid.
    #[error("the request cannot be sent")]
    Request(#[source] ::http::Error),
    /// The name has no address, or could not be resolved.
    #[error("`{host}` has no address: check the name")]
    Resolve {
        /// The host as the URL names it.
        host: String,
    },
    /// Plain `http` to a host that is not loopback, or plain `http` where it is not allowed at all (CL-43).
    #[error("only https is called: plain http is for loopback, where allowed")]
    Scheme,
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("no secure connection to `{host}`: a private certificate authority can be added with a CA file")]
    Tls {
        /// The host as the URL names it.
        host: String,
        /// The error of the TLS library.
        #[source]
        source: std::io::Error,
    },
    /// No certificate authority is trusted on this machine.
    #[error("no trusted certificate authorities on this machine: install them or name a CA file")]
    TrustRoots(#[source] rustls::Error),
    /// The text is not an absolute URL without user information and fragment.
    #[error("not an absolute URL without user information and fragment")]
    Url,
}
