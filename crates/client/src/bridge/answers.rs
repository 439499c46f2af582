//! What a server answers, on its way to the client.

use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use sekisho_protocol::mcp::message::{Id, Kind, ListItem, Message, Outcome, list_items};
use sekisho_protocol::mcp::method::ListKind;
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_protocol::mcp::splice::filter_list;
use sekisho_protocol::mcp::strict::Limits;
use sekisho_protocol::refusal::{Refusal, RemedyKind};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::line::{Line, SESSION};
use super::streams::{Events, Resume, is_stream};
use super::{Bridge, BridgeError, Notice, SHOWN_MAX, TOOLS_MAX};
use crate::http::{Opened, Response};

/// Whether a request is done with.
pub(super) enum Answered {
    /// Not yet: it is sent again, after this wait.
    Again(Duration),
    /// Its answer was passed on.
    Yes,
}

/// Where our own refusals stand in a tool's result.
#[derive(Deserialize)]
struct RefusalMeta {
    #[serde(rename = "io.sekisho/refusal")]
    refusal: Option<Refusal>,
}

impl Bridge {
    /// Passes on what a success brings, until the answer to this request was among it.
    pub(super) async fn pass_answer(
        self: &Arc<Self>,
        line: &Line,
        id: &Id,
        opened: Opened,
    ) -> Result<Answered, BridgeError> {
        if line.method.as_deref() == Some("initialize") {
            self.note_session(&opened);
        }
        if is_stream(&opened) {
            return self.pass_stream(line, id, opened).await;
        }
        let status = opened.status.as_u16();
        let response = self.whole(opened).await?;
        if self.pass(Some(line), Some(id), &response.body).await {
            Ok(Answered::Yes)
        } else {
            Err(BridgeError::NoMessage { resource: self.resource(), status })
        }
    }

    /// Passes one message on. Whether it was the answer to this request.
    pub(super) async fn pass(self: &Arc<Self>, line: Option<&Line>, id: Option<&Id>, bytes: &[u8]) -> bool {
        let message = match Message::read(bytes, &Limits::upstream()) {
            Ok(message) => message,
            Err(error) => {
                (self.tell)(Notice::Dropped { why: error.to_string() });
                return false;
            }
        };
        let Kind::Response { id: of, outcome } = message.kind() else {
            self.say(message.bytes()).await;
            return false;
        };
        let ours = id.is_some() && of.as_ref() == id;
        if !ours {
            // On a standing stream a request that broke off may still be answered.
            self.say(message.bytes()).await;
            return false;
        }
        let mut replaced = None;
        if let Outcome::Result(result) = outcome {
            match line.and_then(|line| line.method.as_deref()) {
                Some("initialize") => {
                    let mut state = self.state();
                    state.revision = result.protocol_version.as_ref().map(ToString::to_string);
                    state.initialize = line.cloned();
                }
                Some("tools/list") => replaced = self.read_tools(bytes),
                Some("tools/call") => self.show(result.raw),
                _ => {}
            }
        }
        self.say(replaced.as_deref().unwrap_or(message.bytes())).await;
        true
    }

    /// Passes a refusal on as the answer to this request.
    pub(super) async fn pass_refusal(self: &Arc<Self>, id: &Id, refusal: Response) -> Result<(), BridgeError> {
        let status = refusal.status.as_u16();
        let error = serde_json::from_slice::<Value>(&refusal.body).ok();
        let error = error.and_then(|mut message| message.get_mut("error").map(Value::take));
        // An OAuth error has its code in the same place; it is no message.
        let Some(error) = error.filter(|error| error.get("code").is_some_and(Value::is_i64)) else {
            return Err(BridgeError::NoMessage { resource: self.resource(), status });
        };
        if let Some(refusal) = error.get("data").and_then(|data| Refusal::deserialize(data).ok()) {
            self.show_page(&refusal);
        }
        self.say(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().as_bytes()).await;
        Ok(())
    }

    /// The answer to a question of our own; everything else is passed on.
    pub(super) async fn only_answer(self: &Arc<Self>, id: &Id, opened: Opened) -> Result<Option<Vec<u8>>, BridgeError> {
        let is_answer = |bytes: &[u8]| {
            Message::read(bytes, &Limits::upstream())
                .is_ok_and(|message| matches!(message.kind(), Kind::Response { .. }) && message.id() == Some(id))
        };
        if !is_stream(&opened) {
            let response = self.whole(opened).await?;
            return Ok(is_answer(&response.body).then(|| response.body.to_vec()));
        }
        let mut events = Events::new(opened, self.settings.message_bytes_max);
        let mut resume = Resume::default();
        while let Some(data) = events.data(&mut resume).await.ok().flatten() {
            if is_answer(data.as_bytes()) {
                return Ok(Some(data.into_bytes()));
            }
            self.pass(None, None, data.as_bytes()).await;
        }
        Ok(None)
    }

    pub(super) fn note_session(&self, opened: &Opened) {
        self.state().session = session(&opened.headers);
    }

    /// Learns what calls of these tools mirror. Tools that declare it wrongly are left out of the list, and the others
    /// stay (TR-32); the list without them, if there are any.
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
        (self.tell)(Notice::ToolsLeftOut { names: wrong });
        without
    }

    /// Shows the page of a refusal that stands in a tool's result.
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

    /// Shows where a person can approve, once, and only at the issuer where that person has logged in: any other link
    /// of a server is for the client to show and to ask about (CL-49).
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
        let mut state = self.state();
        if state.shown.contains(url) {
            return;
        }
        if state.shown.len() >= SHOWN_MAX {
            state.shown.clear();
        }
        state.shown.push(url.clone());
        drop(state);
        login.parts().browser.show(url);
        (self.tell)(Notice::Asked { url: url.clone() });
    }
}

fn session(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(SESSION)?.to_str().ok()?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}
