//! HTTP headers that repeat parts of the body, and the decision which revision a POST belongs to.
//!
//! Policy always looks at the body; headers only have to agree with it (ATK-65, PX-25..PX-28). A request whose version
//! header and body name different eras is malformed, never older (TR-30, TR-51, ATK-67). A request of the older era may
//! repeat its method and its name in headers, and then they must agree as well.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ErrorCode;
use super::message::{Kind, Message, Meta, Params};
use super::method::{self, Direction, Era, Method, NameSource, Revision, Shape};

/// `MCP-Protocol-Version`, in lower case.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `Mcp-Method`, in lower case.
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`, in lower case.
pub const NAME: &str = "mcp-name";
/// What the names of mirrored tool arguments start with, in lower case.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// The longest mirrored value, in bytes; HTTP servers commonly accept as much for a whole header block (PX-30).
pub const VALUE_BYTES_MAX: usize = 8 << 10;
/// The most mirrored arguments of one request (PX-30).
pub const PARAMS_MAX: usize = 64;

/// The version that a missing header means in the older revisions (2025-11-25 transports, Protocol Version Header).
/// Within a session, this value counts like no header: the version that was agreed on applies (TR-15).
const VERSION_ASSUMED: &str = "2025-03-26";

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// Why the headers do not match the body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// The header came more than once.
    #[error("header `{header}` came more than once")]
    Duplicate {
        /// The name of the header, in lower case.
        header: String,
    },
    /// The header's value is not ASCII as RFC 9110 §5.5 has it, or not the Base64 it claims to be.
    #[error("header `{header}` is malformed; send printable ASCII or `=?base64?…?=`")]
    Malformed {
        /// The name of the header, in lower case.
        header: String,
    },
    /// The header differs from the body.
    #[error("header `{header}` does not match the body")]
    Mismatch {
        /// The name of the header, in lower case.
        header: String,
    },
    /// The header is required and missing.
    #[error("header `{header}` is missing")]
    Missing {
        /// The name of the header, in lower case.
        header: String,
    },
    /// 2026-07-28 requires this member of `_meta` on every request (TR-16).
    #[error("`_meta` must have `{member}`")]
    MissingMeta {
        /// Its wire name.
        member: &'static str,
    },
    /// A value longer than [`VALUE_BYTES_MAX`], or more than [`PARAMS_MAX`] mirrored arguments.
    #[error("mirrored headers are too long or too many")]
    Oversize,
    /// A client answers nothing in 2026-07-28 (TR-08).
    #[error("this revision has no answers from clients; repeat the request with `inputResponses`")]
    Response,
    /// The header belongs to 2026-07-28, the body does not, or has nothing that it could repeat.
    #[error("header `{header}` has nothing to match in the body; modern headers need a modern `_meta`")]
    Unexpected {
        /// The name of the header, in lower case.
        header: String,
    },
    /// A version that is not served; `data` is `{supported, requested}` (TR-14).
    #[error("protocol version `{requested}` is not supported")]
    Unsupported {
        /// As it was asked for, at most 40 characters of it.
        requested: String,
    },
}

impl HeaderError {
    /// The code for the sender. All of these are answered with 400, [`HeaderError::Oversize`] with 431.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Duplicate { .. }
            | Self::Malformed { .. }
            | Self::Mismatch { .. }
            | Self::Missing { .. }
            | Self::Oversize
            | Self::Unexpected { .. } => ErrorCode::HeaderMismatch,
            Self::MissingMeta { .. } => ErrorCode::InvalidParams,
            Self::Response => ErrorCode::InvalidRequest,
            Self::Unsupported { .. } => ErrorCode::UnsupportedProtocolVersion,
        }
    }

    fn mismatch(header: &str) -> Self {
        Self::Mismatch { header: header.to_owned() }
    }

    fn missing(header: &str) -> Self {
        Self::Missing { header: header.to_owned() }
    }

    fn malformed(header: &str) -> Self {
        Self::Malformed { header: header.to_owned() }
    }
}

/// One header that may occur only once.
#[derive(Clone, Copy, Debug, Default)]
enum Slot<'a> {
    #[default]
    Absent,
    Many,
    One(&'a [u8]),
}

impl<'a> Slot<'a> {
    fn put(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::One(value),
            Self::Many | Self::One(_) => Self::Many,
        };
    }

    fn one(self, header: &str) -> Result<Option<&'a [u8]>, HeaderError> {
        match self {
            Self::Absent => Ok(None),
            Self::Many => Err(HeaderError::Duplicate { header: header.to_owned() }),
            Self::One(value) if value.len() > VALUE_BYTES_MAX => Err(HeaderError::Oversize),
            Self::One(value) => Ok(Some(trim(value))),
        }
    }
}

/// The headers of one request that concern its body.
#[derive(Clone, Debug, Default)]
pub struct HeaderView<'a> {
    protocol_version: Slot<'a>,
    method: Slot<'a>,
    name: Slot<'a>,
    params: Vec<(&'a str, &'a [u8])>,
}

impl<'a> HeaderView<'a> {
    /// From all headers of a request, names in lower case as every HTTP library has them; others are passed over.
    pub fn read(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut view = Self::default();
        for (name, value) in headers {
            match name {
                PROTOCOL_VERSION => view.protocol_version.put(value),
                METHOD => view.method.put(value),
                NAME => view.name.put(value),
                // One more than allowed is kept, so that `agree` sees the excess.
                _ if name.starts_with(PARAM_PREFIX) && view.params.len() <= PARAMS_MAX => {
                    view.params.push((name, value));
                }
                _ => {}
            }
        }
        view
    }

    /// `MCP-Protocol-Version`, for requests that have no body (GET, DELETE). A version that is neither served to every
    /// client nor the one that `session` agreed on is an error.
    pub fn revision(&self, session: Option<Revision>) -> Result<Option<Revision>, HeaderError> {
        self.version_text()?.map(|text| supported(text, session)).transpose()
    }

    /// The mirrored argument `header` (in lower case, with its prefix), trimmed but not decoded.
    pub(super) fn param(&self, header: &str) -> Result<Option<&'a [u8]>, HeaderError> {
        let mut slot = Slot::default();
        for (_, value) in self.params.iter().filter(|(name, _)| *name == header) {
            slot.put(value);
        }
        slot.one(header)
    }

    fn version_text(&self) -> Result<Option<&'a str>, HeaderError> {
        let Some(value) = self.protocol_version.one(PROTOCOL_VERSION)? else { return Ok(None) };
        plain(value).map(Some).ok_or_else(|| HeaderError::malformed(PROTOCOL_VERSION))
    }

    fn check_size(&self) -> Result<(), HeaderError> {
        let long = self.params.iter().any(|(_, value)| value.len() > VALUE_BYTES_MAX);
        if long || self.params.len() > PARAMS_MAX { Err(HeaderError::Oversize) } else { Ok(()) }
    }
}

/// Decides which revision a POST belongs to, and that its headers say what its body says.
///
/// `default_without_header` is what the gateway knows otherwise: the revision of the session in the older era.
/// Where it knows, it must also compare, for the header of an older request is taken at its word here. Without
/// header and without default the request is refused (TR-12, TR-15), except `initialize`, which comes before there is
/// a version: it belongs to the revision it proposes if that is served, else to 2025-11-25, the newest one that has it.
///
/// For 2026-07-28 everything is compared (TR-13, TR-16, TR-26, TR-27, TR-30); mirrored arguments need the tool's schema and
/// are left to [`super::mirror::params_agree`]. A request of the older revisions has nothing modern in its body (TR-51).
/// `Mcp-Method` and `Mcp-Name` it may have where they say what the body says: mcp-remote 0.15.1 sends them with every
/// message. Mirrored arguments it may not have, for no older schema names them.
pub fn agree(
    headers: &HeaderView<'_>,
    message: &Message<'_>,
    default_without_header: Option<Revision>,
) -> Result<Revision, HeaderError> {
    headers.check_size()?;
    let header = headers.version_text()?;
    let body = message.meta().and_then(|meta| meta.protocol_version.as_deref());
    let in_session = default_without_header.is_some_and(|revision| revision.era() == Era::Initialize);
    let header = header.filter(|header| !(in_session && *header == VERSION_ASSUMED));
    match (header, body) {
        (Some(header), Some(body)) if header != body => {
            return Err(HeaderError::mismatch(PROTOCOL_VERSION));
        }
        (Some(header), _) => {
            let revision = supported(header, default_without_header)?;
            match revision.era() {
                Era::Stateless => agree_stateless(headers, message)?,
                Era::Initialize => agree_initialize(headers, message)?,
            }
            if is_initialize(message) && revision.era() == Era::Initialize {
                return Ok(proposed(message));
            }
            return Ok(revision);
        }
        (None, Some(_)) => return Err(HeaderError::missing(PROTOCOL_VERSION)),
        (None, None) => {}
    }
    // A request with modern parts and no version is malformed, not old.
    if message.meta().is_some_and(Meta::is_modern) {
        return Err(HeaderError::missing(PROTOCOL_VERSION));
    }
    let revision = match default_without_header {
        _ if is_initialize(message) => proposed(message),
        Some(revision) if revision.era() == Era::Initialize => revision,
        Some(_) | None => return Err(HeaderError::missing(PROTOCOL_VERSION)),
    };
    agree_initialize(headers, message)?;
    Ok(revision)
}

/// Checks that an older request has nothing modern in its body, and that its headers match the body.
fn agree_initialize(headers: &HeaderView<'_>, message: &Message<'_>) -> Result<(), HeaderError> {
    if message.meta().is_some_and(Meta::is_modern) {
        return Err(HeaderError::mismatch(PROTOCOL_VERSION));
    }
    let unexpected = |header: &str| Err(HeaderError::Unexpected { header: header.to_owned() });
    match (headers.method.one(METHOD)?, message.method()) {
        (None, _) => {}
        (Some(_), None) => return unexpected(METHOD),
        (Some(value), Some(method)) if plain(value) == Some(method) => {}
        (Some(_), Some(_)) => return Err(HeaderError::mismatch(METHOD)),
    }
    if let Some(value) = headers.name.one(NAME)? {
        let row = message.row(Revision::V2025_11_25, Direction::ClientToServer);
        let source = row.map_or(NameSource::None, |row| row.name_header);
        let Some(body) = named(source, message.params()) else { return unexpected(NAME) };
        agree_value(value, body)?;
    }
    match headers.params.first() {
        None => Ok(()),
        Some((header, _)) => unexpected(header),
    }
}

fn agree_stateless(headers: &HeaderView<'_>, message: &Message<'_>) -> Result<(), HeaderError> {
    let shape = match message.kind() {
        Kind::Request { .. } => Shape::Request,
        Kind::Notification { .. } => Shape::Notification,
        Kind::Response { .. } => return Err(HeaderError::Response),
    };
    if shape == Shape::Request {
        check_meta(message.meta())?;
    }
    let method = message.method().unwrap_or_default();
    match headers.method.one(METHOD)? {
        // The value encoding is for names and arguments; a method is never encoded.
        Some(value) => {
            let value = plain(value).ok_or_else(|| HeaderError::malformed(METHOD))?;
            if value != method {
                return Err(HeaderError::mismatch(METHOD));
            }
        }
        // "Header requirements for notification POSTs are not defined by this revision."
        None if shape == Shape::Notification => {}
        None => return Err(HeaderError::missing(METHOD)),
    }
    agree_name(headers, method, message.params())
}

fn agree_name(headers: &HeaderView<'_>, method: &str, params: Option<&Params<'_>>) -> Result<(), HeaderError> {
    let row = method::lookup(Revision::V2026_07_28, Direction::ClientToServer, method);
    // An unknown method is refused as such later (TR-19), whatever its `Mcp-Name` is.
    let Some(source) = row.map(|row| row.name_header) else { return Ok(()) };
    match (headers.name.one(NAME)?, named(source, params)) {
        (None, None) if source == NameSource::None => Ok(()),
        (None, _) => Err(HeaderError::missing(NAME)),
        (Some(_), None) => Err(HeaderError::Unexpected { header: NAME.to_owned() }),
        (Some(value), Some(body)) => agree_value(value, body),
    }
}

/// Returns the part of the body that `Mcp-Name` repeats.
fn named<'a>(source: NameSource, params: Option<&'a Params<'_>>) -> Option<&'a str> {
    let params = params?;
    match source {
        NameSource::Name => params.name.as_deref(),
        NameSource::None => None,
        NameSource::TaskId => params.task_id.as_deref(),
        NameSource::Uri => params.uri.as_deref(),
    }
}

fn agree_value(value: &[u8], body: &str) -> Result<(), HeaderError> {
    let value = decode_value(value).map_err(|ValueError| HeaderError::malformed(NAME))?;
    if value == body { Ok(()) } else { Err(HeaderError::mismatch(NAME)) }
}

fn check_meta(meta: Option<&Meta<'_>>) -> Result<(), HeaderError> {
    if meta.is_none_or(|meta| meta.protocol_version.is_none()) {
        return Err(HeaderError::MissingMeta { member: Meta::PROTOCOL_VERSION });
    }
    if meta.is_none_or(|meta| meta.client_capabilities.is_none()) {
        return Err(HeaderError::MissingMeta { member: Meta::CLIENT_CAPABILITIES });
    }
    Ok(())
}

fn is_initialize(message: &Message<'_>) -> bool {
    let row = message.row(Revision::V2025_11_25, Direction::ClientToServer);
    row.is_some_and(|row| row.method == Method::Initialize)
}

fn proposed(message: &Message<'_>) -> Revision {
    let proposed = message.params().and_then(|params| params.protocol_version.as_deref());
    proposed
        .and_then(|text| text.parse::<Revision>().ok())
        .filter(|revision| revision.era() == Era::Initialize)
        .unwrap_or(Revision::V2025_11_25)
}

/// The revision of a header: one that is served to every client, or the one that the session agreed on.
fn supported(text: &str, session: Option<Revision>) -> Result<Revision, HeaderError> {
    const SHOWN_MAX: usize = 40;
    let agreed = session.filter(|session| session.as_str() == text);
    let revision = agreed.or_else(|| text.parse().ok());
    revision.ok_or_else(|| HeaderError::Unsupported { requested: text.chars().take(SHOWN_MAX).collect() })
}

/// The header's value is neither plain nor properly encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a header value; send printable ASCII or `=?base64?…?=`")]
pub struct ValueError;

/// What a value of `Mcp-Name` or `Mcp-Param-*` stands for (TR-28). Blanks around it do not count, as in HTTP.
pub fn decode_value(value: &[u8]) -> Result<Cow<'_, str>, ValueError> {
    let text = plain(trim(value)).ok_or(ValueError)?;
    let Some(rest) = text.strip_prefix(SENTINEL_START) else { return Ok(Cow::Borrowed(text)) };
    match rest.strip_suffix(SENTINEL_END) {
        Some(encoded) => {
            // Canonical and padded, so that one value has one spelling.
            let bytes = STANDARD.decode(encoded).map_err(|_| ValueError)?;
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| ValueError)
        }
        // `=?base64?=` starts and ends as an encoded value does, yet holds none.
        None if text.ends_with(SENTINEL_END) => Err(ValueError),
        None => Ok(Cow::Borrowed(text)),
    }
}

/// Encodes a value for `Mcp-Name` or `Mcp-Param-*` if it would not arrive intact as it is.
pub fn encode_value(value: &str) -> Cow<'_, str> {
    let looks_encoded = value.starts_with(SENTINEL_START) && value.ends_with(SENTINEL_END);
    let is_plain = plain(value.as_bytes()).is_some() && trim(value.as_bytes()).len() == value.len();
    if is_plain && !looks_encoded {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(value)))
}

/// Visible ASCII, blank and tab (RFC 9110 §5.5 without the obsolete rest).
fn plain(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if is_plain { std::str::from_utf8(value).ok() } else { None }
}

fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
