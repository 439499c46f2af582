//! What `replay`, `policy check`, `policy test`, `check` and `serve` tell an operator before rules take effect.

use std::path::Path;
use std::process::Command;

use sekisho_e2e::fakes::call::{modern, tool};
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::ask;
use sekisho_e2e::harness::wait::until;
use sekisho_e2e::harness::{Checkpoint, Finished, Process, binary};
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";
const UP: &str = "/mcp/up";

/// Runs a command in its own process beside this configuration.
async fn sekisho(folder: &Path, words: &[&str]) -> Finished {
    let mut command = Command::new(binary());
    command.env("SEKISHO_DATA_DIR", folder.join("data")).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
    let mut process = Process::start(command.current_dir(folder).args(words));
    process.close_stdin();
    let status = process.ended().await;
    Finished { status, stdout: process.stdout().now(), stderr: process.stderr().now() }
}

/// Creates a folder with a configuration of one server, and with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let toml = "groups.editors = [\"bob\"]\n[servers.notes]\nurl = \"http://127.0.0.1:9/mcp\"\ntools = { read_note = \"read\", write_note = \"write\" }\n";
    for (name, text) in [("sekisho.toml", toml)].iter().chain(files) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// ATK-241: a rule about the caller's address cannot be replayed on records without addresses, and `replay` says so.
#[tokio::test]
async fn replay_claims_nothing_about_what_is_not_on_record() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let toml =
        format!("[servers.up]\nurl = \"{}\"\neveryone = \"write\"\ntools = {{ look = \"read\" }}\n", upstream.url());
    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).start().await;
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    let server = format!("{}{UP}", checkpoint.base_url());
    let granted = client.be_granted(&server, "mcp:read", "alice", PASSWORD).await;
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    assert_eq!(ask(address, &tool(UP, &granted.access, "look")).await.unwrap().status, 200);
    let list = modern(UP, &granted.access, "tools/list", json!({}));
    assert_eq!(ask(address, &list).await.unwrap().status, 200);
    // Reads are recorded in batches.
    until("the call is on record", async || {
        let records = checkpoint.records().await;
        records.iter().any(|row| row["record"]["event"]["method"] == "tools/call").then_some(())
    })
    .await;
    let config = checkpoint.configuration().display().to_string();
    let replayed = async |name: &str, text: &str, more: &[&str]| {
        let policies = checkpoint.folder().join(name);
        std::fs::create_dir_all(&policies).unwrap();
        std::fs::write(policies.join("a.cedar"), text).unwrap();
        let policies = policies.display().to_string();
        let words = [&["replay", "--policies", &policies, "-c", &config], more].concat();
        checkpoint.command(&words).await
    };
    // Each of these rules denies every call of this test when it is in force. The records lack what one of them depends
    // on.
    for (name, text) in [
        ("loopback", "forbid(principal, action, resource) when { context has source && context.source.isLoopback() };"),
        ("none", "forbid(principal, action, resource) unless { context has source && context.source.isIpv6() };"),
    ] {
        let said = replayed(name, text, &[]).await;
        assert_eq!(said.code(), Some(1), "{name}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains("1 cannot be judged"), "{name}: {}", said.stdout);
        assert!(said.stdout.contains("0 stay as they were"), "{name}: {}", said.stdout);
        assert_eq!(replayed(name, text, &["--allow-undecidable"]).await.code(), Some(0));
    }
    // Rules about what the records do contain are still replayed.
    let same = replayed("same", "permit(principal, action, resource);", &[]).await;
    assert_eq!(same.code(), Some(0), "{}{}", same.stdout, same.stderr);
    let none = replayed("stricter", "forbid(principal, action == Action::\"call\", resource);", &[]).await;
    assert_eq!(none.code(), Some(1), "{}", none.stdout);
    assert!(none.stdout.contains("would break"), "{}", none.stdout);
}

/// ATK-242: a policy file that is not read is reported wherever policies are read, and nothing starts with one.
#[tokio::test]
async fn a_policy_file_that_is_not_read_is_named() {
    let forbid = "forbid(principal, action, resource);";
    for unread in ["policies/A.CEDAR", "policies/team/a.cedar"] {
        let folder = folder(&[(unread, forbid)]);
        for words in [&["check"][..], &["policy", "check"], &["serve", "--listen", "127.0.0.1:0"]] {
            let said = sekisho(folder.path(), words).await;
            let name = unread.strip_prefix("policies/").unwrap();
            assert!(matches!(said.code(), Some(1 | 2)), "{words:?} with {unread}: {}{}", said.stdout, said.stderr);
            assert!(said.stderr.contains(&format!("`{name}`")), "{words:?} with {unread}: {}", said.stderr);
        }
        let policies = folder.path().join("policies").display().to_string();
        let replayed = sekisho(folder.path(), &["replay", "--policies", &policies]).await;
        assert_eq!(replayed.code(), Some(2), "{}{}", replayed.stdout, replayed.stderr);
    }
    // An editor's backup file does not prevent a start.
    let folder = folder(&[("policies/a.cedar", "permit(principal, action, resource);"), ("policies/a.cedar~", forbid)]);
    let said = sekisho(folder.path(), &["policy", "check"]).await;
    assert_eq!(said.code(), Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("1 policy file is good: a.cedar"), "{}", said.stdout);
    assert!(said.stderr.contains("`a.cedar~`"), "{}", said.stderr);
}

