//! Secrets that are the same for everybody: from the configuration, and from a command.

use super::{MODERN, PASSWORD, World, setup, whoami};
use sekisho_e2e::fakes::vendor::Vendor;
use sekisho_e2e::harness::Person;
use serde_json::json;

fn server(vendor: &Vendor, credential: &str) -> String {
    format!(
        "[servers.files]\nurl = \"{}\"\neveryone = \"read\"\ntools = {{ whoami = \"read\" }}\n\
         [servers.files.credential]\nkind = \"secret\"\n{credential}\n",
        vendor.url("/mcp")
    )
}

/// A secret from a variable, a file or a command reaches the upstream in its header, whoever calls. A command that fails
/// refuses the call with words that say whom to ask, and is asked again for the next call.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_from_a_variable_or_a_command() {
    let vendor = Vendor::start().await.unwrap();
    let key = vendor.key("the team");
    let by_value = setup(&server(&vendor, "value = \"${env:TEAM_KEY}\"")).variable("TEAM_KEY", key.clone());
    let checkpoint = by_value.start().await;
    let world = World { vendor, checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    assert!(!tokens.scope.contains("mcp:account"), "{}", tokens.scope);
    assert_eq!(whoami(&mut world.client("files", MODERN, &tokens)).await, "the team");

    let vendor = Vendor::start().await.unwrap();
    let key = vendor.key("the team");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let command = json!(["/bin/sh", "-c", "cat \"$0\"", file.display().to_string()]);
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let checkpoint = setup(&server(&vendor, &format!("command = {command}\nlifetime_seconds = 1"))).start().await;
    let world = World { vendor, checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let mut client = world.client("files", MODERN, &tokens);
    let reply = client.tool("whoami", json!({})).await;
    let said = sekisho_e2e::harness::text_of(&reply.message["result"]);
    assert_eq!(said, "the team", "{:?} {}", reply.message, world.checkpoint.stderr().now());
    std::fs::remove_file(&file).unwrap();
    let refused = sekisho_e2e::harness::wait::until("the command fails", || {
        let mut client = client.clone();
        async move {
            let reply = client.tool("whoami", json!({})).await;
            (reply.status != 200).then_some(reply)
        }
    })
    .await;
    assert_eq!(refused.status, 503, "{:?}", refused.message);
    let message = refused.message["error"]["message"].as_str().unwrap();
    assert!(message.contains("its operator finds why in the log"), "{message}");
    world.checkpoint.stderr().contains("No such file").await;
    let log = world.checkpoint.stderr().now();
    assert!(!log.contains(&key), "{log}");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    world.becomes(&client, "the team").await;
}

/// What is wrong with a credential is told by `sekisho check`, at its place and with what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_credential_is_told() {
    for (credential, said) in [
        ("kind = \"linked\"\nvendor = \"Acme\"\nvalue = \"x\"", "`value` says nothing for a credential of this kind"),
        ("kind = \"secret\"", "a secret needs `value` or `command`"),
        ("kind = \"secret\"\nvalue = \"x\"\ncommand = [\"y\"]", "either `value` or `command`"),
        ("kind = \"secret\"\nvalue = \"x\"\nvariable = \"Y\"", "a URL has no variables"),
        ("kind = \"secret\"\nvalue = \"x\"\nheader = \"X-Team\"", "`headers` and `credential` both set"),
        ("kind = \"linked\"", "`vendor` is missing"),
        ("kind = \"linked\"\nprofile = \"acme\"", "there is no such `profile`"),
        ("kind = \"linked\"\nprofile = \"github\"", "`client_id` is missing"),
        ("kind = \"linked\"\nvendor = \"A\"\ntoken_url = \"https://a.example/t\"", "belong together"),
        ("kind = \"linked\"\nvendor = \"A\"\nlink = \"key\"\nclient_id = \"x\"", "a key needs no endpoints"),
        ("kind = \"secret\"\ncommand = [\"y\"]\ntimeout_seconds = 61", "at most 60"),
        ("kind = \"secret\"\nvalue = \"${env:NOT_SET_AT_ALL}\"", "NOT_SET_AT_ALL"),
    ] {
        let toml = format!(
            "[servers.files]\nurl = \"https://a.example/mcp\"\ntools = {{ a = \"read\" }}\nheaders = {{ X-Team = \"7\" }}\n\
             [servers.files.credential]\n{credential}\n"
        );
        let setup = setup(&toml);
        let file = setup.folder().join("sekisho.toml").display().to_string();
        let checked = setup.command(&["check", "-c", &file]).await;
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(checked.code() != Some(0) && told.contains(said), "{credential}: {told}");
    }
}
