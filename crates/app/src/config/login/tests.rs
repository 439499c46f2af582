use std::collections::BTreeSet;

use sekisho_protocol::openid::groups::Shape;
use sekisho_protocol::openid::profile::Profile;
use sekisho_protocol::registration::ClientAuthentication;

use super::{Login, LoginProblem, check_login};

const GOOD: &str = r#"
[[provider]]
name = "corp"
profile = "entra"
issuer = "https://login.microsoftonline.com/8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11/v2.0"
client_id = "f00d"
client_secret = "${env:PATH}"
"#;

fn read(text: &str) -> Login {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn problems(text: &str) -> Vec<LoginProblem> {
    check_login(&read(text), &BTreeSet::new())
}

/// The keys at which something is wrong, after this was added to a good provider.
fn keys(more: &str) -> Vec<&'static str> {
    problems(&format!("{GOOD}{more}")).into_iter().map(|problem| problem.key).collect()
}

#[test]
fn a_provider_of_six_lines_is_good() {
    assert_eq!(problems(GOOD), []);
    let login = read(GOOD);
    assert!(login.passwords);
    let provider = &login.provider[0];
    assert_eq!(provider.named_by(), ["tid", "oid"]);
    assert_eq!((provider.rules()[0].path().as_str(), provider.rules()[0].shape), ("groups", Shape::Values));
    assert_eq!(provider.method(), ClientAuthentication::ClientSecretBasic);
    let registration = provider.registration("https://sekisho.example").unwrap();
    assert_eq!(registration.redirect_uris[0].as_str(), "https://sekisho.example/login/corp/callback");
    assert!(registration.secret.is_some() && registration.issuer == provider.issuer);
}

#[test]
fn every_wish_has_its_place() {
    let text = format!(
        r#"passwords = false{GOOD}
label = "Example Corp"
scopes = ["profile", "https://graph.microsoft.com/GroupMember.Read.All"]
id_token_algorithm = "ES256"
authentication = "client_secret_post"
audiences = ["api"]
prompt = "login"
max_age_seconds = 3600
acr_values = ["phr", "mfa"]
acr_required = true
logout_ends_grants = true
sign_out_there = "always"
member_groups = "https://graph.microsoft.us/v1.0/me/getMemberObjects"
assertions = true
require = {{ hd = ["example.com"] }}
[[provider.groups]]
claim = "https://example.com/groups"
prefix = "sekisho-"
required = true
[[provider.groups]]
claim = ["realm_access", "roles"]
names = {{ "6f1c" = "engineers" }}
[[provider.groups]]
claim = "hGroups"
keys = true
[[provider.groups]]
claim = "groups"
separator = ";"
"#
    );
    assert_eq!(problems(&text), []);
    let login = read(&text);
    let shapes: Vec<Shape> = login.provider[0].rules().iter().map(|rule| rule.shape).collect();
    assert_eq!(shapes, [Shape::Values, Shape::Values, Shape::Keys, Shape::Separated(';')]);
    assert_eq!(login.provider[0].rules()[1].claim, ["realm_access", "roles"]);
    assert_eq!(login.provider[0].rules()[0].claim, ["https://example.com/groups"]);
    let scopes = login.provider[0].scope_set().to_string();
    assert_eq!(scopes, "https://graph.microsoft.com/GroupMember.Read.All profile");
    // What is written is read again as it was.
    assert_eq!(read(&toml::to_string(&login).unwrap()), login);
}

#[test]
fn a_key_that_is_misspelt_is_refused_by_its_name() {
    for text in [
        "pasword = true",
        "[[provider]]\nclaims = 1",
        "[[provider]]\nprofile = \"azure\"",
        "[[provider]]\nid_token_algorithm = \"none\"",
        "[[provider]]\nsign_out_there = true",
        "[[provider]]\nsign_out_there = \"sometimes\"",
    ] {
        assert!(toml::from_str::<Login>(text).is_err(), "{text}");
    }
}

/// ATK-84: nobody is known by what can be given to somebody else.
#[test]
fn people_are_not_known_by_an_e_mail_address() {
    for claim in ["email", "upn", "preferred_username", "unique_name"] {
        assert_eq!(keys(&format!("identity = [\"{claim}\"]")), ["identity"], "{claim}");
    }
    assert_eq!(keys("identity = [\"sub\"]"), Vec::<&str>::new());
    assert_eq!(keys("identity = [\"a\", \"b\", \"c\", \"d\", \"e\"]"), ["identity"]);
}

