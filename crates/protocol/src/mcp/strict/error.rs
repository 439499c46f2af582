//! Why bytes are refused.

/// Why the bytes are refused. `at` counts bytes from the start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it; `at`, `name` and `known` are named in the enum's doc")]
pub enum StrictError {
    #[error("batches are not accepted; send each message on its own")]
    Batch,
    #[error("the message starts with a byte order mark; send plain UTF-8")]
    ByteOrderMark,
    #[error("control character inside a string at byte {at}; escape it")]
    ControlCharacter { at: usize },
    #[error("more than {max} levels deep at byte {at}")]
    Depth { at: usize, max: usize },
    #[error("member `{name}` occurs twice in one object at byte {at}")]
    Duplicate { name: String, at: usize },
    #[error("the message is empty")]
    Empty,
    #[error("member `{name}` at byte {at} could be taken for `{known}`; spell it exactly or leave it out")]
    Folded { name: String, known: String, at: usize },
    #[error("half of a surrogate pair at byte {at}; escape characters beyond the first plane with two units")]
    LoneSurrogate { at: usize },
    #[error("more than {max} members and elements at byte {at}")]
    Members { at: usize, max: usize },
    #[error("a member name longer than {max} bytes at byte {at}")]
    NameTooLong { at: usize, max: usize },
    #[error("the message is not a JSON object")]
    NotObject,
    #[error("invalid UTF-8 at byte {at}")]
    NotUtf8 { at: usize },
    #[error("a member name with a NUL character at byte {at}")]
    NulInName { at: usize },
    #[error("the number at byte {at} is too long, too large, or too small for many parsers; send it as a string")]
    Number { at: usize },
    #[error("a string longer than {max} bytes at byte {at}")]
    StringTooLong { at: usize, max: usize },
    #[error("not JSON at byte {at}")]
    Syntax { at: usize },
    #[error("data after the message at byte {at}")]
    Trailing { at: usize },
}

impl StrictError {
    /// Whether the text is not JSON at all, as against JSON that we do not accept.
    pub const fn is_syntax(&self) -> bool {
        matches!(
            self,
            Self::ByteOrderMark
                | Self::ControlCharacter { .. }
                | Self::Empty
                | Self::LoneSurrogate { .. }
                | Self::NotUtf8 { .. }
                | Self::Syntax { .. }
                | Self::Trailing { .. }
        )
    }
}
