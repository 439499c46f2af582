//! What may be read at once, and how much may be asked for.

/// How many bytes all sources together may have.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many sources there may be.
pub const SOURCES_MAX: usize = 2_000;
/// How many sections all sources together may have.
pub const SECTIONS_MAX: usize = 50_000;
/// In fewer lines than these nothing can be drawn.
pub const LINES_MIN: usize = 10;
/// With more lines than these Mermaid refuses to draw.
pub const LINES_MAX: usize = 300;
/// What fits on a screen.
pub const LINES_DEFAULT: usize = 50;
/// In fewer bytes than these a pack says nothing.
pub const PACK_BYTES_MIN: usize = 1_000;
/// What a question to a model bears well.
pub const PACK_BYTES_DEFAULT: usize = 20_000;
