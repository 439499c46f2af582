//! How a person is asked for an account when a call first needs it, in each revision, and how the call goes on.

use super::{MODERN, OLDER, PASSWORD, World, remedy, whoami};
use sekisho_e2e::harness::{Person, text_of};
use serde_json::json;

/// 2026-07-28: the call is answered with `input_required`, and goes on with the state once the account is linked, also
/// while the client waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_2026_asks_for_a_page_and_goes_on() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let mut client = world.client("files", MODERN, &tokens);
    client.capabilities = json!({ "elicitation": { "url": {} } });
    let asked = client.tool("whoami", json!({})).await;
    let result = &asked.message["result"];
    assert_eq!((asked.status, &result["resultType"]), (200, &json!("input_required")), "{:?}", asked.message);
    let request = &result["inputRequests"]["sekisho_account"];
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["url"], world.url("/links/files"));
    let state = result["requestState"].as_str().unwrap().to_owned();
    // Another call cannot go on with it, and neither can another client.
    let again = |state: &str| {
        json!({ "name": "whoami", "arguments": {}, "requestState": state,
        "inputResponses": { "sekisho_account": { "action": "accept" } } })
    };
    let other = world.let_in(&mut alice, "files").await;
    let mut other = world.client("files", MODERN, &other);
    assert_eq!(other.call("tools/call", again(&state)).await.status, 400);
    // The client comes back at once and waits; meanwhile the person links an account.
    let (mut waiting, params) = (client.clone(), again(&state));
    let waits = tokio::spawn(async move { waiting.call("tools/call", params).await });
    world.link(&mut alice, "files", "ada").await;
    let reply = waits.await.unwrap();
    assert_eq!(text_of(&reply.message["result"]), "ada", "{:?}", reply.message);
    // The upstream got no state and no answers of ours.
    let calls = world.vendor.seen().into_iter().filter(|seen| seen.body.contains("tools/call"));
    calls.for_each(|seen| {
        assert!(!seen.body.contains("requestState") && !seen.body.contains("sekisho"), "{}", seen.body)
    });
}

/// 2026-07-28: a person who does not want to ends the call; the model is told not to try again.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_declines_ends_the_call() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let mut client = world.client("files", MODERN, &tokens);
    client.capabilities = json!({ "elicitation": { "url": {} } });
    let asked = client.tool("whoami", json!({})).await;
    let state = asked.message["result"]["requestState"].as_str().unwrap().to_owned();
    let declined = json!({ "name": "whoami", "arguments": {}, "requestState": state,
        "inputResponses": { "sekisho_account": { "action": "decline" } } });
    let reply = client.call("tools/call", declined).await;
    let result = &reply.message["result"];
    assert_eq!(result["isError"], true, "{:?}", reply.message);
    assert!(text_of(result).contains("did not want to link"), "{result}");
    assert_eq!(remedy(&reply)["kind"], "none");
}

/// 2025-11-25 with `elicitation.url`: `-32042` with the page, and the session is told when the account is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_2025_is_asked_by_its_error() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    // Without an account nothing of the upstream can be had, so the handshake says so.
    let mut client = world.client("files", OLDER, &tokens);
    client.capabilities = json!({ "elicitation": { "url": {} } });
    let refused = client.begin().await;
    assert_eq!(remedy(&refused)["url"], world.url("/links/files"), "{:?}", refused.message);
    world.link(&mut alice, "files", "ada").await;
    world.becomes(&world.client("files", MODERN, &tokens), "ada").await;
    client.begin().await;
    assert_eq!(whoami(&mut client).await, "ada");
    world.unlink(&mut alice, "files").await;
    let asked = sekisho_e2e::harness::wait::until("the session is asked", || {
        let mut client = client.clone();
        async move {
            let reply = client.tool("whoami", json!({})).await;
            (reply.message["error"]["code"] == -32042).then_some(reply)
        }
    })
    .await;
    let elicitation = &asked.message["error"]["data"]["elicitations"][0];
    assert_eq!((&elicitation["mode"], &elicitation["url"]), (&json!("url"), &json!(world.url("/links/files"))));
    assert!(elicitation["elicitationId"].as_str().is_some_and(|id| !id.is_empty()));
    world.link(&mut alice, "files", "ada-again").await;
    let mut next = world.client("files", OLDER, &tokens);
    world.becomes(&world.client("files", MODERN, &tokens), "ada-again").await;
    next.begin().await;
    assert_eq!(whoami(&mut next).await, "ada-again");
}

/// A client that opens no pages gets the link as the result of its tool, and an error for what is no tool.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_elicitation_is_told_the_link() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let mut client = world.client("files", MODERN, &tokens);
    let reply = client.tool("whoami", json!({})).await;
    let result = &reply.message["result"];
    assert_eq!((reply.status, &result["isError"]), (200, &json!(true)), "{:?}", reply.message);
    let text = text_of(result);
    assert!(text.contains("link an account at Acme") && text.contains(&world.url("/links/files")), "{text}");
    let list = client.call("tools/list", json!({})).await;
    assert_eq!((list.status, &list.message["error"]["code"]), (403, &json!(1403)), "{:?}", list.message);
    assert_eq!(remedy(&list)["url"], world.url("/links/files"));
    // The vendor was asked for nothing in anybody's name.
    assert!(world.vendor.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
}
