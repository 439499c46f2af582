//! In what a provider differs from the specification, and by what that is seen in one sign-in.

use serde_json::{Map, Value};

use super::groups::{Fault, Reading};
use crate::env::Timestamp;

/// A way in which a kind of provider differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    /// What an operator has to know, in one sentence.
    pub sentence: &'static str,
    /// By what it is seen.
    pub sign: Sign,
}

/// By what a quirk is seen in one sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Several audiences in the ID token.
    Audiences,
    /// An ID token that was issued minutes ago, by its own word.
    DatedBack,
    /// Groups that begin with a slash.
    FullPaths,
    /// As many groups as from which on some are left out.
    GroupsCut,
    /// A link in place of the groups.
    GroupsElsewhere,
    /// Several groups in one text.
    GroupsInOneText,
    /// Groups that are identifiers and no names.
    GroupsAsIdentifiers,
    /// Groups that are names.
    GroupsAsNames,
    /// An issuer identifier that ends in a slash.
    IssuerWithSlash,
    /// A claim whose name is a URL.
    NamedByUrl,
    /// No claim with groups.
    NoGroups,
    /// No `end_session_endpoint` in the metadata.
    NoSignOut,
    /// A claim that says of which domain the person is.
    OfDomain,
    /// Roles in `realm_access`.
    RealmRoles,
    /// Nothing: it shows in the settings only.
    Settings,
    /// A `sub` that is the user name or the e-mail address.
    SubjectIsName,
    /// An `oid` that differs from `sub`.
    SubjectOfClient,
    /// Claims that came from UserInfo.
    UserInfo,
}

/// What is known of one sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignInFacts<'a> {
    /// The provider's issuer identifier.
    pub issuer: &'a str,
    /// All claims of the person.
    pub claims: &'a Map<String, Value>,
    /// What they say about groups.
    pub reading: &'a Reading,
    /// Whether UserInfo was asked.
    pub asked_user_info: bool,
    /// Whether another place was asked for the groups.
    pub asked_for_groups: bool,
    /// Whether the metadata name a page to sign out. `None`: nobody looked.
    pub signs_out: Option<bool>,
    /// When the ID token arrived. `None`: it was saved, so its age says nothing.
    pub arrived_at: Option<Timestamp>,
}

/// How long before its arrival an ID token was issued that is dated back, in seconds. Other tokens arrive within seconds.
const DATED_BACK_SECONDS: i64 = 200;

impl Sign {
    /// Whether it is seen in this sign-in.
    pub fn is_seen(self, facts: &SignInFacts<'_>) -> bool {
        let claims = facts.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let values = || facts.reading.matches.iter().map(|found| found.value.as_str());
        let other_values = || facts.reading.ignored.iter().filter_map(|left| left.value.as_deref());
        let mut all_values = values().chain(other_values()).peekable();
        match self {
            Self::Audiences => claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1),
            Self::DatedBack => {
                let issued = claims.get("iat").and_then(Value::as_i64);
                let age = facts.arrived_at.zip(issued).map(|(at, issued)| at.as_second().saturating_sub(issued));
                age.is_some_and(|age| age >= DATED_BACK_SECONDS)
            }
            Self::FullPaths => all_values.any(|value| value.starts_with('/')),
            Self::GroupsCut => matches!(facts.reading.fault, Some(Fault::Cut { .. })),
            Self::GroupsElsewhere => {
                facts.asked_for_groups || matches!(facts.reading.fault, Some(Fault::Elsewhere { .. }))
            }
            Self::GroupsInOneText => text("groups").is_some(),
            Self::GroupsAsIdentifiers => all_values.peek().is_some() && all_values.all(is_identifier),
            Self::GroupsAsNames => all_values.peek().is_some() && !all_values.all(is_identifier),
            Self::IssuerWithSlash => facts.issuer.ends_with('/'),
            Self::NamedByUrl => claims.keys().any(|name| name.starts_with("https://") || name.starts_with("http://")),
            Self::NoGroups => !claims.contains_key("groups"),
            Self::NoSignOut => facts.signs_out == Some(false),
            Self::OfDomain => claims.contains_key("hd"),
            Self::RealmRoles => claims.get("realm_access").is_some_and(|access| access.get("roles").is_some()),
            Self::Settings => false,
            Self::SubjectIsName => {
                let names = ["preferred_username", "email", "upn"];
                text("sub").is_some_and(|sub| names.iter().any(|name| text(name) == Some(sub)))
            }
            Self::SubjectOfClient => text("oid").zip(text("sub")).is_some_and(|(oid, sub)| oid != sub),
            Self::UserInfo => facts.asked_user_info,
        }
    }
}

