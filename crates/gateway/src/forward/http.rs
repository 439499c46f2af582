//! Streamable HTTP upstreams, of both eras.
//!
//! The authorised bytes go on unchanged, with our own headers and the caller's that are on a short list. Answers come
//! back as they are made. No redirect is followed (ATK-88), no challenge is relayed (PX-13), and of the upstream's
//! headers only those with a place in [`Answer`] go on.

mod connect;
mod own;
mod relay;

use std::error::Error as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use sekisho_protocol::mcp::message::{Kind, Message};
use sekisho_protocol::mcp::method::{Era, Method, Revision};
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio::time::Instant;

use super::{
    Answer, AnswerBody, Deadline, ForwardError, ForwardLimits, ForwardRequest, ListenRequest, Outgoing, Spoken,
    UpstreamSession,
};
use crate::body::{Growth, Unread, whole};
use crate::credential::{Credential, CredentialSource, keep_only};
use crate::memory::Room;
use crate::upstream::{HttpSettings, UpstreamName, shown_url};
use connect::UpstreamClient;
use relay::Relay;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The longest session id that an upstream may give, in bytes.
const SESSION_ID_BYTES_MAX: usize = 1024;

/// One Streamable HTTP upstream.
#[derive(Debug)]
pub(super) struct HttpUpstream {
    limits: ForwardLimits,
    name: UpstreamName,
    /// The upstream's URL, for errors and logs.
    url: String,
    /// Where the credential for our own questions comes from, and for ending sessions.
    source: Arc<CredentialSource>,
    /// What was made from the settings. A mistake in them is reported when the server is used.
    ready: Result<Ready, ForwardError>,
    /// What the upstream said of itself. Emptied when the upstream is seen to be away.
    spoken: Mutex<Arc<OnceCell<Arc<Spoken>>>>,
    /// Counts the exchanges of the older revisions that go on without their client.
    abandoned: Arc<Semaphore>,
}

/// What is made from the settings.
#[derive(Debug)]
struct Ready {
    uri: Uri,
    /// The `Host` header; only over HTTP/1.1.
    host: Option<HeaderValue>,
    client: UpstreamClient,
    answer_timeout: std::time::Duration,
}

/// One request to the upstream, and what is needed to read its answer.
#[derive(Clone, Debug)]
struct Exchange {
    request: Request<Full<Bytes>>,
    /// Whether a JSON-RPC answer is owed.
    owes_answer: bool,
    /// Whether this is `initialize`, so that a session may begin.
    begins_session: bool,
    has_session: bool,
    /// When the head of the answer must be there.
    head_deadline: Instant,
    /// When the answer must be complete.
    deadline: Option<Deadline>,
    /// The memory that its answer is charged to.
    room: Room,
    /// The credential in its headers.
    credential: Credential,
}

impl HttpUpstream {
    pub(super) fn new(
        limits: ForwardLimits,
        name: UpstreamName,
        settings: &HttpSettings,
        source: Arc<CredentialSource>,
    ) -> Self {
        let abandoned = Arc::new(Semaphore::new(limits.abandoned_max));
        let url = shown_url(&settings.url);
        let ready = Ready::new(settings);
        Self { limits, name, url, source, ready, spoken: Mutex::default(), abandoned }
    }

    /// Sends one message and returns the answer once its head has arrived.
    pub(super) async fn send(self: Arc<Self>, request: ForwardRequest) -> Result<Answer, ForwardError> {
        let revision = request.far.0;
        let exchange = self.post(request)?;
        match revision.era() {
            Era::Stateless => self.exchange(exchange).await,
            Era::Initialize => self.exchange_to_the_end(exchange, revision).await,
        }
    }

