//! The id of a request, or a progress token.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mcp::scan;

/// The id of a request, or a progress token: a string or an integer, never `null`, never fractional (TR-11).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer, written without fraction or exponent.
    Integer(i64),
    /// A string; equal after unescaping.
    String(String),
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::String(text) => formatter.write_str(text),
        }
    }
}

impl Id {
    /// From the JSON text of an id.
    pub(super) fn read(raw: &str) -> Option<Self> {
        if raw.starts_with('"') {
            return scan::unescape(raw).map(|text| Self::String(text.into_owned()));
        }
        // `-0` would come back as `0`, and 1.0 or 1e2 are integers to some parsers only.
        raw.parse().ok().filter(|_| raw != "-0").map(Self::Integer)
    }
}
