//! What is known of each server's tools: read from memory on every call, filled by the gateway's own list.
//!
//! The store keeps what the owner decided; the upstream says what there is. A tool that the catalogue does not know
//! is asked for once more before it is refused, one question at a time and not too often.

mod propose;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use sekisho_policy::model::ToolStanding;
use sekisho_protocol::canonical;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::message::ListItem;
use sekisho_protocol::mcp::method::ListKind;
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_store::{Store, StoreError};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::forward::{ForwardError, Upstreams};
use propose::propose;

/// The shortest time between two questions to one upstream that callers can bring about.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Characters of a tool's summary.
const SUMMARY_CHARACTERS_MAX: usize = 200;
/// Tools of one server; what comes after is not known, and so not callable.
const TOOLS_MAX: usize = 10_000;

/// Why the catalogue could not be filled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// The upstream did not list its tools.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The list could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One tool, as calls see it.
#[derive(Debug, Clone)]
struct Known {
    standing: ToolStanding,
    seen: Digest,
}

/// The tools of one server at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    tools: HashMap<String, Known>,
}

impl Snapshot {
    fn of(tools: Vec<Tool>) -> Self {
        let known = |tool: Tool| {
            let standing = standing(&tool);
            (tool.name, Known { standing, seen: tool.seen })
        };
        Self { tools: tools.into_iter().map(known).collect() }
    }

    /// What is known of a tool by its exact name (ATK-77: no folding, no prefix).
    pub(crate) fn standing(&self, name: &str) -> ToolStanding {
        self.tools.get(name).map_or(ToolStanding::Unknown, |known| known.standing)
    }

    /// Whether this is the definition that was seen last.
    fn is_as_seen(&self, name: &str, definition: &Digest) -> bool {
        self.tools.get(name).is_some_and(|known| known.seen == *definition)
    }
}

/// A definition that is not the accepted one is not the classified tool any more: it needs a yes by name (ATK-76).
fn standing(tool: &Tool) -> ToolStanding {
    match (tool.class, tool.accepted) {
        (Some(class), None) => ToolStanding::Classified(class),
        (Some(class), Some(accepted)) if accepted == tool.seen => ToolStanding::Classified(class),
        (Some(_), Some(_)) | (None, _) => ToolStanding::Unclassified,
    }
}

/// One server's part of the catalogue.
#[derive(Debug, Default)]
struct Shelf {
    snapshot: ArcSwap<Snapshot>,
    /// Which arguments each tool mirrors into headers; only tools that do.
    mirrors: ArcSwap<HashMap<String, Annotations>>,
    /// When this process last listed the upstream's tools; held while it does.
    listed: tokio::sync::Mutex<Option<Instant>>,
    /// The same for readers that do not wait.
    listed_once: std::sync::atomic::AtomicBool,
}

/// What is known of all servers' tools.
#[derive(Debug)]
pub(crate) struct Catalogues {
    store: Store,
    shelves: RwLock<BTreeMap<ServerName, Arc<Shelf>>>,
    /// Servers whose list is being asked for in the background.
    asked: Mutex<Vec<ServerName>>,
}

