//! What a policy looks at, apart from principal, action and resource.

/// What a policy looks at, apart from principal, action and resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) arguments: bool,
    /// Whether it depends on the single tool, resource or prompt, beyond the class.
    pub(super) identity: bool,
    pub(super) path: bool,
    pub(super) source: bool,
    /// Whether it looks at the readings of a URI or a name, because it was widened.
    pub(super) spellings: bool,
    pub(super) task: bool,
    pub(super) time: bool,
}

impl Uses {
    /// A policy that looks at everything.
    pub(super) const ALL: Self =
        Self { arguments: true, identity: true, path: true, source: true, spellings: true, task: true, time: true };

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            arguments: self.arguments || other.arguments,
            identity: self.identity || other.identity,
            path: self.path || other.path,
            source: self.source || other.source,
            spellings: self.spellings || other.spellings,
            task: self.task || other.task,
            time: self.time || other.time,
        }
    }

    /// Whether the answer stays the same for the same caller and target. The path counts as part of the caller.
    pub(super) fn is_lasting(self) -> bool {
        !(self.arguments || self.source || self.task || self.time)
    }
}
