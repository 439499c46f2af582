//! The gateway's own questions to an upstream: which revisions it speaks and which tools it has. The messages are here;
//! each kind of upstream sends them in its own way.

use std::collections::HashSet;

use bytes::Bytes;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::mcp::error::{self, ErrorCode};
use sekisho_protocol::mcp::message::{Id, Kind, Message, Meta, Outcome, list_items};
use sekisho_protocol::mcp::method::{Era, ListKind, Revision, TASKS_EXTENSION};
use sekisho_protocol::mcp::strict::Limits;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ForwardError;

/// The most pages of one list that we read.
const PAGES_MAX: usize = 100;
/// The most tools of one server that we take.
const TOOLS_MAX: usize = 10_000;
/// The most versions that an error repeats. They are foreign text, so their length is bounded, too.
const OFFERED_MAX: usize = 5;

/// What an upstream says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    /// The revisions it speaks that we serve too, oldest first, never empty. Before 2025-06-18 it holds at most one,
    /// which is then the newest with a handshake.
    pub(crate) revisions: Vec<Revision>,
    /// Its name and version, as it writes them; no decision depends on them.
    pub(crate) server_info: Option<String>,
}

impl Spoken {
    /// What is assumed of an upstream that cannot be asked yet.
    pub(crate) fn assumed() -> Self {
        Self { revisions: Revision::ALL.to_vec(), server_info: None }
    }

    /// Returns the newest revision it speaks.
    pub(crate) fn newest(&self) -> Revision {
        // The list is never empty, so the default is never taken.
        self.revisions.last().copied().unwrap_or(Revision::V2025_06_18)
    }
}

/// One message that we send in our own name.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) method: &'static str,
    /// `None` for a notification.
    pub(super) id: Option<Id>,
    pub(super) bytes: Bytes,
}

impl Own {
    /// Returns the probe for the stateless era (ST-10).
    pub(super) fn discover() -> Self {
        let params = json!({ "_meta": modern_meta() });
        Self::request(1, "server/discover", &params)
    }

    /// Returns the handshake of the older revisions, for the newest of them. It declares every capability of a client,
    /// because many servers show some tools only to clients that can sample, elicit or list roots.
    pub(super) fn initialize() -> Self {
        let params = json!({
            "protocolVersion": Revision::V2025_11_25.as_str(),
            "capabilities": {
                "elicitation": { "form": {}, "url": {} },
                "roots": { "listChanged": true },
                "sampling": { "context": {}, "tools": {} },
                "tasks": {
                    "cancel": {},
                    "list": {},
                    "requests": { "elicitation": { "create": {} }, "sampling": { "createMessage": {} } },
                },
            },
            "clientInfo": client_info(),
        });
        Self::request(2, "initialize", &params)
    }

    /// Returns the end of the handshake.
    pub(super) fn initialized() -> Self {
        let method = "notifications/initialized";
        let bytes = error::notification(method, None::<&()>).unwrap_or_default();
        Self { method, id: None, bytes: Bytes::from(bytes) }
    }

    fn request(number: i64, method: &'static str, params: &Value) -> Self {
        let id = Id::Integer(number);
        // Strings and integers always serialise, so the default is never taken.
        let bytes = error::request(&id, method, params).unwrap_or_default();
        Self { method, id: Some(id), bytes: Bytes::from(bytes) }
    }
}

fn client_info() -> Value {
    json!({ "name": "sekisho", "version": env!("CARGO_PKG_VERSION") })
}

fn modern_meta() -> Value {
    json!({
        Meta::PROTOCOL_VERSION: Revision::V2026_07_28.as_str(),
        Meta::CLIENT_INFO: client_info(),
        Meta::CLIENT_CAPABILITIES: {
            "elicitation": { "form": {}, "url": {} },
            "extensions": { TASKS_EXTENSION: {} },
            "roots": {},
            "sampling": { "context": {}, "tools": {} },
        },
    })
}

/// Returns our answer to what a server asks us while we ask it. We declare every capability in order to see every tool,
/// but we have no folders, no person and no model.
pub(super) fn reply_to(id: &Id, method: &str) -> Vec<u8> {
    let said = match method {
        "ping" => error::result_response(id, &json!({})),
        "roots/list" => error::result_response(id, &json!({ "roots": [] })),
        "elicitation/create" => error::result_response(id, &json!({ "action": "decline" })),
        _ => {
            return error::error_response(
                Some(id),
                ErrorCode::MethodNotFound,
                "no client is there to answer",
                None::<&()>,
            );
        }
    };
    // Strings and integers always serialise, so the default is never taken.
    said.unwrap_or_default()
}

