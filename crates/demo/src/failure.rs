//! Why a scene could not be played to its end.

use std::fmt::Write as _;

/// Why a scene could not be played to its end.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// Creates a failure from the error that stopped a scene, with its causes.
pub(crate) fn failure(error: impl Into<Reason>) -> Failure {
    Failure(error.into().0)
}

/// An error with its causes, or a plain sentence.
pub(crate) struct Reason(String);

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Reason {
    fn from(error: E) -> Self {
        let error: Box<dyn std::error::Error> = error.into();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        Self(text)
    }
}
