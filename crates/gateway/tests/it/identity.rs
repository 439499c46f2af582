//! Who calls: tokens and grants, and what ends them.

use std::time::Duration;

use sekisho_protocol::audit::Event;
use sekisho_protocol::env::{Clock, after};
use sekisho_protocol::ids::KeyId;
use sekisho_protocol::resource::ResourceId;
use sekisho_token::{KeyDuty, KeyEntry, Keys, SigningKey, forge};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{NOVEMBER, Reply, World, keys_of};

fn is_invalid_token(world: &World, reply: &Reply) {
    assert_eq!(reply.status, 401, "{}", reply.body);
    let challenge = reply.header("www-authenticate").unwrap();
    let start = "Bearer error=\"invalid_token\", scope=\"mcp:read\", error_description=\"the access token is expired, revoked, or not for this server\", ";
    assert_eq!(
        challenge,
        format!("{start}resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp/notes\"", world.base)
    );
    assert_eq!(reply.json()["error"], "invalid_token");
}

/// RS-13, RS-16: a malformed header gives 400, and the error says so.
#[tokio::test]
async fn a_malformed_authorization_header_is_a_bad_request() {
    let world = World::new().await;
    let token = world.owner_token("mcp:read").await;
    for header in ["Bearer", "Bearer a b", "Bearer a,b", &format!("Bearer {token}, Bearer {token}")] {
        let reply = world.call(&token, "get_note").replace("authorization", header).send().await;
        assert_eq!(reply.status, 400, "{header}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_request\""));
    }
    let reply = world.call(&token, "get_note").header("authorization", &format!("Bearer {token}")).send().await;
    assert_eq!(reply.status, 400);
    // Another scheme is no bearer token at all.
    let reply = world.call(&token, "get_note").replace("authorization", "Basic dTpw").send().await;
    assert_eq!(reply.status, 401);
    assert!(!reply.header("www-authenticate").unwrap().contains("error"));
    assert!(world.fake.seen().is_empty());
}

