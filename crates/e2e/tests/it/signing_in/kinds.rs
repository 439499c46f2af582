//! Each kind of provider that has a profile, as it behaves: people sign in, and `check --login` names what is peculiar.

use std::collections::BTreeSet;

use sekisho_e2e::fakes::provider::profile::{Behaves, object_id};
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use serde_json::{Value, json};

use super::check::{Browser, check};
use crate::attacks::providers::{Company, setup, signed_in, stranger, table};

/// One provider as it is met: how it behaves, what the configuration says of it, and what of its peculiarities is seen.
struct Case {
    behaves: Behaves,
    profile: &'static str,
    /// More lines of its table.
    more: String,
    /// How it behaves beyond its kind.
    also: Vec<Misconduct>,
    /// Words of the sentences that are marked as seen.
    seen: &'static [&'static str],
    /// Whether the rule for `corp/engineers` is met.
    engineer: bool,
    /// Whether somebody is signed in at all.
    enters: bool,
}

fn case(behaves: Behaves, profile: &'static str, more: &str, seen: &'static [&'static str]) -> Case {
    Case { behaves, profile, more: more.to_owned(), also: Vec::new(), seen, engineer: true, enters: true }
}

fn cases() -> Vec<Case> {
    let engineers = object_id("engineers");
    let by_id = format!("[[login.provider.groups]]\nclaim = \"groups\"\nnames = {{ {engineers:?} = \"engineers\" }}");
    let by_url = "[[login.provider.groups]]\nclaim = \"https://example.com/groups\"";
    let by_path = "[[login.provider.groups]]\nclaim = \"groups\"\nprefix = \"/\"";
    let audiences = format!("audiences = [\"account\"]\n{by_path}");
    let hundred: Vec<String> = (0..100).map(|number| format!("g{number}")).collect();
    vec![
        case(Behaves::Auth0, "auth0", by_url, &["ends in a slash", "whose name is a URL"]),
        case(Behaves::Authentik, "authentik", "", &["ends in a slash", "holds names"]),
        Case {
            also: vec![Misconduct::Says("sub", json!("ada"))],
            ..case(Behaves::Authentik, "authentik", "", &["ends in a slash", "holds names", "subject mode"])
        },
        case(Behaves::Entra, "entra", &by_id, &["differs from application", "object identifiers", "dated back"]),
        case(
            Behaves::EntraOverage,
            "entra",
            &format!("member_groups = \"GROUPS\"\n{by_id}"),
            &["differs from application", "object identifiers", "Beyond 200 groups", "dated back"],
        ),
        Case {
            engineer: false,
            ..case(
                Behaves::Google,
                "google",
                "require = { hd = [\"example.com\"] }",
                &["No groups are sent", "Everybody with a Google account", "no page to sign out"],
            )
        },
        case(Behaves::Keycloak, "keycloak", by_path, &["begins with a slash", "realm_access"]),
        Case {
            also: vec![
                Misconduct::Says("aud", json!(["sekisho", "account"])),
                Misconduct::Says("azp", json!("sekisho")),
            ],
            ..case(
                Behaves::Keycloak,
                "keycloak",
                &audiences,
                &["begins with a slash", "realm_access", "mapper for audiences"],
            )
        },
        case(Behaves::Lemonldap, "lemonldap", "", &["one text with a separator", "come from UserInfo"]),
        case(Behaves::Okta, "okta", "", &[]),
        Case {
            also: vec![Misconduct::Says("groups", Value::Null)],
            engineer: false,
            ..case(Behaves::Okta, "okta", "", &["claim of type Groups"])
        },
        Case {
            also: vec![Misconduct::Says("groups", json!(hundred))],
            engineer: false,
            enters: false,
            ..case(Behaves::Okta, "okta", "", &["From 100 groups on"])
        },
        case(Behaves::Generic, "generic", "", &[]),
    ]
}

async fn provider(case: &Case) -> (Provider, String) {
    let provider = Provider::start(case.behaves).await.unwrap();
    provider.misbehave_in(&case.also);
    let more = case.more.replace("GROUPS", &provider.endpoint("getMemberObjects"));
    let login = table("corp", &provider, &format!("profile = {:?}\n{more}", case.profile));
    (provider, login)
}

/// People sign in at each kind of provider, with their groups, or are refused with the reason.
#[tokio::test]
async fn people_sign_in_at_each_kind_of_provider() {
    for case in cases() {
        let name = format!("{:?} with {:?}", case.behaves, case.also);
        let (provider, login) = provider(&case).await;
        let checkpoint = setup(&format!("[login]\n{login}")).start().await;
        let company = Company { provider, checkpoint };
        let mut ada = stranger();
        let answer = company.sign_in(&mut ada, "corp").await;
        let who = signed_in(&company, &mut ada).await;
        assert_eq!(who.as_deref(), case.enters.then_some("corp:ada"), "{name}: {}", answer.text());
        if !case.enters {
            assert!(company.last_failure().await.contains("leaves some out"), "{name}");
            continue;
        }
        let words = ["explain", "--user", "corp:ada", "--server", "notes", "--tool", "list_notes"];
        let explained = company.checkpoint.command(&words).await.stdout;
        assert_eq!(explained.contains("a.cedar"), case.engineer, "{name}: {explained}");
    }
}

/// `check --login` marks exactly the peculiarities that are seen, with source and date; each is met by one of the doubles.
#[tokio::test]
async fn check_names_what_is_peculiar_to_a_provider() {
    let (mut seen_ever, mut told_ever) = (BTreeSet::new(), BTreeSet::new());
    for case in cases() {
        let name = format!("{:?} with {:?}", case.behaves, case.also);
        let (_provider, login) = provider(&case).await;
        let checked = check(&format!("[login]\n{login}"), &[], Browser::SignsIn).await;
        assert_eq!(checked.code(), Some(i32::from(!case.enters)), "{name}: {}{}", checked.stdout, checked.stderr);
        let lines: Vec<&str> = checked.stdout.lines().collect();
        let seen: Vec<&str> = lines.iter().filter_map(|line| line.trim().strip_prefix("seen here: ")).collect();
        let expected: Vec<bool> = case.seen.iter().map(|words| seen.iter().any(|line| line.contains(words))).collect();
        assert!(expected.iter().all(|found| *found) && seen.len() == case.seen.len(), "{name}: {seen:?}");
        if case.profile != "generic" {
            assert!(
                lines.iter().any(|line| line.contains("(from https://") && line.contains("read on 20")),
                "{name}: {lines:?}"
            );
        }
        let begin = lines.iter().position(|line| line.contains("(from https://")).unwrap_or(lines.len());
        for line in lines.iter().skip(begin + 1).filter(|line| line.starts_with("  ")) {
            let sentence = line.trim().trim_start_matches("seen here: ");
            told_ever.insert(format!("{}: {sentence}", case.profile));
        }
        seen_ever.extend(seen.into_iter().map(|sentence| format!("{}: {sentence}", case.profile)));
    }
    // What shows in the settings only is told by `check` at its place.
    let only_told: Vec<_> = told_ever.difference(&seen_ever).collect();
    assert_eq!(only_told.len(), 2, "{only_told:#?}");
    assert!(only_told.iter().any(|line| line.contains("`common`")), "{only_told:#?}");
    assert!(only_told.iter().any(|line| line.contains("e-mail address is not unique")), "{only_told:#?}");
}
