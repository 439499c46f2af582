//! Every bound of this surface, with its reason, and the one that has to remember something: calls per second.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::ids::{ClientId, GrantId};

use crate::memory::Memory;
use crate::shares::Network;

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Scheme, host and port under which clients know us, without a slash at the end. It is also the only issuer whose
    /// tokens are accepted. Every URL we write begins with it, never with something from a request (ATK-13).
    pub base_url: String,
    /// The values of `Host` that are accepted, for example `localhost:8420`; upper and lower case are the same (TR-03).
    pub allowed_hosts: Vec<String>,
    /// The values of `Origin` that are accepted, compared byte by byte (TR-02). An empty list admits no browser.
    pub allowed_origins: Vec<String>,
    /// Clients that get the refusal of a tool call as a result of the tool, in addition to those of `profiles.rs`: they
    /// would not show any other refusal to their model or their user.
    pub tool_error_clients: Vec<ClientId>,
    /// Whether reads, too, are on record before their effect. Each read then waits for the disk.
    pub record_reads_first: bool,
    /// The bounds of this surface.
    pub limits: Limits,
}

/// Bounds of this surface.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most bytes of one request body (413 beyond). A larger body is refused, never read in part (ATK-68).
    pub body_bytes_max: usize,
    /// How long one body may take to arrive (408 after that; ATK-91).
    pub body_timeout: Duration,
    /// The most bytes of one message of an upstream, whatever carries it: a body, an event of a stream, a line of a
    /// program.
    pub answer_bytes_max: usize,
    /// How long one request may take without progress, if its server has no setting of its own. With progress it may
    /// take twelve times as long (TR-44). Standing streams are not requests.
    pub request_deadline: Duration,
    /// The most open event streams of one grant (429 beyond; ATK-94).
    pub streams_per_grant: usize,
    /// The most open event streams in all (503 beyond). The last quarter is for callers that have few (429 for the
    /// others).
    pub streams_total: usize,
    /// The most sessions of the older revisions per user and client. Beyond that, the one that was idle longest is
    /// ended.
    pub sessions_per_grant: usize,
    /// How long a session of the older revisions lives without a request.
    pub session_idle: Duration,
    /// The most calls of one grant per second, with a burst of twice that (429 beyond; RS-61). `None` means no bound.
    pub calls_per_second_max: Option<NonZeroU32>,
    /// The most verified tokens that are remembered.
    pub tokens_cached_max: usize,
    /// The most records that wait for their batch; beyond that, calls wait, too. Each open call and stream holds a
    /// place, so this is more than twice the number of calls and streams that may be open together.
    pub records_queued_max: usize,
    /// The memory that bodies and answers may use in this process, all together.
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

/// The caller made too many calls in too short a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls for one grant; wait a second and send fewer")]
pub(crate) struct TooFast;

/// Who is counted as one caller.
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

    /// Counts one call of this caller, which came from this address. The anonymous callers of one network count as one.
    pub(crate) fn take(&self, caller: &Caller, source: Option<IpAddr>) -> Result<(), TooFast> {
        let Some(calls) = &self.calls else { return Ok(()) };
        let payer = match &caller.basis {
            Basis::Grant(granted) => Payer::Grant(granted.grant),
            Basis::Open => Payer::Anonymous(Network::of(source)),
        };
        calls.check_key(&payer).map_err(|_| TooFast)
    }

    /// Forgets callers that were quiet long enough to have their full number of calls again.
    pub(crate) fn sweep(&self) {
        if let Some(calls) = &self.calls {
            calls.retain_recent();
            calls.shrink_to_fit();
        }
    }
}