/// RS-14, RS-26..RS-32, ATK-52, ATK-54, RS-02, PX-10, RS-16: whatever is wrong with a token, the answer is the same
/// 401, and nothing reaches the upstream.
#[tokio::test]
async fn a_token_that_is_not_good_here_is_refused_alike() {
    let world = World::new().await;
    let grantee = world.granted("mcp:read").await;
    let good = world.claims(&grantee);
    let now = world.clock.now();
    let stranger = SigningKey::generate(KeyId::generate(now, world.entropy.as_ref())).unwrap();
    let payload = |change: &dyn Fn(&mut Value)| {
        let token = world.sign(&good);
        let encoded = token.split('.').nth(1).unwrap();
        let mut claims: Value = serde_json::from_slice(&decode(encoded)).unwrap();
        change(&mut claims);
        claims.to_string()
    };
    let header = |typ: &str| json!({ "alg": "ES256", "typ": typ, "kid": world.key.id().to_string() }).to_string();
    let forged = |change: &dyn Fn(&mut Value)| forge::signed(&world.key, &header("at+jwt"), &payload(change));
    let mut tokens = vec![
        ("garbage", "garbage".to_owned()),
        ("another key under our name", forge::signed(&stranger, &header("at+jwt"), &payload(&|_| {}))),
        ("another server", forged(&|claims| claims["aud"] = json!(format!("{}/mcp/other", world.base)))),
        ("no audience", forged(&|claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("every audience", forged(&|claims| claims["aud"] = json!("api"))),
        ("an audience above us", forged(&|claims| claims["aud"] = json!(world.base))),
        ("another issuer", forged(&|claims| claims["iss"] = json!("https://evil.example"))),
        ("no end", forged(&|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("an ID token", forge::signed(&world.key, &header("JWT"), &payload(&|_| {}))),
        ("an ID-JAG", forge::signed(&world.key, &header("oauth-id-jag+jwt"), &payload(&|_| {}))),
        (
            "no signature",
            forge::with_signature(&json!({ "alg": "none", "typ": "at+jwt" }).to_string(), &payload(&|_| {}), b""),
        ),
        ("a refresh token", "sks_rt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("another epoch", forged(&|claims| claims["epoch"] = json!(1))),
        ("a grant that never was", forged(&|claims| claims["grant"] = json!("grt_00000000000070008000000000000000"))),
    ];
    let expired = sekisho_token::AccessClaims { iat: after(now, 0), exp: after(now, 1), ..good.clone() };
    tokens.push(("expired", world.sign(&expired)));
    world.clock.advance_seconds(2);
    for (what, token) in tokens {
        let reply = world.call(&token, "get_note").send().await;
        println!("{what}");
        is_invalid_token(&world, &reply);
        assert!(!reply.body.contains("evil") && !reply.body.contains(&world.key.id().to_string()), "{}", reply.body);
    }
    assert!(world.fake.seen().is_empty(), "RS-27: the upstream was asked");
    world
        .recorded(
            "the rejection",
            |event| matches!(event, Event::Rejection(rejection) if rejection.reason == "token_invalid"),
        )
        .await;
    assert_eq!(world.call(&world.token(&grantee), "get_note").send().await.status, 403);
}

fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> =
        text.bytes().map(|byte| ALPHABET.iter().position(|known| *known == byte).unwrap() as u8).collect();
    bits.chunks(4)
        .flat_map(|quad| {
            let value =
                quad.iter().enumerate().fold(0_u32, |value, (at, bits)| value | u32::from(*bits) << (18 - 6 * at));
            value.to_be_bytes()[1..quad.len()].to_vec()
        })
        .collect()
}

/// RS-28, RS-41: a token is accepted if its audience is a list with us in it, or has our host in capitals.
#[tokio::test]
async fn an_audience_may_list_us_and_fold_the_host() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:read").await;
    let mut claims = world.claims(&grantee);
    claims.aud = ResourceId::parse(&format!("{}/mcp/notes", world.base.replace("http://", "HTTP://"))).unwrap();
    assert_eq!(world.call(&world.sign(&claims), "get_note").send().await.status, 200);
    claims.aud = ResourceId::parse(&format!("{}/mcp/Notes", world.base)).unwrap();
    assert_eq!(world.call(&world.sign(&claims), "get_note").send().await.status, 401);
}

/// ATK-52: a token for one server is not accepted at another, even after the first has accepted it.
#[tokio::test]
async fn a_token_is_good_for_its_server_only() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    assert_eq!(world.call(&token, "get_note").path("/mcp/other").send().await.status, 401);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
}

/// RS-35, ATK-58: a token in the query is ignored.
#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let path = format!("/mcp/notes?access_token={token}");
    let reply = world.call("x", "get_note").without("authorization").path(&path).send().await;
    assert_eq!(reply.status, 401);
    assert!(!reply.header("www-authenticate").unwrap().contains("error"));
    assert!(world.fake.of_callers().is_empty());
    let records = format!("{:?}", world.records().await);
    assert!(!records.contains(&token));
}

/// RS-34, RS-47, PX-19: every request is authenticated on its own, whatever came before and whatever session it names.
#[tokio::test]
async fn a_session_does_not_stand_in_for_a_token() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let session = world.session(&token, NOVEMBER).await;
    let reply = world.legacy(&token, &session, NOVEMBER, "ping", json!({})).without("authorization").send().await;
    assert_eq!(reply.status, 401);
}

/// ATK-55: a token that was accepted before ends when it expires, without any question to the store.
#[tokio::test]
async fn a_believed_token_ends_with_its_time() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    world.clock.advance_seconds(599);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    world.clock.advance_seconds(1);
    is_invalid_token(&world, &world.call(&token, "get_note").send().await);
}

/// Repeats a call until its status is this one: a change takes a moment to arrive, and less than a second.
async fn becomes(world: &World, token: &str, status: u16) {
    let asking = async {
        while world.call(token, "get_note").send().await.status != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), asking)
        .await
        .unwrap_or_else(|_| panic!("not {status} within a second"));
}

