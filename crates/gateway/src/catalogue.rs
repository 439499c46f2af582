//! What is known of each server's tools. Calls read it from memory; the gateway fills it with its own lists.
//!
//! The store keeps what the owner decided, and the upstream says which tools there are. For a tool that the catalogue
//! does not know, the upstream is asked once more before the call is refused, one question at a time and not too often.

mod listed;
mod propose;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use sekisho_policy::model::ToolState;
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::mcp::message::ListItem;
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_store::{Store, StoreError};
use tokio::time::Instant;

use crate::forward::{ForwardError, Upstreams};
use crate::route::Mount;
use listed::{definition, read_all};

/// The shortest time between two questions to one upstream that callers can cause.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// The most tools of one server that the operator is told about because only callers see them.
const TOLD_MAX: usize = 100;
/// The most tool definitions whose digests are remembered.
const DIGESTS_MAX: usize = 20_000;

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
    standing: ToolState,
    seen: Digest,
    accepted: Option<Digest>,
    /// The schema of the tool's arguments; only for a tool that is not held back.
    schema: Option<Arc<ToolSchema>>,
}

/// The tools of one server at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    tools: HashMap<String, Known>,
}

impl Snapshot {
    /// `definitions` holds the accepted definition of each tool. A schema that has not changed since `before` is not
    /// compiled again.
    fn of(tools: Vec<Tool>, definitions: &HashMap<String, String>, before: &Self) -> Self {
        let known = |tool: Tool| {
            let standing = standing(&tool);
            let schema = match before.tools.get(&tool.name) {
                _ if tool.is_held() => None,
                Some(known) if known.schema.is_some() && known.seen == tool.seen => known.schema.clone(),
                _ => definitions.get(&tool.name).and_then(|text| ToolSchema::of_definition(text)).map(Arc::new),
            };
            (tool.name, Known { standing, seen: tool.seen, accepted: tool.accepted, schema })
        };
        Self { tools: tools.into_iter().map(known).collect() }
    }

    /// Returns the schema of a tool's arguments.
    pub(crate) fn schema(&self, name: &str) -> Option<Arc<ToolSchema>> {
        self.tools.get(name).and_then(|known| known.schema.clone())
    }

    /// Returns the tools whose schema cannot be read, each with the reason, in order.
    fn unreadable(&self) -> BTreeMap<&str, &str> {
        let schemas = self.tools.iter().filter_map(|(name, known)| Some((name.as_str(), known.schema.as_deref()?)));
        schemas.filter_map(|(name, schema)| Some((name, schema.unreadable()?))).collect()
    }

    /// What is known of a tool by its exact name (ATK-77: no folding, no prefix).
    pub(crate) fn standing(&self, name: &str) -> ToolState {
        self.tools.get(name).map_or(ToolState::Unknown, |known| known.standing)
    }

    /// Whether no tool is known at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The same of a tool as a list defines it. One that does not promise what was accepted is held back, also where
    /// only one caller sees it so: what one session is shown is nothing that anybody accepted (ATK-76).
    pub(crate) fn standing_as(&self, name: &str, definition: &Digest) -> ToolState {
        match self.tools.get(name) {
            Some(known) if known.accepted.as_ref() == Some(definition) => known.standing,
            Some(_) => ToolState::Held,
            None => ToolState::Unknown,
        }
    }

    /// Whether this definition is the one that was seen last.
    fn is_as_seen(&self, name: &str, definition: &Digest) -> bool {
        self.tools.get(name).is_some_and(|known| known.seen == *definition)
    }

    /// The names of the tools that are held back, in order.
    fn held(&self) -> BTreeSet<&str> {
        let held = self.tools.iter().filter(|(_, known)| known.standing == ToolState::Held);
        held.map(|(name, _)| name.as_str()).collect()
    }
}

/// A definition that is not the accepted one is not the accepted tool (ATK-76).
fn standing(tool: &Tool) -> ToolState {
    match tool.class {
        _ if tool.is_held() => ToolState::Held,
        Some(class) => ToolState::Classified(class),
        None => ToolState::Unclassified,
    }
}

/// One server's part of the catalogue.
#[derive(Debug, Default)]
struct Shelf {
    snapshot: ArcSwap<Snapshot>,
    /// The arguments that each tool mirrors into headers; holds only tools that do so.
    mirrors: ArcSwap<HashMap<String, Annotations>>,
    /// When this process last listed the upstream's tools. Locked while it lists them.
    listed: tokio::sync::Mutex<Option<Instant>>,
    /// Whether this process has listed the tools, for readers that do not wait for the lock.
    listed_once: std::sync::atomic::AtomicBool,
    /// The number of the last reading of the store, and of the one that `snapshot` came from.
    readings: Mutex<Readings>,
    /// The names of the tools that the operator was told about because only callers see them.
    told: Mutex<BTreeSet<String>>,
}

