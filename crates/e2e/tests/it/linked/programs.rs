//! Programs that get the account of the person who calls in a variable.

use super::{OLDER, PASSWORD, World, setup};
use sekisho_e2e::fakes::vendor::Vendor;
use sekisho_e2e::harness::{Mcp, Person, text_of, wait};
use serde_json::json;

/// A program that says its process, the end of its key, and its whole environment.
fn program(vendor: &Vendor, more: &str) -> String {
    let script = r#"answer() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
tail="${KEY#"${KEY%????????}"}"
while IFS= read -r line; do
  case "$line" in *'"id":'*) ;; *) continue ;; esac
  id="${line#*\"id\":}"; id="${id%%[,\}]*}"
  case "$line" in
    *'"initialize"'*) answer '"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}' ;;
    *'"tools/list"'*) answer '"result":{"tools":[{"name":"whoami","inputSchema":{"type":"object"}},{"name":"spill","inputSchema":{"type":"object"}}]}' ;;
    *'"spill"'*) answer "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"KEY=$KEY and more\"}]}" ;;
    *'"tools/call"'*) answer "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$$ $tail\"}]}" ;;
    *) answer '"error":{"code":-32601,"message":"no such method"}' ;;
  esac
done
"#;
    let command = json!(["/bin/sh", "-c", script]);
    format!(
        "[servers.files]\ncommand = {command}\neveryone = \"read\"\n\
         tools = {{ whoami = \"read\", spill = \"read\" }}\n{more}\n\
         [servers.files.credential]\nkind = \"linked\"\nlink = \"key\"\nvendor = \"Acme\"\nvariable = \"KEY\"\n\
         account_url = \"{}\"\naccount_name = \"/login\"\n",
        vendor.url("/user")
    )
}

/// The process that answered, and the end of the key that it was given.
async fn said(client: &mut Mcp) -> (String, String) {
    let reply = client.tool("whoami", json!({})).await;
    let text = text_of(&reply.message["result"]);
    let (process, tail) = text.split_once(' ').unwrap_or_else(|| panic!("{:?}", reply.message));
    (process.to_owned(), tail.to_owned())
}

async fn linked(world: &World, person: &mut Person, key: &str) {
    let pasted = world.paste(person, "files", key).await;
    let sekisho_e2e::harness::BrowserState::Page { url, answer } = pasted else { panic!("away") };
    let confirmed = person.submit(&url, &super::form(&answer.text(), "confirm")).await.page();
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
}

/// ATK-413, ATK-414: Each person's process gets that person's key. Another key is given to another process, and the old one ends; a
/// process that prints its key shows it to no caller.
#[tokio::test(flavor = "multi_thread")]
async fn each_person_has_a_process_with_their_own_account() {
    let vendor = Vendor::start().await.unwrap();
    let checkpoint = setup(&program(&vendor, "")).start().await;
    let world = World { vendor, checkpoint };
    let (mut alice, mut bob) = (Person::new("alice", PASSWORD), Person::new("bob", PASSWORD));
    let tokens = [world.let_in(&mut alice, "files").await, world.let_in(&mut bob, "files").await];
    let keys = [world.vendor.key("ada"), world.vendor.key("bob-at-acme")];
    linked(&world, &mut alice, &keys[0]).await;
    linked(&world, &mut bob, &keys[1]).await;
    let mut clients = tokens.each_ref().map(|tokens| world.client("files", OLDER, tokens));
    let mut processes = Vec::new();
    for (client, key) in clients.iter_mut().zip(&keys) {
        client.begin().await;
        let (process, tail) = said(client).await;
        assert!(key.ends_with(&tail), "{key} {tail}");
        processes.push(process);
        let spilled = client.tool("spill", json!({})).await;
        let text = text_of(&spilled.message["result"]);
        assert!(!text.contains(key.as_str()), "{text}");
        assert!(text.contains("removed by the checkpoint") && text.ends_with("and more"), "{text}");
    }
    assert_ne!(processes[0], processes[1]);
    // Another account: a session that was with the old one is over, and the next one has another process.
    let next = world.vendor.key("ada-two");
    linked(&world, &mut alice, &next).await;
    let tail = wait::until("another process answers", || {
        let mut client = world.client("files", OLDER, &tokens[0]);
        let old = processes[0].clone();
        async move {
            client.begin().await;
            let (process, tail) = said(&mut client).await;
            (process != old).then_some(tail)
        }
    })
    .await;
    assert!(next.ends_with(&tail), "{next} {tail}");
    let over = clients[0].tool("whoami", json!({})).await;
    assert_eq!(over.status, 404, "{:?}", over.message);
    wait::until("the old process has ended", || {
        let old = processes[0].clone();
        async move { (!std::path::Path::new(&format!("/proc/{old}")).exists()).then_some(()) }
    })
    .await;
    assert_eq!(said(&mut clients[1]).await.0, processes[1], "the other person's process stays");
    let log = world.checkpoint.stderr().now();
    for key in keys.iter().chain([&next]) {
        assert!(!log.contains(key.as_str()), "a key is in the log");
    }
}

/// ATK-414: A process that everybody shares must not get one person's account.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_process_is_refused_at_load() {
    let vendor = Vendor::start().await.unwrap();
    let setup = setup(&program(&vendor, "isolation = \"shared\""));
    let failed = setup.fail().await;
    assert_eq!(failed.code(), Some(2), "{}", failed.stderr);
    assert!(failed.stderr.contains("would show it to all"), "{}", failed.stderr);
}