impl Catalogues {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, shelves: RwLock::default(), asked: Mutex::default() }
    }

    /// The tools of a server now.
    pub(crate) fn snapshot(&self, server: &ServerName) -> Arc<Snapshot> {
        self.shelves().get(server).map(|shelf| shelf.snapshot.load_full()).unwrap_or_default()
    }

    /// Which arguments of a tool have to be mirrored into headers, as of the upstream's last list.
    pub(crate) fn mirrored(&self, server: &ServerName, tool: &str) -> Option<Annotations> {
        let shelf = self.shelf(server);
        let mirrors = shelf.mirrors.load();
        mirrors.get(tool).cloned()
    }

    /// Whether this process has asked the upstream for its tools already.
    pub(crate) fn was_listed(&self, server: &ServerName) -> bool {
        self.shelf(server).listed_once.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Reads a server's part anew from the store.
    pub(crate) async fn reload(&self, server: &ServerName) -> Result<(), StoreError> {
        let mut tx = self.store.read().await?;
        let tools = tx.catalogue().list(server).await?;
        drop(tx);
        self.shelf(server).snapshot.store(Arc::new(Snapshot::of(tools)));
        Ok(())
    }

    /// Forgets servers that are not mounted any more.
    pub(crate) fn retain(&self, mounted: impl Fn(&ServerName) -> bool) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|server, _| mounted(server));
    }

    /// Asks the upstream for its tools and keeps what it says. Whoever asks while another asks waits for that
    /// answer; whoever asks again at once gets the last one.
    pub(crate) async fn refresh(
        &self,
        upstreams: &Upstreams,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let shelf = self.shelf(server);
        let mut listed = shelf.listed.lock().await;
        if listed.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
            return Ok(Vec::new());
        }
        // Counted also when it fails: an upstream that is down is not asked at every call.
        *listed = Some(Instant::now());
        self.take_list(&shelf, upstreams, server, now).await
    }

    /// The same for who can do without: returns at once while another asks.
    pub(crate) async fn refresh_unless_busy(
        &self,
        upstreams: &Upstreams,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<(), RefreshError> {
        let shelf = self.shelf(server);
        let Ok(mut listed) = shelf.listed.try_lock() else { return Ok(()) };
        if listed.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
            *listed = Some(Instant::now());
            self.take_list(&shelf, upstreams, server, now).await?;
        }
        Ok(())
    }

    /// The same, whoever asked before: for the operator.
    pub(crate) async fn list(
        &self,
        upstreams: &Upstreams,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let shelf = self.shelf(server);
        let mut listed = shelf.listed.lock().await;
        *listed = Some(Instant::now());
        self.take_list(&shelf, upstreams, server, now).await
    }

    async fn take_list(
        &self,
        shelf: &Shelf,
        upstreams: &Upstreams,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let items = upstreams.list_tools(server).await?;
        let (tools, mirrors) = read_all(&items);
        let mut tx = self.store.begin().await?;
        tx.catalogue().sync(server, &tools, now).await?;
        let kept = tx.catalogue().list(server).await?;
        tx.commit().await?;
        shelf.mirrors.store(Arc::new(mirrors));
        shelf.snapshot.store(Arc::new(Snapshot::of(kept.clone())));
        shelf.listed_once.store(true, std::sync::atomic::Ordering::Release);
        Ok(kept)
    }

    /// Whether a list of this server holds something the catalogue has not seen in this form.
    pub(crate) fn is_news(&self, server: &ServerName, item: &ListItem<'_>) -> bool {
        match item {
            ListItem::Tool { name, .. } => !self.snapshot(server).is_as_seen(name, &definition(item)),
            ListItem::Job { .. }
            | ListItem::Prompt { .. }
            | ListItem::Resource { .. }
            | ListItem::ResourceTemplate { .. } => false,
        }
    }

    /// When the upstream may be asked again.
    pub(crate) async fn due(&self, server: &ServerName) -> Instant {
        let listed = *self.shelf(server).listed.lock().await;
        listed.map_or_else(Instant::now, |at| at + REFRESH_EVERY)
    }

    /// Notes that a server's list is to be asked for in the background; `false` when it is noted already.
    pub(crate) fn ask_once(&self, server: &ServerName) -> bool {
        let mut asked = self.asked();
        let is_new = !asked.contains(server);
        if is_new {
            asked.push(server.clone());
        }
        is_new
    }

    /// The list was asked for.
    pub(crate) fn was_asked(&self, server: &ServerName) {
        self.asked().retain(|asked| asked != server);
    }

    fn asked(&self) -> MutexGuard<'_, Vec<ServerName>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelves(&self) -> RwLockReadGuard<'_, BTreeMap<ServerName, Arc<Shelf>>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self, server: &ServerName) -> Arc<Shelf> {
        if let Some(shelf) = self.shelves().get(server) {
            return Arc::clone(shelf);
        }
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shelves.entry(server.clone()).or_default())
    }
}

/// The tools of a list, and what they mirror. Of two with one name the first counts.
fn read_all(items: &[Box<RawValue>]) -> (Vec<Tool>, HashMap<String, Annotations>) {
    let mut tools: Vec<Tool> = Vec::new();
    let mut mirrors = HashMap::new();
    let mut names = std::collections::HashSet::new();
    for raw in items.iter().take(TOOLS_MAX) {
        let Some(item) = ListItem::read(ListKind::Tools, raw) else { continue };
        let ListItem::Tool { name, annotations, input_schema, .. } = &item else { continue };
        if !names.insert(name.clone().into_owned()) {
            continue;
        }
        if let Some(Ok(mirrored)) = input_schema.map(Annotations::read)
            && !mirrored.is_empty()
        {
            mirrors.insert(name.clone().into_owned(), mirrored);
        }
        tools.push(Tool {
            name: name.clone().into_owned(),
            summary: summary(&item),
            proposed: propose(name, *annotations),
            class: None,
            seen: definition(&item),
            accepted: None,
        });
    }
    (tools, mirrors)
}

/// The title or the first line of the description: foreign text, cut and without control characters.
fn summary(item: &ListItem<'_>) -> String {
    let ListItem::Tool { title, description, .. } = item else { return String::new() };
    let text = title.as_deref().filter(|title| !title.trim().is_empty()).or(description.as_deref()).unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|character| !character.is_control()).take(SUMMARY_CHARACTERS_MAX).collect()
}

