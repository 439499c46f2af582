//! What a person may want to know of the work of a bridge.

/// What a person may want to know; never part of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A person has to decide; the page was shown.
    Asked {
        /// The page.
        url: String,
    },
    /// The server had forgotten the session, and a new one was begun.
    BegunAgain,
    /// The server sent something that is not a message, and it was dropped.
    Dropped {
        /// Why.
        why: String,
    },
    /// A stream broke and is opened again.
    Reconnecting,
    /// Tools whose headers are wrongly declared were left out (TR-32).
    ToolsLeftOut {
        /// Their names.
        names: Vec<String>,
    },
}

impl Notice {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::BegunAgain => "begun again",
            Self::Dropped { .. } => "dropped",
            Self::Reconnecting => "reconnecting",
            Self::ToolsLeftOut { .. } => "tools left out",
        }
    }
}
