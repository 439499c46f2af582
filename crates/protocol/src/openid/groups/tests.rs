use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use super::{
    Fault, GROUPS_MAX, GroupRule, GroupRules, Ignored, Reading, Shape, Why, lacks_a_claim, merged, read, resolved,
};
use crate::openid::ProviderName;

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn reading(rules: &[GroupRule], cut_at: Option<usize>, value: Value) -> Reading {
    let provider: ProviderName = "corp".parse().unwrap();
    read(GroupRules { provider: &provider, rules, cut_at }, &claims(value))
}

fn groups(rule: GroupRule, value: Value) -> Vec<String> {
    reading(&[rule], None, value).groups().unwrap().iter().cloned().collect()
}

fn fault(rule: GroupRule, value: Value) -> Fault {
    reading(&[rule], None, value).groups().unwrap_err().clone()
}

fn plain() -> GroupRule {
    GroupRule::of(&["groups"], Shape::Values)
}

#[test]
fn groups_are_read_in_every_shape_that_providers_send() {
    let nested = GroupRule::of(&["resource_access", "app", "roles"], Shape::Values);
    let url = GroupRule::of(&["https://example.com/groups"], Shape::Values);
    let objects = GroupRule { member: Some("name".to_owned()), ..plain() };
    let keys = GroupRule::of(&["hGroups"], Shape::Keys);
    let separated = GroupRule::of(&["groups"], Shape::Separated(';'));
    for (rule, value) in [
        (plain(), json!({ "groups": ["a", "b"] })),
        (plain(), json!({ "groups": ["b", "a", "b"] })),
        (nested, json!({ "resource_access": { "app": { "roles": ["a", "b"] } } })),
        (url, json!({ "https://example.com/groups": ["a", "b"] })),
        (objects, json!({ "groups": [{ "name": "a", "id": 1 }, { "name": "b" }] })),
        (keys, json!({ "hGroups": { "a": { "cn": "x" }, "b": {} } })),
        (separated.clone(), json!({ "groups": "a; b" })),
        (separated, json!({ "groups": ["a", "b"] })),
    ] {
        assert_eq!(groups(rule.clone(), value), ["corp/a", "corp/b"], "{rule:?}");
    }
    assert_eq!(groups(plain(), json!({ "groups": "only one" })), ["corp/only one"]);
    assert!(groups(plain(), json!({ "groups": [] })).is_empty());
}

/// A rule that forbids something to a group would not be kept if a claim that cannot be read meant no groups.
#[test]
fn a_claim_in_another_shape_is_a_fault_and_not_no_groups() {
    let objects = GroupRule { member: Some("name".to_owned()), ..plain() };
    for (rule, value, hint) in [
        (plain(), json!([{ "name": "a" }]), "`member`"),
        (plain(), json!({ "a": 1 }), "`member`"),
        (plain(), json!([["a"]]), "list of texts"),
        (plain(), json!([1]), "list of texts"),
        (plain(), json!(true), "list of texts"),
        (objects.clone(), json!(["a"]), "remove `member`"),
        (objects.clone(), json!([{ "id": "a" }]), "`member`"),
        (objects, json!([{ "name": 7 }]), "`member`"),
        (GroupRule::of(&["groups"], Shape::Keys), json!(["a"]), "list"),
    ] {
        let found = fault(rule.clone(), json!({ "groups": value }));
        assert!(matches!(found, Fault::Shape { .. }) && found.to_string().contains(hint), "{found} for {rule:?}");
    }
}

#[test]
fn a_claim_that_is_not_there_is_reported_and_refused_only_if_required() {
    for absent in [json!({}), json!({ "groups": null }), json!({ "Groups": ["a"] })] {
        let found = reading(&[plain()], None, absent.clone());
        assert_eq!(found.ignored, [Ignored { rule: 0, value: None, why: Why::Absent }]);
        assert!(found.groups().unwrap().is_empty());
        let required = GroupRule { required: true, ..plain() };
        assert_eq!(fault(required, absent), Fault::Missing { claim: "groups".to_owned() });
    }
    // The most frequent mistake: the claim was renamed. The result names the new claim.
    let renamed = reading(&[plain()], None, json!({ "Groups": ["a"], "https://x/roles": "b", "email": "c" }));
    assert_eq!(renamed.unread, ["Groups", "https://x/roles"]);
}

