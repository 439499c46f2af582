//! One request on its way through: what it holds, how fast it has to arrive, how fast its answer has to be read.
//!
//! Everything that a surface reads of a request passes [`Inbound`], and everything that it answers leaves through
//! [`Outbound`]: every byte of a body is counted here, also of one that a handler drops (ATK-188).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sekisho_gateway::memory::{Charge, SMALL_BYTES};
use tokio::time::{Instant, Sleep};

use super::table::{Line, Ticket};

/// Requests at one time on one connection whose heads are not counted: a page and what belongs to it.
const UNCOUNTED: usize = 4;
/// What a header costs beside its name and value (RFC 9113 §6.5.2 counts so, too).
const HEADER_BYTES: usize = 32;
/// How long a body of a caller without a token may take, beside the time that its length allows (ATK-191).
const BODY_GRACE: Duration = Duration::from_secs(10);
/// The slowest rate at which a body may arrive, in bytes a second: 128 kbit/s.
const BODY_BYTES_PER_SECOND: usize = 16 << 10;

/// Why a request is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Too much is held already.
    #[error("too much is being sent to this address; try again in a moment")]
    NoRoom = 1,
    /// It arrives too slowly.
    #[error("the body of the request did not arrive in time")]
    Slow = 2,
}

/// One request, until its answer is over.
#[derive(Debug)]
pub(crate) struct Guest {
    line: Arc<Line>,
    charge: Mutex<Charge>,
    /// A [`Trouble`], or 0.
    trouble: AtomicU8,
    has_arrived: AtomicBool,
    /// The part of its body that was not read.
    unread: Mutex<Option<Incoming>>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.line.ends(*self.has_arrived.get_mut());
    }
}

impl Guest {
    /// Notes a request. If its head finds no room, it has its [`Trouble`] from the start.
    pub(crate) fn of(line: &Arc<Line>, request: &Request<Incoming>) -> Arc<Self> {
        let multiplexes = request.version() == Version::HTTP_2;
        let others = line.begins(multiplexes);
        let headers = request.headers().iter();
        let head = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum::<usize>();
        let head = head + request.uri().path().len() + request.uri().query().map_or(0, str::len);
        let is_counted = head > SMALL_BYTES || (multiplexes && others >= UNCOUNTED);
        let charge = if is_counted { line.pool().try_take(head.max(SMALL_BYTES)) } else { Some(Charge::default()) };
        let trouble = if charge.is_some() { 0 } else { Trouble::NoRoom as u8 };
        let guest = Self {
            line: line.clone(),
            charge: Mutex::new(charge.unwrap_or_default()),
            trouble: AtomicU8::new(trouble),
            has_arrived: AtomicBool::new(false),
            unread: Mutex::default(),
        };
        Arc::new(guest)
    }

    /// Keeps what was not read of its body, to be read on before the answer goes.
    pub(crate) fn leave(&self, body: Incoming) {
        if !body.is_end_stream() {
            *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }

    /// Reads the rest of the body, unless it arrives too slowly.
    pub(crate) fn take_unread(&self) -> Option<Incoming> {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        unread.filter(|_| self.trouble() != Some(Trouble::Slow))
    }

    /// What went wrong with it, if anything did.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self.trouble.load(Ordering::Relaxed) {
            0 => None,
            found if found == Trouble::Slow as u8 => Some(Trouble::Slow),
            _ => Some(Trouble::NoRoom),
        }
    }

    fn is_known(&self) -> bool {
        self.line.recognition.is_recognized()
    }

    fn arrived(&self) {
        if !self.has_arrived.swap(true, Ordering::Relaxed) {
            self.line.arrived();
        }
    }

    /// Whether there is room for a body of which so many bytes have come.
    fn holds(&self, bytes: usize) -> bool {
        if bytes <= SMALL_BYTES {
            return true;
        }
        let mut charge = self.charge();
        if charge.is_empty() {
            match self.line.pool().try_take(bytes) {
                Some(taken) => *charge = taken,
                None => return false,
            }
        }
        charge.try_reach(bytes)
    }

    /// Moves what it holds to the share of its caller, if the caller is known by now.
    fn settle(&self) {
        if self.is_known() {
            let mut charge = self.charge();
            if !charge.is_empty() {
                charge.narrow_to(self.line.pool());
            }
        }
    }

    fn charge(&self) -> MutexGuard<'_, Charge> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fails(&self, trouble: Trouble) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.trouble.store(trouble as u8, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyError::Trouble(trouble))))
    }
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Hyper(hyper::Error),
    #[error(transparent)]
    Trouble(Trouble),
}

