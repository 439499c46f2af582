//! Scopes (RFC 6749 §3.3) and the vocabulary of one server with its hierarchy.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::catalogue::ToolClass;

/// One scope token: `1*NQCHAR` (RFC 6749 appendix A.4), at most [`Scope::BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(Cow<'static, str>);

/// A text that is not a scope, or a list with such a text in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a scope: visible ASCII without quotes and backslashes, at most {} bytes, at most {} of them",
    Scope::BYTES_MAX,
    ScopeSet::LEN_MAX
)]
pub struct ScopeError;

impl Scope {
    /// The longest scope token accepted, in bytes. A tool's name is at most 128 characters.
    pub const BYTES_MAX: usize = 512;

    /// `mcp:read`: what does not change anything.
    pub fn read() -> Self {
        Self(Cow::Borrowed("mcp:read"))
    }

    /// `mcp:write`: what changes something and can be undone; includes `mcp:read`.
    pub fn write() -> Self {
        Self(Cow::Borrowed("mcp:write"))
    }

    /// `mcp:destructive`: what cannot be undone; includes `mcp:write`.
    pub fn destructive() -> Self {
        Self(Cow::Borrowed("mcp:destructive"))
    }

    /// The client may let the server use the account that its user linked there.
    pub fn account() -> Self {
        Self(Cow::Borrowed("mcp:account"))
    }

    /// `offline_access`: whoever asks for it wants a refresh token. A server never demands it (RS-11).
    pub fn offline_access() -> Self {
        Self(Cow::Borrowed("offline_access"))
    }

    /// `tool:NAME`: exactly this tool. A name that no scope can hold is written with `%XX` for each such byte.
    pub fn tool(name: &str) -> Self {
        let mut scope = String::from("tool:");
        for byte in name.bytes() {
            match byte {
                b'%' | b'"' | b'\\' | 0..=0x20 | 0x7f.. => scope.push_str(&format!("%{byte:02X}")),
                plain => scope.push(char::from(plain)),
            }
        }
        Self(Cow::Owned(scope))
    }

    /// The scope that allows every tool of `class`.
    pub fn of_class(class: ToolClass) -> Self {
        match class {
            ToolClass::Destructive => Self::destructive(),
            ToolClass::Read => Self::read(),
            ToolClass::Write => Self::write(),
        }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether holding `self` is holding `other` too (RS-25): equal, or above it in
    /// `mcp:read` ⊂ `mcp:write` ⊂ `mcp:destructive`.
    pub fn includes(&self, other: &Self) -> bool {
        self == other || matches!((self.rank(), other.rank()), (Some(own), Some(wanted)) if own >= wanted)
    }

    fn rank(&self) -> Option<u8> {
        match self.as_str() {
            "mcp:read" => Some(0),
            "mcp:write" => Some(1),
            "mcp:destructive" => Some(2),
            _ => None,
        }
    }
}

impl Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let plain = text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if plain && !text.is_empty() && text.len() <= Self::BYTES_MAX {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(ScopeError)
        }
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of scopes. Its text form is sorted, so that the same set always reads the same (RS-23). Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeSet(Sorted);

/// In ascending order, none twice.
type Sorted = Arc<[Scope]>;

impl ScopeSet {
    /// How many scopes one request, grant or token may carry.
    pub const LEN_MAX: usize = 256;

    /// No scope at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The scopes in their stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether exactly this scope is in the set, whatever includes it.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.binary_search(scope).is_ok()
    }

    /// Whether some scope of the set includes `wanted` (RS-25).
    pub fn satisfies(&self, wanted: &Scope) -> bool {
        self.0.iter().any(|held| held.includes(wanted))
    }

    /// Whether every scope of `wanted` is satisfied.
    pub fn satisfies_all(&self, wanted: &Self) -> bool {
        wanted.iter().all(|scope| self.satisfies(scope))
    }

    /// Everything in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The scopes of `self` that `limit` satisfies: what is left of a wish under a bound.
    #[must_use]
    pub fn within(&self, limit: &Self) -> Self {
        self.iter().filter(|scope| limit.satisfies(scope)).cloned().collect()
    }

    /// The set without what another scope of it includes: shorter, and it satisfies the same.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let is_included = |scope: &Scope| self.iter().any(|other| other != scope && other.includes(scope));
        self.iter().filter(|scope| !is_included(scope)).cloned().collect()
    }

    /// The set without one scope.
    #[must_use]
    pub fn without(&self, scope: &Scope) -> Self {
        self.iter().filter(|held| *held != scope).cloned().collect()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let sorted: BTreeSet<Scope> = scopes.into_iter().collect();
        if sorted.is_empty() { Self::empty() } else { Self(sorted.into_iter().collect()) }
    }
}

impl Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for ScopeSet {
    type Err = ScopeError;

    /// Reads the space-separated list of RFC 6749 §3.3.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let scopes: Self = text.split(' ').filter(|part| !part.is_empty()).map(str::parse).collect::<Result<_, _>>()?;
        if scopes.len() > Self::LEN_MAX { Err(ScopeError) } else { Ok(scopes) }
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, ScopeSet};

    /// RS-25: a broader scope satisfies a narrower requirement, never the reverse.
    #[test]
    fn a_broader_scope_includes_a_narrower_one() {
        assert!(Scope::destructive().includes(&Scope::read()));
        assert!(Scope::write().includes(&Scope::read()));
        assert!(!Scope::read().includes(&Scope::write()));
        assert!(!Scope::destructive().includes(&Scope::tool("x")));
        assert!(!Scope::tool("x").includes(&Scope::read()));
    }

    /// RS-23: the text of a set does not depend on the order in which it was made.
    #[test]
    fn a_set_reads_the_same_however_it_was_written() {
        let one: ScopeSet = "b a  c a".parse().unwrap();
        let two: ScopeSet = "c b a".parse().unwrap();
        assert_eq!(one.to_string(), "a b c");
        assert_eq!(one, two);
    }

    #[test]
    fn a_scope_holds_no_character_that_a_challenge_would_have_to_escape() {
        for bad in ["", "a b", "a\"b", "a\\b", "é", "a\u{7f}"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        for name in ["plain", "with space", "\"quoted\"", "back\\slash", "日本", "100%"] {
            assert!(Scope::tool(name).as_str().parse::<Scope>().is_ok(), "{name}");
        }
        assert_ne!(Scope::tool("a b"), Scope::tool("a%20b"));
    }

    #[test]
    fn what_another_scope_includes_can_be_left_out() {
        for (long, short) in [
            ("mcp:read mcp:write tool:x", "mcp:write tool:x"),
            ("mcp:destructive mcp:read mcp:write", "mcp:destructive"),
            ("tool:x tool:y", "tool:x tool:y"),
            ("", ""),
        ] {
            let set: ScopeSet = long.parse().unwrap();
            assert_eq!(set.shortened().to_string(), short);
            assert!(set.shortened().satisfies_all(&set), "{long}");
        }
    }

    #[test]
    fn a_wish_is_cut_to_its_bound() {
        let wish: ScopeSet = "mcp:write mcp:read tool:x".parse().unwrap();
        let bound: ScopeSet = "mcp:read tool:x".parse().unwrap();
        assert_eq!(wish.within(&bound).to_string(), "mcp:read tool:x");
    }
}
