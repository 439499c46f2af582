//! The gateway's own questions to a Streamable HTTP upstream, in sessions that never serve a caller.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod};
use sekisho_protocol::mcp::message::{Kind, Message};
use sekisho_protocol::mcp::method::{Era, Revision};
use sekisho_protocol::mcp::strict::Limits;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::super::probe::{self, Discovered, Own, ToolPages};
use super::super::{AnswerBody, Deadline, Event, ForwardError, Spoken, UpstreamSession};
use super::{Exchange, HttpUpstream, http_session, malformed};
use crate::credential::Credential;

/// How an upstream responded to one of our questions.
enum Told {
    /// It sent an answer, whatever the HTTP status.
    Answer(Bytes),
    /// It accepted a notification, or refused without a message.
    Nothing,
}

impl HttpUpstream {
    /// See [`super::super::Upstreams::known_revisions`].
    pub(in super::super) fn known_revisions(&self) -> Option<Arc<Spoken>> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner).get().cloned()
    }

    /// Asks once for all callers that wait; see [`super::super::Upstreams::revisions`].
    pub(in super::super) async fn revisions(&self, asking: Option<&Credential>) -> Result<Arc<Spoken>, ForwardError> {
        let cell = self.spoken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = cell.get() {
            return Ok(Arc::clone(known));
        }
        let asker = self.asker(asking).await?;
        Box::pin(cell.get_or_try_init(|| asker.probe())).await.cloned()
    }

    /// Asks with this credential, or with our own.
    async fn asker(&self, asking: Option<&Credential>) -> Result<Asker<'_>, ForwardError> {
        let credential = match asking {
            Some(credential) => credential.clone(),
            None => self.source.own().await?,
        };
        Ok(Asker { upstream: self, credential })
    }

    /// See [`super::super::Upstreams::list_tools`].
    pub(in super::super) async fn list_tools(
        &self,
        asking: Option<&Credential>,
    ) -> Result<Vec<Vec<Box<RawValue>>>, ForwardError> {
        let spoken = self.revisions(asking).await?;
        let asker = self.asker(asking).await?;
        let newest_of = |era: Era| spoken.revisions.iter().copied().filter(|revision| revision.era() == era).max();
        let mut lists = Vec::new();
        if let Some(revision) = newest_of(Era::Stateless) {
            lists.push(asker.pages(revision, None).await?);
        }
        if newest_of(Era::Initialize).is_some() {
            match Box::pin(asker.list_in_a_session()).await {
                Ok(listed) => lists.push(listed),
                Err(error) if lists.is_empty() => return Err(error),
                // It says that it has a handshake but refuses it, so there is only the newer list.
                Err(error) => {
                    tracing::warn!(server = %self.name, %error, "the upstream lists no tools in its older revision")
                }
            }
        }
        Ok(lists)
    }
}

/// Who asks: the upstream, and what it is shown with our questions.
struct Asker<'u> {
    upstream: &'u HttpUpstream,
    credential: Credential,
}

