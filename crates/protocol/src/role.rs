//! What a user may do to the checkpoint itself. What users may do through it is a matter of rights.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A user's part in running the checkpoint. Who changes it and who reads what happened are kept apart; an owner is both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Answers for others what the rules leave open: accepts tools, lends access. Reads no records.
    Administrator,
    /// Reads the records, and the arguments that were kept. Changes nothing.
    Auditor,
    /// Does what administrators and auditors do, and is in the group `owners` of the policies.
    Owner,
    /// Does neither.
    #[default]
    User,
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role: expected `owner`, `administrator`, `auditor` or `user`")]
pub struct RoleError;

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Administrator, Self::Auditor, Self::User];

    /// Whether it accepts tools, and answers requests for access.
    pub fn administers(self) -> bool {
        matches!(self, Self::Administrator | Self::Owner)
    }

    /// Whether it reads the records.
    pub fn audits(self) -> bool {
        matches!(self, Self::Auditor | Self::Owner)
    }

    /// Whether it owns the checkpoint.
    pub fn owns(self) -> bool {
        self == Self::Owner
    }

    /// Returns the word for the role.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
            Self::User => "user",
        }
    }
}

impl Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

#[cfg(test)]
mod tests {
    use super::Role;

    /// Product §7: only auditors read what was kept, and nobody but an owner both reads and changes.
    #[test]
    fn reading_and_changing_are_kept_apart() {
        let powers = Role::ALL.map(|role| (role.administers(), role.audits(), role.owns()));
        let expected = [(true, true, true), (true, false, false), (false, true, false), (false, false, false)];
        assert_eq!(powers, expected);
        assert!(Role::ALL.iter().all(|role| role.to_string().parse() == Ok(*role)));
        assert!("Owner".parse::<Role>().is_err() && "".parse::<Role>().is_err());
    }
}