/// Returns a test for `policy test` with these further lines.
fn expecting(lines: &str) -> String {
    let fixed = "[[call]]\nwhat = \"w\"\nuser = \"carol\"\nserver = \"notes\"\ntool = \"read_note\"\n";
    // A line that is given again replaces the default one.
    let own = |key: &str| lines.lines().any(|line| line.split(" = ").next() == Some(key));
    let kept = fixed.lines().filter(|line| !own(line.split(" = ").next().unwrap()));
    format!("{}\n{lines}\n", kept.collect::<Vec<_>>().join("\n"))
}

/// ATK-243: tests of policies can set everything that policies can use.
#[tokio::test]
async fn tests_of_policies_say_source_task_time_and_path() {
    let policies = r#"
        permit(principal, action, resource) when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };
        permit(principal, action, resource) when { context has task && context.task.purpose == "tidy up" };
        permit(principal, action, resource) when { context.now > datetime("2030-01-01") };
        permit(principal, action, resource) when { context has path && context.path.depth == 2 };
    "#;
    for (lines, expect) in [
        ("", "deny"),
        ("source = \"10.1.2.3\"", "permit"),
        ("source = \"192.0.2.1\"", "deny"),
        ("task = { purpose = \"tidy up\" }", "permit"),
        ("task = { purpose = \"tidy\" }", "deny"),
        ("task = { purpose = \"tidy up\", bounds = { required = [\"id\"] } }", "deny"),
        ("at = \"2031-01-01T00:00:00Z\"", "permit"),
        ("at = \"2029-01-01T00:00:00Z\"", "deny"),
        ("path = [\"cli_a\", \"cli_b\"]", "permit"),
        ("path = [\"cli_a\"]", "deny"),
    ] {
        let test = expecting(&format!("{lines}\nexpect = \"{expect}\""));
        let folder = folder(&[("policies/a.cedar", policies), ("policies/a.test.toml", &test)]);
        let said = sekisho(folder.path(), &["policy", "test"]).await;
        assert_eq!((said.code(), said.stdout.trim()), (Some(0), "1 passed, 0 failed"), "{test}: {}", said.stderr);
    }
}

/// ATK-243: a test about an unknown name proves nothing, and neither does a file without tests: both are failures.
#[tokio::test]
async fn tests_of_policies_that_show_nothing_fail() {
    let permit = "permit(principal in Group::\"support\", action, resource);";
    for (lines, word) in [
        ("server = \"note\"", "did you mean `notes`"),
        ("server = \"billing\"", "there is no server `billing`"),
        ("tool = \"read_not\"", "did you mean `read_note`"),
        ("tool = \"read_not\"\nclass = \"read\"", "did you mean `read_note`"),
        ("tool = \"drop\"", "gives the tool `drop` no class"),
        ("groups = [\"editor\"]", "did you mean `editors`"),
        ("groups = [\"suport\"]", "did you mean `support`"),
    ] {
        let test = expecting(&format!("{lines}\nexpect = \"deny\""));
        let folder = folder(&[("policies/a.cedar", permit), ("policies/a.test.toml", &test)]);
        let said = sekisho(folder.path(), &["policy", "test"]).await;
        assert_eq!(said.code(), Some(1), "{test}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(word), "{test}: {}", said.stdout);
    }
    let good = expecting("groups = [\"support\"]\ntool = \"other_tool\"\nclass = \"write\"\nexpect = \"permit\"");
    let tested = folder(&[("policies/a.cedar", permit), ("policies/a.test.toml", &good)]);
    assert_eq!(sekisho(tested.path(), &["policy", "test"]).await.code(), Some(0));
    for none in [folder(&[("policies/a.cedar", permit)]), folder(&[("policies/a.test.toml", "call = []")])] {
        let said = sekisho(none.path(), &["policy", "test"]).await;
        assert_eq!(said.code(), Some(2), "{}", said.stdout);
        assert!(said.stderr.contains("there are no tests"), "{}", said.stderr);
    }
}