impl Asker<'_> {
    async fn list_in_a_session(&self) -> Result<Vec<Box<RawValue>>, ForwardError> {
        let (spoken, session) = self.initialize().await?;
        let listed = self.pages(spoken.newest(), session.as_ref()).await;
        self.end(session).await;
        listed
    }

    /// Sends `server/discover` first, and tries the handshake after anything but a modern answer (TR-52). A server of
    /// both eras names only the newer revision there, so the handshake is also tried then, and only its success counts
    /// (TR-50).
    async fn probe(&self) -> Result<Arc<Spoken>, ForwardError> {
        let discovered = match self.ask(&Own::discover(), Revision::V2026_07_28, None).await {
            Ok((Told::Answer(answer), _)) => probe::read_discovered(&answer)?,
            Ok((Told::Nothing, _)) => Discovered::Legacy,
            // A server of the older era may send anything in reply to a method that it does not know. But an error that
            // asks for a credential, or says that the server is away, does not mean that it is of the older era.
            Err(ForwardError::Malformed { .. } | ForwardError::MethodNotAllowed) => Discovered::Legacy,
            Err(error) => return Err(error),
        };
        match discovered {
            Discovered::Modern(mut spoken) => {
                if spoken.revisions.iter().all(|revision| revision.era() == Era::Stateless)
                    && let Ok((older, session)) = self.initialize().await
                {
                    self.end(session).await;
                    spoken.revisions.extend(older.revisions);
                    spoken.revisions.sort_unstable();
                }
                Ok(Arc::new(*spoken))
            }
            Discovered::Legacy => {
                let (spoken, session) = self.initialize().await?;
                self.end(session).await;
                Ok(Arc::new(spoken))
            }
        }
    }

    /// Performs the handshake of the older revisions, in our own name.
    async fn initialize(&self) -> Result<(Spoken, Option<UpstreamSession>), ForwardError> {
        let (told, session) = self.ask(&Own::initialize(), Revision::V2025_11_25, None).await?;
        let Told::Answer(answer) = told else { return Err(malformed("no answer to `initialize`")) };
        let spoken = match probe::read_initialized(&answer) {
            Ok(spoken) => spoken,
            Err(error) => {
                self.end(session).await;
                return Err(error);
            }
        };
        self.ask(&Own::initialized(), spoken.newest(), session.as_ref()).await?;
        Ok((spoken, session))
    }

    async fn end(&self, session: Option<UpstreamSession>) {
        if let Some(UpstreamSession::Http(id)) = session {
            self.upstream.end_session_as(&id, self.credential.clone()).await;
        }
    }

    async fn pages(
        &self,
        revision: Revision,
        session: Option<&UpstreamSession>,
    ) -> Result<Vec<Box<RawValue>>, ForwardError> {
        let mut pages = ToolPages::new(revision, self.upstream.limits.answer_bytes_max);
        while let Some(question) = pages.question() {
            match self.ask(&question, revision, session).await? {
                (Told::Answer(answer), _) => pages.take(&answer)?,
                (Told::Nothing, _) => return Err(malformed("no answer to `tools/list`")),
            }
        }
        Ok(pages.into_tools())
    }

    /// Sends our answer to a question of the server. If it does not arrive, the answer that we wait for shows that.
    async fn reply(&self, reply: Vec<u8>, revision: Revision, session: Option<&UpstreamSession>) {
        let reply = Own { method: "", id: None, bytes: Bytes::from(reply) };
        if let Err(error) = self.ask(&reply, revision, session).await {
            tracing::debug!(server = %self.upstream.name, %error, "the upstream did not take our answer");
        }
    }

    async fn ask(
        &self,
        question: &Own,
        revision: Revision,
        session: Option<&UpstreamSession>,
    ) -> Result<(Told, Option<UpstreamSession>), ForwardError> {
        let upstream = self.upstream;
        let ready = upstream.ready()?;
        let named = session.cloned();
        let session = http_session(session)?;
        let mut headers = upstream.headers(HeaderMap::new(), revision, session, &self.credential)?;
        let is_initialize = question.method == "initialize";
        if is_initialize {
            headers.remove(super::PROTOCOL_VERSION);
        }
        if revision.era() == Era::Stateless {
            let method = HeaderValue::from_static(question.method);
            headers.insert(HeaderName::from_static("mcp-method"), method);
        }
        let deadline = Deadline::new(Instant::now(), upstream.limits.own_deadline);
        let exchange = Exchange {
            request: ready.request(HttpMethod::POST, headers, question.bytes.clone()),
            owes_answer: question.id.is_some(),
            begins_session: is_initialize,
            has_session: session.is_some(),
            head_deadline: deadline.at().min(Instant::now() + ready.answer_timeout),
            deadline: Some(deadline),
            room: upstream.limits.memory.own_room(),
            credential: self.credential.clone(),
        };
        let answer = upstream.exchange(exchange).await?;
        let told = match answer.body {
            AnswerBody::Accepted | AnswerBody::Refused { .. } => Told::Nothing,
            AnswerBody::Json(bytes) => Told::Answer(bytes),
            AnswerBody::Events(mut events) => loop {
                match events.next().await {
                    Some(Ok(Event::Message { data, .. })) => match heard(&data, question) {
                        Heard::Answer => break Told::Answer(data),
                        // The server may not answer before it has our reply. Boxed, because this call is recursive.
                        Heard::Question(reply) => Box::pin(self.reply(reply, revision, named.as_ref())).await,
                        Heard::Other => {}
                    },
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(malformed("the stream ended without the answer")),
                }
            },
        };
        Ok((told, answer.session))
    }
}

/// The kind of a message on the stream of one of our questions.
enum Heard {
    /// The answer.
    Answer,
    /// A question of the server, with our reply to it.
    Question(Vec<u8>),
    /// Anything else, which we ignore.
    Other,
}

fn heard(bytes: &[u8], question: &Own) -> Heard {
    let Ok(message) = Message::read(bytes, &Limits::upstream()) else { return Heard::Other };
    match message.kind() {
        Kind::Response { id, .. } if *id == question.id => Heard::Answer,
        Kind::Request { id, method, .. } => Heard::Question(probe::reply_to(id, method)),
        Kind::Response { .. } | Kind::Notification { .. } => Heard::Other,
    }
}
