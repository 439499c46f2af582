//! What happens to a server's answers on their way to the client.

use std::sync::Arc;

use ::http::HeaderMap;
use bytes::BytesMut;
use sekisho_protocol::mcp::error::ErrorCode;
use sekisho_protocol::mcp::message::{Id, Kind, ListItem, Message, Outcome, list_items};
use sekisho_protocol::mcp::method::ListKind;
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_protocol::mcp::splice::filter_list;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::refusal::{Refusal, RemedyKind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::failure::BridgeError;
use super::line::{Line, SESSION};
use super::notice::Notice;
use super::pages::{error_names_a_bad_page, names_a_bad_page};
use super::room::SMALL_BYTES_MAX;
use super::state::{Bridge, SHOWN_MAX, TOOLS_MAX};
use super::streams::{Answered, Events, Pace, Resume, is_stream};
use crate::http::{Destination, HttpError, Named, Opened, Response};

/// Where our own refusals stand in a tool's result.
#[derive(Deserialize)]
struct RefusalMeta {
    #[serde(rename = "io.sekisho/refusal")]
    refusal: Option<Refusal>,
}

impl Bridge {
    /// Passes on the messages of a successful response, until the answer to this request was among them.
    pub(super) async fn pass_answer(
        self: &Arc<Self>,
        line: &Line,
        id: &Id,
        opened: Opened,
        pace: &mut Pace,
    ) -> Result<Answered, BridgeError> {
        if line.method.as_deref() == Some("initialize") {
            self.note_session(&opened);
        }
        if is_stream(&opened) {
            return self.pass_stream(line, id, opened, pace).await;
        }
        let status = opened.status.as_u16();
        let (body, place) = self.large(opened).await?;
        if self.pass(Some((line, id)), &body, place).await {
            Ok(Answered::Yes)
        } else {
            Err(BridgeError::NoMessage { resource: self.resource(), status })
        }
    }

    /// Reads the body of a successful response. A body that grows large takes a place for large messages.
    async fn large(&self, mut opened: Opened) -> Result<(BytesMut, Option<OwnedSemaphorePermit>), BridgeError> {
        let failed = |source| BridgeError::Http { resource: self.resource(), source };
        let max = self.settings.message_bytes_max;
        let (mut body, mut place) = (BytesMut::new(), None);
        while let Some(chunk) = opened.next().await {
            let chunk = chunk.map_err(failed)?;
            if body.len() + chunk.len() > max {
                return Err(failed(HttpError::BodyTooLarge { max }));
            }
            if place.is_none() && body.len() + chunk.len() > SMALL_BYTES_MAX {
                place = self.room.enter().await;
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, place))
    }

    /// Passes one message on. Returns whether it was the answer to this request.
    pub(super) async fn pass(
        self: &Arc<Self>,
        asked: Option<(&Line, &Id)>,
        bytes: &[u8],
        place: Option<OwnedSemaphorePermit>,
    ) -> bool {
        let message = match Message::read(bytes, &Limits::upstream()) {
            Ok(message) => message,
            Err(error) => {
                self.notify(Notice::Dropped { why: error.to_string() });
                return false;
            }
        };
        if names_a_bad_page(self.session.resource().as_str(), &message) {
            return self.stop_page(asked.map(|(_, id)| id), &message).await;
        }
        let Kind::Response { id: of, outcome } = message.kind() else {
            self.say(message.bytes(), place).await;
            return false;
        };
        let Some((line, _)) = asked.filter(|(_, id)| of.as_ref() == Some(*id)) else {
            // A request whose stream broke off may still be answered on a standing stream.
            self.say(message.bytes(), place).await;
            return false;
        };
        let mut replaced = None;
        if let Outcome::Result(result) = outcome {
            match line.method.as_deref() {
                Some("initialize") => {
                    let mut state = self.state();
                    state.revision = result.protocol_version.as_ref().map(ToString::to_string);
                    state.initialize = Some(line.clone());
                }
                Some("tools/list") => replaced = self.read_tools(bytes),
                Some("tools/call") => self.show(result.raw),
                _ => {}
            }
        }
        self.say(replaced.as_deref().unwrap_or(message.bytes()), place).await;
        true
    }

    /// Replaces a message that names a page which its server may not name: the side that waits for an answer, client or
    /// server, gets an error instead. Returns whether that was the client's answer to this request.
    async fn stop_page(self: &Arc<Self>, asked: Option<&Id>, message: &Message<'_>) -> bool {
        let why = "the server wants a page to be opened that is no web page, or less secure than the server";
        self.notify(Notice::Dropped { why: why.to_owned() });
        match (message.kind(), message.id()) {
            (Kind::Response { .. }, id) => {
                self.say_error(id, ErrorCode::Internal, why).await;
                asked.is_some() && id == asked
            }
            (_, Some(id)) => {
                // The wait is bounded, because others may be waiting for the stream that brought this message.
                let refusal = Line::refusal(id, why);
                tokio::time::timeout(self.settings.finish_within, self.post(&refusal)).await.ok();
                false
            }
            (_, None) => false,
        }
    }

    /// Passes a refusal on as the answer to this request.
    pub(super) async fn pass_refusal(self: &Arc<Self>, id: &Id, refusal: Response) -> Result<(), BridgeError> {
        let status = refusal.status.as_u16();
        let error = serde_json::from_slice::<Value>(&refusal.body).ok();
        let error = error.and_then(|mut message| message.get_mut("error").map(Value::take));
        // An OAuth error also has a `code` here, but as text. Such a body is not a JSON-RPC message.
        let Some(error) = error.filter(|error| error.get("code").is_some_and(Value::is_i64)) else {
            return Err(BridgeError::NoMessage { resource: self.resource(), status });
        };
        if error_names_a_bad_page(self.session.resource().as_str(), &error) {
            return Err(BridgeError::Page { resource: self.resource() });
        }
        if let Some(refusal) = error.get("data").and_then(|data| Refusal::deserialize(data).ok()) {
            self.show_page(&refusal);
        }
        self.say(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().as_bytes(), None).await;
        Ok(())
    }

    /// Returns the answer to a request of our own. All other messages are passed on.
    pub(super) async fn only_answer(self: &Arc<Self>, id: &Id, opened: Opened) -> Result<Option<Vec<u8>>, BridgeError> {
        let is_answer = |bytes: &[u8]| {
            Message::read(bytes, &Limits::upstream())
                .is_ok_and(|message| matches!(message.kind(), Kind::Response { .. }) && message.id() == Some(id))
        };
        if !is_stream(&opened) {
            let response = self.whole(opened, self.settings.message_bytes_max).await?;
            return Ok(is_answer(&response.body).then(|| response.body.to_vec()));
        }
        let mut events = Events::new(opened, self);
        let mut resume = Resume::default();
        while let Some((data, place)) = events.data(&mut resume).await.ok().flatten() {
            if is_answer(data.as_bytes()) {
                return Ok(Some(data.into_bytes()));
            }
            self.pass(None, data.as_bytes(), place).await;
        }
        Ok(None)
    }

    pub(super) fn note_session(&self, opened: &Opened) {
        self.state().session = session(&opened.headers);
    }

    /// Learns which arguments calls of these tools repeat in headers. Tools that declare this wrongly are left out
    /// (TR-32). Returns the list without them, if there are any.
    pub(super) fn read_tools(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = Message::read(bytes, &Limits::upstream()).ok()?;
        let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else { return None };
        let mut wrong = Vec::new();
        let mut known = Vec::new();
        for item in list_items(result.raw, ListKind::Tools).ok()? {
            let ListItem::Tool { input_schema: Some(schema), .. } = &item else { continue };
            match Annotations::read(schema) {
                Ok(annotations) => known.push((item.key().to_owned(), annotations)),
                Err(_) => wrong.push(item.key().to_owned()),
            }
        }
        let mut state = self.state();
        for (name, annotations) in known {
            if annotations.is_empty() {
                state.mirrored.remove(&name);
            } else if state.mirrored.len() < TOOLS_MAX {
                state.mirrored.insert(name, annotations);
            }
        }
        drop(state);
        if wrong.is_empty() {
            return None;
        }
        let without = filter_list(bytes, ListKind::Tools, |item| !wrong.iter().any(|name| name == item.key())).ok();
        self.notify(Notice::ToolsLeftOut { names: wrong });
        without
    }

    /// Shows the page of a refusal, if a tool's result contains one.
    fn show(&self, result: &str) {
        if !result.contains("io.sekisho/refusal") {
            return;
        }
        let meta =
            serde_json::from_str::<Value>(result).ok().and_then(|mut result| Some(result.get_mut("_meta")?.take()));
        if let Some(refusal) = meta.and_then(|meta| RefusalMeta::deserialize(meta).ok()?.refusal) {
            self.show_page(&refusal);
        }
    }

    /// Shows the page on which a person can approve: each page once, at most one for each answer to a call, and only at
    /// the issuer at which the person has logged in. Any other link of a server is left to the client, which shows it
    /// and asks about it (CL-49).
    fn show_page(&self, refusal: &Refusal) {
        let Some(url) = refusal.remedy.url.as_ref().filter(|_| refusal.remedy.kind == RemedyKind::Approve) else {
            return;
        };
        let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let at_home = self
            .session
            .issuer()
            .is_some_and(|issuer| origin(&issuer).is_some_and(|home| origin(url).is_some_and(|there| there == home)));
        let Some(login) = self.session.login().filter(|_| at_home) else { return };
        let Ok(page) = Destination::named(Named::ApprovalPage, self.session.resource().as_str(), url) else { return };
        let mut state = self.state();
        if state.shown.contains(url) || state.shown.len() >= SHOWN_MAX {
            return;
        }
        state.shown.push(url.clone());
        drop(state);
        login.parts().browser.show(page.as_str());
        self.notify(Notice::Asked { url: page.as_str().to_owned() });
    }
}

fn session(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(SESSION)?.to_str().ok()?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}
