//! The names of the built-in tools, and how one is defined.

use serde_json::{Value, json};

/// The built-in tools. All of them only read, and have that class unless the configuration says otherwise.
pub(crate) const TOOLS: [&str; 4] = ["advise", "explain", "specmap", "specmap_pack"];

/// The longest document that is fetched, in bytes. The longest RFCs have about two million.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Makes the definition of a tool that only reads.
pub(super) fn tool(
    name: &str,
    title: &str,
    description: &str,
    properties: Value,
    required: &[&str],
    open_world: bool,
) -> Value {
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
