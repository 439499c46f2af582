//! Bounds of a bridge.

use std::time::Duration;

/// Bounds of a bridge.
#[derive(Debug, Clone)]
pub struct BridgeSettings {
    /// The most bytes of one message, in either direction.
    pub message_bytes_max: usize,
    /// How long an answer may take to begin. The client has its own idea of that, and can cancel.
    pub begins_within: Duration,
    /// Requests under way at a time; one more is refused.
    pub requests_max: usize,
    /// The first wait before a stream is opened again; each further one is twice as long.
    pub reconnect_first: Duration,
    /// The longest such wait.
    pub reconnect_max: Duration,
    /// The shortest wait that a server can ask for. Where streams go on breaking at once, it doubles each time.
    pub reconnect_floor: Duration,
    /// A standing stream that was silent for so long is opened again: behind a machine that slept, or a proxy that
    /// forgot it, it would be silent for ever.
    pub silence_max: Duration,
    /// How long requests may go on after the client has closed its side.
    pub finish_within: Duration,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 * 1024 * 1024,
            begins_within: Duration::from_secs(600),
            requests_max: 64,
            reconnect_first: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
            reconnect_floor: Duration::from_millis(250),
            silence_max: Duration::from_secs(300),
            finish_within: Duration::from_secs(5),
        }
    }
}
