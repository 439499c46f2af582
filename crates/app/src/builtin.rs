//! The checkpoint as an MCP server of its own, protected like any other: it reads specifications, and tells an agent
//! why it was refused and how little it needs.
//!
//! All tools only read. What they tell about the checkpoint is limited to what their caller may know ([`within`]);
//! documents come with the call, or from a URL through the client that cannot reach internal addresses ([`reading`]).

mod reading;
mod server;
mod tools;
mod within;

use sekisho_gateway::{BuiltIn, BuiltInAnswer, BuiltInCall};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use server::Found;
pub(crate) use server::{CheckpointParts, CheckpointServer};
use tools::tool;
pub(crate) use tools::{DOCUMENT_BYTES_MAX, TOOLS};

impl CheckpointServer {
    /// Answers one call. An unknown tool or wrong arguments are an error for the client (JSON-RPC); the error of a tool
    /// is part of the answer, for the model.
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

/// Reads arguments strictly: an unknown member is an error.
fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| format!("the arguments do not fit: {error}"))
}
