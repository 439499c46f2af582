//! Maps claims to groups: which values of which claims make a person a member of which group, and why others do not.
//!
//! [`read`] is total. What it finds goes to the policies; how it found that goes to `check --login`, so that nobody has to
//! guess why a renamed claim gave no rights.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::ProviderName;
use crate::text::check_name;

/// The most values that are read for one person, over all rules.
pub const GROUPS_MAX: usize = 5_000;
/// The longest name of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 256;
/// The longest path of a claim, in members.
pub const PATH_MAX: usize = 8;

/// How the value of a claim is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The names of an object's members.
    Keys,
    /// One text with this between its values, or a list of texts. Blanks around a value do not count.
    Separated(char),
    /// One text, or a list of texts.
    Values,
}

/// A rule for reading groups from a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRule {
    /// The names of the members that lead to the claim, from the outside: one for most claims. A name may hold anything, as
    /// claims whose names are URLs do.
    pub claim: Vec<String>,
    /// How the value there is read.
    pub shape: Shape,
    /// Where values are objects: the member of each that holds its text.
    pub member: Option<String>,
    /// Only values that begin with this count, and what follows is the name.
    pub prefix: Option<String>,
    /// If there are any: only these values count, and each is called as it says. The prefix is taken off first.
    pub names: BTreeMap<String, String>,
    /// Whether nobody signs in without the claim. Otherwise a person without it is in no group of this rule.
    pub required: bool,
}

impl GroupRule {
    /// Every text at this claim is a group.
    pub fn of(claim: &[&str], shape: Shape) -> Self {
        Self {
            claim: claim.iter().map(|&name| name.to_owned()).collect(),
            shape,
            member: None,
            prefix: None,
            names: BTreeMap::new(),
            required: false,
        }
    }

    /// The claim, as it is shown: its members with dots between them.
    pub fn path(&self) -> String {
        self.claim.join(".")
    }
}

/// The rules for reading the claims of one provider.
#[derive(Debug, Clone, Copy)]
pub struct GroupRules<'a> {
    /// The provider.
    pub provider: &'a ProviderName,
    /// Its rules, in the order of the configuration.
    pub rules: &'a [GroupRule],
    /// The number of values at which the provider starts to leave some out without saying so.
    pub cut_at: Option<usize>,
}

/// A value that makes somebody a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The place of the rule in the configuration, from 0.
    pub rule: usize,
    /// What the provider sent.
    pub value: String,
    /// The group's name in the policies.
    pub group: String,
}

/// Something that does not make anybody a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The place of the rule, from 0.
    pub rule: usize,
    /// The value that was sent. `None`: the reason is about the whole claim.
    pub value: Option<String>,
    /// Why it does not count.
    pub why: Why,
}

/// Why a claim or a value does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The claim is not there.
    #[error("the provider does not send this claim")]
    Absent,
    /// The value has invisible characters or blanks at its ends, is not in NFC, empty, or too long.
    #[error("not a name: empty, longer than {GROUP_BYTES_MAX} bytes, or with characters that are not seen")]
    Name,
    /// The value is not in `names`.
    #[error("not among the `names` of the rule")]
    Unnamed,
    /// The value does not begin with the prefix.
    #[error("does not begin with the `prefix` of the rule")]
    Prefix,
}

/// Why the groups of a person are unknown. The sign-in is refused, because otherwise a rule that forbids something to a
/// group would have no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The provider may have left some groups out.
    #[error(
        "`{claim}` has {count} values, and from {cut_at} on this provider leaves some out without saying so: let it send fewer"
    )]
    Cut {
        /// The claim.
        claim: String,
        /// How many values were sent.
        count: usize,
        /// The number of values at which some are missing.
        cut_at: usize,
    },
    /// The claim is not in the token but somewhere else.
    #[error(
        "`{claim}` does not fit into the token: the provider names a place to ask for it (`_claim_names`, `hasgroups`)"
    )]
    Elsewhere {
        /// The claim.
        claim: String,
    },
    /// A claim without which nobody signs in is not there.
    #[error("`{claim}` is required, and the provider does not send it")]
    Missing {
        /// The claim.
        claim: String,
    },
    /// The claim does not have the shape that the rule reads.
    #[error("`{claim}` is {found}, which the rule does not read: {hint}")]
    Shape {
        /// The claim.
        claim: String,
        /// What was found, in words.
        found: &'static str,
        /// What to write into the rule.
        hint: &'static str,
    },
    /// There are more values than are read.
    #[error("`{claim}` brings more than {GROUPS_MAX} groups: let the provider send fewer, such as those with a prefix")]
    TooMany {
        /// The claim with which it became too many.
        claim: String,
    },
}

