//! `docs/guides/company-login.md`, followed as a new user would: every block of it is used, in its order, for each provider that
//! it names.

use std::path::Path;

use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::harness::{Checkpoint, Finished, Person, binary, node};
use serde_json::json;

use super::check::{Browser, check};
use crate::attacks::providers::{CLIENT, Company, PASSWORD, SECRET, page, signed_in, stranger};

/// A fenced block: its language and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    language: String,
    text: String,
}

/// The blocks of the page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for (at, part) in page.split("```").enumerate() {
        if at % 2 == 1 {
            let (language, text) = part.split_once('\n').expect("a block has a language");
            found.push(Block { language: language.to_owned(), text: text.to_owned() });
        }
    }
    found
}

/// What the guide leaves to the reader: the double in place of the provider, and a file with the secret.
fn filled(block: &str, provider: &Provider, secret: &Path) -> String {
    let issuer = block.lines().find(|line| line.starts_with("issuer = ")).expect("a block names its issuer");
    block
        .replace(issuer, &format!("issuer = {:?}", provider.issuer()))
        .replace("CLIENT-ID", CLIENT)
        .replace("/run/secrets/corp", &secret.display().to_string())
}

/// The provider that a block of the guide is for.
fn behaves(block: &str) -> Behaves {
    [("entra", Behaves::Entra), ("okta", Behaves::Okta), ("google", Behaves::Google), ("keycloak", Behaves::Keycloak)]
        .into_iter()
        .find(|(profile, _)| block.contains(&format!("profile = \"{profile}\"")))
        .map(|(_, behaves)| behaves)
        .unwrap_or_else(|| panic!("no double for {block}"))
}

/// Runs a command of the guide on this checkpoint.
async fn run(company: &Company, command: &str) -> Finished {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    company.checkpoint.command(&words).await
}

/// Every command and every piece of configuration of the guide works as it stands there, for each provider that it names.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a guide is followed from its first line to its last")]
async fn the_guide_of_company_login_can_be_followed() {
    let page_text = std::fs::read_to_string(node::root().join("docs/guides/company-login.md")).unwrap();
    let all = blocks(&page_text);
    let of = |language: &str, words: &str| {
        let found: Vec<&Block> =
            all.iter().filter(|block| block.language == language && block.text.contains(words)).collect();
        assert!(!found.is_empty(), "the guide has no `{language}` block with `{words}`");
        found
    };
    let providers = of("toml", "[[login.provider]]");
    assert_eq!(providers.len(), 4, "Entra ID, Okta, Google, Keycloak");
    let rule = &of("cedar", "permit")[0].text;
    let groups = &of("toml", "[groups]")[0].text;
    let no_passwords = &of("toml", "passwords = false")[0].text;
    let commands: Vec<&str> = of("sh", "sekisho").iter().map(|block| block.text.trim()).collect();
    let expected = [
        "sekisho check",
        "sekisho user role corp:ada owner",
        "sekisho check --login corp",
        "sekisho check --login corp --claims claims.json --shorten",
        "sekisho user list",
        "sekisho user link alice",
    ];
    assert_eq!(commands, expected, "a command of the guide that this test does not run");
    assert_eq!(all.len(), providers.len() + commands.len() + 3, "a block of the guide that this test does not use");
    for block in providers {
        let kind = behaves(&block.text);
        let double = Provider::start(kind).await.unwrap();
        double.register(CLIENT, SECRET);
        let program = binary().display().to_string();
        let setup = Checkpoint::configured("").owner("alice", PASSWORD).user("bob", PASSWORD);
        let folder = setup.folder().to_owned();
        let secret = folder.join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let server = format!(
            "[servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\ntools = {{ list_notes = \"read\" }}\n"
        );
        let toml = format!("{server}{}\n{groups}", filled(&block.text, &double, &secret));
        std::fs::write(folder.join("sekisho.toml"), &toml).unwrap();
        std::fs::create_dir(folder.join("policies")).unwrap();
        std::fs::write(folder.join("policies/company.cedar"), rule).unwrap();
        // Steps 2 and 4: nothing is wrong, and the test sign-in shows what the claims make.
        let file = folder.join("sekisho.toml").display().to_string();
        let checked = setup.command(&["check", "-c", &file]).await;
        assert_eq!(checked.code(), Some(0), "{kind:?}: {}", checked.stderr);
        let tested = check(&toml, &[], Browser::SignsIn).await;
        assert_eq!(tested.code(), Some(0), "{kind:?}: {}{}", tested.stdout, tested.stderr);
        let is_engineer = kind != Behaves::Google;
        assert_eq!(tested.stdout.contains("corp/engineers by the rule"), is_engineer, "{kind:?}: {}", tested.stdout);
        let claims = folder.join("claims.json");
        std::fs::write(&claims, json!({ "sub": "1", "oid": "o", "tid": "t", "hd": "example.com" }).to_string())
            .unwrap();
        let saved = claims.display().to_string();
        let read = setup.command(&["check", "-c", &file, "--login", "corp", "--claims", &saved, "--shorten"]).await;
        assert_eq!(read.code(), Some(0), "{kind:?}: {}{}", read.stdout, read.stderr);
        // The start, and a person who signs in.
        let company = Company { provider: double, checkpoint: setup.start().await };
        let mut ada = stranger();
        company.sign_in(&mut ada, "corp").await;
        assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"), "{kind:?}");
        let listed = run(&company, "sekisho user list").await;
        assert!(listed.stdout.contains("corp:ada"), "{}", listed.stdout);
        let words = ["explain", "--user", "corp:ada", "--server", "notes", "--tool", "list_notes"];
        let explained = company.checkpoint.command(&words).await.stdout;
        assert_eq!(explained.contains("company.cedar"), is_engineer, "{kind:?}: {explained}");
        assert_eq!(run(&company, "sekisho user role corp:ada owner").await.code(), Some(0), "{kind:?}");
        // Passwords are switched off; the link of the last step lets the owner in, whose provider may be away.
        let without = toml.replace("[[login.provider]]", &format!("{}\n[[login.provider]]", no_passwords.trim()));
        std::fs::write(folder.join("sekisho.toml"), without).unwrap();
        let Company { provider, checkpoint } = company;
        let company = Company { provider, checkpoint: checkpoint.restart().await };
        let (_, login) = page(stranger().visit(&company.url("/login")).await);
        assert!(!login.text().contains("type=\"password\""), "{}", login.text());
        let made = run(&company, "sekisho user link alice").await;
        let link = made.stdout.split_whitespace().find(|word| word.contains("/setup/")).expect("a link").to_owned();
        let mut alice = Person::new("alice", PASSWORD);
        alice.set_up(&link).await;
        assert_eq!(signed_in(&company, &mut alice).await.as_deref(), Some("alice"), "{kind:?}");
    }
}
