use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde_json::{Map, Number, Value, json};

use super::{DEPTH_MAX, Filter, Operand, Operator, TERMS_MAX};
use crate::error::ScimError;
use crate::path::{AttributePath, Home};
use crate::schema::{ENTERPRISE, Kind, USER};

fn user() -> Map<String, Value> {
    let user = json!({
        "id": "u1", "userName": "Ada@example.com", "externalId": "X1", "active": true, "title": "",
        "name": { "familyName": "O'Malley" },
        "emails": [{ "value": "ada@work.example", "type": "work", "primary": true }, { "value": "ada@home.example" }],
        "meta": { "lastModified": "2011-05-13T04:42:34Z" },
        ENTERPRISE: { "department": "Engines", "manager": { "value": "m1" } },
    });
    user.as_object().cloned().unwrap()
}

fn matches(filter: &str) -> bool {
    Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).matches(Kind::User, &user())
}

/// The filters of RFC 7644 §3.4.2.2, figure 2, and those that Entra ID and Okta send.
#[test]
fn a_filter_says_who_is_meant() {
    for filter in [
        r#"userName eq "ada@EXAMPLE.com""#,
        r#"USERNAME EQ "ada@example.com""#,
        r#"name.familyName co "O'Malley""#,
        r#"userName sw "A""#,
        r#"userName ew ".com""#,
        &format!(r#"{USER}:userName sw "a""#),
        "userName pr",
        r#"meta.lastModified gt "2011-05-13T04:42:33Z""#,
        r#"meta.lastModified le "2011-05-13T06:42:34+02:00""#,
        r#"emails co "home.example""#,
        r#"emails[type eq "work" and value co "@work"]"#,
        r#"emails.type eq "work""#,
        "active eq true",
        r#"(active eq true) and not (userName eq "eve")"#,
        r#"userName eq "x" or userName eq "ada@example.com" and active eq true"#,
        r#"externalId eq "X1""#,
        "nickName eq null",
        r#"nickName ne "x""#,
        &format!(r#"{ENTERPRISE}:department eq "engines""#),
        &format!(r#"{ENTERPRISE}:manager eq "m1" or {ENTERPRISE}:manager.value eq "m1""#),
        r#"emails[primary eq true]"#,
        r#"not(title pr)"#,
    ] {
        assert!(matches(filter), "{filter}");
    }
    for filter in [
        r#"userName eq "eve""#,
        r#"externalId eq "x1""#,
        r#"id eq "U1""#,
        "title pr",
        "nickName pr",
        "active eq false",
        r#"active eq "true""#,
        r#"emails[type eq "work" and value co "@home"]"#,
        r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
        r#"(userName eq "x" or userName eq "ada@example.com") and active eq false"#,
        r#"unknown eq "x""#,
        "unknown pr",
        r#"emails[emails[value pr]]"#,
    ] {
        assert!(!matches(filter), "{filter}");
    }
}

/// ATK-303: an invalid filter is refused with the registered `scimType`, however long or deep it is.
#[test]
fn a_filter_that_is_nonsense_is_refused() {
    let deep = format!("{}userName pr{}", "(".repeat(DEPTH_MAX + 1), ")".repeat(DEPTH_MAX + 1));
    let wide = vec!["userName pr"; TERMS_MAX + 1].join(" or ");
    let long = format!(r#"userName eq "{}""#, "x".repeat(5000));
    for bad in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName is \"x\"",
        "userName eq x",
        "userName eq \"x",
        "eq \"x\"",
        "userName eq \"x\" and",
        "and userName pr",
        "(userName pr",
        "userName pr)",
        "userName pr x",
        "not userName pr",
        "userName eq {}",
        "userName eq []",
        "active gt true",
        "title co null",
        "emails[type eq \"work\"",
        "emails[]",
        "userName eq \"x\"; drop table",
        "userName eq 'x'",
        "a.b.c pr",
        "urn:x:y pr",
        "userName eq 1e999",
        &deep,
        &wide,
        &long,
        &"(".repeat(4000),
        &"not (".repeat(800),
        &"emails[".repeat(500),
    ] {
        let error = Filter::parse(bad).unwrap_err();
        assert!(matches!(error, ScimError::InvalidFilter(_)), "{bad}");
    }
    let at_the_bound = format!("{}userName pr{}", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX));
    assert!(Filter::parse(&at_the_bound).is_ok());
    assert!(Filter::parse(&vec!["userName pr"; TERMS_MAX].join(" or ")).is_ok());
}

fn path() -> impl Strategy<Value = AttributePath> {
    let home = prop_oneof![Just(Home::Core), Just(Home::Enterprise)];
    (home, "[a-zA-Z][a-zA-Z0-9_-]{0,6}", proptest::option::of("[a-zA-Z$][a-zA-Z]{1,4}"))
        .prop_map(|(home, name, part)| AttributePath { home, name, part })
}

fn filters() -> impl Strategy<Value = Filter> {
    let operand = prop_oneof![
        any::<bool>().prop_map(Operand::Boolean),
        Just(Operand::Null),
        any::<i64>().prop_map(|number| Operand::Number(Number::from(number))),
        ".{0,8}".prop_map(Operand::Text),
    ];
    let equal = (path(), prop_oneof![Just(Operator::Eq), Just(Operator::Ne)], operand)
        .prop_map(|(path, operator, operand)| Filter::Compare(path, operator, operand));
    let ordered = prop_oneof![Just(Operator::Co), Just(Operator::Ge), Just(Operator::Sw), Just(Operator::Lt)];
    let text = (path(), ordered, ".{0,8}")
        .prop_map(|(path, operator, text)| Filter::Compare(path, operator, Operand::Text(text)));
    let leaf = prop_oneof![equal, text, path().prop_map(Filter::Present)];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.clone().prop_map(|one| Filter::Not(Box::new(one))),
            (path(), inner).prop_map(|(path, one)| Filter::Values(path, Box::new(one))),
        ]
    })
}

proptest! {
    /// A filter that is written and parsed again is the same.
    #[test]
    fn a_filter_is_read_as_it_was_written(filter in filters()) {
        let text = filter.to_string();
        if text.len() <= crate::path::BYTES_MAX {
            assert_eq!(Filter::parse(&text), Ok(filter), "{text}");
        }
    }

    /// No text causes a panic, neither when it is parsed nor when the filter is matched.
    #[test]
    fn every_text_gets_an_answer(text in r#"[a-z$.()\[\] "0-9:]{0,40}|userName (eq|co|pr|gt) .{0,20}"#) {
        if let Ok(filter) = Filter::parse(&text) {
            assert_eq!(Filter::parse(&filter.to_string()), Ok(filter.clone()), "{text}");
            filter.matches(Kind::User, &user());
        }
    }
}
