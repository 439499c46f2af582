//! `sekisho check --login`, run for real: it listens on loopback, a browser goes to the provider and comes back.

use std::process::Command;

use http::header::LOCATION;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use sekisho_e2e::harness::{Caller, Finished, Process, binary};
use serde_json::json;

use super::free_port;
use crate::attacks::providers::{SECRET, table};

/// What a browser does between the command's URL and its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Browser {
    /// It signs in.
    SignsIn,
    /// Somebody else's request arrives first.
    ComesSecond,
}

/// Runs the check with this configuration to its end.
pub(super) async fn check(toml: &str, more: &[&str], browser: Browser) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml");
    std::fs::write(&file, toml).unwrap();
    let port = free_port().to_string();
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", folder.path().join("data")).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
    command.args(["check", "--login", "corp", "--port", &port, "--config"]).arg(&file).args(more);
    let process = Process::start(&mut command);
    let find = |text: &str| {
        let complete = text.rsplit_once('\n')?.0;
        complete.split_whitespace().find(|word| word.contains("/authorize?")).map(str::to_owned)
    };
    // What is told to a person is on standard error, so that `--json` leaves standard output to programs.
    let url = process.stderr().find(find).await;
    if let Some(url) = url {
        if browser == Browser::ComesSecond {
            let caller = Caller::new();
            let elsewhere = caller.get(&format!("http://127.0.0.1:{port}/favicon.ico")).send().await;
            assert_eq!(elsewhere.status, 404);
            let posted = caller.post(&format!("http://127.0.0.1:{port}/login/corp/callback?code=x")).send().await;
            assert_eq!(posted.status, 404);
        }
        let sent = Caller::new().get(&url).send().await;
        let back = sent.headers[LOCATION].to_str().unwrap().to_owned();
        assert!(back.starts_with(&format!("http://localhost:{port}/login/corp/callback?")), "{back}");
        let thanks = Caller::new().get(&back).send().await;
        assert!(thanks.status == 200 && thanks.text().contains("Go back to the terminal"), "{}", thanks.text());
    }
    let status = process.ended().await;
    Finished { status, stdout: process.stdout().now(), stderr: process.stderr().now() }
}

/// ATK-312: a whole sign-in shows what the claims make of a person, and lets nobody in.
#[tokio::test]
async fn check_signs_in_on_loopback_and_lets_nobody_in() {
    let provider = Provider::start(Behaves::Generic).await.unwrap();
    let toml = format!(
        "[servers.notes]\nurl = \"https://notes.example/mcp\"\ntools = {{ look = \"read\" }}\n\
         [groups]\nothers = [\"corp/managers\"]\n[login]\n{}",
        table("corp", &provider, "sign_out_there = \"offer\"")
    );
    let good = check(&toml, &[], Browser::ComesSecond).await;
    assert_eq!(good.code(), Some(0), "{}{}", good.stdout, good.stderr);
    for expected in [
        "Claims (checked as in a sign-in)",
        "ada-1 at http://127.0.0.1",
        "corp/engineers by the rule for `groups`, from `engineers`",
        "names `corp/managers`, which this person does not have",
    ] {
        assert!(good.stdout.contains(expected), "{expected}: {}", good.stdout);
    }
    assert!(!good.stdout.contains(SECRET) && !good.stderr.contains(SECRET));
    let json = check(&toml, &["--json", "--shorten"], Browser::SignsIn).await;
    let told: serde_json::Value =
        serde_json::from_str(json.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {}", json.stdout));
    assert_eq!(told["groups"], json!(["corp/auditors", "corp/engineers"]), "{told:#}");
    assert!(!json.stdout.contains("ada@example.com"), "{told:#}");
    provider.misbehave(Misconduct::Describes("end_session_endpoint", serde_json::Value::Null));
    let silent = check(&toml, &[], Browser::SignsIn).await;
    assert!(silent.stdout.contains("`sign_out_there` has no effect"), "{}", silent.stdout);
}

/// ATK-369: whatever a provider does wrong, or sends to the waiting port, the check says it, and exits with 1.
#[tokio::test]
async fn check_says_why_nobody_would_be_signed_in() {
    let provider = Provider::start(Behaves::Generic).await.unwrap();
    let toml = format!("[login]\n{}", table("corp", &provider, ""));
    for (misconduct, says) in [
        (Misconduct::Lies("https://login.example".to_owned()), "calls itself"),
        (Misconduct::Fails("openid-configuration"), "status 500"),
        (Misconduct::Fails("token"), "token"),
        (Misconduct::AnswersAsAnother, "authorization server"),
        (Misconduct::NoNonce, "nonce"),
        (Misconduct::OtherKey, "signature"),
        (Misconduct::Expired, "exp"),
        (Misconduct::Says("groups", json!([{ "id": 7 }])), "`groups` is an object"),
    ] {
        provider.misbehave(misconduct.clone());
        let refused = check(&toml, &[], Browser::SignsIn).await;
        assert_eq!(refused.code(), Some(1), "{misconduct:?}: {}{}", refused.stdout, refused.stderr);
        let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("nobody would be signed in") && said.contains(says), "{misconduct:?}: {said}");
    }
}
