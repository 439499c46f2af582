//! Where the story is printed.

/// How steps are printed. The functions get one line without its line feed.
#[derive(Debug, Clone, Copy)]
pub enum Output {
    /// Each step is a line of JSON, for programs.
    Json(fn(&str)),
    /// The story as a table, for people.
    Text(fn(&str)),
}
