//! Where the story is told.

/// How steps are printed. The functions get one line without its end.
#[derive(Debug, Clone, Copy)]
pub enum Output {
    /// Each step is a line of JSON, for programs.
    Json(fn(&str)),
    /// The story as a table, for people.
    Text(fn(&str)),
}
