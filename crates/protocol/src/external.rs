//! An external authorization server: one of somebody else, whose access tokens one server here accepts.

use std::collections::BTreeMap;

use crate::catalogue::ToolClass;
use crate::openid::ProviderName;
use crate::scope::{Scope, ScopeSet};

/// The external authorization server of one server, as all surfaces see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIssuer {
    /// The login provider at which the same people sign in. It stands before the names of the issuer's clients.
    pub provider: ProviderName,
    /// The issuer identifier: what tokens name, and what the metadata of the server name (RFC 9728 §2).
    pub issuer: String,
    /// What its scopes mean here.
    pub scopes: ScopeMap,
    /// Whether tokens of the checkpoint's own issuer are accepted at that server as well.
    pub ours_too: bool,
}

/// What the scopes of an external authorization server mean at a server here.
///
/// An empty map means that the issuer uses our own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeMap(BTreeMap<Scope, ScopeSet>);

impl ScopeMap {
    /// A map from the issuer's scopes to ours.
    pub fn new(map: BTreeMap<Scope, ScopeSet>) -> Self {
        Self(map)
    }

    /// Whether a text is one of our own scopes, which say something about calls.
    pub fn is_ours(scope: &Scope) -> bool {
        scope.as_str().starts_with("tool:") || CLASSES.iter().any(|class| Scope::of_class(*class) == *scope)
    }

    /// Returns what a token with these scopes of the issuer permits here. A scope that the map does not name permits
    /// nothing.
    pub fn ours(&self, theirs: &ScopeSet) -> ScopeSet {
        if self.0.is_empty() {
            return theirs.iter().filter(|scope| Self::is_ours(scope)).cloned().collect();
        }
        theirs.iter().filter_map(|scope| self.0.get(scope)).flat_map(ScopeSet::iter).cloned().collect()
    }

    /// Returns the scopes to ask the issuer for, so that its token permits `wanted` and as little else as possible.
    /// `None`: no scope of the issuer gives one of them.
    pub fn theirs(&self, wanted: &ScopeSet) -> Option<ScopeSet> {
        if self.0.is_empty() {
            return Some(wanted.clone());
        }
        let mut chosen: Vec<&Scope> = Vec::new();
        for scope in wanted.shortened().iter() {
            let is_given = |by: &Scope| self.0.get(by).is_some_and(|ours| ours.satisfies(scope));
            if chosen.iter().any(|by| is_given(by)) {
                continue;
            }
            let gives = self.0.iter().filter(|(_, ours)| ours.satisfies(scope));
            let (least, _) = gives.min_by_key(|(_, ours)| breadth(ours))?;
            chosen.push(least);
        }
        Some(chosen.into_iter().cloned().collect())
    }
}

const CLASSES: [ToolClass; 3] = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive];

/// How much a set of our scopes permits: the number of classes, and then the number of single tools.
fn breadth(ours: &ScopeSet) -> (usize, usize) {
    let classes = CLASSES.iter().filter(|class| ours.satisfies(&Scope::of_class(**class))).count();
    (classes, ours.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::ScopeMap;
    use crate::scope::ScopeSet;

    fn set(text: &str) -> ScopeSet {
        text.parse().unwrap()
    }

    fn map() -> ScopeMap {
        let rows = [
            ("notes.all", "mcp:destructive tool:audit"),
            ("notes.edit", "mcp:write"),
            ("notes.view", "mcp:read"),
            ("notes.audit", "tool:audit"),
        ];
        ScopeMap::new(rows.into_iter().map(|(theirs, ours)| (theirs.parse().unwrap(), set(ours))).collect())
    }

    /// ATK-391: a scope that the configuration does not name permits nothing, even if it is called like one of ours.
    #[test]
    fn only_scopes_that_are_named_permit_something() {
        for (theirs, ours) in [
            ("notes.view", "mcp:read"),
            ("notes.view notes.audit openid", "mcp:read tool:audit"),
            ("mcp:destructive tool:audit notes.view.all NOTES.VIEW", ""),
            ("", ""),
        ] {
            assert_eq!(map().ours(&set(theirs)), set(ours), "{theirs}");
        }
        let same = ScopeMap::new(BTreeMap::new());
        assert_eq!(same.ours(&set("mcp:read openid tool:x notes.view mcp:admin")), set("mcp:read tool:x"));
    }

    #[test]
    fn a_client_is_told_the_least_scopes_that_are_enough() {
        for (wanted, theirs) in [
            ("mcp:read", Some("notes.view")),
            ("mcp:read mcp:write", Some("notes.edit")),
            ("mcp:destructive", Some("notes.all")),
            ("tool:audit mcp:read", Some("notes.audit notes.view")),
            ("mcp:destructive tool:audit", Some("notes.all")),
            ("", Some("")),
            ("tool:other", None),
            ("mcp:read tool:other", None),
        ] {
            let found = map().theirs(&set(wanted));
            assert_eq!(found, theirs.map(set), "{wanted}");
            if let Some(theirs) = found {
                assert!(map().ours(&theirs).satisfies_all(&set(wanted)), "{wanted}");
            }
        }
        assert_eq!(ScopeMap::default().theirs(&set("mcp:read tool:x")), Some(set("mcp:read tool:x")));
    }
}