/// Entra ID: beyond 200 groups the token has a link in place of them; 200 and fewer are read.
#[test]
fn groups_that_are_somewhere_else_are_not_no_groups() {
    let link = json!({ "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "https://graph.windows.net/t/users/o/getMemberObjects" } } });
    for elsewhere in [link.clone(), json!({ "hasgroups": true }), json!({ "hasgroups": "true" })] {
        assert_eq!(fault(plain(), elsewhere), Fault::Elsewhere { claim: "groups".to_owned() });
    }
    assert!(groups(plain(), json!({ "hasgroups": false })).is_empty());
    let asked = resolved(&claims(link), "groups", vec!["g1".to_owned(), "g2".to_owned()]);
    assert_eq!(groups(plain(), Value::Object(asked)), ["corp/g1", "corp/g2"]);
}

#[test]
fn a_list_that_may_be_cut_off_is_a_fault() {
    let list = |count: usize| json!({ "groups": (0..count).map(|n| format!("g{n}")).collect::<Vec<_>>() });
    assert!(reading(&[plain()], Some(100), list(99)).groups().is_ok());
    let cut = Fault::Cut { claim: "groups".to_owned(), count: 100, cut_at: 100 };
    assert_eq!(reading(&[plain()], Some(100), list(100)).groups(), Err(&cut));
    assert!(reading(&[plain()], None, list(100)).groups().is_ok());
}

/// ATK-291: as many groups as are read, and one more; also if two claims bring them together.
#[test]
fn five_thousand_groups_are_read_and_one_more_is_refused() {
    let list = |from: usize, count: usize| (from..from + count).map(|n| format!("g{n}")).collect::<Vec<_>>();
    let all = reading(&[plain()], None, json!({ "groups": list(0, GROUPS_MAX) }));
    assert_eq!(all.groups().unwrap().len(), GROUPS_MAX);
    let many = Fault::TooMany { claim: "groups".to_owned() };
    assert_eq!(fault(plain(), json!({ "groups": list(0, GROUPS_MAX + 1) })), many);
    let two = [GroupRule::of(&["roles"], Shape::Values), plain()];
    let both = json!({ "roles": ["x"], "groups": list(0, GROUPS_MAX) });
    assert_eq!(reading(&two, None, both).groups(), Err(&many));
}

#[test]
fn a_prefix_and_names_choose_and_rename() {
    let prefixed = GroupRule { prefix: Some("sekisho-".to_owned()), ..plain() };
    let found =
        reading(std::slice::from_ref(&prefixed), None, json!({ "groups": ["sekisho-admins", "hr", "sekisho-"] }));
    assert_eq!(found.groups().unwrap().iter().collect::<Vec<_>>(), ["corp/admins"]);
    assert_eq!(
        found.ignored,
        [
            Ignored { rule: 0, value: Some("hr".to_owned()), why: Why::Prefix },
            Ignored { rule: 0, value: Some("sekisho-".to_owned()), why: Why::Name },
        ]
    );
    let names = [("6f1c", "engineers"), ("77aa", "auditors")].map(|(id, name)| (id.to_owned(), name.to_owned()));
    let named = GroupRule { names: BTreeMap::from(names), ..plain() };
    let found = reading(&[named], None, json!({ "groups": ["6f1c", "0000"] }));
    assert_eq!(found.matches[0].group, "corp/engineers");
    assert_eq!((found.matches[0].rule, found.matches[0].value.as_str()), (0, "6f1c"));
    assert_eq!(found.ignored, [Ignored { rule: 0, value: Some("0000".to_owned()), why: Why::Unnamed }]);
    assert_eq!(found.unused, [(0, "77aa".to_owned())]);
}

#[test]
fn a_value_that_cannot_be_a_name_makes_no_group() {
    for bad in ["", " a", "a\u{200b}b", "a\u{0}b", "e\u{301}", &"x".repeat(257)] {
        let found = reading(&[plain()], None, json!({ "groups": [bad, "good"] }));
        assert_eq!(found.groups().unwrap().iter().collect::<Vec<_>>(), ["corp/good"], "{bad}");
        assert_eq!(found.ignored[0].why, Why::Name, "{bad}");
    }
}

#[test]
fn what_the_signed_token_says_stands() {
    let token = claims(json!({ "sub": "1", "groups": ["a"] }));
    let info = claims(json!({ "sub": "1", "groups": ["owners"], "roles": ["r"] }));
    let both = merged(&token, &info);
    assert_eq!((&both["groups"], &both["roles"]), (&json!(["a"]), &json!(["r"])));
    assert!(lacks_a_claim(&[plain(), GroupRule::of(&["roles"], Shape::Values)], &token));
    assert!(!lacks_a_claim(&[plain()], &token));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(1.5)),
        "[a-z;\u{0}\u{202e}é ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is sent: an answer, every group of this provider and made by a match, every value told of.
    #[test]
    fn every_claim_gets_an_answer(
        value in any_value(), shape in prop_oneof![Just(Shape::Values), Just(Shape::Keys), Just(Shape::Separated(';'))],
        member in proptest::option::of("[a-c]"), prefix in proptest::option::of("[a-c]"),
    ) {
        let rule = GroupRule { member, prefix, ..GroupRule::of(&["groups"], shape) };
        let found = reading(&[rule], None, json!({ "groups": value }));
        if let Ok(groups) = found.groups() {
            let made: BTreeSet<&str> = found.matches.iter().map(|one| one.group.as_str()).collect();
            assert_eq!(made, groups.iter().map(String::as_str).collect());
            assert!(groups.iter().all(|group| group.starts_with("corp/") && group.len() > "corp/".len()));
        }
    }
}