    /// Sends `GET` (older revisions). The stream is not a request, so it ends with its client.
    pub(super) async fn listen(&self, request: ListenRequest) -> Result<Answer, ForwardError> {
        let session = http_session(request.session.as_ref())?;
        let mut headers = self.headers(request.headers, request.far.0, session, &request.credential)?;
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.remove(CONTENT_TYPE);
        if let Some(id) = &request.last_event_id {
            let id = HeaderValue::from_str(id)
                .map_err(|_| malformed("the event id to resume from cannot stand in a header"))?;
            headers.insert(LAST_EVENT_ID, id);
        }
        let ready = self.ready()?;
        let answer = self.exchange(Exchange {
            request: ready.request(HttpMethod::GET, headers, Bytes::new()),
            owes_answer: true,
            begins_session: false,
            has_session: session.is_some(),
            head_deadline: Instant::now() + ready.answer_timeout,
            deadline: None,
            room: self.limits.memory.room(request.cleared.caller(), &request.cleared.call().server),
            credential: request.credential,
        });
        answer.await
    }

    /// Sends `DELETE`. An upstream may refuse to end sessions (405); that has no consequences.
    pub(super) async fn end_session(&self, id: &str) {
        if let Ok(credential) = self.source.own().await {
            self.end_session_as(id, credential).await;
        }
    }

    async fn end_session_as(&self, id: &str, credential: Credential) {
        let Ok(ready) = self.ready() else { return };
        let Ok(headers) = self.headers(HeaderMap::new(), Revision::V2025_11_25, Some(id), &credential) else { return };
        let ended = self.exchange(Exchange {
            request: ready.request(HttpMethod::DELETE, headers, Bytes::new()),
            owes_answer: false,
            begins_session: false,
            has_session: true,
            head_deadline: Instant::now() + ready.answer_timeout,
            deadline: Some(Deadline::new(Instant::now(), ready.answer_timeout)),
            room: self.limits.memory.own_room(),
            credential,
        });
        if let Err(error) = ended.await {
            tracing::debug!(server = %self.name, %error, "the upstream did not end a session");
        }
    }

    fn ready(&self) -> Result<&Ready, ForwardError> {
        self.ready.as_ref().map_err(Clone::clone)
    }

    fn post(&self, request: ForwardRequest) -> Result<Exchange, ForwardError> {
        let ready = self.ready()?;
        let method = match &request.kind {
            Outgoing::Request { method, .. } => Some(*method),
            Outgoing::Notification { .. } | Outgoing::Response { .. } => None,
        };
        let begins_session = method == Some(Method::Initialize) && request.far.0.era() == Era::Initialize;
        let session = http_session(request.session.as_ref())?;
        let mut headers = self.headers(request.headers, request.far.0, session, &request.credential)?;
        if begins_session {
            // This very message negotiates the version, so the header cannot name it yet.
            headers.remove(PROTOCOL_VERSION);
        }
        let head_deadline = request.deadline.at().min(Instant::now() + ready.answer_timeout);
        let endless = method == Some(Method::SubscriptionsListen);
        let room = self.limits.memory.room(request.cleared.caller(), &request.cleared.call().server);
        Ok(Exchange {
            request: ready.request(HttpMethod::POST, headers, request.body),
            owes_answer: method.is_some(),
            begins_session,
            has_session: session.is_some(),
            head_deadline,
            deadline: (!endless).then_some(request.deadline),
            room,
            credential: request.credential,
        })
    }

