//! Every bound of this surface, named and reasoned; and the one that needs a memory: calls per second.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::ids::{ClientId, GrantId};

use crate::memory::Memory;
use crate::shares::Network;

/// What the gateway is told by configuration.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Scheme, host and port under which clients know us, without a slash at the end; also the issuer that is
    /// believed. Every URL we write comes from here, never from a request (ATK-13).
    pub base_url: String,
    /// Values of `Host` that are answered, for example `localhost:8420`; compared without case (TR-03).
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are answered; compared byte by byte (TR-02). An empty list admits no browser.
    pub allowed_origins: Vec<String>,
    /// Clients whose calls of tools are refused by the result of the tool, beside those of `profiles.rs`: they would
    /// not show their model or their user any other refusal.
    pub tool_error_clients: Vec<ClientId>,
    /// Whether reads are on record before their effect, as everything else is: each then waits for the disk.
    pub record_reads_first: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of this surface.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one request body (413 beyond); what is larger is refused, never read in part (ATK-68).
    pub body_bytes_max: usize,
    /// How long one body may take to arrive (408 beyond; ATK-91).
    pub body_timeout: Duration,
    /// Bytes of one message of an upstream, whatever carries it: a body, an event of a stream, a line of a program.
    pub answer_bytes_max: usize,
    /// How long one request may take without progress, where its server has no setting of its own; with progress twelve
    /// times as long (TR-44). Standing streams are not requests.
    pub request_deadline: Duration,
    /// Open event streams of one grant (429 beyond; ATK-94).
    pub streams_per_grant: usize,
    /// Open event streams altogether (503 beyond). The last quarter is for callers that have few (429 for the others).
    pub streams_total: usize,
    /// Sessions of the older revisions per user and client; the one that was idle longest gives way.
    pub sessions_per_grant: usize,
    /// How long a session of the older revisions lives without a request.
    pub session_idle: Duration,
    /// Calls of one grant per second, with a burst of twice that (429 beyond; RS-61). `None` does not count.
    pub calls_per_second_max: Option<NonZeroU32>,
    /// Verified tokens that are remembered.
    pub tokens_cached_max: usize,
    /// Records that wait for their batch; when that many wait, calls wait too. Open calls and streams hold a place each,
    /// so it is more than twice what may be open of both together.
    pub records_queued_max: usize,
    /// What bodies and answers may hold in this process, all together.
    pub memory: Memory,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            body_timeout: Duration::from_secs(30),
            answer_bytes_max: 16 << 20,
            request_deadline: Duration::from_mins(5),
            streams_per_grant: 32,
            streams_total: 32_768,
            sessions_per_grant: 64,
            session_idle: Duration::from_hours(24),
            calls_per_second_max: NonZeroU32::new(1000),
            tokens_cached_max: 100_000,
            records_queued_max: 131_072,
            memory: Memory::default(),
        }
    }
}

/// Too many calls in too short a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls for one grant; wait a second and send fewer")]
pub(crate) struct TooFast;

/// By whom calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Payer {
    Anonymous(Network),
    Grant(GrantId),
}

/// Counts calls by grant, or by network of anonymous callers.
#[derive(Debug)]
pub(crate) struct Rates {
    calls: Option<DefaultKeyedRateLimiter<Payer>>,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let calls = limits.calls_per_second_max.map(|calls| {
            let burst = calls.saturating_mul(NonZeroU32::MIN.saturating_add(1));
            RateLimiter::keyed(Quota::per_second(calls).allow_burst(burst))
        });
        Self { calls }
    }

    /// Takes one call of this caller, who called from this address. The anonymous callers of one network count as one.
    pub(crate) fn take(&self, caller: &Caller, source: Option<IpAddr>) -> Result<(), TooFast> {
        let Some(calls) = &self.calls else { return Ok(()) };
        let payer = match &caller.basis {
            Basis::Grant(granted) => Payer::Grant(granted.grant),
            Basis::Open => Payer::Anonymous(Network::of(source)),
        };
        calls.check_key(&payer).map_err(|_| TooFast)
    }

    /// Forgets who was quiet for long enough to have all calls again.
    pub(crate) fn sweep(&self) {
        if let Some(calls) = &self.calls {
            calls.retain_recent();
            calls.shrink_to_fit();
        }
    }
}