#[test]
fn each_mistake_is_told_at_its_key() {
    for (more, expected) in [
        ("client_key = \"x\"", vec!["client_key"]),
        ("client_key_id = \"k\"", vec!["client_key_id"]),
        ("authentication = \"none\"", vec!["authentication"]),
        ("authentication = \"private_key_jwt\"", vec!["authentication"]),
        ("scopes = [\"a b\"]", vec!["scopes"]),
        ("scopes = [\"offline_access\"]", vec!["scopes"]),
        ("prompt = \"none\"", vec!["prompt"]),
        ("acr_required = true", vec!["acr_required"]),
        ("member_groups = \"http://graph.example/groups\"", vec!["member_groups"]),
        ("member_groups = \"graph.example\"", vec!["member_groups"]),
        ("member_groups = \"https://graph.microsoft.us/v1.0/me/getMemberObjects\"", vec![]),
        ("acr_values = [\"a b\"]", vec!["acr_values"]),
        ("require = { hd = [] }", vec!["require"]),
        ("[[provider.groups]]", vec!["groups"]),
        ("[[provider.groups]]\nclaim = \"\"", vec!["groups"]),
        ("[[provider.groups]]\nclaim = \"g\"\nkeys = true\nmember = \"m\"", vec!["groups"]),
        ("[[provider.groups]]\nclaim = \"g\"\nprefix = \"\"", vec!["groups"]),
        ("[[provider.groups]]\nclaim = \"g\"\nnames = { a = \" b\" }", vec!["groups"]),
    ] {
        assert_eq!(keys(more), expected, "{more}");
    }
    for (from, to, expected) in [
        ("\"corp\"", "\"Corp\"", "name"),
        ("https://login.microsoftonline.com/8d2c", "http://login.microsoftonline.com/8d2c", "issuer"),
        ("8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11", "common", "issuer"),
        ("\"f00d\"", "\"\"", "client_id"),
        ("client_secret = \"${env:PATH}\"", "", "client_secret"),
        ("${env:PATH}", "plain", "client_secret"),
    ] {
        let found = problems(&GOOD.replace(from, to));
        assert_eq!(found.iter().map(|problem| problem.key).collect::<Vec<_>>(), [expected], "{to}");
        // A secret in the file is unwise, and not wrong.
        assert_eq!(found[0].fatal, to != "plain", "{to}");
        assert!(!found[0].help.is_empty());
    }
    assert_eq!(problems("passwords = false")[0].key, "passwords");
}

/// ATK-290: no group of the file, and none of another provider, is taken for one of this provider.
#[test]
fn groups_of_two_origins_are_kept_apart() {
    let twice = format!("{GOOD}{GOOD}");
    assert_eq!(problems(&twice).iter().map(|problem| problem.key).collect::<Vec<_>>(), ["name", "issuer"]);
    let own = BTreeSet::from(["corp/engineers".to_owned(), "corporate".to_owned()]);
    let found = check_login(&read(GOOD), &own);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("`corp/engineers`"));
    assert!(check_login(&read(GOOD), &BTreeSet::from(["corporate".to_owned()])).is_empty());
}

#[test]
fn a_provider_that_lets_everybody_in_is_told_of() {
    let google = GOOD.replace("entra", "google").replace(
        "https://login.microsoftonline.com/8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11/v2.0",
        "https://accounts.google.com",
    );
    let found = problems(&google);
    assert_eq!((found.len(), found[0].key, found[0].fatal), (1, "require", false));
    assert_eq!(read(&google).provider[0].profile, Profile::Google);
    assert!(read(&google).provider[0].rules().is_empty());
}

#[test]
fn a_secret_that_is_not_there_is_told_without_its_value() {
    let missing = GOOD.replace("${env:PATH}", "${file:/nowhere/at/all}");
    let told = read(&missing).provider[0].registration("https://sekisho.example").unwrap_err();
    assert!(told.key == "client_secret" && told.message.contains("/nowhere/at/all"), "{told:?}");
    let key = GOOD.replace("client_secret = \"${env:PATH}\"", "client_key = \"hidden words\"");
    assert_eq!(problems(&key), []);
    let told = read(&key).provider[0].registration("https://sekisho.example").unwrap_err();
    assert!(told.key == "client_key" && !told.message.contains("hidden"), "{told:?}");
}