    /// Returns the headers to send: of the caller's those on the list, replaced by ours, and by those of the
    /// credential.
    fn headers(
        &self,
        mut headers: HeaderMap,
        revision: Revision,
        session: Option<&str>,
        credential: &Credential,
    ) -> Result<HeaderMap, ForwardError> {
        keep_only(&mut headers, goes_on);
        if !headers.contains_key(PROTOCOL_VERSION) {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        // The two kinds of answer between which an upstream chooses (TR-07).
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Without this header a server may choose any encoding (RFC 9110 §12.5.3).
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(session) = session {
            let value = HeaderValue::from_str(session).map_err(|_| malformed("its session id"))?;
            headers.insert(SESSION_ID, value);
        }
        if let Some(host) = &self.ready()?.host {
            headers.insert(HOST, host.clone());
        }
        credential.set_on(&mut headers);
        Ok(headers)
    }

    /// Does the same as [`Self::exchange`], but goes on if its caller drops the future.
    async fn exchange_to_the_end(
        self: Arc<Self>,
        exchange: Exchange,
        revision: Revision,
    ) -> Result<Answer, ForwardError> {
        let (reply, answer) = oneshot::channel();
        let upstream = self.clone();
        tokio::spawn(async move {
            let exchanging = upstream.exchange(exchange);
            let unread = relay::survive(exchanging, reply, upstream.abandoned.clone()).await;
            // No client knows of this session, so none will end it.
            if let Some(Answer { session: Some(UpstreamSession::Http(id)), .. }) = unread {
                tracing::debug!(server = %upstream.name, %revision, "a session began after its client left");
                upstream.end_session(&id).await;
            }
        });
        // The task sends no answer only if too many exchanges go on without their clients.
        answer.await.unwrap_or(Err(ForwardError::Busy { sent: true }))
    }

    /// Sends one request and reads its answer. If the upstream does not accept the account that it is shown, the
    /// account's token is renewed and the request is sent once more: an upstream that asks for another token has done
    /// nothing (RFC 6750 §3.1).
    async fn exchange(&self, exchange: Exchange) -> Result<Answer, ForwardError> {
        let Some(account) = exchange.credential.account().cloned() else { return self.exchange_once(exchange).await };
        let again = exchange.clone();
        match self.exchange_once(exchange).await {
            Err(ForwardError::WantsOwnCredential { status: 401 }) => {}
            answered => return answered,
        }
        // Boxed so that this rare branch does not enlarge the future of every call.
        Box::pin(async move {
            let mut again = again;
            let renewed = account.after_refusal(&again.credential).await?;
            renewed.set_on(again.request.headers_mut());
            let account = renewed.account().cloned();
            match self.exchange_once(again).await {
                Err(ForwardError::WantsOwnCredential { status: 401 }) => match account {
                    Some(account) => Err(account.end().await.into()),
                    None => Err(ForwardError::WantsOwnCredential { status: 401 }),
                },
                answered => answered,
            }
        })
        .await
    }

    async fn exchange_once(&self, exchange: Exchange) -> Result<Answer, ForwardError> {
        let Exchange { request, owes_answer, begins_session, has_session, head_deadline, deadline, room, .. } =
            exchange;
        let is_get = request.method() == HttpMethod::GET;
        let answering = self.ready()?.client.request(request);
        let response = match tokio::time::timeout_at(head_deadline, answering).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => return Err(ForwardError::Timeout { sent: true }),
        };
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(ForwardError::WantsOwnCredential { status: status.as_u16() });
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let retry_after_seconds = retry_after(response.headers());
                return Err(ForwardError::AskedToWait { status: status.as_u16(), retry_after_seconds });
            }
            StatusCode::NOT_FOUND if has_session => return Err(ForwardError::SessionGone),
            StatusCode::METHOD_NOT_ALLOWED if is_get => return Err(ForwardError::MethodNotAllowed),
            _ if status.is_redirection() => {
                return Err(ForwardError::Redirected { status: status.as_u16() });
            }
            _ if status.is_informational() => return Err(malformed("its HTTP status")),
            _ => {}
        }
        let reading = Reading { owes_answer, deadline, room };
        let session = if begins_session && status.is_success() { session_id(response.headers())? } else { None };
        let body = if status.is_success() {
            self.read(response, reading).await?
        } else {
            // Boxed so that this rare branch does not enlarge the future of every call.
            Box::pin(self.read_refusal(response, reading)).await?
        };
        Ok(Answer { status, session, body })
    }

    async fn read(&self, response: Response<Incoming>, reading: Reading) -> Result<AnswerBody, ForwardError> {
        if !reading.owes_answer {
            return Ok(AnswerBody::Accepted);
        }
        refuse_encoding(response.headers())?;
        match content_type(response.headers()) {
            Some(ContentType::EventStream) => {
                let max = self.limits.answer_bytes_max;
                let relay = Relay::new(response.into_body(), max, reading.deadline, reading.room, &self.url);
                Ok(AnswerBody::Events(relay.boxed()))
            }
            Some(ContentType::Json) => self.collect(response, reading).await.map(AnswerBody::Json),
            None => Err(malformed("neither application/json nor text/event-stream")),
        }
    }

    /// Reads an HTTP error: the message in it if there is one, otherwise the bare status.
    async fn read_refusal(&self, response: Response<Incoming>, reading: Reading) -> Result<AnswerBody, ForwardError> {
        let status = response.status();
        let is_json = matches!(content_type(response.headers()), Some(ContentType::Json));
        if !is_json || refuse_encoding(response.headers()).is_err() {
            return Ok(AnswerBody::Refused { status });
        }
        let bytes = self.collect(response, reading).await?;
        let is_answer = Message::read(&bytes, &Limits::upstream())
            .is_ok_and(|message| matches!(message.kind(), Kind::Response { .. }));
        Ok(if is_answer { AnswerBody::Json(bytes) } else { AnswerBody::Refused { status } })
    }

    async fn collect(&self, response: Response<Incoming>, reading: Reading) -> Result<Bytes, ForwardError> {
        let max = self.limits.answer_bytes_max;
        let mut collecting = pin!(whole(response.into_body(), max, Some((reading.room, Growth::AtOnce))));
        // Most bodies come with the head, so usually nothing has to be waited for.
        let collected = match (collecting.as_mut().now_or_never(), reading.deadline) {
            (Some(collected), _) => collected,
            (None, Some(deadline)) => tokio::time::timeout_at(deadline.at(), collecting)
                .await
                .map_err(|_| ForwardError::Timeout { sent: true })?,
            (None, None) => collecting.await,
        };
        collected.map_err(|error| match error {
            Unread::TooLarge => ForwardError::TooLarge { max },
            Unread::NoRoom => ForwardError::NoRoom { sent: true },
            Unread::Broken(error) => self.broken(&error.to_string(), true),
        })
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> ForwardError {
        if error.is_connect() {
            // The upstream may come back as another version.
            *self.spoken.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
        let mut deepest = error.source();
        while let Some(source) = deepest.and_then(|source| source.source()) {
            deepest = Some(source);
        }
        let reason = deepest.map_or_else(|| error.to_string(), ToString::to_string);
        self.broken(&reason, !error.is_connect())
    }

    fn broken(&self, reason: &str, sent: bool) -> ForwardError {
        ForwardError::Unreachable { url: self.url.clone(), reason: reason.to_owned(), sent }
    }
}

/// Returns the host and, unless it is the default of the scheme, the port (RFC 9110 §7.2).
fn authority(url: &url::Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(authority).ok()
}

impl Ready {
    fn new(settings: &HttpSettings) -> Result<Self, ForwardError> {
        let misconfigured = |reason: &str| ForwardError::Misconfigured { reason: reason.to_owned() };
        let (url, uri) = read_url(&settings.url).map_err(misconfigured)?;
        // Otherwise the HTTP client would write this header anew for each call. Over TLS it may be HTTP/2, which has no
        // such header.
        let host = if url.scheme() == "http" { authority(&url) } else { None };
        let client = connect::client(settings, &uri)?;
        Ok(Self { uri, host, client, answer_timeout: settings.answer_timeout })
    }

    fn request(&self, method: HttpMethod, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// Reads the URL of an upstream, or says what is wrong with it. `check` uses this on a configuration.
fn read_url(text: &str) -> Result<(url::Url, Uri), &'static str> {
    let url = url::Url::parse(text).map_err(|_| "its URL is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("its URL must be http:// or https:// with a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL must not hold a user name; use a secret header");
    }
    // A fragment is not sent to a server (RFC 9110 §7.1).
    let uri = url.as_str().split('#').next().unwrap_or_default().parse().map_err(|_| "its URL is not a URL")?;
    Ok((url, uri))
}

/// Whether an upstream can have this URL, by the same rule that is used when it is called.
pub fn check_upstream_url(text: &str) -> Result<(), &'static str> {
    read_url(text).map(drop)
}

/// How a body is to be read.
#[derive(Clone, Debug)]
struct Reading {
    owes_answer: bool,
    deadline: Option<Deadline>,
    room: Room,
}

enum ContentType {
    EventStream,
    Json,
}

fn content_type(headers: &HeaderMap) -> Option<ContentType> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Some(ContentType::Json)
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Some(ContentType::EventStream)
    } else {
        None
    }
}