/// The digest of what a tool promises: name, title, description, schemas and annotations, each canonical, so that
/// the order of members and blanks do not count and everything else does (ATK-76).
fn definition(item: &ListItem<'_>) -> Digest {
    let ListItem::Tool { name, title, description, input_schema, output_schema, annotations, .. } = item else {
        return Digest::of(item.raw().get().as_bytes());
    };
    let of = |raw: &Option<&RawValue>| raw.map(canonical::digest).map(|digest| *digest.as_bytes());
    let parts = [of(input_schema), of(output_schema), of(annotations)];
    let texts = [Some(name.as_ref()), title.as_deref(), description.as_deref()];
    let mut list: Vec<&[u8]> = Vec::with_capacity(12);
    for text in &texts {
        list.push(if text.is_some() { b"1" } else { b"0" });
        list.push(text.map_or(&[][..], str::as_bytes));
    }
    for part in &parts {
        list.push(if part.is_some() { b"1" } else { b"0" });
        list.push(part.as_ref().map_or(&[][..], <[u8; 32]>::as_slice));
    }
    Digest::of_list(&list)
}

#[cfg(test)]
mod tests {
    use sekisho_policy::model::ToolStanding;
    use sekisho_protocol::catalogue::{Tool, ToolClass};
    use sekisho_protocol::digest::Digest;
    use sekisho_protocol::mcp::message::ListItem;
    use sekisho_protocol::mcp::method::ListKind;
    use serde_json::value::RawValue;

    use super::{Snapshot, definition, read_all, standing};

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn digest(text: &str) -> Digest {
        let raw = raw(text);
        definition(&ListItem::read(ListKind::Tools, &raw).unwrap())
    }

    /// ATK-76: every part of a definition counts, the order of its members does not.
    #[test]
    fn a_definition_changes_with_every_part_but_not_with_order() {
        let base = r#"{"name":"a","description":"d","inputSchema":{"type":"object","properties":{"x":{},"y":{}}}}"#;
        let same = r#"{"inputSchema":{"properties":{"y":{},"x":{}}, "type":"object"},"description":"d","name":"a"}"#;
        assert_eq!(digest(base), digest(same));
        for changed in [
            base.replace("\"d\"", "\"D\""),
            base.replace("\"name\":\"a\"", "\"name\":\"b\""),
            base.replace("\"y\":{}", "\"y\":{\"type\":\"string\"}"),
            base.replace("\"description\":\"d\",", "\"title\":\"d\","),
            base.replace("\"description\":\"d\"", "\"description\":\"d\",\"annotations\":{\"readOnlyHint\":true}"),
            base.replace("inputSchema", "outputSchema"),
        ] {
            assert_ne!(digest(base), digest(&changed), "{changed}");
        }
    }

    /// ATK-76: a class holds for the definition it was given to.
    #[test]
    fn a_changed_definition_is_not_the_classified_tool() {
        let tool = |class, accepted: Option<&[u8]>| Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class,
            seen: Digest::of(b"now"),
            accepted: accepted.map(Digest::of),
        };
        let read = ToolStanding::Classified(ToolClass::Read);
        assert_eq!(standing(&tool(None, None)), ToolStanding::Unclassified);
        assert_eq!(standing(&tool(Some(ToolClass::Read), None)), read);
        assert_eq!(standing(&tool(Some(ToolClass::Read), Some(b"now"))), read);
        assert_eq!(standing(&tool(Some(ToolClass::Read), Some(b"before"))), ToolStanding::Unclassified);
        let snapshot = Snapshot::of(vec![tool(Some(ToolClass::Read), None)]);
        assert_eq!(snapshot.standing("a"), read);
        for other in ["A", "a ", "", "b"] {
            assert_eq!(snapshot.standing(other), ToolStanding::Unknown, "{other}");
        }
    }

    /// ATK-75, ATK-77: a summary has no control characters, and of two tools with one name the first counts.
    #[test]
    fn a_list_is_read_without_what_cannot_be_judged() {
        let items = [
            raw(r#"{"name":"a","title":"  ","description":"\n first\u0007 line\nsecond"}"#),
            raw(r#"{"name":"a","description":"again"}"#),
            raw(r#"{"description":"nameless"}"#),
            raw("7"),
        ];
        let (tools, mirrors) = read_all(&items);
        assert_eq!(tools.len(), 1);
        assert_eq!(tools.first().map(|tool| tool.summary.as_str()), Some("first line"));
        assert!(mirrors.is_empty());
    }
}