/// What the answer to `server/discover` shows.
#[derive(Debug)]
pub(super) enum Discovered {
    /// The upstream belongs to the older era, so `initialize` is tried.
    Legacy,
    /// The upstream knows the question.
    Modern(Box<Spoken>),
}

/// Reads the answer to [`Own::discover`]. Only the modern error codes mean anything (ST-11): every other answer comes
/// from a server that does not know the question.
pub(super) fn read_discovered(answer: &[u8]) -> Result<Discovered, ForwardError> {
    let Ok(message) = Message::read(answer, &Limits::upstream()) else { return Ok(Discovered::Legacy) };
    let Kind::Response { outcome, .. } = message.kind() else { return Ok(Discovered::Legacy) };
    match outcome {
        Outcome::Result(result) if !result.supported_versions.is_empty() => {
            let offered: Vec<&str> = result.supported_versions.iter().map(AsRef::as_ref).collect();
            let revisions = served(&offered)?;
            let server_info = match result.meta.server_info {
                Some(info) => Some(info.to_owned()),
                None => server_info(result.raw),
            };
            Ok(Discovered::Modern(Box::new(Spoken { revisions, server_info })))
        }
        Outcome::Error(error) if error.code == -32022 => {
            #[derive(Deserialize)]
            struct Data<'a> {
                #[serde(borrow)]
                supported: Vec<std::borrow::Cow<'a, str>>,
            }
            let data: Option<Data<'_>> = error.data.and_then(|data| serde_json::from_str(data.get()).ok());
            let supported = data.map(|data| data.supported).unwrap_or_default();
            let offered: Vec<&str> = supported.iter().map(AsRef::as_ref).collect();
            let revisions = served(&offered)?;
            // An upstream with only older revisions is asked by the handshake, which also tells who it is.
            if revisions.iter().all(|revision| revision.era() == Era::Initialize) {
                return Ok(Discovered::Legacy);
            }
            Ok(Discovered::Modern(Box::new(Spoken { revisions, server_info: None })))
        }
        // Our question lacked something. A server of the older era would not know that.
        Outcome::Error(error) if matches!(error.code, -32021 | -32020) => {
            let revisions = vec![Revision::V2026_07_28];
            Ok(Discovered::Modern(Box::new(Spoken { revisions, server_info: None })))
        }
        Outcome::Error(_) | Outcome::Result(_) => Ok(Discovered::Legacy),
    }
}

/// Reads the answer to [`Own::initialize`]. A server that chose a revision is taken to speak the older ones too: they
/// differ little, and each session settles its own revision in its handshake.
pub(super) fn read_initialized(answer: &[u8]) -> Result<Spoken, ForwardError> {
    let malformed = |reason: &str| ForwardError::Malformed { reason: reason.to_owned() };
    let message = Message::read(answer, &Limits::upstream())
        .map_err(|error| malformed(&format!("its answer to `initialize`: {error}")))?;
    let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else {
        return Err(malformed("it refused both `server/discover` and `initialize`"));
    };
    let version = result.protocol_version.as_deref().unwrap_or_default();
    let newest = served(&[version])?;
    let older = |revision: &Revision| newest.iter().any(|newest| revision <= newest);
    let mut revisions: Vec<Revision> =
        Revision::ALL.into_iter().filter(|revision| revision.era() == Era::Initialize && older(revision)).collect();
    if revisions.is_empty() {
        revisions = newest;
    }
    Ok(Spoken { revisions, server_info: server_info(result.raw) })
}

fn server_info(result: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        server_info: Option<Box<RawValue>>,
    }
    serde_json::from_str::<Told>(result).ok()?.server_info.map(|info| info.get().to_owned())
}

/// Returns those of the offered versions that we know, oldest first.
fn served(offered: &[&str]) -> Result<Vec<Revision>, ForwardError> {
    let mut revisions: Vec<Revision> = offered.iter().filter_map(|version| Revision::of_upstream(version)).collect();
    revisions.sort_unstable();
    revisions.dedup();
    if revisions.is_empty() {
        let shown = |version: &&str| version.escape_debug().take(20).collect();
        let offered = offered.iter().take(OFFERED_MAX).map(shown).collect();
        return Err(ForwardError::UnsupportedRevision { offered });
    }
    Ok(revisions)
}