/// Returns `Retry-After` in seconds (RFC 9110 §10.2.3). A date is compared with the upstream's own `Date`, so that no
/// two clocks have to agree.
fn retry_after(headers: &HeaderMap) -> Option<u32> {
    const SECONDS_MAX: u32 = 86_400;
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX));
    }
    let moment = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second());
    let seconds = moment(value)?.saturating_sub(moment(text(DATE)?)?).max(0);
    Some(u32::try_from(seconds).unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
}

/// The registered names of encodings (IANA, HTTP Content Coding Registry).
const ENCODINGS: [&str; 8] = ["aes128gcm", "br", "compress", "deflate", "exi", "gzip", "x-gzip", "zstd"];

/// Refuses an encoded answer: `identity` was asked for, and a small body could grow to any size (ATK-93). Each line and
/// each word of a line counts (RFC 9110 §5.3, §8.4).
fn refuse_encoding(headers: &HeaderMap) -> Result<(), ForwardError> {
    for line in headers.get_all(CONTENT_ENCODING) {
        for word in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if !word.is_empty() && !word.eq_ignore_ascii_case(b"identity") {
                let known = ENCODINGS.into_iter().find(|known| word.eq_ignore_ascii_case(known.as_bytes()));
                return Err(ForwardError::Encoded { encoding: known.unwrap_or("(another)") });
            }
        }
    }
    Ok(())
}

