use sekisho_policy::rights::PolicyFile;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::UserId;

use super::{StoreNames, unknown};
use crate::config::Configuration;
use crate::os::{OsEntropy, SystemClock};

const TOML: &str = r#"
[groups]
support = ["alice", "bobby"]
[servers.tickets]
command = ["x"]
groups = ["internal"]
users = { carol = "read" }
[servers.tickets.tools]
list_tickets = "read"
[servers.billing]
command = ["x"]
[servers.billing.tools]
refund = "destructive"
invoice = "read"
[servers.own]
builtin = true
"#;

fn configuration(toml: &str, rule: &str) -> Configuration {
    let mut configuration: Configuration = toml::from_str(toml).unwrap();
    configuration.policy_files = vec![PolicyFile { name: "a.cedar".to_owned(), text: rule.to_owned() }];
    configuration
}

fn of_rule(rule: &str) -> Option<(bool, String)> {
    let found = unknown(&configuration(TOML, rule), None);
    assert!(found.len() <= 1, "{rule}: {found:?}");
    found.first().map(|found| (found.fatal, format!("{}; {}", found.message, found.help)))
}

/// ATK-282: typing errors that would open a hole are errors where something is taken away, and warnings where it is given.
#[test]
fn a_name_that_nothing_has_is_found_in_policies() {
    for (condition, meant) in [
        ("principal in Group::\"suport\"", "did you mean `support`?"),
        ("principal in Group::\"unheard-of\"", "table `groups`"),
        ("resource in Server::\"tickts\"", "did you mean `tickets`?"),
        ("resource in ServerGroup::\"internl\"", "did you mean `internal`?"),
        ("resource == Tool::\"billing/refnd\"", "did you mean `refund`?"),
        ("resource == Tool::\"biling/refund\"", "did you mean `billing`?"),
        ("resource == Tool::\"refund\"", "SERVER/NAME"),
        ("resource == Tool::\"own/anything\"", "tools list own"),
        ("resource.class == \"reed\"", "did you mean `read`?"),
        ("resource.name == \"refnd\"", "did you mean `refund`?"),
        ("principal == User::\"alice\"", "principal.name == \"alice\""),
        ("principal is User && principal.name == \"alise\"", "did you mean `alice`?"),
    ] {
        let rule = |effect: &str, when: &str| {
            format!("{effect}(principal, action == Action::\"call\", resource) {when} {{ {condition} }};")
        };
        for (effect, when, fatal) in [
            ("permit", "when", false),
            ("forbid", "when", true),
            ("permit", "unless", true),
            ("forbid", "unless", false),
        ] {
            let (is_fatal, says) = of_rule(&rule(effect, when)).unwrap_or_else(|| panic!("{condition}"));
            assert!(says.contains(meant), "{condition}: {says}");
            let of_people = condition.contains("principal.name");
            assert_eq!(is_fatal, fatal && !of_people, "{effect} {when} {condition}");
        }
    }
}

#[test]
fn a_name_that_may_be_there_is_left_alone() {
    let id = UserId::generate(SystemClock.now(), &OsEntropy);
    for condition in [
        "principal in Group::\"support\"",
        "principal in Group::\"owners\"",
        "resource in Server::\"tickets\"",
        "resource in ServerGroup::\"internal\"",
        "resource == Tool::\"billing/refund\"",
        "resource == Tool::\"billing/something-else\"",
        "resource == Tool::\"own/explain\"",
        "resource.class == \"unclassified\"",
        "resource.name == \"drop_everything\"",
        "principal is User && principal.name == \"zoe\"",
        &format!("principal == User::\"{id}\""),
        "context has path && context.path.first == Client::\"https://c.example/x.json\"",
    ] {
        let rule = format!("forbid(principal, action == Action::\"call\", resource) when {{ {condition} }};");
        assert_eq!(of_rule(&rule), None, "{condition}");
    }
}

