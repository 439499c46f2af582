//! The form of a session's identifier: a random part, and in some what is needed to go on with it in another process (`kept`).

/// Between the random part and what is sealed. It occurs in neither.
pub(super) const BETWEEN: char = '.';

/// The random part, and what is sealed behind it.
pub(super) fn parts(id: &str) -> (&str, Option<&str>) {
    id.split_once(BETWEEN).map_or((id, None), |(token, sealed)| (token, Some(sealed)))
}
