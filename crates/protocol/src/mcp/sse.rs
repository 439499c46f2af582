//! Event streams (`text/event-stream`), read as they come in and kept byte for byte.
//!
//! By the HTML standard, §9.2.6: lines end with LF, CR LF or CR, a byte order mark at the start does not count,
//! a blank line ends an event. Every byte that goes in comes out in the `raw` of exactly one piece, in order.

/// Why the stream cannot be read any further. The connection must end, because the rest cannot be divided into events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SseError {
    /// A line that is not UTF-8, which a client would read differently.
    #[error("the event stream is not UTF-8")]
    NotUtf8,
    /// More bytes than one event may have.
    #[error("one event of the stream is larger than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
}

/// One event, complete.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// The bytes it came in, its blank line included.
    pub raw: Vec<u8>,
    /// Its `data` lines, joined by LF; `None` if it had none, and then a client ignores the event.
    pub data: Option<String>,
    /// Its type; `None` means `message`.
    pub event: Option<String>,
    /// Where to resume; an empty one resets.
    pub id: Option<String>,
    /// Milliseconds to wait before reconnecting.
    pub retry: Option<u64>,
}

impl Event {
    /// Whether it carries a message: its type is `message`, which is also that of an event without one (HTML Living
    /// Standard §9.2.6). Servers of the field send others to keep a connection open, such as `event: ping`, whose data is
    /// nothing for MCP.
    pub fn is_message(&self) -> bool {
        self.event.as_deref().is_none_or(|name| name.is_empty() || name == "message")
    }
}

/// A piece of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// Comments (keep-alives) and blank lines between events: forwarded, never judged.
    Comment {
        /// The bytes they came in.
        raw: Vec<u8>,
    },
    /// An event, to be judged by its data.
    Event(Event),
}

impl Piece {
    /// The bytes it came in.
    pub fn raw(&self) -> &[u8] {
        match self {
            Self::Comment { raw } => raw,
            Self::Event(event) => &event.raw,
        }
    }
}

/// Cuts a stream into its pieces, however its bytes are cut into chunks.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    /// The event so far; its `raw` holds whole lines only.
    event: Event,
    /// Whether the event has a line that is no comment.
    has_fields: bool,
    /// The line so far, without its end.
    line: Vec<u8>,
    /// Nothing was read yet, so a byte order mark may come.
    at_start: bool,
    /// The last byte was a CR that ended a line: a LF that follows belongs to it.
    after_cr: bool,
}

impl Parser {
    /// A parser at the start of a stream. One event may have `event_bytes_max` bytes, as may one comment.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            event: Event::default(),
            has_fields: false,
            line: Vec::new(),
            at_start: true,
            after_cr: false,
        }
    }

    /// Takes the next bytes and gives what they completed.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Piece>, SseError> {
        let mut pieces = Vec::new();
        let mut rest = chunk;
        if self.after_cr
            && let [b'\n', after @ ..] = rest
        {
            self.late_line_feed(&mut pieces);
            rest = after;
        }
        if !rest.is_empty() {
            self.after_cr = false;
        }
        while let Some(length) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, end_and_rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let (end, after): (&[u8], &[u8]) = match end_and_rest {
                [b'\r', b'\n', after @ ..] => (b"\r\n", after),
                [b'\r', after @ ..] => (b"\r", after),
                [_, after @ ..] => (b"\n", after),
                [] => (b"", &[]),
            };
            self.grow(line)?;
            self.end_line(end, &mut pieces)?;
            self.after_cr = after.is_empty() && end == b"\r";
            rest = after;
        }
        self.grow(rest)?;
        Ok(pieces)
    }

    /// Returns how many bytes of an incomplete event are buffered.
    pub fn kept_bytes(&self) -> usize {
        self.event.raw.len() + self.line.len()
    }

    /// Whether the stream may end here: no event is open. What is open must not be forwarded, for some clients
    /// would act on it and none could be sure that it is whole.
    pub fn is_between_events(&self) -> bool {
        self.kept_bytes() == 0
    }

    /// Returns how many bytes of an incomplete event are buffered.
    pub fn open_bytes(&self) -> usize {
        self.event.raw.len() + self.line.len()
    }

    /// The second half of a CR LF whose first half ended a chunk.
    fn late_line_feed(&mut self, pieces: &mut Vec<Piece>) {
        if self.event.raw.is_empty() {
            // The line that it ends was returned already.
            pieces.push(Piece::Comment { raw: b"\n".to_vec() });
        } else {
            self.event.raw.push(b'\n');
        }
        self.after_cr = false;
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.event.raw.len() + self.line.len() + bytes.len() > self.event_bytes_max {
            return Err(SseError::TooLarge { max: self.event_bytes_max });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, end: &[u8], pieces: &mut Vec<Piece>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).map_err(|_| SseError::NotUtf8)?;
        let text = match text.strip_prefix('\u{FEFF}') {
            Some(text) if self.at_start => text,
            _ => text,
        };
        self.at_start = false;
        self.event.raw.extend_from_slice(&line);
        self.event.raw.extend_from_slice(end);
        if text.is_empty() && self.has_fields {
            self.has_fields = false;
            pieces.push(Piece::Event(std::mem::take(&mut self.event)));
        } else if self.has_fields || !(text.is_empty() || text.starts_with(':')) {
            self.has_fields = true;
            self.field(text);
        } else {
            // Between events: returned at once, so that a keep-alive reaches the client.
            pieces.push(Piece::Comment { raw: std::mem::take(&mut self.event.raw) });
        }
        Ok(())
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.event.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.event.data = Some(value.to_owned()),
            },
            "event" => self.event.event = Some(value.to_owned()).filter(|event| !event.is_empty()),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.event.retry = value.parse().ok().or(self.event.retry);
            }
            // Comments inside an event (the name is empty), and fields nobody defined.
            _ => {}
        }
    }
}

/// Writes one event. `event` and `id` that hold a line break or NUL cannot be written and are left out; `data` may
/// hold line breaks, which become LF. For JSON that changes blanks only.
pub fn write_event(out: &mut Vec<u8>, event: Option<&str>, id: Option<&str>, data: &str) {
    let mut line = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    };
    let writable = |value: &&str| !value.contains(['\n', '\r', '\0']);
    if let Some(event) = event.filter(writable) {
        line("event", event);
    }
    if let Some(id) = id.filter(writable) {
        line("id", id);
    }
    for part in data.replace("\r\n", "\n").split(['\n', '\r']) {
        line("data", part);
    }
    out.push(b'\n');
}

/// Writes a comment, the keep-alive of streams (TR-36).
pub fn write_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

#[cfg(test)]
mod tests;