/// ATK-59, RS-14: a grant ends after the head of a call and before its body. The call is answered like one that begins
/// now, and nothing of it reaches the upstream.
#[tokio::test]
async fn what_ends_while_a_call_arrives_is_answered_as_what_has_ended() {
    let world = World::new().await.classified().await;
    let grantee = world.granted("mcp:read").await;
    let token = world.token(&grantee);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let body = world.call(&token, "get_note").text();
    let host = world.base.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /mcp/notes HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n\
         mcp-name: get_note\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    // A client that is asked for the body has been authenticated.
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    world.revoke(grantee.grant).await;
    becomes(&world, &token, 401).await;
    let before = world.fake.of_callers().len();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 401") && answer.contains("error=\"invalid_token\""), "{answer}");
    assert_eq!(world.fake.of_callers().len(), before);
}

/// ATK-59, RS-14: a revocation, a disabled user, a disabled client and a removed key each end a token within a second.
#[tokio::test]
async fn what_ends_authority_ends_it_within_a_second() {
    let world = World::new().await.classified().await;
    let revoked = world.granted("mcp:read").await;
    let token = world.token(&revoked);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    world.revoke(revoked.grant).await;
    becomes(&world, &token, 401).await;

    let user = world.user("guest").await;
    let token = world.token(&world.grant(user, "cli_alpha", "notes", "mcp:read").await);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let mut tx = world.store.begin().await.unwrap();
    tx.users().set_disabled(user, true).await.unwrap();
    tx.commit().await.unwrap();
    becomes(&world, &token, 401).await;

    let token = world.token(&world.grant(world.owner(), "cli_beta", "notes", "mcp:read").await);
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let mut tx = world.store.begin().await.unwrap();
    tx.clients().remove(&"cli_beta".parse().unwrap(), world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    becomes(&world, &token, 401).await;

    let token = world.owner_token("mcp:read").await;
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let other = SigningKey::generate(KeyId::generate(world.clock.now(), world.entropy.as_ref())).unwrap();
    world.keys.send(keys_of(&other)).unwrap();
    becomes(&world, &token, 401).await;
    // A key that only verifies is accepted until its window ends.
    let until = after(world.clock.now(), 60);
    let both = vec![
        KeyEntry { key: world.key.clone(), duty: KeyDuty::Verify { until } },
        KeyEntry { key: other, duty: KeyDuty::Sign },
    ];
    world.keys.send(Keys::new(both).unwrap()).unwrap();
    becomes(&world, &token, 200).await;
}

/// Product §7: if nobody can say whether a grant is alive, it counts as ended, within two seconds after the store is
/// down.
#[tokio::test]
async fn a_store_that_is_down_denies() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    world.store.close().await;
    let asking = async {
        loop {
            let reply = world.call(&token, "get_note").send().await;
            if reply.status == 503 {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reply = tokio::time::timeout(Duration::from_secs(4), asking).await.expect("still allowed");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let before = world.fake.of_callers().len();
    assert_eq!(world.call(&token, "get_note").send().await.status, 503);
    assert_eq!(world.fake.of_callers().len(), before);
}

/// PX-10, PX-12, ATK-53, ATK-62, PX-11, ATK-48: none of the caller's credentials go on: no token, no cookie, no claim.
#[tokio::test]
async fn nothing_of_the_caller_reaches_the_upstream() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for tool in ["get_note", "get_stream"] {
        let ask = world
            .call(&token, tool)
            .header("cookie", "session=canary")
            .header("dpop", "canary")
            .header("x-api-key", "canary")
            .header("x-forwarded-user", "canary")
            .header("x-real-ip", "canary")
            .header("proxy-authorization", "Basic canary")
            .header("mcp-session-id", "canary")
            .header("last-event-id", "canary")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(ask.path("/mcp/notes?key=canary").send().await.status, 200);
    }
    let session = world.session(&token, NOVEMBER).await;
    let reply = world
        .legacy(&token, &session, NOVEMBER, "tools/call", json!({ "name": "get_note" }))
        .header("cookie", "a=canary")
        .send()
        .await;
    assert_eq!(reply.status, 200);
    for seen in world.fake.seen() {
        let shown = format!("{seen:?}");
        assert!(!shown.contains(&token) && !shown.contains("canary") && !shown.contains(&session), "{shown}");
        assert!(!seen.headers.contains_key("authorization"));
    }
    let seen = world.fake.of_callers();
    assert!(seen[0].header("traceparent").is_some());
    // The upstream gets the same request id as the records.
    assert!(seen[0].header("x-request-id").unwrap().starts_with("rid_"));
}
