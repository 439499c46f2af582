//! How exact numbers have to be.

/// How exact numbers have to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Numbers {
    /// Any finite double that is zero only where it is written as zero. For messages of callers. Integers beyond 2^53 pass
    /// as they are written; what judges one of them asks [`super::is_exact`].
    Bounded,
    /// Any finite double. For messages of upstreams: JSON Schemas in the field have bounds like 2^63 − 1.
    Finite,
}
