//! What may be called, and how long and large an exchange may be.

use std::fmt::{self, Debug};
use std::time::Duration;

use ipnet::IpNet;

/// What may be called, and how long and large an exchange may be.
#[derive(Clone)]
pub struct HttpSettings {
    /// Further certificate authorities to trust, as PEM; the platform's are always trusted. May be empty.
    pub extra_roots_pem: Vec<u8>,
    /// Networks that may be called over https although they are not public.
    pub allow_private: Vec<IpNet>,
    /// Whether `http://localhost`, `http://127.x.y.z` and `http://[::1]` may be called (CL-43).
    pub allow_http_loopback: bool,
    /// How many bytes of a body are ever read, whatever a request allows.
    pub body_bytes_max: usize,
    /// How long a whole exchange may take, from looking up the name to the last byte.
    pub timeout: Duration,
    /// How long connecting may take, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How many exchanges run at once; others wait, and the wait counts towards their timeout (ATK-32).
    pub concurrent_max: usize,
}

impl Default for HttpSettings {
    /// Public https only; 1 MiB for a body, 10 seconds, 3 seconds to connect, 64 exchanges at once.
    fn default() -> Self {
        Self {
            extra_roots_pem: Vec::new(),
            allow_private: Vec::new(),
            allow_http_loopback: false,
            body_bytes_max: 1024 * 1024,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            concurrent_max: 64,
        }
    }
}

impl Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("allow_private", &self.allow_private)
            .field("allow_http_loopback", &self.allow_http_loopback)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