/// The result of reading groups from claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The groups by their names in the policies. Not to be used if there is a fault.
    groups: BTreeSet<String>,
    /// The values that led to the groups.
    pub matches: Vec<Match>,
    /// The values and claims that led to no group.
    pub ignored: Vec<Ignored>,
    /// What stands in `names` of a rule, by its place, and this person does not have.
    pub unused: Vec<(usize, String)>,
    /// Claims that look as if they were about groups and that no rule reads.
    pub unread: Vec<String>,
    /// Why the groups are not known, if they are not.
    pub fault: Option<Fault>,
}

impl Reading {
    /// The groups, if they are known.
    pub fn groups(&self) -> Result<&BTreeSet<String>, &Fault> {
        match &self.fault {
            None => Ok(&self.groups),
            Some(fault) => Err(fault),
        }
    }
}

/// Whether a rule reads a claim that these claims do not have, so that it is worth asking UserInfo.
pub fn lacks_a_claim(rules: &[GroupRule], claims: &Map<String, Value>) -> bool {
    rules.iter().any(|rule| find(claims, &rule.claim).is_none())
}

/// The claims of an ID token with those of UserInfo, of the same person. What the signed token says stands.
pub fn merged(id_token: &Map<String, Value>, user_info: &Map<String, Value>) -> Map<String, Value> {
    let mut all = user_info.clone();
    all.extend(id_token.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// The claims with the groups that were asked for at another place (Entra ID), in place of the link to it. `path`: the claim
/// that the link stood for.
pub fn resolved(claims: &Map<String, Value>, path: &str, groups: Vec<String>) -> Map<String, Value> {
    let mut all = claims.clone();
    if let Some(names) = all.get_mut(CLAIM_NAMES).and_then(Value::as_object_mut) {
        names.remove(path);
    }
    all.remove(HAS_GROUPS);
    all.insert(path.to_owned(), Value::from(groups));
    all
}

/// OpenID Connect Core 1.0 §5.6.2: claims that are somewhere else.
const CLAIM_NAMES: &str = "_claim_names";
/// The claim that Entra ID sends if there is no room even for a link.
const HAS_GROUPS: &str = "hasgroups";

/// Reads the groups of one person.
pub fn read(by: GroupRules<'_>, claims: &Map<String, Value>) -> Reading {
    let mut reading = Reading::default();
    let mut count = 0;
    for (at, rule) in by.rules.iter().enumerate() {
        match values(rule, claims) {
            Err(fault) => {
                reading.fault.get_or_insert(fault);
            }
            Ok(None) => reading.ignored.push(Ignored { rule: at, value: None, why: Why::Absent }),
            Ok(Some(values)) => {
                count += values.len();
                if count > GROUPS_MAX {
                    reading.fault.get_or_insert(Fault::TooMany { claim: rule.path() });
                    break;
                }
                if let Some(cut_at) = by.cut_at.filter(|cut_at| values.len() >= *cut_at) {
                    let fault = Fault::Cut { claim: rule.path(), count: values.len(), cut_at };
                    reading.fault.get_or_insert(fault);
                }
                take(&mut reading, by.provider, at, rule, &values);
            }
        }
    }
    reading.unread = unread(by.rules, claims);
    reading
}

/// Sorts the values of one claim.
fn take(reading: &mut Reading, provider: &ProviderName, at: usize, rule: &GroupRule, values: &[&str]) {
    let mut met = BTreeSet::new();
    for value in values {
        match name(rule, value) {
            Ok((key, name)) => {
                met.insert(key);
                let group = provider.group(name);
                reading.groups.insert(group.clone());
                reading.matches.push(Match { rule: at, value: (*value).to_owned(), group });
            }
            Err(why) => reading.ignored.push(Ignored { rule: at, value: Some((*value).to_owned()), why }),
        }
    }
    let unused = rule.names.keys().filter(|key| !met.contains(key.as_str()));
    reading.unused.extend(unused.map(|key| (at, key.clone())));
}

/// Returns the group of a value, and the name by which it was looked up.
fn name<'a>(rule: &'a GroupRule, value: &'a str) -> Result<(&'a str, &'a str), Why> {
    let key = match &rule.prefix {
        None => value,
        Some(prefix) => value.strip_prefix(prefix.as_str()).ok_or(Why::Prefix)?,
    };
    let name = if rule.names.is_empty() { key } else { rule.names.get(key).ok_or(Why::Unnamed)? };
    if name.len() > GROUP_BYTES_MAX || check_name(name).is_err() { Err(Why::Name) } else { Ok((key, name)) }
}

/// The texts at the claim of a rule. `None`: it is not there.
fn values<'a>(rule: &GroupRule, claims: &'a Map<String, Value>) -> Result<Option<Vec<&'a str>>, Fault> {
    let Some(value) = find(claims, &rule.claim) else {
        let named = |names: &Map<String, Value>| rule.claim.first().is_some_and(|first| names.contains_key(first));
        let linked = claims.get(CLAIM_NAMES).and_then(Value::as_object).is_some_and(named);
        let hinted = rule.claim == ["groups"] && claims.get(HAS_GROUPS).is_some_and(|has| *has != Value::Bool(false));
        return match () {
            () if linked || hinted => Err(Fault::Elsewhere { claim: rule.path() }),
            () if rule.required => Err(Fault::Missing { claim: rule.path() }),
            () => Ok(None),
        };
    };
    let wrong = |found: &Value| {
        let (found, hint) = words(found);
        Fault::Shape { claim: rule.path(), found, hint }
    };
    let text = |value: &'a Value| match &rule.member {
        None => value.as_str().ok_or_else(|| wrong(value)),
        Some(member) => value.get(member).and_then(Value::as_str).ok_or_else(|| wrong(value)),
    };
    match (rule.shape, value) {
        (Shape::Keys, Value::Object(members)) => Ok(Some(members.keys().map(String::as_str).collect())),
        (Shape::Keys, other) => Err(wrong(other)),
        (Shape::Values | Shape::Separated(_), Value::Array(items)) => {
            items.iter().map(text).collect::<Result<_, _>>().map(Some)
        }
        (Shape::Separated(between), Value::String(all)) if rule.member.is_none() => {
            Ok(Some(all.split(between).map(str::trim).filter(|part| !part.is_empty()).collect()))
        }
        (_, other) => text(other).map(|one| Some(vec![one])),
    }
}

