//! The bounds of what is read and of what may be asked for.

/// The largest size of all sources together, in bytes.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;
/// The highest number of sources.
pub const SOURCES_MAX: usize = 2_000;
/// The highest number of sections in all sources together.
pub const SECTIONS_MAX: usize = 50_000;
/// The smallest number of lines for a diagram. In fewer lines, nothing can be drawn.
pub const LINES_MIN: usize = 10;
/// The highest number of lines for a diagram. Mermaid refuses to draw longer ones.
pub const LINES_MAX: usize = 300;
/// The default number of lines: a diagram of this size fits on a screen.
pub const LINES_DEFAULT: usize = 50;
/// The smallest size of a pack, in bytes. A smaller one would say nothing.
pub const PACK_BYTES_MIN: usize = 1_000;
/// The default size of a pack, in bytes. A question to a model has room for it.
pub const PACK_BYTES_DEFAULT: usize = 20_000;
