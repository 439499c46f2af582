//! The checkpoint as an MCP server of its own, protected like any other: it reads specifications, and tells an agent
//! why it was refused and how little it needs.
//!
//! Everything only reads. What it tells of the checkpoint is within what its caller may know ([`within`]); what it reads
//! comes with the call, or from a URL by the client that strangers cannot turn inward ([`reading`]).

mod reading;
mod within;

use std::sync::Arc;

use sekisho_client::http::HttpClient;
use sekisho_gateway::{BuiltIn, BuiltInAnswer, BuiltInCall};
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::Clock;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::Store;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Calls that are worked on at once: each may keep a processor busy for a while. Others wait.
const AT_ONCE_MAX: usize = 2;

/// Its tools. All of them only read, and are of that class unless the configuration says otherwise.
pub(crate) const TOOLS: [&str; 4] = ["advise", "explain", "specmap", "specmap_pack"];

/// Bytes of a document that is fetched: the longest RFCs have about two million.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the checkpoint answers from.
#[derive(Debug)]
pub(crate) struct CheckpointServer {
    /// Records, grants, tasks.
    store: Store,
    /// What users may do.
    rights: watch::Receiver<Arc<Rights>>,
    /// The servers, and the classes that configuration gives their tools.
    directory: watch::Receiver<Arc<ServerDirectory>>,
    clock: Arc<dyn Clock>,
    /// The way to documents.
    http: Arc<dyn HttpClient>,
    /// For the pages that a person has to open.
    base_url: String,
    busy: Arc<Semaphore>,
}

/// What it is made from.
pub(crate) struct CheckpointParts {
    /// Records, grants, tasks.
    pub(crate) store: Store,
    /// What users may do.
    pub(crate) rights: watch::Receiver<Arc<Rights>>,
    /// The servers, and the classes that configuration gives their tools.
    pub(crate) directory: watch::Receiver<Arc<ServerDirectory>>,
    /// The clock of the instance.
    pub(crate) clock: Arc<dyn Clock>,
    /// The client for documents that callers name.
    pub(crate) http: Arc<dyn HttpClient>,
    /// The issuer identifier: pages that a person has to open begin with it.
    pub(crate) base_url: String,
}

/// What a tool found: words for the model, and the same as data, where it has that form.
struct Found {
    text: String,
    data: Option<Value>,
}

impl From<String> for Found {
    fn from(text: String) -> Self {
        Self { text, data: None }
    }
}

impl CheckpointServer {
    pub(crate) fn new(parts: CheckpointParts) -> Self {
        let CheckpointParts { store, rights, directory, clock, http, base_url } = parts;
        Self { store, rights, directory, clock, http, base_url, busy: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// A place among the calls that are worked on. The work keeps it, because the work may outlast the request.
    async fn place(&self) -> Result<OwnedSemaphorePermit, String> {
        // Never closed: it lives as long as we do.
        Arc::clone(&self.busy).acquire_owned().await.map_err(|error| error.to_string())
    }

    /// The outer error is the client's (JSON-RPC), the inner one the model's.
    async fn answer(&self, asked: BuiltInCall) -> Result<Value, String> {
        let BuiltInCall { caller, name, arguments } = asked;
        let place = self.place().await?;
        let found = match name.as_str() {
            "advise" => within::advise(self, &caller, read(arguments)?).await,
            "explain" => within::explain(self, &caller, read(arguments)?).await,
            "specmap" => reading::specmap(self, read(arguments)?, place).await,
            "specmap_pack" => reading::pack(self, read(arguments)?, place).await,
            _ => return Err(format!("there is no tool `{name}` here")),
        };
        let (found, is_error) = match found {
            Ok(found) => (found, false),
            Err(why) => (why.into(), true),
        };
        let mut result = json!({ "content": [{ "type": "text", "text": found.text }], "isError": is_error });
        if let (Some(data), Some(members)) = (found.data, result.as_object_mut()) {
            members.insert("structuredContent".to_owned(), data);
        }
        Ok(result)
    }
}

impl BuiltIn for CheckpointServer {
    fn info(&self) -> Value {
        json!({ "name": "sekisho", "title": "The checkpoint itself", "version": env!("CARGO_PKG_VERSION") })
    }

    fn tools(&self) -> Vec<Value> {
        let mut tools = reading::tools();
        tools.extend(within::tools());
        tools
    }

    fn prompts(&self) -> Vec<Value> {
        vec![reading::prompt_definition()]
    }

    fn call(&self, asked: BuiltInCall) -> BuiltInAnswer<'_> {
        Box::pin(self.answer(asked))
    }

    fn prompt(&self, asked: BuiltInCall) -> BuiltInAnswer<'_> {
        Box::pin(async move {
            if asked.name != reading::PROMPT {
                return Err(format!("there is no prompt `{}` here", asked.name));
            }
            let place = self.place().await?;
            reading::prompt(self, read(asked.arguments)?, place).await
        })
    }
}

/// Arguments, strictly: an unknown member is answered as a mistake.
fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| format!("the arguments do not fit: {error}"))
}

/// The definition of a tool that only reads.
fn tool(name: &str, title: &str, description: &str, properties: Value, required: &[&str], open_world: bool) -> Value {
    json!({
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": open_world },
    })
}