/// The pages of `tools/list`, asked for one after the other.
#[derive(Debug)]
pub(super) struct ToolPages {
    revision: Revision,
    bytes_left: usize,
    bytes_max: usize,
    next: Next,
    asked: usize,
    cursors: HashSet<String>,
    /// The digests of the tools that were listed so far.
    seen: HashSet<Digest>,
    tools: Vec<Box<RawValue>>,
}

#[derive(Debug)]
enum Next {
    At(String),
    End,
    First,
}

impl ToolPages {
    /// Begins the list; all pages together may have `bytes_max` bytes.
    pub(super) fn new(revision: Revision, bytes_max: usize) -> Self {
        Self {
            revision,
            bytes_left: bytes_max,
            bytes_max,
            next: Next::First,
            asked: 0,
            cursors: HashSet::new(),
            seen: HashSet::new(),
            tools: Vec::new(),
        }
    }

    /// Returns the question for the next page; `None` after the last.
    pub(super) fn question(&self) -> Option<Own> {
        let mut params = serde_json::Map::new();
        match &self.next {
            Next::At(cursor) => drop(params.insert("cursor".to_owned(), json!(cursor))),
            Next::End => return None,
            Next::First => {}
        }
        if self.revision.era() == Era::Stateless {
            params.insert("_meta".to_owned(), modern_meta());
        }
        let number = i64::try_from(self.asked).unwrap_or(i64::MAX).saturating_add(10);
        Some(Own::request(number, "tools/list", &Value::Object(params)))
    }

    /// Takes the answer to [`Self::question`].
    pub(super) fn take(&mut self, answer: &[u8]) -> Result<(), ForwardError> {
        let malformed = |reason: &str| ForwardError::Malformed { reason: reason.to_owned() };
        let too_large = ForwardError::TooLarge { max: self.bytes_max };
        self.bytes_left = self.bytes_left.checked_sub(answer.len()).ok_or(too_large)?;
        let message = Message::read(answer, &Limits::upstream())
            .map_err(|error| malformed(&format!("its list of tools: {error}")))?;
        let result = match message.kind() {
            Kind::Response { outcome: Outcome::Result(result), .. } => result,
            // A server without tools does not have to know the method.
            Kind::Response { outcome: Outcome::Error(error), .. } if error.code == -32601 && self.asked == 0 => {
                self.next = Next::End;
                return Ok(());
            }
            _ => return Err(malformed("it refused to list its tools")),
        };
        let items = list_items(result.raw, ListKind::Tools)
            .map_err(|error| malformed(&format!("its list of tools: {error}")))?;
        self.asked += 1;
        let before = self.tools.len();
        for item in &items {
            if self.seen.insert(Digest::of(item.raw().get().as_bytes())) {
                self.tools.push(item.raw().to_owned());
            }
        }
        let is_news = self.tools.len() > before || items.is_empty();
        // Some servers name a next page although there is none: they send `""`, the same cursor for ever, or a new
        // cursor on every page although all pages are the same. The tools listed until then are taken.
        self.next = match result.next_cursor.as_deref() {
            None => Next::End,
            Some(_) if !is_news => self.cut("a page had nothing that was not on the pages before it"),
            Some(cursor) if !self.cursors.insert(cursor.to_owned()) => self.cut("a cursor came twice"),
            Some(_) if self.tools.len() >= TOOLS_MAX || self.asked >= PAGES_MAX => self.cut("it has too many pages"),
            Some(cursor) => Next::At(cursor.to_owned()),
        };
        Ok(())
    }

    /// Ends a list early although it names a further page.
    fn cut(&self, why: &str) -> Next {
        tracing::warn!(
            tools = self.tools.len(),
            pages = self.asked,
            "the upstream's list of tools goes on for ever, and is taken as it was until then: {why}"
        );
        Next::End
    }

    /// Returns all tools, as the upstream wrote them.
    pub(super) fn into_tools(self) -> Vec<Box<RawValue>> {
        self.tools
    }
}

#[cfg(test)]
mod tests {
    use super::{Discovered, PAGES_MAX, ToolPages, read_discovered, read_initialized};
    use crate::forward::ForwardError;
    use sekisho_protocol::mcp::method::Revision;

    fn discovered(answer: &str) -> Option<Vec<Revision>> {
        match read_discovered(answer.as_bytes()).unwrap() {
            Discovered::Legacy => None,
            Discovered::Modern(spoken) => Some(spoken.revisions),
        }
    }