/// The value at a path.
fn find<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let found = rest.iter().try_fold(claims.get(first)?, |value, name| value.get(name))?;
    // Some providers write `null` where there is nothing.
    (!found.is_null()).then_some(found)
}

/// What a value is, and what would read it.
fn words(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Array(_) => ("a list in a list", "let the provider send a list of texts"),
        Value::Bool(_) | Value::Number(_) => ("no text", "let the provider send a list of texts"),
        Value::Null => ("nothing", "let the provider send a list of texts"),
        Value::Object(_) => ("an object", "name its `member` that holds the text, or say `keys = true`"),
        Value::String(_) => ("a text", "remove `member` and `keys`"),
    }
}

/// The most claims that are named as unread.
const UNREAD_MAX: usize = 20;

/// Claims by the name of which one would think of groups, and which no rule reads.
fn unread(rules: &[GroupRule], claims: &Map<String, Value>) -> Vec<String> {
    let is_read = |name: &String| rules.iter().any(|rule| rule.claim.first() == Some(name));
    let looks_so = |name: &String| {
        let lower = name.to_ascii_lowercase();
        ["group", "role", "memberof", "entitlement"].iter().any(|word| lower.contains(word))
    };
    let kinds = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_) | Value::String(_));
    let found = claims.iter().filter(|(name, value)| looks_so(name) && !is_read(name) && kinds(value));
    found.map(|(name, _)| name.clone()).take(UNREAD_MAX).collect()
}

#[cfg(test)]
mod tests;