/// Returns the session id of an answer, which has to be visible ASCII (2025-11-25 Session Management 1).
fn session_id(headers: &HeaderMap) -> Result<Option<UpstreamSession>, ForwardError> {
    let Some(value) = headers.get(SESSION_ID) else { return Ok(None) };
    let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
    let text = value.to_str().ok().filter(|text| visible && !text.is_empty());
    match text.filter(|text| text.len() <= SESSION_ID_BYTES_MAX) {
        Some(id) => Ok(Some(UpstreamSession::Http(id.to_owned()))),
        None => Err(malformed("its session id is not visible ASCII of reasonable length")),
    }
}

fn http_session(session: Option<&UpstreamSession>) -> Result<Option<&str>, ForwardError> {
    match session {
        None => Ok(None),
        Some(UpstreamSession::Http(id)) => Ok(Some(id)),
        // The server was a program when this session began.
        Some(UpstreamSession::Stdio(_)) => Err(ForwardError::SessionGone),
    }
}

/// Whether a header of the caller may go on. Everything else is dropped here, although it should not have come this
/// far: credentials, cookies, identities, hop-by-hop headers, the client's own session (PX-12, ATK-53). Headers that
/// mirror parameters go on unchanged (PX-29).
fn goes_on(name: &HeaderName) -> bool {
    match name.as_str() {
        "mcp-session-id" => false,
        "accept-language" | "baggage" | "traceparent" | "tracestate" | "x-request-id" => true,
        name => name.starts_with("mcp-"),
    }
}

fn malformed(reason: &str) -> ForwardError {
    ForwardError::Malformed { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
