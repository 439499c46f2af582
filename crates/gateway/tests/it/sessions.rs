//! Sessions of the older revisions: who owns them, and what they do not give.

use http::Method;
use serde_json::json;

use crate::fake::Speaks;
use crate::world::{JUNE, NOVEMBER, Plan, World};

/// RS-47, RS-49, PX-19, ATK-71, RS-45, TR-40: a session exists only for its user and client. For everybody else it does
/// not, on every HTTP method.
#[tokio::test]
async fn a_foreign_session_is_as_unknown_as_none() {
    let world = World::new().await.classified().await;
    let victim = world.granted("mcp:read").await;
    let token = world.token(&victim);
    let session = world.session(&token, NOVEMBER).await;
    let mallory = world.user("mallory").await;
    let others = [
        world.token(&world.grant(mallory, "cli_alpha", "notes", "mcp:read").await),
        world.token(&world.grant(victim.user, "cli_beta", "notes", "mcp:read").await),
    ];
    for other in &others {
        let foreign = world.legacy(other, &session, NOVEMBER, "ping", json!({})).send().await;
        let invented = world.legacy(other, "sks_ms_invented", NOVEMBER, "ping", json!({})).send().await;
        assert_eq!((foreign.status.as_u16(), invented.status.as_u16()), (404, 404));
        let blind = |body: &str| body.split("rid_").next().unwrap().rsplit("\"error\"").next().unwrap().to_owned();
        assert_eq!(blind(&foreign.body), blind(&invented.body));
        for method in [Method::GET, Method::DELETE] {
            let ask = world
                .ask(method, "/mcp/notes")
                .header("authorization", &format!("Bearer {other}"))
                .header("accept", "*/*");
            assert_eq!(ask.header("mcp-session-id", &session).send().await.status, 404);
        }
    }
    // The upstream's own identifier does not work, and the session is still there after all this.
    for guess in ["upstream-session-0", "upstream-session-1"] {
        assert_eq!(world.legacy(&token, guess, NOVEMBER, "ping", json!({})).send().await.status, 404);
    }
    assert_eq!(world.legacy(&token, &session, NOVEMBER, "ping", json!({})).send().await.status, 200);
    // Another token of the same grant continues the session, and so does one of the next grant, as after a step-up
    // (RS-21).
    let wider = world.grant(victim.user, "cli_alpha", "notes", "mcp:write").await;
    for grantee in [&victim, &wider] {
        assert_eq!(world.legacy(&world.token(grantee), &session, NOVEMBER, "ping", json!({})).send().await.status, 200);
    }
    // A request that names two sessions is refused.
    let twice = world.legacy(&token, &session, NOVEMBER, "ping", json!({})).header("mcp-session-id", &session);
    assert_eq!(twice.send().await.status, 404);
}

/// TR-14, TR-49: every request after `initialize` has to name its session and speak its revision.
#[tokio::test]
async fn requests_of_a_session_name_it_and_its_revision() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let ask = || world.legacy(&token, &session, NOVEMBER, "ping", json!({}));
    for (ask, status) in [
        (ask().without("mcp-session-id"), 400),
        (ask().replace("mcp-protocol-version", JUNE), 400),
        (ask().replace("mcp-protocol-version", "2024-11-05"), 400),
        (ask().replace("mcp-protocol-version", "2026-07-28"), 400),
        (ask(), 200),
        (ask().without("mcp-protocol-version"), 200),
    ] {
        assert_eq!(ask.send().await.status, status);
    }
    for method in [Method::GET, Method::DELETE] {
        let ask = || {
            world
                .ask(method.clone(), "/mcp/notes")
                .header("authorization", &format!("Bearer {token}"))
                .header("accept", "*/*")
        };
        assert_eq!(ask().send().await.status, 400);
        assert_eq!(
            ask().header("mcp-session-id", &session).header("mcp-protocol-version", JUNE).send().await.status,
            400
        );
        assert_eq!(
            ask().header("mcp-session-id", &session).header("mcp-protocol-version", "2026-07-28").send().await.status,
            405
        );
    }
}

/// TR-49: if the upstream has ended its session, the client is told to initialise again.
#[tokio::test]
async fn a_session_that_ended_at_the_upstream_has_ended_here() {
    let world = World::with(Plan { speaks: Speaks::Legacy, ..Plan::default() }).await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    world.fake.script("ping", 404, "text/plain", "session not found");
    assert_eq!(world.legacy(&token, &session, NOVEMBER, "ping", json!({})).send().await.status, 404);
    world.fake.script("ping", 200, "application/json", r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
    assert_eq!(world.legacy(&token, &session, NOVEMBER, "ping", json!({})).send().await.status, 404);
}

/// ATK-59, PX-19: a session ends with its grant, also at the upstream.
#[tokio::test]
async fn a_session_ends_with_its_grant() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:read").await;
    world.session(&world.token(&grantee), NOVEMBER).await;
    world.revoke(grantee.grant).await;
    for _ in 0..200 {
        if world.fake.seen().iter().any(|seen| seen.http == Method::DELETE) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the upstream's session was not ended");
}

/// TR-08: a client's answer is forwarded in its session, and recorded like every other message.
#[tokio::test]
async fn an_answer_of_a_client_goes_on_in_its_session() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let answer = json!({ "jsonrpc": "2.0", "id": "upstream-1", "result": { "roots": [] } });
    let post = |body: &serde_json::Value| {
        world.post(&token, body).header("mcp-session-id", &session).header("mcp-protocol-version", NOVEMBER)
    };
    let reply = post(&answer).send().await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (202, ""));
    let seen = world.fake.of_callers().pop().unwrap();
    assert_eq!(seen.body, answer.to_string());
    let nameless = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "x" } });
    assert_eq!(post(&nameless).send().await.status, 400);
}