/// In the configuration itself; where a store is there, what it knows is all that there is.
#[test]
fn a_name_that_nothing_has_is_found_in_the_configuration() {
    let says = |toml: &str, known: Option<&StoreNames>| -> Vec<(bool, String)> {
        let found = unknown(&configuration(toml, ""), known);
        found.into_iter().map(|found| (found.fatal, format!("{}; {}", found.message, found.help))).collect()
    };
    let with = |more: &str| format!("{TOML}{more}");
    assert!(says(TOML, None).is_empty());
    let bounds = with("[servers.billing.templates.t]\npurpose = \"p\"\nbounds.refnd = { required = [\"a\"] }\n");
    let found = says(&bounds, None);
    assert!(matches!(found.as_slice(), [(true, says)] if says.contains("did you mean `refund`?")), "{found:?}");
    let tools = with("[servers.billing.templates.t]\npurpose = \"p\"\ntools = [\"invoise\"]\n");
    let found = says(&tools, None);
    assert!(matches!(found.as_slice(), [(false, says)] if says.contains("did you mean `invoice`?")), "{found:?}");
    // Without a store, `anna` cannot be told from a mistyped `anne`.
    assert!(says(&TOML.replace("carol = ", "alise = "), None).is_empty());
    let known = StoreNames {
        users: ["alice", "carol", "bob"].map(str::to_owned).into(),
        tools: [("billing".to_owned(), ["refund", "invoices"].map(str::to_owned).into())].into(),
        ..StoreNames::default()
    };
    let found = says(TOML, Some(&known));
    for expected in ["did you mean `bob`?", "did you mean `invoices`?"] {
        assert!(found.iter().any(|(fatal, says)| !fatal && says.contains(expected)), "{found:?}");
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

/// An argument that the tool does not declare: an error where the tool takes no others and a bound or a rule rests on it, a
/// warning where it may take others, and nothing where its definition is not known.
#[test]
fn an_argument_that_its_tool_does_not_take_is_found() {
    let template = "[servers.billing.templates.t]\npurpose = \"p\"\nbounds.refund = { properties = { ammount = { maximum = 5 } } }\n";
    let toml = TOML.replace("[servers.own]", &format!("{template}[servers.own]"));
    let rule = |effect: &str| {
        format!(
            "{effect}(principal, action == Action::\"call\", resource == Tool::\"billing/refund\") when {{ context.numbers.hasTag(\"ammount\") }};"
        )
    };
    let refund = |more: &str| {
        let schema = format!(r#"{{"properties":{{"amount":{{"type":"integer"}}}}{more}}}"#);
        format!(r#"{{"name":"refund","inputSchema":{schema}}}"#)
    };
    let (open, closed) = (refund(""), refund(r#","additionalProperties":false"#));
    let found = |effect: &str, definition: Option<&str>| {
        let of = definition.map(|text| ("refund".to_owned(), text.to_owned()));
        let tools = ["refund", "invoice"].map(str::to_owned).into();
        let known = StoreNames {
            tools: [("billing".to_owned(), tools)].into(),
            definitions: [("billing".to_owned(), of.into_iter().collect())].into(),
            ..StoreNames::default()
        };
        let found = unknown(&configuration(&toml, &rule(effect)), Some(&known));
        found.into_iter().map(|found| (found.fatal, format!("{}; {}", found.message, found.help))).collect::<Vec<_>>()
    };
    for (effect, definition, fatal) in [
        ("forbid", &closed, [true, true]),
        ("permit", &closed, [true, false]),
        ("forbid", &open, [false, false]),
        ("permit", &open, [false, false]),
    ] {
        let mut found = found(effect, Some(definition));
        found.sort();
        assert_eq!(
            found.iter().map(|(fatal, _)| *fatal).filter(|fatal| *fatal).count(),
            fatal.iter().filter(|fatal| **fatal).count(),
            "{effect}: {found:?}"
        );
        assert_eq!(found.len(), 2, "{found:?}");
        for (_, said) in &found {
            assert!(said.contains("`ammount`") && said.contains("did you mean `amount`?"), "{said}");
        }
    }
    assert_eq!(found("forbid", None), []);
}