    /// ST-11, TR-52: only a modern error is a sign of the modern era; every other answer means the older one.
    #[test]
    fn the_era_is_told_by_modern_answers_alone() {
        for code in [-32601, -32602, -32600, -32000, -32700, 0, 1] {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"?"}}}}"#);
            assert_eq!(discovered(&answer), None, "{code}");
        }
        for code in [-32020, -32021] {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"?"}}}}"#);
            assert_eq!(discovered(&answer), Some(vec![Revision::V2026_07_28]), "{code}");
        }
        let both =
            r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28","2025-11-25","2099-01-01"]}}"#;
        assert_eq!(discovered(both), Some(vec![Revision::V2025_11_25, Revision::V2026_07_28]));
        let older =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"?","data":{"supported":["2025-11-25"]}}}"#;
        assert_eq!(discovered(older), None);
        let none =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"?","data":{"supported":["2031-01-01"]}}}"#;
        let error = read_discovered(none.as_bytes()).unwrap_err();
        assert_eq!(error, ForwardError::UnsupportedRevision { offered: vec!["2031-01-01".into()] });
        assert_eq!(discovered(r#"{"ok":true}"#), None);
    }

    #[test]
    fn a_handshake_tells_the_revisions_and_who_answers() {
        let answer = r#"{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"n"}}}"#;
        let spoken = read_initialized(answer.as_bytes()).unwrap();
        assert_eq!(spoken.revisions, [Revision::V2025_06_18, Revision::V2025_11_25]);
        assert_eq!(spoken.server_info.unwrap(), r#"{"name":"n"}"#);
        // An older server speaks only the version that it names.
        for (version, revision) in [
            ("2024-11-05", Revision::V2024_11_05),
            ("2025-03-26", Revision::V2025_03_26),
            ("2025-06-18", Revision::V2025_06_18),
        ] {
            let old = answer.replace("2025-11-25", version);
            assert_eq!(read_initialized(old.as_bytes()).unwrap().revisions, [revision]);
        }
        for version in ["2024-10-07", "2025-04-01", "2031-01-01", ""] {
            let other = answer.replace("2025-11-25", version);
            assert!(matches!(read_initialized(other.as_bytes()), Err(ForwardError::UnsupportedRevision { .. })));
        }
    }

    /// ATK-93: a list that never ends is read until it repeats itself, and taken as far as it was read.
    #[test]
    fn a_list_that_never_ends_is_taken_until_it_repeats_itself() {
        let page = |tool: &str, cursor: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{{"name":"{tool}"}}],"nextCursor":"{cursor}"}}}}"#)
        };
        let empty = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"z"}}"#.to_owned();
        for (what, all, tools) in [
            ("one cursor for ever", vec![page("a", "x"), page("a", "x")], 1),
            ("no cursor that is written as one", vec![page("a", ""), page("a", "")], 1),
            ("a cursor that comes again", vec![page("a", "x"), page("b", "y"), page("c", "x")], 3),
            ("a new cursor at every page", vec![page("a", "x"), page("a", "y")], 1),
            ("an empty page in between", vec![page("a", "x"), empty.clone(), page("b", "y"), page("b", "u")], 2),
            ("empty pages for ever", vec![page("a", "x"), empty.clone(), empty], 1),
        ] {
            let mut pages = ToolPages::new(Revision::V2025_11_25, 1 << 20);
            for (index, page) in all.iter().enumerate() {
                assert!(pages.question().is_some(), "{what}: ended before page {index}");
                pages.take(page.as_bytes()).unwrap();
            }
            assert!(pages.question().is_none(), "{what}");
            assert_eq!(pages.into_tools().len(), tools, "{what}");
        }
        let mut pages = ToolPages::new(Revision::V2025_11_25, 1 << 20);
        pages.take(page("a", "x").as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&pages.question().unwrap().bytes).contains(r#""cursor":"x""#));
        let mut number = 0;
        while pages.question().is_some() {
            number += 1;
            pages.take(page(&number.to_string(), &number.to_string()).as_bytes()).unwrap();
        }
        assert_eq!(pages.into_tools().len(), PAGES_MAX);

        let page = |cursor: &str| page(cursor, cursor);
        let mut pages = ToolPages::new(Revision::V2025_11_25, 200);
        pages.take(page("x").as_bytes()).unwrap();
        pages.take(page("y").as_bytes()).unwrap();
        assert_eq!(pages.take(page("z").as_bytes()), Err(ForwardError::TooLarge { max: 200 }));
    }
}
