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
use super::super::{AnswerBody, Event, ForwardError, Spoken, UpstreamSession};
use super::{Exchange, HttpUpstream, http_session, malformed};

/// How an upstream took one of our questions.
enum Told {
    /// It answered it, whatever the HTTP status.
    Answer(Bytes),
    /// It took a notification, or refused without a message.
    Nothing,
}

impl HttpUpstream {
    /// Asked once for all who wait; see [`super::super::Upstreams::revisions`].
    pub(in super::super) async fn revisions(&self) -> Result<Arc<Spoken>, ForwardError> {
        let cell = self.spoken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = cell.get() {
            return Ok(Arc::clone(known));
        }
        Box::pin(cell.get_or_try_init(|| self.probe())).await.cloned()
    }

    /// See [`super::super::Upstreams::list_tools`].
    pub(in super::super) async fn list_tools(&self) -> Result<Vec<Box<RawValue>>, ForwardError> {
        let revision = self.revisions().await?.newest();
        if revision.era() == Era::Stateless {
            return self.pages(revision, None).await;
        }
        let (_, session) = self.initialize().await?;
        let listed = self.pages(revision, session.as_ref()).await;
        self.end(session).await;
        listed
    }

    /// `server/discover` first; on anything but a modern answer the handshake (TR-52). A server of both eras names
    /// only the newer revision there, so the handshake is tried once more, and only its success counts (TR-50).
    async fn probe(&self) -> Result<Arc<Spoken>, ForwardError> {
        let discovered = match self.ask(&Own::discover(), Revision::V2026_07_28, None).await {
            Ok((Told::Answer(answer), _)) => probe::read_discovered(&answer)?,
            Ok((Told::Nothing, _)) => Discovered::Legacy,
            // A server of the older era may say anything to what it does not know. But what it wants of us, or that
            // it is away, is no sign of age.
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

    /// The handshake of the older revisions, in our own name.
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
            self.end_session(&id).await;
        }
    }

    async fn pages(
        &self,
        revision: Revision,
        session: Option<&UpstreamSession>,
    ) -> Result<Vec<Box<RawValue>>, ForwardError> {
        let mut pages = ToolPages::new(revision, self.limits.answer_bytes_max);
        while let Some(question) = pages.question() {
            match self.ask(&question, revision, session).await? {
                (Told::Answer(answer), _) => pages.take(&answer)?,
                (Told::Nothing, _) => return Err(malformed("no answer to `tools/list`")),
            }
        }
        Ok(pages.into_tools())
    }

    async fn ask(
        &self,
        question: &Own,
        revision: Revision,
        session: Option<&UpstreamSession>,
    ) -> Result<(Told, Option<UpstreamSession>), ForwardError> {
        let ready = self.ready()?;
        let session = http_session(session)?;
        let mut headers = self.headers(HeaderMap::new(), revision, session)?;
        let is_initialize = question.method == "initialize";
        if is_initialize {
            headers.remove(super::PROTOCOL_VERSION);
        }
        if revision.era() == Era::Stateless {
            let method = HeaderValue::from_static(question.method);
            headers.insert(HeaderName::from_static("mcp-method"), method);
        }
        let deadline = Instant::now() + self.limits.own_deadline;
        let exchange = Exchange {
            request: ready.request(HttpMethod::POST, headers, question.bytes.clone()),
            owes_answer: question.id.is_some(),
            begins_session: is_initialize,
            has_session: session.is_some(),
            head_deadline: deadline.min(Instant::now() + ready.answer_timeout),
            deadline: Some(deadline),
            room: self.limits.memory.own_room(),
        };
        let answer = self.exchange(exchange).await?;
        let told = match answer.body {
            AnswerBody::Accepted | AnswerBody::Refused { .. } => Told::Nothing,
            AnswerBody::Json(bytes) => Told::Answer(bytes),
            AnswerBody::Events(mut events) => loop {
                match events.next().await {
                    Some(Ok(Event::Message { data, .. })) if is_answer(&data, question) => break Told::Answer(data),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(malformed("the stream ended without the answer")),
                }
            },
        };
        Ok((told, answer.session))
    }
}

fn is_answer(bytes: &[u8], question: &Own) -> bool {
    Message::read(bytes, &Limits::upstream())
        .is_ok_and(|message| matches!(message.kind(), Kind::Response { id, .. } if *id == question.id))
}
