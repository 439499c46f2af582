//! The known member names in each place, and the other names that a lenient parser would take for them.
//!
//! Lenient means: ignoring case (Go), folding Unicode (`ſ`, the Kelvin sign, the Turkish i's), full-width letters,
//! or accepting both `taskId` and `task_id`, `_meta` and `meta` (protobuf JSON, pydantic with `populate_by_name`).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// Where in a message an object stands, as far as its members mean something to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// `params.argument` of a completion.
    Argument,
    /// `params.arguments`: what a tool or prompt is called with.
    Arguments,
    /// `error`.
    Error,
    /// `params.notifications`.
    Filter,
    /// Anywhere else.
    Free,
    /// One entry of `inputRequests`.
    InputRequest,
    /// `result.inputRequests`.
    InputRequests,
    /// One entry of a list.
    Item,
    /// The list in a result.
    List,
    /// The message itself.
    Message,
    /// `_meta` of params or of a result.
    Meta,
    /// `params`.
    Params,
    /// `params.ref` of a completion.
    Reference,
    /// `result`.
    Result,
    /// `result.task` of 2025-11-25.
    Task,
}

const MESSAGE: &[&str] = &["error", "id", "jsonrpc", "method", "params", "result"];
const ERROR: &[&str] = &["code", "data", "message"];
const META: &[&str] = &[
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/subscriptionId",
    "progressToken",
];
const PARAMS: &[&str] = &[
    "_meta",
    "argument",
    "arguments",
    "capabilities",
    "clientInfo",
    "context",
    "cursor",
    "elicitationId",
    "inputRequests",
    "inputResponses",
    "level",
    "logger",
    "mode",
    "name",
    "notifications",
    "progress",
    "progressToken",
    "protocolVersion",
    "reason",
    "ref",
    "requestId",
    "requestState",
    "requestedSchema",
    "status",
    "task",
    "taskId",
    "uri",
    "url",
];
const REFERENCE: &[&str] = &["name", "type", "uri"];
const ARGUMENT: &[&str] = &["name", "value"];
const FILTER: &[&str] =
    &["promptsListChanged", "resourceSubscriptions", "resourcesListChanged", "taskIds", "toolsListChanged"];
const RESULT: &[&str] = &[
    "_meta",
    "cacheScope",
    "capabilities",
    "inputRequests",
    "instructions",
    "isError",
    "nextCursor",
    "prompts",
    "protocolVersion",
    "requestState",
    "resourceTemplates",
    "resources",
    "resultType",
    "serverInfo",
    "supportedVersions",
    "task",
    "taskId",
    "tasks",
    "tools",
    "ttlMs",
];
const ITEM: &[&str] =
    &["annotations", "description", "inputSchema", "name", "outputSchema", "taskId", "title", "uri", "uriTemplate"];
const INPUT_REQUEST: &[&str] = &["method", "params"];
const TASK: &[&str] = &["status", "taskId"];

impl Place {
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Argument => ARGUMENT,
            Self::Error => ERROR,
            Self::Filter => FILTER,
            Self::InputRequest => INPUT_REQUEST,
            Self::Item => ITEM,
            Self::Message => MESSAGE,
            Self::Meta => META,
            Self::Params => PARAMS,
            Self::Reference => REFERENCE,
            Self::Result => RESULT,
            Self::Task => TASK,
            Self::Arguments | Self::Free | Self::InputRequests | Self::List => &[],
        }
    }

    /// Whether a member of this name means something here.
    pub(super) fn knows(self, name: &str) -> bool {
        self.known().contains(&name)
    }

    /// Whether the members of an object that stands here are read with the message. What lists hold and what a server asks
    /// of the client is seldom looked at, and then by itself.
    pub(super) fn is_read(self) -> bool {
        match self {
            Self::Argument
            | Self::Arguments
            | Self::Free
            | Self::InputRequest
            | Self::InputRequests
            | Self::Item
            | Self::List => false,
            Self::Error
            | Self::Filter
            | Self::Message
            | Self::Meta
            | Self::Params
            | Self::Reference
            | Self::Result
            | Self::Task => true,
        }
    }

    /// Where the value of the member `name` stands.
    pub(super) fn child(self, name: &str) -> Self {
        match (self, name) {
            (Self::Message | Self::InputRequest, "params") => Self::Params,
            (Self::Message, "result") => Self::Result,
            (Self::Message, "error") => Self::Error,
            (Self::Params | Self::Result, "_meta") => Self::Meta,
            (Self::Params, "argument") => Self::Argument,
            (Self::Params, "arguments") => Self::Arguments,
            (Self::Params, "notifications") => Self::Filter,
            (Self::Params, "ref") => Self::Reference,
            (Self::Params | Self::Result, "inputRequests") => Self::InputRequests,
            (Self::Result, "task") => Self::Task,
            (Self::Result, "prompts" | "resourceTemplates" | "resources" | "tasks" | "tools") => Self::List,
            (Self::InputRequests, _) => Self::InputRequest,
            _ => Self::Free,
        }
    }

    /// Where the elements of an array that stands here stand.
    pub(super) fn element(self) -> Self {
        match self {
            Self::List => Self::Item,
            _ => Self::Free,
        }
    }

    /// The known name that a lenient parser would take `name` for, if it is not that name.
    pub(super) fn taken_for(self, name: &str) -> Option<&'static str> {
        let known = self.known();
        if known.is_empty() || known.contains(&name) {
            return None;
        }
        // What upstreams answer is full of members nobody specified; there only case is suspicious.
        let joined = !matches!(self, Self::Item | Self::Result | Self::Task);
        let name = if name.is_ascii() { Cow::Borrowed(name) } else { Cow::Owned(visible(name)) };
        let mut room = [0; KNOWN_LETTERS_MAX + 1];
        let count = room.iter_mut().zip(letters(&name, joined)).map(|(place, letter)| *place = letter).count();
        let read = room.get(..count).unwrap_or_default();
        known.iter().copied().find(|known| letters(known, joined).eq(read.iter().copied()))
    }
}

