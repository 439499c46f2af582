//! The generator: calls one proxy at a steady rate, checks every answer, and reads the processor time of the proxy.
//!
//! One thread per connection, each with its own timetable: thread *i* of *n* calls at `i/rate`, `(i+n)/rate`, ... so
//! that all together call evenly. A thread has one call under way at most; when an answer comes after the next call
//! was due, that call leaves at once and its latency counts from when it was due (no coordinated omission).
//! Rate 0 makes it a closed loop: every thread calls again as soon as it has its answer.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http1::{Connection, HttpError, host_header, loopback_address};
use crate::{proc, stub};

/// The size of the body of every call, in bytes.
const BODY_BYTES: usize = 300;
/// The first id. All ids have nine digits, so that all bodies have the same length.
const FIRST_ID: u64 = 100_000_000;
/// A run that takes longer than its timetable by more than this share did not keep its rate.
const LATE_SHARE_MAX: f64 = 0.05;

/// One measurement.
#[derive(clap::Args)]
pub(crate) struct LoadArguments {
    /// What is measured, as it stands in the table
    #[arg(long)]
    name: String,
    /// The URL to call, on loopback
    #[arg(long)]
    url: Url,
    /// A file with the access token to show
    #[arg(long)]
    token_file: PathBuf,
    /// Connections, each with one call under way at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Calls that are measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// Calls before the measurement
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    warm_up: u32,
    /// Calls per second over all connections; 0 calls again as soon as the answer is there
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate: u32,
    /// The longest that warm-up and measurement may take together
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds_max: u16,
    /// The process whose processor time and memory are read
    #[arg(long)]
    process: u32,
    /// The core that this generator and the stub are pinned to
    #[arg(long)]
    core: usize,
    /// The largest share of that core, in percent, that may be busy
    #[arg(long, default_value_t = 90.0)]
    core_busy_percent_max: f64,
    /// Ticks of processor time per second (`getconf CLK_TCK`)
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    ticks_per_second: u32,
}

/// What one measurement found: one line of JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) name: String,
    /// Calls answered per second.
    pub(crate) calls_per_second: f64,
    /// Processor seconds (user and system, all threads) that the proxy used for 1,000 calls.
    pub(crate) cpu_seconds_per_1000: f64,
    /// Half of the calls took at most this long.
    pub(crate) p50_microseconds: f64,
    /// 99 of 100 calls took at most this long.
    pub(crate) p99_microseconds: f64,
    /// The most memory that the proxy had resident since it started.
    pub(crate) peak_resident_kib: u64,
    /// Share of its core that the generator itself used.
    pub(crate) generator_share: f64,
    /// Share of the generator's core that was not idle, whoever used it.
    pub(crate) core_busy_share: f64,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The answer was not that of the stub.
    #[error("call {id} got status {status} and not the expected result: {body}")]
    Answer { id: u64, status: u16, body: String },
    /// The generator's core was too busy for a reliable result.
    #[error("the generator's core was {busy:.0} % busy, more than {limit:.0} %: stop other work or lower --rate")]
    CoreBusy { busy: f64, limit: f64 },
    /// A call could not be made.
    #[error("call {id} failed: {source}")]
    Exchange { id: u64, source: HttpError },
    /// The calls did not keep to their timetable.
    #[error("{calls} calls took {seconds:.2} s instead of {planned:.2} s: stop other work or lower --rate")]
    Late { calls: u32, seconds: f64, planned: f64 },
    /// A connection could not be opened.
    #[error("cannot connect to `{url}`: {source}")]
    Open { url: Url, source: HttpError },
    /// The run would take, or took, longer than allowed.
    #[error("not done within {0} s; raise --seconds-max, or lower --requests and --warm-up")]
    Overtime(u16),
    /// A thread ended without a result.
    #[error("a generator thread stopped before it was done")]
    Stopped,
    /// The token could not be read.
    #[error("cannot read the token in `{path}`: {source}")]
    Token { path: PathBuf, source: std::io::Error },
    /// The kernel's figures could not be read.
    #[error(transparent)]
    Proc(#[from] proc::ProcError),
    /// The measurement could not be written down.
    #[error("cannot write the measurement: {0}")]
    Write(#[from] serde_json::Error),
}

/// Makes one measurement and returns its line of JSON.
pub(crate) fn run(arguments: &LoadArguments) -> Result<String, LoadError> {
    if arguments.rate > 0 && (arguments.requests + arguments.warm_up) / arguments.rate > arguments.seconds_max.into() {
        return Err(LoadError::Overtime(arguments.seconds_max));
    }
    let callers = callers(arguments)?;
    let gate = Arc::new(Barrier::new(callers.len() + 1));
    let threads: Vec<_> = callers
        .into_iter()
        .map(|caller| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || caller.warm_up_and_measure(&gate))
        })
        .collect();

    // The warm-up ends at the first gate. Between the two gates, nobody calls, and the counters are read.
    gate.wait();
    let before = Counters::read(arguments)?;
    gate.wait();
    let mut latencies = Vec::with_capacity(arguments.requests as usize);
    for thread in threads {
        latencies.append(&mut thread.join().map_err(|_| LoadError::Stopped)??);
    }
    let after = Counters::read(arguments)?;
    let measurement = summarise(arguments, &before, &after, &mut latencies)?;
    Ok(serde_json::to_string(&measurement)?)
}

