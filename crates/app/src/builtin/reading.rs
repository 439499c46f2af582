//! Specifications as graphs: drawn, packed for one question, or handed to a model to refine.

use sekisho_client::http::{Destination, Named};
use sekisho_specification::{
    self as specification, External, LINES_DEFAULT, LINES_MAX, LINES_MIN, Map, Options, PACK_BYTES_DEFAULT,
    PACK_BYTES_MIN, Source,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::server::{CheckpointServer, Found};
use super::tools::{DOCUMENT_BYTES_MAX, tool};
use crate::documents;
use crate::map_picture::{self, Format};

/// The name of the prompt.
pub(super) const PROMPT: &str = "read_specification";

/// The arguments that name a document.
#[derive(Debug, Deserialize)]
pub(super) struct DocumentArguments {
    text: Option<String>,
    url: Option<String>,
}

/// Arguments of `specmap`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrawArguments {
    text: Option<String>,
    url: Option<String>,
    lines: Option<usize>,
    format: Option<Format>,
    focus: Option<String>,
    external: Option<External>,
}

/// Arguments of `specmap_pack`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackArguments {
    text: Option<String>,
    url: Option<String>,
    section: String,
    size: Option<usize>,
}

/// Arguments of the prompt. All arguments of prompts are texts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptArguments {
    text: Option<String>,
    url: Option<String>,
    lines: Option<String>,
}

pub(super) fn tools() -> Vec<Value> {
    let document = json!({
        "text": { "type": "string", "description": "The document itself: Markdown, MDX, HTML or the plain text of an RFC." },
        "url": { "type": "string", "description": "Where the document is, over https, instead of `text`." },
    });
    let with = |more: Value| {
        let mut all = document.clone();
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    };
    vec![
        tool(
            "specmap",
            "How a specification hangs together",
            "Draws a specification as a graph of its sections: what builds on what, where terms are defined and used, \
             which requirements bind which section. Read the picture first, then ask for single sections with \
             specmap_pack.",
            with(json!({
                "lines": { "type": "integer", "minimum": LINES_MIN, "maximum": LINES_MAX, "description": "About how many lines the picture may have; 50 if left out." },
                "format": { "enum": ["mermaid", "json", "dot", "svg"], "description": "mermaid if left out." },
                "focus": { "type": "string", "description": "A section (its title, number or anchor) that gets the room." },
                "external": { "enum": ["collapsed", "none", "all"], "description": "How documents outside are shown: as one node, not at all, or each." },
            })),
            &[],
            true,
        ),
        tool(
            "specmap_pack",
            "One section with what it needs",
            "The text of one section of a specification, with the definitions it uses and the sections around it, within \
             a size: enough to answer one pinpoint question.",
            with(json!({
                "section": { "type": "string", "description": "Its title, number or anchor." },
                "size": { "type": "integer", "minimum": PACK_BYTES_MIN, "description": "The most bytes; 20000 if left out." },
            })),
            &["section"],
            true,
        ),
    ]
}

pub(super) fn prompt_definition() -> Value {
    json!({
        "name": PROMPT,
        "title": "Read a specification as a picture",
        "description": "Gives the graph that was extracted from a specification, and asks for a better one.",
        "arguments": [
            { "name": "url", "description": "Where the document is, over https." },
            { "name": "text", "description": "The document itself, instead of `url`." },
            { "name": "lines", "description": "About how many lines the picture may have; 50 if left out." },
        ],
    })
}

pub(super) async fn specmap(
    server: &CheckpointServer,
    asked: DrawArguments,
    place: OwnedSemaphorePermit,
) -> Result<Found, String> {
    let source = source(server, DocumentArguments { text: asked.text, url: asked.url }).await?;
    let options = Options {
        lines: asked.lines.unwrap_or(LINES_DEFAULT),
        external: asked.external.unwrap_or(External::Collapsed),
        focus: asked.focus,
    };
    let format = asked.format.unwrap_or_default();
    let draw = move |map: &Map| map_picture::draw(map, &options, format).map_err(|error| error.to_string());
    work(source, place, draw).await.map(Found::from)
}

pub(super) async fn pack(
    server: &CheckpointServer,
    asked: PackArguments,
    place: OwnedSemaphorePermit,
) -> Result<Found, String> {
    let source = source(server, DocumentArguments { text: asked.text, url: asked.url }).await?;
    let size = asked.size.unwrap_or(PACK_BYTES_DEFAULT);
    let section = asked.section;
    work(source, place, move |map| map.pack(&section, size).map_err(|error| error.to_string())).await.map(Found::from)
}

/// Answers the prompt: the extracted graph, complete and as a drawing, and instructions for the model.
pub(super) async fn prompt(
    server: &CheckpointServer,
    asked: PromptArguments,
    place: OwnedSemaphorePermit,
) -> Result<Value, String> {
    let lines = match asked.lines.as_deref() {
        None => LINES_DEFAULT,
        Some(text) => text.trim().parse().map_err(|_| "`lines` is not a number".to_owned())?,
    };
    let source = source(server, DocumentArguments { text: asked.text, url: asked.url }).await?;
    let name = source.name.clone();
    let (drawn, order) = work(source, place, move |map| {
        let options = Options { lines, ..Options::default() };
        let drawn = map_picture::draw(map, &options, Format::Mermaid).map_err(|error| error.to_string())?;
        Ok((drawn, map.reading_order().to_string()))
    })
    .await?;
    let text = format!(
        "This graph was extracted from {name} without a language model: its sections, and how they relate.\n\n\
         ```mermaid\n{drawn}```\n\n{order}\n\
         Draw a better one in Mermaid, within {lines} lines, for somebody who is about to read the document: keep what \
         has to be known first, name what the central terms are and where they meet, give the relations inside the \
         document the room, and show outside documents as one node with their names only. Add no relation that is not \
         in the text: ask for a section with the tool specmap_pack where the graph does not say enough."
    );
    Ok(json!({
        "description": format!("How {name} hangs together"),
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }],
    }))
}

/// Reads a document and processes it on a blocking thread, so that other requests do not wait.
async fn work<T: Send + 'static>(
    source: Source,
    place: OwnedSemaphorePermit,
    then: impl FnOnce(&Map) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        let map = specification::read(&[source]).map_err(|error| error.to_string())?;
        then(&map)
    });
    done.await.map_err(|_| "the document could not be read".to_owned())?
}

/// Returns the document, either from the call or from its URL.
async fn source(server: &CheckpointServer, document: DocumentArguments) -> Result<Source, String> {
    let url = match (document.text, document.url) {
        (Some(text), None) => return Ok(Source::new("the document", text)),
        (None, Some(url)) => url,
        _ => return Err("give either `text` or `url`".to_owned()),
    };
    let plain = url.split('#').next().unwrap_or(&url);
    let to = Destination::brought(Named::Specification, plain);
    documents::fetch(server.http.as_ref(), to, DOCUMENT_BYTES_MAX).await.map_err(|why| {
        tracing::info!(%why, "a document could not be fetched");
        // Every failure gets the same text, so that a caller learns nothing about the internal network (ATK-29).
        format!(
            "{url} could not be read: it must be public, over https, and a text of at most {DOCUMENT_BYTES_MAX} bytes"
        )
    })
}