/// No known name is longer, so more of a foreign one need not be looked at.
const KNOWN_LETTERS_MAX: usize = 64;

/// The ASCII letters of a name without case, and without what joins words if parsers may disagree about that.
fn letters(name: &str, joined: bool) -> impl Iterator<Item = u8> {
    name.bytes()
        .filter(move |byte| !(byte.is_ascii_whitespace() || joined && matches!(byte, b'_' | b'-')))
        .map(|byte| byte.to_ascii_lowercase())
}

/// Whether a parser that ignores case and width could take one name for the other. For comparing arguments with
/// the names in a tool's schema, which this walk does not know.
pub fn same_when_folded(one: &str, other: &str) -> bool {
    fold(one).eq(fold(other))
}

/// A name as a lenient reader of arguments could take it: by NFKC, without case, width, blanks, what cannot be seen, and
/// what joins words. Two names with one such form could be taken for each other: Go and .NET ignore case, pydantic takes
/// `taskId` and `task_id`.
pub fn loosely(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.') {
        return Cow::Borrowed(name);
    }
    let normal: String = name.nfkc().collect();
    Cow::Owned(fold(&normal).filter(|char| !matches!(char, '_' | '-') && is_visible(*char)).collect())
}

pub(super) fn folded(name: &str) -> Cow<'_, str> {
    // Such a name folds to itself.
    let is_plain = name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_plain { Cow::Borrowed(name) } else { Cow::Owned(fold(name).collect()) }
}

/// Folded, and without what cannot be seen.
fn visible(name: &str) -> String {
    fold(name).filter(|char| is_visible(*char)).collect()
}

fn is_visible(char: char) -> bool {
    !char.is_whitespace() && !matches!(char, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

fn fold(name: &str) -> impl Iterator<Item = char> {
    // Upper, then lower: `ſ` becomes S and then s, the Kelvin sign k, the dotless i an ordinary one.
    name.chars().map(narrow).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

fn narrow(char: char) -> char {
    match char {
        // Full-width forms of ASCII.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(char) - 0xFEE0).unwrap_or(char),
        // Its lower case is two characters, but some languages compare one by one.
        '\u{130}' => 'i',
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ATK-66: the check must not refuse one known name for another.
    #[test]
    fn no_known_name_can_be_taken_for_another_in_its_place() {
        for names in [MESSAGE, ERROR, META, PARAMS, REFERENCE, ARGUMENT, FILTER, RESULT, ITEM, INPUT_REQUEST, TASK] {
            for (index, name) in names.iter().enumerate() {
                assert!(name.is_ascii() && name.len() <= KNOWN_LETTERS_MAX, "`{name}`");
                for other in names.iter().skip(index + 1) {
                    assert!(!letters(name, true).eq(letters(other, true)), "`{name}` and `{other}`");
                }
            }
        }
    }

    #[test]
    fn lenient_spellings_fold_together() {
        for spelling in ["METHOD", "Method", "me_thod", "ｍｅｔｈｏｄ", "method ", "me\u{200B}thod"] {
            assert_eq!(Place::Message.taken_for(spelling), Some("method"), "{spelling}");
        }
        assert_eq!(Place::Message.taken_for("paramſ"), Some("params"));
        assert_eq!(Place::Params.taken_for("tasKId"), Some("taskId"));
        assert_eq!(Place::Params.taken_for("task_id"), Some("taskId"));
        assert_eq!(Place::Params.taken_for("meta"), Some("_meta"));
        assert_eq!(Place::Message.taken_for("İd"), Some("id"));
        assert_eq!(Place::Message.taken_for("ıd"), Some("id"));
        assert_eq!(Place::Message.taken_for("method"), None);
        assert_eq!(Place::Message.taken_for("methods"), None);
        assert_eq!(Place::Free.taken_for("Method"), None);
        assert_eq!(Place::Params.taken_for(&"n_".repeat(2000)), None);
        assert_eq!(Place::Params.taken_for(&format!("na{}me", "_".repeat(2000))), Some("name"));
        assert_eq!(Place::Result.taken_for("meta"), None);
        assert_eq!(Place::Result.taken_for("Tools"), Some("tools"));
        assert!(same_when_folded("Path", "ＰATH"));
        assert!(!same_when_folded("path", "pa_th"));
    }

    #[test]
    fn names_of_arguments_fold_further() {
        for name in ["amountDue", "AMOUNT_DUE", "amount-due", "ａmountdue", "\u{1D41A}mountdue", "amount\u{200B} due"]
        {
            assert_eq!(loosely(name), "amountdue", "{name}");
        }
        assert_eq!(loosely("to.folder"), "to.folder");
        assert_ne!(loosely("amount"), loosely("amounts"));
    }
}
