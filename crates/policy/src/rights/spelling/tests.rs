use std::str::FromStr as _;

use cedar_policy::{Effect, Policy};
use serde_json::Value;

use super::{mark, never_equal, spell};

fn json(text: &str) -> Value {
    Policy::from_str(text).unwrap().to_json().unwrap()
}

fn spelled(text: &str) -> Option<String> {
    let effect = if text.starts_with("forbid") { Effect::Forbid } else { Effect::Permit };
    let new = spell(&json(text), effect).unwrap_or_else(|error| panic!("{text}: {error}"))?;
    Some(Policy::from_json(None, new).unwrap().to_string())
}

/// ATK-104: comparisons that take something away are widened; those that give something are not.
#[test]
fn only_what_takes_away_is_widened() {
    for (text, widened) in [
        (r#"forbid(principal, action, resource) when { resource.uri like "file:///Priv/*" };"#, true),
        (r#"forbid(principal, action, resource) when { resource.uri == "file:///a" };"#, true),
        (r#"forbid(principal, action, resource) when { "file:///a" == resource.uri };"#, true),
        (r#"forbid(principal, action, resource) when { ["a", "b"].contains(resource.name) };"#, true),
        (r#"forbid(principal, action, resource) unless { resource.uri like "file:///pub/*" };"#, false),
        (r#"forbid(principal, action, resource) unless { resource.uri != "file:///a" };"#, true),
        (r#"forbid(principal, action, resource) when { !(resource.uri == "file:///a") };"#, false),
        (r#"forbid(principal, action, resource == Prompt::"notes/secret");"#, true),
        (r#"forbid(principal, action, resource is Resource in Resource::"notes/file:///a");"#, true),
        (r#"forbid(principal, action, resource in Server::"notes");"#, false),
        (r#"forbid(principal, action, resource) when { resource in [Tool::"a/b", Server::"c"] };"#, true),
        (r#"forbid(principal, action, resource) when { resource in Server::"notes" };"#, false),
        (r#"forbid(principal, action, resource) when { resource is Tool && resource.level >= 2 };"#, false),
        (r#"forbid(principal, action, resource) when { resource has uri && resource.uri like "*x*" };"#, true),
        (r#"forbid(principal, action, resource) when { principal.name == "bob" };"#, false),
        (r#"permit(principal, action, resource) when { resource.uri like "file:///pub/*" };"#, false),
        (r#"permit(principal, action, resource) unless { resource.uri like "file:///priv/*" };"#, true),
        (r#"permit(principal, action, resource) when { resource.name != "secret" };"#, true),
        (r#"permit(principal, action, resource) when { resource.name == principal.name };"#, false),
        (r#"permit(principal, action, resource == Prompt::"notes/open");"#, false),
        (
            r#"permit(principal, action, resource) when { if resource.name == "a" then false else principal.name == "b" };"#,
            true,
        ),
    ] {
        let found = spelled(text);
        assert_eq!(found.as_ref().is_some_and(|new| new.contains("reading 0")), widened, "{text}: {found:?}");
    }
}

/// A rule for which it is unclear what it takes away is refused as a whole, even if half of it is understood.
#[test]
fn an_unclear_comparison_is_refused() {
    for text in [
        r#"forbid(principal, action, resource) when { (resource.uri like "a*") == context.flags.getTag("x") };"#,
        r#"forbid(principal, action, resource) when { resource.name == principal.name };"#,
        r#"forbid(principal, action, resource) when { principal.name == (if resource.uri == "a" then "b" else "c") };"#,
        r#"forbid(principal, action, resource) when { [resource.uri].containsAny(["a"]) };"#,
        r#"permit(principal, action, resource) when { (resource.uri == "a") == false };"#,
    ] {
        let effect = if text.starts_with("forbid") { Effect::Forbid } else { Effect::Permit };
        assert!(spell(&json(text), effect).is_err(), "{text}");
    }
}

#[test]
fn a_permit_that_asks_has_a_mark_where_it_names_something() {
    for (text, is_marked) in [
        (r#"@approval permit(principal, action, resource == Prompt::"notes/secret");"#, true),
        (r#"@approval permit(principal, action, resource) when { resource.uri like "file:///a*" };"#, true),
        (r#"@approval permit(principal, action, resource) when { resource.level >= 2 };"#, false),
    ] {
        assert_eq!(mark(&json(text)).unwrap().is_some(), is_marked, "{text}");
    }
}

/// ATK-109: a text that no URI can have is a mistake in a rule, and is found when the rule is loaded.
#[test]
fn a_text_that_no_uri_can_have_is_found() {
    for (condition, found) in [
        (r#"resource.uri like "FILE:///priv/*""#, vec!["FILE:///priv/"]),
        (r#"resource.uri like "file:/priv/*""#, vec!["file:/priv/"]),
        (r#"resource.uri == "note://a/../b" || resource.uri == "note://a""#, vec!["note://a/../b"]),
        (r#"["note://a b", "note://a"].contains(resource.uri)"#, vec!["note://a b"]),
        (r#"resource == Resource::"notes/note:/a""#, vec!["note:/a"]),
        (r#"resource.uri like "*.secret" && resource.uri like "file:///priv*""#, vec![]),
        (r#"resource.uri == "file:///priv/{name}""#, vec![]),
        (r#"resource.name == "FILE:///x""#, vec![]),
    ] {
        let rule = format!("forbid(principal, action, resource) when {{ {condition} }};");
        assert_eq!(never_equal(&json(&rule)), found, "{condition}");
    }
    assert_eq!(never_equal(&json(r#"permit(principal, action, resource == Resource::"a/B:x");"#)), ["B:x"]);
}