/// Whether a text is a UUID, as object identifiers are.
fn is_identifier(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Sign, SignInFacts};
    use crate::env::Timestamp;
    use crate::openid::groups::{GroupRule, GroupRules, Reading, Shape, read};

    fn seen(sign: Sign, claims: &Value, change: impl FnOnce(&mut SignInFacts<'_>)) -> bool {
        let claims: Map<String, Value> = claims.as_object().cloned().unwrap();
        let provider = "corp".parse().unwrap();
        let rules = [GroupRule::of(&["groups"], Shape::Values)];
        let reading: Reading = read(GroupRules { provider: &provider, rules: &rules, cut_at: Some(3) }, &claims);
        let mut facts = SignInFacts {
            issuer: "https://login.example",
            claims: &claims,
            reading: &reading,
            asked_user_info: false,
            asked_for_groups: false,
            signs_out: None,
            arrived_at: Some(Timestamp::from_second(1_000).unwrap()),
        };
        change(&mut facts);
        sign.is_seen(&facts)
    }

    /// Each sign is seen in the claims that have it, and in no others.
    #[test]
    fn a_quirk_is_seen_by_its_sign_alone() {
        let uuid = "0b9f4d1c-7f1e-4c55-8a41-8a0f5c3f7e21";
        for (sign, with, without) in [
            (Sign::Audiences, json!({ "aud": ["a", "b"] }), json!({ "aud": ["a"] })),
            (Sign::DatedBack, json!({ "iat": 700 }), json!({ "iat": 990 })),
            (Sign::FullPaths, json!({ "groups": ["a", "/b"] }), json!({ "groups": ["a/b"] })),
            (Sign::GroupsCut, json!({ "groups": ["a", "b", "c"] }), json!({ "groups": ["a", "b"] })),
            (Sign::GroupsElsewhere, json!({ "hasgroups": true }), json!({ "groups": [] })),
            (Sign::GroupsInOneText, json!({ "groups": "a;b" }), json!({ "groups": ["a"] })),
            (Sign::GroupsAsIdentifiers, json!({ "groups": [uuid] }), json!({ "groups": [uuid, "a"] })),
            (Sign::GroupsAsNames, json!({ "groups": ["a"] }), json!({ "groups": [uuid] })),
            (Sign::GroupsAsNames, json!({ "groups": ["a"] }), json!({})),
            (Sign::NamedByUrl, json!({ "https://example.com/groups": 1 }), json!({ "groups": 1 })),
            (Sign::NoGroups, json!({}), json!({ "groups": [] })),
            (Sign::OfDomain, json!({ "hd": "example.com" }), json!({})),
            (Sign::RealmRoles, json!({ "realm_access": { "roles": [] } }), json!({ "realm_access": {} })),
            (Sign::SubjectIsName, json!({ "sub": "ada", "upn": "ada" }), json!({ "sub": "1", "upn": "ada" })),
            (Sign::SubjectOfClient, json!({ "sub": "1", "oid": "2" }), json!({ "sub": "1", "oid": "1" })),
        ] {
            assert!(seen(sign, &with, |_| ()), "{sign:?} {with}");
            assert!(!seen(sign, &without, |_| ()), "{sign:?} {without}");
        }
        let none = json!({});
        assert!(seen(Sign::IssuerWithSlash, &none, |facts| facts.issuer = "https://login.example/"));
        assert!(!seen(Sign::IssuerWithSlash, &none, |_| ()));
        assert!(seen(Sign::UserInfo, &none, |facts| facts.asked_user_info = true));
        assert!(!seen(Sign::UserInfo, &none, |_| ()));
        assert!(seen(Sign::GroupsElsewhere, &none, |facts| facts.asked_for_groups = true));
        assert!(seen(Sign::NoSignOut, &none, |facts| facts.signs_out = Some(false)));
        assert!(!seen(Sign::NoSignOut, &none, |_| ()));
        // A saved token is as old as it is.
        assert!(!seen(Sign::DatedBack, &json!({ "iat": 700 }), |facts| facts.arrived_at = None));
        assert!(!seen(Sign::Settings, &none, |_| ()));
    }
}
