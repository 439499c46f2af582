//! Keys that are pasted, vendors that are no MCP servers, and the real `oidc-provider` in front of a server of the 1.x
//! SDK.

use super::{MODERN, OLDER, PASSWORD, World, form, remedy, setup, table};
use sekisho_e2e::fakes::vendor::Vendor;
use sekisho_e2e::harness::{BrowserState, Person, links};
use serde_json::json;

/// A key is checked by one harmless request, its account is shown before it counts, and a key that the vendor ends is to
/// be linked anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_pastes_a_key() {
    let world = World::with("link = \"key\"").await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let BrowserState::Page { answer, .. } = world.paste(&mut alice, "files", "no-such-key").await else {
        panic!("away")
    };
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("does not accept this key"), "{}", answer.text());
    assert!(!answer.text().contains("no-such-key"));
    let key = world.vendor.key("ada-by-key");
    let BrowserState::Page { url, answer } = world.paste(&mut alice, "files", &key).await else { panic!("away") };
    let asking = answer.text();
    assert!(asking.contains("ada-by-key") && !asking.contains(&key), "{asking}");
    let mut client = world.client("files", MODERN, &tokens);
    assert_eq!(remedy(&client.tool("whoami", json!({})).await)["kind"], "link_account");
    assert_eq!(alice.submit(&url, &form(&asking, "confirm")).await.page().status, 200);
    world.becomes(&client, "ada-by-key").await;
    world.vendor.end_key(&key);
    let reply = client.tool("whoami", json!({})).await;
    assert_eq!(remedy(&reply)["kind"], "link_account", "{:?}", reply.message);
    let page = world.page(&mut alice, "/links/files").await.text();
    assert!(page.contains("does not accept the key any more"), "{page}");
}

/// A vendor whose endpoints are configured is asked with the configured client, its secret and no `resource`.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_no_mcp_server_is_configured() {
    let vendor = Vendor::start().await.unwrap();
    let credential = format!(
        "authorization_url = \"{}\"\ntoken_url = \"{}\"\nrevocation_url = \"{}\"\nclient_id = \"checkpoint\"\n\
         client_secret = \"${{env:VENDOR_SECRET}}\"\nscopes = [\"files\", \"profile\"]",
        vendor.url("/authorize"),
        vendor.url("/token"),
        vendor.url("/revoke")
    );
    let toml = table("files", &vendor, &credential);
    let checkpoint = setup(&toml).variable("VENDOR_SECRET", "canary-client-secret").start().await;
    let world = World { vendor, checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    world.becomes(&world.client("files", MODERN, &tokens), "ada").await;
    let seen = world.vendor.seen();
    let authorize = seen.iter().find(|seen| seen.path == "/authorize").unwrap();
    assert_eq!((authorize.fields["scope"].as_str(), authorize.fields.get("resource")), ("files profile", None));
    let token = seen.iter().find(|seen| seen.path == "/token").unwrap();
    assert_eq!(token.fields["client_secret"], "canary-client-secret");
    assert!(!token.fields.contains_key("resource"));
    assert!(seen.iter().all(|seen| !seen.path.starts_with("/.well-known") && seen.path != "/register"));
}

/// Real parts: the npm `oidc-provider` grants access, and a server of the 1.x SDK checks its tokens. The checkpoint
/// registers there, and its tokens are renewed when they end.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_authorization_server_and_a_real_server() {
    let serving = sekisho_e2e::harness::node::serve("vendor.mjs", &["--ttl", "2"]).await;
    let url = serving.url.clone();
    let toml = format!(
        "[servers.files]\nurl = \"{url}\"\neveryone = \"write\"\ntools = {{ echo = \"read\", cut = \"read\" }}\n\
         [servers.files.credential]\nkind = \"linked\"\nvendor = \"Acme\"\n"
    );
    let checkpoint = setup(&toml).start().await;
    let world = World { vendor: Vendor::start().await.unwrap(), checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let page = alice.behind_door(&world.url("/links/files"));
    let text = alice.visit(&page).await.page().text();
    let go = links(&text).into_iter().find(|link| link.ends_with("/go")).expect("a way to the vendor");
    let BrowserState::Away(to) = alice.visit(&world.url(&go)).await else { panic!("no redirect to the vendor") };
    // The provider is another site, where the person has another name.
    let mut there = Person::new("ada", PASSWORD);
    let back = there.answer(&to).await;
    let BrowserState::Page { url, answer } = alice.visit(&back).await else { panic!("away") };
    let asking = answer.text();
    assert!(asking.contains("The vendor does not tell its name"), "{asking}");
    assert_eq!(alice.submit(&url, &form(&asking, "confirm")).await.page().status, 200);
    let mut client = world.client("files", OLDER, &tokens);
    client.begin().await;
    for _ in 0..4 {
        let reply = client.tool("echo", json!({ "message": "hello" })).await;
        assert!(
            reply.message["result"]["isError"] != true && reply.message.get("error").is_none(),
            "{:?}",
            reply.message
        );
        // Longer than half a token lives, so that the next call needs another one.
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    }
    let stats = sekisho_e2e::harness::Caller::new().get(&serving.url.replace("/mcp", "/stats")).send().await.json();
    assert!(stats["refresh_token"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!(stats["registrations"], 1, "{stats}");
}