/// Readings of the store, numbered in the order in which they began.
#[derive(Debug, Default)]
struct Readings {
    begun: u64,
    kept: u64,
}

impl Shelf {
    /// Begins a reading of the store and returns its number.
    fn begin_reading(&self) -> u64 {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.begun += 1;
        readings.begun
    }

    /// Keeps the result of a reading, unless a reading that began later has given its own: an earlier result never
    /// replaces a later one. The change feed tells of each change, so what changed in between is read again.
    fn keep(&self, reading: u64, snapshot: Snapshot) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if reading > readings.kept {
            readings.kept = reading;
            self.snapshot.store(Arc::new(snapshot));
        }
    }
}

/// What is known of all servers' tools, by mount, because an owner accepts and classifies a tool at a mount.
#[derive(Debug)]
pub(crate) struct Catalogues {
    store: Store,
    shelves: RwLock<BTreeMap<ServerName, Arc<Shelf>>>,
    /// Servers whose list is being asked for in the background.
    asked: Mutex<Vec<ServerName>>,
    /// The digests of definitions, by the digest of the text in which the upstream sent them.
    digests: quick_cache::sync::Cache<Digest, Digest>,
}

impl Catalogues {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            shelves: RwLock::default(),
            asked: Mutex::default(),
            digests: quick_cache::sync::Cache::new(DIGESTS_MAX),
        }
    }

    /// Returns the tools of a server as they are known now.
    pub(crate) fn snapshot(&self, server: &ServerName) -> Arc<Snapshot> {
        self.shelves().get(server).map(|shelf| shelf.snapshot.load_full()).unwrap_or_default()
    }

    /// Returns which arguments of a tool have to be mirrored into headers, according to the upstream's last list.
    pub(crate) fn mirrored(&self, server: &ServerName, tool: &str) -> Option<Annotations> {
        let shelf = self.shelf(server);
        let mirrors = shelf.mirrors.load();
        mirrors.get(tool).cloned()
    }

    /// Whether this process has already asked the upstream for its tools.
    pub(crate) fn was_listed(&self, server: &ServerName) -> bool {
        self.shelf(server).listed_once.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Reads a server's part anew from the store.
    pub(crate) async fn reload(&self, server: &ServerName) -> Result<(), StoreError> {
        let shelf = self.shelf(server);
        let reading = shelf.begin_reading();
        let mut tx = self.store.read().await?;
        let tools = tx.catalogue().list(server).await?;
        let definitions = tx.catalogue().definitions(server).await?;
        drop(tx);
        let before = shelf.snapshot.load();
        shelf.keep(reading, Snapshot::of(tools, &definitions.into_iter().collect(), &before));
        Ok(())
    }

    /// Forgets the servers that are not mounted any more.
    pub(crate) fn retain(&self, mounted: impl Fn(&ServerName) -> bool) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|server, _| mounted(server));
    }

    /// Asks the upstream for its tools and keeps the list for this mount. A call that comes during a question waits for
    /// its answer, and one that comes shortly afterwards uses the last answer.
    pub(crate) async fn refresh(
        &self,
        upstreams: &Upstreams,
        mount: Mount<'_>,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let shelf = self.shelf(mount.server);
        let mut listed = shelf.listed.lock().await;
        if listed.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
            return Ok(Vec::new());
        }
        // Counted even if it fails, so that an upstream that is down is not asked on every call.
        *listed = Some(Instant::now());
        Box::pin(self.take_list(&shelf, upstreams, mount, now)).await
    }

    /// Does the same for a caller that does not need the answer: returns at once while another question is open.
    pub(crate) async fn refresh_unless_busy(
        &self,
        upstreams: &Upstreams,
        mount: Mount<'_>,
        now: Timestamp,
    ) -> Result<(), RefreshError> {
        let shelf = self.shelf(mount.server);
        let Ok(mut listed) = shelf.listed.try_lock() else { return Ok(()) };
        if listed.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
            *listed = Some(Instant::now());
            Box::pin(self.take_list(&shelf, upstreams, mount, now)).await?;
        }
        Ok(())
    }

    /// Does the same for the operator, however recently the upstream was asked.
    pub(crate) async fn list(
        &self,
        upstreams: &Upstreams,
        mount: Mount<'_>,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let shelf = self.shelf(mount.server);
        let mut listed = shelf.listed.lock().await;
        *listed = Some(Instant::now());
        Box::pin(self.take_list(&shelf, upstreams, mount, now)).await
    }

    async fn take_list(
        &self,
        shelf: &Shelf,
        upstreams: &Upstreams,
        Mount { server, upstream, asking }: Mount<'_>,
        now: Timestamp,
    ) -> Result<Vec<Tool>, RefreshError> {
        let lists = upstreams.list_tools(upstream, asking).await?;
        let (tools, mirrors) = read_all(server, &lists);
        let mut tx = self.store.begin().await?;
        let reading = shelf.begin_reading();
        tx.catalogue().sync(server, &tools, now).await?;
        let kept = tx.catalogue().list(server).await?;
        tx.commit().await?;
        shelf.mirrors.store(Arc::new(mirrors));
        let before = shelf.snapshot.load_full();
        // A tool that is not held back still has its accepted definition.
        let definitions = tools.into_iter().map(|tool| (tool.name, tool.definition)).collect();
        let snapshot = Snapshot::of(kept.clone(), &definitions, &before);
        tell_held(server, &before, &snapshot);
        tell_unreadable(server, &before, &snapshot);
        shelf.keep(reading, snapshot);
        shelf.listed_once.store(true, std::sync::atomic::Ordering::Release);
        Ok(kept)
    }

    /// Tells the operator, once for each name, of a tool that a caller is shown and we are not. The tool cannot be
    /// called, because no owner has accepted it (decision 10). It is also kept for the owner, without keeping the
    /// caller waiting.
    pub(crate) fn tell_unknown<'a>(&self, server: &ServerName, names: impl Iterator<Item = &'a str>, now: Timestamp) {
        let (shelf, snapshot) = (self.shelf(server), self.snapshot(server));
        let mut told = shelf.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for name in names.filter(|name| snapshot.standing(name) == ToolState::Unknown) {
            if told.len() < TOLD_MAX && told.insert(name.to_owned()) {
                tracing::warn!(
                    %server,
                    tool = %name,
                    "the upstream shows this tool to a caller and not to the checkpoint, so it cannot be accepted or called"
                );
                fresh.push(name.to_owned());
            }
        }
        drop(told);
        if fresh.is_empty() {
            return;
        }
        let (store, server) = (self.store.clone(), server.clone());
        tokio::spawn(async move {
            let kept = async {
                let mut tx = store.begin().await?;
                tx.catalogue().seen_by_callers(&server, &fresh, now).await?;
                tx.commit().await
            };
            if let Err(error) = kept.await {
                tracing::warn!(%server, %error, "which tools callers alone are shown could not be kept");
            }
        });
    }

    /// Whether the catalogue has not seen an item of a list of this server in this form.
    pub(crate) fn is_news(&self, server: &ServerName, item: &ListItem<'_>) -> bool {
        match item {
            ListItem::Tool { name, .. } => !self.snapshot(server).is_as_seen(name, &self.digest(item)),
            ListItem::Job { .. }
            | ListItem::Prompt { .. }
            | ListItem::Resource { .. }
            | ListItem::ResourceTemplate { .. } => false,
        }
    }

    /// Returns the digest of what a listed tool promises. The same text is read only once.
    pub(crate) fn digest(&self, item: &ListItem<'_>) -> Digest {
        let text = Digest::of(item.raw().get().as_bytes());
        let digest = self.digests.get_or_insert_with(&text, || Ok(Digest::of(definition(item).as_bytes())));
        digest.unwrap_or_else(|never: Infallible| match never {})
    }

    /// Returns when the upstream may be asked again.
    pub(crate) async fn due(&self, server: &ServerName) -> Instant {
        let listed = *self.shelf(server).listed.lock().await;
        listed.map_or_else(Instant::now, |at| at + REFRESH_EVERY)
    }

    /// Notes that a server's list is to be asked for in the background. Returns `false` if that is noted already.
    pub(crate) fn ask_once(&self, server: &ServerName) -> bool {
        let mut asked = self.asked();
        let is_new = !asked.contains(server);
        if is_new {
            asked.push(server.clone());
        }
        is_new
    }

    /// Notes that the list was asked for.
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