/// The most that is read of a body after its request was refused: twice the longest body of a call.
const UNREAD_BYTES_MAX: usize = 8 << 20;
/// How long the rest is read, and the longest pause in it.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(3);
const UNREAD_SILENCE: Duration = Duration::from_millis(250);

/// Reads the rest of the body of a refused request, so that an answer that is given early arrives (RFC 9112 §9.6): a client that is still
/// sending when the connection is closed loses the answer with it. What is longer is not read.
pub(crate) async fn read_on(mut body: Incoming) {
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > UNREAD_BYTES_MAX {
        return;
    }
    let reading = async {
        let mut read = 0_usize;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(UNREAD_SILENCE, body.frame()).await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > UNREAD_BYTES_MAX {
                return;
            }
        }
    };
    // The rest is not waited for any longer.
    let _ = tokio::time::timeout(UNREAD_TIMEOUT, reading).await;
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    guest: Arc<Guest>,
    received: usize,
    began: Instant,
    pace: Option<Pin<Box<Sleep>>>,
    /// Bodies of calls by known callers find their room, as their grants, in the gateway.
    is_call: bool,
}

impl Inbound {
    pub(crate) fn new(body: Incoming, guest: Arc<Guest>, is_call: bool) -> Self {
        if body.is_end_stream() {
            guest.arrived();
        }
        Self { body: Some(body), guest, received: 0, began: Instant::now(), pace: None, is_call }
    }

    /// By when more has to arrive.
    fn due(&self) -> Instant {
        let seconds = u64::try_from(self.received / BODY_BYTES_PER_SECOND).unwrap_or(u64::MAX);
        self.began + BODY_GRACE.saturating_add(Duration::from_secs(seconds))
    }

    fn poll_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.guest.is_known() {
            return false;
        }
        let due = self.due();
        let pace = self.pace.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if pace.deadline() != due {
            pace.as_mut().reset(due);
        }
        pace.as_mut().poll(context).is_ready()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.guest.leave(body);
        }
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, Bytes::len);
                let is_charged = !(self.is_call && self.guest.is_known());
                if is_charged && !self.guest.holds(self.received) {
                    return self.guest.fails(Trouble::NoRoom);
                }
                if self.is_end_stream() {
                    self.guest.arrived();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.guest.arrived();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Hyper(error)))),
            Poll::Pending if self.poll_late(context) => self.guest.fails(Trouble::Slow),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// The body of an answer: the request is not over before it is, and over HTTP/2, where a client decides stream by
/// stream what it takes, each part has a time within which it must be taken.
struct Outbound {
    body: Body,
    guest: Arc<Guest>,
    multiplexes: bool,
    /// Of a page; goes with its first part.
    charge: Option<Charge>,
}

/// Bytes that are being sent, with the memory charge that is given back when they are gone.
struct Underway {
    bytes: Bytes,
    _ticket: Option<Ticket>,
    _charge: Option<Charge>,
}

impl AsRef<[u8]> for Underway {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The answer to a request, on its way out. `None`: there is no room for it.
pub(crate) fn outbound(response: Response, guest: Arc<Guest>, version: Version, is_call: bool) -> Option<Response> {
    guest.settle();
    let multiplexes = version == Version::HTTP_2;
    let length = response.body().size_hint().exact();
    // A page is whole in memory; what a call answers has its charge already.
    let page =
        length.and_then(|length| usize::try_from(length).ok()).filter(|length| !is_call && *length > SMALL_BYTES);
    let charge = match page {
        Some(length) => Some(guest.line.pool().try_take(length)?),
        None => None,
    };
    let is_whole = length.is_some();
    if response.body().is_end_stream() || (is_whole && !multiplexes && charge.is_none()) {
        return Some(response);
    }
    Some(response.map(|body| Body::new(Outbound { body, guest, multiplexes, charge })))
}

impl HttpBody for Outbound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let charge = self.charge.take();
        if !self.multiplexes && charge.is_none() {
            return Poll::Ready(Some(frame));
        }
        let underway = |bytes: Bytes| {
            let ticket = if self.multiplexes { self.guest.line.unread(bytes.len()) } else { None };
            Bytes::from_owner(Underway { bytes, _ticket: ticket, _charge: charge })
        };
        Poll::Ready(Some(frame.map(|frame| frame.map_data(underway))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
