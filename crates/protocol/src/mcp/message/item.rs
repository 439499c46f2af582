//! The items of lists: the members that decisions depend on.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::error::ReadError;
use super::object::{Object, raw_value};
use crate::mcp::method::ListKind;
use crate::mcp::scan;

/// One item of a list, viewed in its own bytes.
#[derive(Clone, Debug)]
pub enum ListItem<'a> {
    /// Of `tasks/list`.
    Job {
        /// All of it.
        raw: &'a RawValue,
        /// Its id.
        task_id: Cow<'a, str>,
    },
    /// Of `prompts/list`.
    Prompt {
        /// All of it.
        raw: &'a RawValue,
        /// What `prompts/get` names.
        name: Cow<'a, str>,
    },
    /// Of `resources/list`.
    Resource {
        /// All of it.
        raw: &'a RawValue,
        /// What `resources/read` names.
        uri: Cow<'a, str>,
    },
    /// Of `resources/templates/list`.
    ResourceTemplate {
        /// All of it.
        raw: &'a RawValue,
        /// An RFC 6570 template.
        uri_template: Cow<'a, str>,
    },
    /// Of `tools/list`.
    Tool {
        /// All of it.
        raw: &'a RawValue,
        /// What `tools/call` names.
        name: Cow<'a, str>,
        /// For people, when there is one.
        title: Option<Cow<'a, str>>,
        /// For the model.
        description: Option<Cow<'a, str>>,
        /// JSON Schema of the arguments.
        input_schema: Option<&'a RawValue>,
        /// JSON Schema of the structured result.
        output_schema: Option<&'a RawValue>,
        /// Hints of the server about its own tool: never decided on without a person's yes.
        annotations: Option<&'a RawValue>,
    },
}

impl<'a> ListItem<'a> {
    /// Reads one item. Returns `None` if it has no name, URI or id: such an item cannot be judged.
    pub fn read(kind: ListKind, raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let members = scan::members(text, scan::root(text))?;
        let object = Object::scanned(text, &members);
        let string = |name| object.string(name, "item").ok().flatten();
        Some(match kind {
            ListKind::Jobs => Self::Job { raw, task_id: string("taskId")? },
            ListKind::Prompts => Self::Prompt { raw, name: string("name")? },
            ListKind::Resources => Self::Resource { raw, uri: string("uri")? },
            ListKind::ResourceTemplates => Self::ResourceTemplate { raw, uri_template: string("uriTemplate")? },
            ListKind::Tools => Self::Tool {
                raw,
                name: string("name")?,
                title: string("title"),
                description: string("description"),
                input_schema: object.raw("inputSchema"),
                output_schema: object.raw("outputSchema"),
                annotations: object.raw("annotations"),
            },
        })
    }

    /// Returns the item's name, URI, template or job id.
    pub fn key(&self) -> &str {
        match self {
            Self::Job { task_id, .. } => task_id,
            Self::Prompt { name, .. } | Self::Tool { name, .. } => name,
            Self::Resource { uri, .. } => uri,
            Self::ResourceTemplate { uri_template, .. } => uri_template,
        }
    }

    /// Returns the whole item, unchanged.
    pub fn raw(&self) -> &'a RawValue {
        match self {
            Self::Job { raw, .. }
            | Self::Prompt { raw, .. }
            | Self::Resource { raw, .. }
            | Self::ResourceTemplate { raw, .. }
            | Self::Tool { raw, .. } => raw,
        }
    }
}

/// The items of a list result, for the catalogue. Items that cannot be judged are left out.
pub fn list_items(text: &str, kind: ListKind) -> Result<Vec<ListItem<'_>>, ReadError> {
    let error = ReadError::WrongType { member: kind.member(), expected: "an array" };
    let members = scan::members(text, scan::root(text)).ok_or_else(|| error.clone())?;
    let range = Object::scanned(text, &members).range(kind.member()).ok_or_else(|| error.clone())?;
    let elements = scan::elements(text, range).ok_or(error)?;
    let raws = elements.into_iter().filter_map(|range| text.get(range).and_then(raw_value));
    Ok(raws.filter_map(|raw| ListItem::read(kind, raw)).collect())
}