/// Logs the tools whose schema cannot be read, without those of which that is logged already.
fn tell_unreadable(server: &ServerName, before: &Snapshot, after: &Snapshot) {
    let known = before.unreadable();
    let unreadable = after.unreadable();
    let unreadable: Vec<_> = unreadable.into_iter().filter(|(name, _)| !known.contains_key(name)).take(20).collect();
    if !unreadable.is_empty() {
        tracing::warn!(
            %server,
            tools = ?unreadable,
            "the input schemas of these tools cannot be read, so their arguments are held to rules and bounds alone"
        );
    }
}

/// Says in the log which tools are held back that were not before.
fn tell_held(server: &ServerName, before: &Snapshot, after: &Snapshot) {
    let known = before.held();
    let held: Vec<&str> = after.held().into_iter().filter(|name| !known.contains(name)).take(20).collect();
    if !held.is_empty() {
        tracing::warn!(
            %server,
            tools = ?held,
            "new or changed tools are held back; see `sekisho server tools diff {server}`"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use sekisho_policy::model::ToolState;
    use sekisho_protocol::catalogue::{Tool, ToolClass};
    use sekisho_protocol::digest::Digest;
    use sekisho_protocol::mcp::message::ListItem;
    use sekisho_protocol::mcp::method::ListKind;
    use serde_json::value::RawValue;

    use super::{Shelf, Snapshot, definition, standing};

    fn snapshot(tool: Tool) -> Snapshot {
        Snapshot::of(vec![tool], &HashMap::new(), &Snapshot::default())
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn digest(text: &str) -> Digest {
        let raw = raw(text);
        Digest::of(definition(&ListItem::read(ListKind::Tools, &raw).unwrap()).as_bytes())
    }

    /// An earlier reading never replaces a later one, in whatever order the two are kept.
    #[test]
    fn a_reading_that_began_later_stays() {
        let shelf = Shelf::default();
        let (first, second) = (shelf.begin_reading(), shelf.begin_reading());
        shelf.keep(second, Snapshot::default());
        let tool = Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class: Some(ToolClass::Read),
            seen: Digest::of(b"now"),
            accepted: None,
        };
        shelf.keep(first, snapshot(tool.clone()));
        assert!(shelf.snapshot.load().is_empty());
        shelf.keep(shelf.begin_reading(), snapshot(tool));
        assert!(!shelf.snapshot.load().is_empty());
    }

    /// ATK-76: every part of a definition counts; the order of its members does not.
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

    /// ATK-76: a tool whose definition is not the accepted one is held back, whatever class it had.
    #[test]
    fn a_changed_definition_is_held_back() {
        let tool = |class, accepted: Option<&[u8]>| Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class,
            seen: Digest::of(b"now"),
            accepted: accepted.map(Digest::of),
        };
        let read = ToolState::Classified(ToolClass::Read);
        assert_eq!(standing(&tool(None, Some(b"now"))), ToolState::Unclassified);
        assert_eq!(standing(&tool(Some(ToolClass::Read), Some(b"now"))), read);
        for class in [None, Some(ToolClass::Read)] {
            assert_eq!(standing(&tool(class, None)), ToolState::Held);
            assert_eq!(standing(&tool(class, Some(b"before"))), ToolState::Held);
        }
        let snapshot = snapshot(tool(Some(ToolClass::Read), Some(b"now")));
        assert_eq!(snapshot.standing("a"), read);
        for other in ["A", "a ", "", "b"] {
            assert_eq!(snapshot.standing(other), ToolState::Unknown, "{other}");
        }
    }

    /// ATK-76: the definition in one caller's list is compared with the accepted one, whatever the tool is called.
    #[test]
    fn a_definition_that_only_one_caller_sees_is_held_back() {
        let tool = |accepted: &[u8]| Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class: Some(ToolClass::Read),
            seen: Digest::of(b"now"),
            accepted: Some(Digest::of(accepted)),
        };
        let accepted = snapshot(tool(b"now"));
        assert_eq!(accepted.standing_as("a", &Digest::of(b"now")), ToolState::Classified(ToolClass::Read));
        assert_eq!(accepted.standing_as("a", &Digest::of(b"for you alone")), ToolState::Held);
        assert_eq!(accepted.standing_as("b", &Digest::of(b"now")), ToolState::Unknown);
        // The accepted form, of a server that meanwhile shows another to us.
        assert_eq!(snapshot(tool(b"before")).standing_as("a", &Digest::of(b"before")), ToolState::Held);
    }

    /// RS-61: a schema is compiled when its definition changes, and only if the definition was accepted.
    #[test]
    fn a_schema_is_compiled_when_it_changes() {
        let tool = |seen: &[u8]| Tool {
            name: "a".to_owned(),
            summary: String::new(),
            proposed: ToolClass::Read,
            class: None,
            seen: Digest::of(seen),
            accepted: Some(Digest::of(b"now")),
        };
        let text = r#"{"name":"a","inputSchema":{"properties":{"x":{"type":"string"}}}}"#;
        let definitions = HashMap::from([("a".to_owned(), text.to_owned())]);
        let of = |seen, before: &Snapshot| Snapshot::of(vec![tool(seen)], &definitions, before);
        let first = of(b"now", &Snapshot::default());
        let schema = first.schema("a").unwrap();
        assert!(schema.check(Some(br#"{"x":7}"#)).is_err() && schema.check(Some(br#"{"x":"7"}"#)).is_ok());
        assert!(Arc::ptr_eq(&schema, &of(b"now", &first).schema("a").unwrap()));
        assert!(of(b"other", &first).schema("a").is_none() && first.schema("b").is_none());
    }
}