fn callers(arguments: &LoadArguments) -> Result<Vec<Caller>, LoadError> {
    let path = &arguments.token_file;
    let token = fs::read_to_string(path).map_err(|source| LoadError::Token { path: path.clone(), source })?;
    let open_error = |source| LoadError::Open { url: arguments.url.clone(), source };
    let address = loopback_address(&arguments.url).map_err(open_error)?;
    let connections = u32::from(arguments.connections);
    let deadline = proc::instant() + Duration::from_secs(arguments.seconds_max.into());
    (0..connections)
        .map(|index| {
            let share = |calls: u32| calls / connections + u32::from(index < calls % connections);
            Ok(Caller {
                connection: Connection::open(address).map_err(open_error)?,
                request: RequestBytes::new(&arguments.url, token.trim()),
                timetable: Timetable::new(arguments.rate, connections, index),
                warm_up: share(arguments.warm_up),
                measured: share(arguments.requests),
                next_id: FIRST_ID + u64::from(index) * 1_000_000,
                deadline,
                seconds_max: arguments.seconds_max,
            })
        })
        .collect()
}

/// Everything that is read at both ends of a measurement.
struct Counters {
    at: Instant,
    proxy_ticks: u64,
    own_ticks: u64,
    core: proc::CoreTime,
}

impl Counters {
    fn read(arguments: &LoadArguments) -> Result<Self, proc::ProcError> {
        Ok(Self {
            at: proc::instant(),
            proxy_ticks: proc::process_ticks(&arguments.process.to_string())?,
            own_ticks: proc::process_ticks("self")?,
            core: proc::core_time(arguments.core)?,
        })
    }
}

fn summarise(
    arguments: &LoadArguments,
    before: &Counters,
    after: &Counters,
    latencies: &mut [Duration],
) -> Result<Measurement, LoadError> {
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let calls = f64::from(arguments.requests);
    let core_busy_share = after.core.busy_share_since(before.core);
    if core_busy_share * 100.0 > arguments.core_busy_percent_max {
        return Err(LoadError::CoreBusy { busy: core_busy_share * 100.0, limit: arguments.core_busy_percent_max });
    }
    let planned = if arguments.rate == 0 { f64::INFINITY } else { calls / f64::from(arguments.rate) };
    if seconds > planned * (1.0 + LATE_SHARE_MAX) {
        return Err(LoadError::Late { calls: arguments.requests, seconds, planned });
    }
    let ticks_per_second = f64::from(arguments.ticks_per_second);
    let cpu_seconds = |after: u64, before: u64| after.saturating_sub(before) as f64 / ticks_per_second;
    latencies.sort_unstable();
    Ok(Measurement {
        name: arguments.name.clone(),
        calls_per_second: calls / seconds,
        cpu_seconds_per_1000: cpu_seconds(after.proxy_ticks, before.proxy_ticks) * 1_000.0 / calls,
        p50_microseconds: percentile(latencies, 50),
        p99_microseconds: percentile(latencies, 99),
        peak_resident_kib: proc::peak_resident_kib(&arguments.process.to_string())?,
        generator_share: cpu_seconds(after.own_ticks, before.own_ticks) / seconds,
        core_busy_share,
    })
}

/// The smallest latency that `percent` of the calls did not exceed, in microseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

/// One thread's work.
struct Caller {
    connection: Connection,
    request: RequestBytes,
    timetable: Timetable,
    warm_up: u32,
    measured: u32,
    next_id: u64,
    deadline: Instant,
    seconds_max: u16,
}

impl Caller {
    /// Passes both gates even after an error, because the other threads wait there.
    fn warm_up_and_measure(mut self, gate: &Barrier) -> Result<Vec<Duration>, LoadError> {
        let warmed_up = self.calls(self.warm_up);
        gate.wait();
        gate.wait();
        warmed_up?;
        self.calls(self.measured)
    }

    fn calls(&mut self, count: u32) -> Result<Vec<Duration>, LoadError> {
        let begun = proc::instant();
        let mut latencies = Vec::with_capacity(count as usize);
        let mut free_at = begun;
        for number in 0..count {
            let from = self.timetable.wait(begun, number, free_at);
            if from > self.deadline {
                return Err(LoadError::Overtime(self.seconds_max));
            }
            self.call()?;
            free_at = proc::instant();
            latencies.push(free_at.duration_since(from));
        }
        Ok(latencies)
    }

    fn call(&mut self) -> Result<(), LoadError> {
        let id = self.next_id;
        self.next_id += 1;
        let answer =
            self.connection.exchange(self.request.with_id(id)).map_err(|source| LoadError::Exchange { id, source })?;
        if answer.status == 200 && is_expected(answer.body, id) {
            return Ok(());
        }
        let body = String::from_utf8_lossy(answer.body).chars().take(300).collect();
        Err(LoadError::Answer { id, status: answer.status, body })
    }
}

