//! Bounds that an act checks and its error names.

/// The longest bounds on the arguments of a tool, in bytes of JSON Schema.
pub const BOUNDS_BYTES_MAX: usize = 16 * 1024;