/// The timetable of one thread.
struct Timetable {
    /// The time between two calls of this thread. `None` is a closed loop.
    interval: Option<Duration>,
    offset: Duration,
}

impl Timetable {
    fn new(rate: u32, connections: u32, index: u32) -> Self {
        let seconds = |calls: u32| Duration::from_secs(calls.into()).checked_div(rate);
        Self { interval: seconds(connections), offset: seconds(index).unwrap_or_default() }
    }

    /// Waits until the next call may be sent, and returns the moment from which its latency counts: the moment at which
    /// it was due if the connection was still busy then, else now, because the proxy is not to blame if this thread
    /// wakes up late.
    #[expect(clippy::disallowed_methods, reason = "waiting for the next call's time is what a paced generator does")]
    fn wait(&self, begun: Instant, number: u32, free_at: Instant) -> Instant {
        let Some(interval) = self.interval else {
            return free_at;
        };
        let due = begun + self.offset + interval * number;
        if free_at > due {
            return due;
        }
        thread::sleep(due.saturating_duration_since(proc::instant()));
        proc::instant()
    }
}

/// A protected read call as bytes, of which only the id changes.
struct RequestBytes {
    bytes: Vec<u8>,
    before_id: Vec<u8>,
    after_id: Vec<u8>,
}

impl RequestBytes {
    fn new(url: &Url, token: &str) -> Self {
        let before = r#"{"jsonrpc":"2.0","id":"#;
        let (tool, meta) = (stub::TOOL, "io.modelcontextprotocol");
        let after = |path: &str| {
            format!(
                r#","method":"tools/call","params":{{"name":"{tool}","arguments":{{"path":"{path}"}},"_meta":{{"{meta}/protocolVersion":"2026-07-28","{meta}/clientInfo":{{"name":"bench","version":"1"}},"{meta}/clientCapabilities":{{}}}}}}}}"#
            )
        };
        let id_digits = FIRST_ID.to_string().len();
        let padding = BODY_BYTES.saturating_sub(before.len() + id_digits + after("").len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {BODY_BYTES}\r\n\r\n",
            path = url.path(),
            host = host_header(url),
        );
        Self {
            bytes: Vec::new(),
            before_id: [head.as_str(), before].concat().into_bytes(),
            after_id: after(&"n".repeat(padding)).into_bytes(),
        }
    }

    fn with_id(&mut self, id: u64) -> &[u8] {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.before_id);
        self.bytes.extend_from_slice(id.to_string().as_bytes());
        self.bytes.extend_from_slice(&self.after_id);
        &self.bytes
    }
}

#[derive(Deserialize)]
struct Answered<'a> {
    id: u64,
    #[serde(borrow)]
    result: CallResult<'a>,
}

#[derive(Deserialize)]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Content<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    text: &'a str,
}

/// Whether this is the stub's answer to the call with that id.
fn is_expected(body: &[u8], id: u64) -> bool {
    serde_json::from_slice::<Answered<'_>>(body).is_ok_and(|answer| {
        answer.id == id && matches!(answer.result.content.as_slice(), [content] if content.text == stub::TEXT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_body_of_300_bytes_that_its_headers_agree_with() {
        let url = Url::parse("http://localhost:8420/mcp/bench").unwrap();
        let mut request = RequestBytes::new(&url, "t");
        for id in [FIRST_ID, FIRST_ID + 255_999_999] {
            let text = String::from_utf8(request.with_id(id).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let call: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body.len(), BODY_BYTES);
            assert_eq!(call["id"], id);
            assert!(head.contains("\r\nHost: localhost:8420\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nMcp-Method: {}\r\n", call["method"].as_str().unwrap())), "{head}");
            assert!(
                head.contains(&format!("\r\nMcp-Name: {}\r\n", call["params"]["name"].as_str().unwrap())),
                "{head}"
            );
        }
    }

    #[test]
    fn only_the_stubs_own_answer_to_this_very_call_counts() {
        let answer = |id: u64, text: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"text":"{text}"}}]}}}}"#)
        };
        assert!(is_expected(answer(7, stub::TEXT).as_bytes(), 7));
        assert!(!is_expected(answer(8, stub::TEXT).as_bytes(), 7));
        assert!(!is_expected(answer(7, "something else").as_bytes(), 7));
        assert!(!is_expected(br#"{"jsonrpc":"2.0","id":7,"error":{"code":1403,"message":"no"}}"#, 7));
    }

    #[test]
    fn a_percentile_is_the_latency_that_so_many_calls_did_not_exceed() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        for (percent, expected) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((percentile(&sorted, percent) - expected).abs() < 1e-6, "{percent}");
        }
    }

    #[test]
    fn a_call_that_was_due_while_the_connection_was_busy_counts_from_then() {
        let timetable = Timetable::new(1_000, 4, 1);
        let begun = proc::instant();
        let free_at = begun + Duration::from_millis(100);
        assert_eq!(timetable.wait(begun, 2, free_at), begun + Duration::from_millis(1 + 2 * 4));
        assert_eq!(Timetable::new(0, 4, 1).wait(begun, 2, free_at), free_at);
    }
}
