//! Tokens of an external authorization server, at a server whose configuration names it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use sekisho_acts::identity::{OpenWays, Unlink};
use sekisho_acts::{Performer, external, grant, identity, user};
use sekisho_gateway::TokenForm;
use sekisho_protocol::audit::{Act, ActKind, Actor, Event};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::{GrantId, NodeId, RequestId};
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::task::TaskDefinition;
use sekisho_store::{Grant, GrantFilter, LinkedIdentity, Tx};
use sekisho_token::{TokenType, forge};
use serde_json::{Value, json};

use crate::issuer::{Issuer, NOTES, OTHER, is, mount, world_with};
use crate::sets::approving;
use crate::world::{Grantee, Reply, World};

/// Acts as somebody at the command line, in one transaction.
async fn act<T>(world: &World, perform: impl AsyncFnOnce(&mut Tx, &Performer<'_>) -> T) -> T {
    let (now, entropy) = (world.clock.now(), world.entropy.as_ref());
    let (node, request) = (NodeId::generate(now, entropy), RequestId::generate(now, entropy));
    let by = Performer { actor: Actor::Operator, node, request, now, entropy };
    let mut tx = world.store.begin().await.unwrap();
    let done = perform(&mut tx, &by).await;
    tx.commit().await.unwrap();
    done
}

async fn grants(world: &World) -> Vec<Grant> {
    let mut tx = world.store.read().await.unwrap();
    tx.grants().list(&GrantFilter::default()).await.unwrap()
}

async fn act_on_record(world: &World, kind: ActKind) -> Act {
    let record = world.recorded(kind.as_str(), |event| matches!(event, Event::Act(act) if act.act == kind)).await;
    match record.event {
        Event::Act(act) => act,
        other => panic!("{other:?}"),
    }
}

fn is_refused(reply: &Reply) {
    assert_eq!(reply.status, 401, "{}", reply.body);
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
}

/// Repeats a call until its status is this one.
async fn eventually(world: &World, token: &str, status: u16) -> Reply {
    for _ in 0..500 {
        let reply = world.call(token, "get_note").send().await;
        if reply.status == status {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is never answered with {status}");
}

/// RS-30, RS-31: a token of the external authorization server is a caller with a grant of ours. The grant is on record, has
/// the scopes that the map gives, and names the issuer; the token itself goes nowhere.
#[tokio::test]
async fn a_token_of_the_external_issuer_is_a_caller_with_a_grant() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let token = issuer.token(&world, "notes.read openid");
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let [grant] = grants(&world).await.try_into().unwrap();
    assert_eq!(grant.subject, Subject::User(world.owner()));
    assert_eq!((grant.client.as_str(), grant.scopes.to_string().as_str()), ("corp:agent", "mcp:read"));
    assert_eq!((grant.issuer.as_deref(), grant.expires_at), (Some(issuer.url.as_str()), None));
    let made = act_on_record(&world, ActKind::GrantMade).await;
    assert_eq!((made.grant, made.actor), (Some(grant.id), Actor::Client));
    let named = Some(issuer.url.as_str());
    world
        .recorded("the decision", |event| {
            matches!(event, Event::Decision(decision) if decision.issuer.as_deref() == named && decision.grant == Some(grant.id))
        })
        .await;
    let forwarded = world.fake.last("tools/call");
    assert!(!format!("{forwarded:?}").contains(&token));
}

/// Product §7: after its first call a token costs no request, no signature and no new grant; another token of the same
/// client has the same grant.
#[tokio::test]
async fn a_known_token_costs_nothing_more() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let token = issuer.token(&world, "notes.read");
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let asked = issuer.requests();
    issuer.is_down.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    }
    issuer.is_down.store(false, Ordering::SeqCst);
    world.clock.advance_seconds(60);
    assert_eq!(world.call(&issuer.token(&world, "notes.read"), "get_note").send().await.status, 200);
    assert_eq!((issuer.requests(), grants(&world).await.len()), (asked, 1));
}

/// ATK-380, ATK-382, ATK-383, ATK-384, ATK-385, ATK-386, ATK-387, ATK-398: whatever is wrong with a token, the answer is 401, and
/// nothing is made of it. Our own tokens give no access where the configuration does not say so, and theirs give none
/// elsewhere.
#[tokio::test]
async fn tokens_that_are_not_for_this_server_give_no_access() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let now = world.clock.now().as_second();
    let ours = world.owner_token("mcp:read").await;
    let good = issuer.claims(&world, "notes.read");
    let header = |alg: &str, typ: &str, kid: &str| json!({ "alg": alg, "typ": typ, "kid": kid }).to_string();
    let theirs = issuer.key();
    let kid = theirs.id().to_string();
    let as_us = |claims: &Value| forge::signed(&world.key, &header("ES256", "at+jwt", &kid), &claims.to_string());
    let changed = |claim: &str, value: Value| issuer.changed(&world, claim, value);
    let mut mixed = good.clone();
    mixed["iss"] = json!(world.base);
    let tokens = [
        ("our own", ours.clone()),
        ("our key under their name of a key", as_us(&good)),
        ("our issuer with their key", issuer.sign(&mixed)),
        ("another issuer", changed("iss", json!(format!("{}/", issuer.url)))),
        ("another server of the issuer", changed("aud", json!(OTHER))),
        ("our URL in place of the audience", changed("aud", json!(format!("{}/mcp/notes", world.base)))),
        ("this server among others", changed("aud", json!([NOTES, OTHER]))),
        ("no audience", changed("aud", json!([]))),
        ("an ID token", changed("nonce", json!("n"))),
        ("a logout token", changed("events", json!({}))),
        ("bound to a key", changed("cnf", json!({ "jkt": "x" }))),
        ("of another type", forge::signed(&theirs, &header("ES256", "JWT", &kid), &good.to_string())),
        ("unsigned", forge::with_signature(&header("none", "at+jwt", &kid), &good.to_string(), b"")),
        ("with a shared secret", forge::with_signature(&header("HS256", "at+jwt", &kid), &good.to_string(), b"x")),
        ("without a client", changed("client_id", Value::Null)),
        ("without an end", changed("exp", Value::Null)),
        ("without a beginning", changed("iat", Value::Null)),
        ("without an identifier", changed("jti", Value::Null)),
        ("expired", changed("exp", json!(now - 31))),
        ("not valid yet", changed("nbf", json!(now + 31))),
        ("of tomorrow", changed("iat", json!(now + 31))),
        ("without an end in sight", changed("exp", json!(now + 31 * 24 * 3600))),
        ("of a client in its own name", changed("sub", json!("agent"))),
        ("opaque", "an-opaque-token".to_owned()),
    ];
    for (what, token) in &tokens {
        println!("{what}");
        is_refused(&world.call(token, "get_note").send().await);
    }
    // Theirs at a server that names no issuer, and at another server that names it.
    let token = issuer.token(&world, "notes.read");
    is_refused(&world.call(&token, "get_note").path("/mcp/other").send().await);
    let mut other = issuer.parts(&[], false);
    other.audiences = vec![OTHER.to_owned()];
    mount(&world, "other", Some(&other));
    is_refused(&world.call(&token, "get_note").path("/mcp/other").send().await);
    assert!(world.fake.of_callers().is_empty());
    assert_eq!(grants(&world).await.len(), 1, "only ours");
    assert_eq!(issuer.asked("introspect"), 0);
    world
        .recorded("the reason", |event| matches!(event, Event::Rejection(one) if one.detail.contains("ours_too")))
        .await;
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    // ATK-398: a token that was accepted at one server is not known at another.
    is_refused(&world.call(&token, "get_note").path("/mcp/other").send().await);
}

/// ATK-380, ATK-382: where the configuration says so, tokens of both issuers are good, each judged by its own issuer's
/// rules: even one key under one name in both key sets joins nothing.
#[tokio::test]
async fn both_issuers_can_grant_access_where_the_configuration_says_so() {
    let (world, issuer) = world_with(|issuer, parts| *parts = issuer.parts(&[("notes.read", "mcp:read")], true)).await;
    issuer.use_key(&world.key);
    let theirs = issuer.token(&world, "notes.read");
    let grantee = world.granted("mcp:read").await;
    let ours = world.token(&grantee);
    for _ in 0..2 {
        assert_eq!(world.call(&theirs, "get_note").send().await.status, 200);
        assert_eq!(world.call(&ours, "get_note").send().await.status, 200);
    }
    // Our issuer with their audience and claims, and their issuer with ours.
    let mut claims: Value = issuer.claims(&world, "notes.read");
    claims["iss"] = json!(world.base);
    is_refused(&world.call(&issuer.sign(&claims), "get_note").send().await);
    let mut claims = world.claims(&grantee);
    claims.iss = issuer.url.clone();
    is_refused(&world.call(&world.sign(&claims), "get_note").send().await);
    let named = world.ask(Method::GET, "/.well-known/oauth-protected-resource/mcp/notes").send().await.json();
    assert_eq!(named["authorization_servers"], json!([issuer.url, world.base]));
    // Each caller is told scopes in the words of its own issuer.
    for (token, scope) in [(&ours, "mcp:write"), (&theirs, "")] {
        let refused = world.call(token, "add_note").send().await;
        assert_eq!(refused.status, 403, "{}", refused.body);
        let challenge = refused.header("www-authenticate").map(str::to_owned);
        assert_eq!(challenge.is_some(), !scope.is_empty(), "{challenge:?}");
        assert!(challenge.unwrap_or_default().contains(scope));
    }
    // The setting is taken back: what is remembered of our token does not count.
    mount(&world, "notes", Some(&issuer.parts(&[("notes.read", "mcp:read")], false)));
    is_refused(&world.call(&ours, "get_note").send().await);
    assert_eq!(world.call(&theirs, "get_note").send().await.status, 200);
}

/// RFC 9728 §2, RS-17, RS-22: metadata and challenges speak of the external issuer and of its scopes, and a client that
/// comes back with them goes on with the same grant.
#[tokio::test]
async fn clients_are_led_to_the_external_issuer_and_step_up_there() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let named = world.ask(Method::GET, "/.well-known/oauth-protected-resource/mcp/notes").send().await.json();
    assert_eq!(named["authorization_servers"], json!([issuer.url]));
    assert_eq!(named["scopes_supported"], json!(["notes.read"]));
    let bare = world.call("x", "get_note").without("authorization").send().await;
    assert_eq!(bare.status, 401);
    assert!(bare.header("www-authenticate").unwrap().contains("scope=\"notes.read\""));
    let token = issuer.token(&world, "notes.read");
    let refused = world.call(&token, "add_note").send().await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"notes.edit\""), "{challenge}");
    assert_eq!(refused.json()["error"]["data"]["remedy"], json!({ "kind": "step_up", "scopes": "notes.edit" }));
    let more = issuer.token(&world, "notes.edit");
    assert_eq!(world.call(&more, "add_note").send().await.status, 200);
    let [grant] = grants(&world).await.try_into().unwrap();
    assert_eq!(grant.scopes.to_string(), "mcp:write");
    assert_eq!(act_on_record(&world, ActKind::GrantWidened).await.grant, Some(grant.id));
    // A token permits what it says, whatever others of its client did.
    assert_eq!(world.call(&token, "add_note").send().await.status, 403);
    // No scope of the issuer permits this, so nobody is sent there for it.
    let never = world.call(&more, "delete_note").send().await;
    assert_eq!((never.status.as_u16(), never.header("www-authenticate")), (403, None));
    let data = &never.json()["error"]["data"];
    assert_eq!((&data["set"], &data["remedy"]), (&json!("grant"), &json!({ "kind": "none" })));
    assert!(data["reason"].as_str().unwrap().contains("no scope that permits the call"));
}

/// ATK-390: what a person ended stays ended, whatever new tokens the issuer gives out. The refusal is no 401, names the
/// page, and ends when the person lets the client in again.
#[tokio::test]
async fn an_ended_grant_keeps_its_client_out_until_its_user_lets_it_in() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let token = issuer.token(&world, "notes.read");
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let first = grants(&world).await[0].id;
    act(&world, async |tx, by| grant::revoke(tx, by, first).await.unwrap()).await;
    let refused = eventually(&world, &token, 403).await;
    world.clock.advance_seconds(60);
    for token in [token.clone(), issuer.token(&world, "notes.edit")] {
        let refused = world.call(&token, "get_note").send().await;
        assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (403, None));
        let data = &refused.json()["error"]["data"];
        let page = format!("{}/grants/{first}", world.base);
        assert_eq!((&data["set"], &data["remedy"]), (&json!("grant"), &json!({ "kind": "let_in", "url": page })));
    }
    assert_eq!(refused.json()["error"]["code"], 1403);
    // Another client of the same person is another grant.
    assert_eq!(world.call(&issuer.changed(&world, "client_id", json!("second")), "get_note").send().await.status, 200);
    assert!(
        act(&world, async |tx, by| external::release(tx, by, GrantId::generate(by.now, by.entropy)).await)
            .await
            .is_err()
    );
    act(&world, async |tx, by| external::release(tx, by, first).await.unwrap()).await;
    assert!(act(&world, async |tx, by| external::release(tx, by, first).await).await.is_err(), "it works once");
    assert_eq!(eventually(&world, &token, 200).await.status, 200);
    let of_agent: Vec<Grant> =
        grants(&world).await.into_iter().filter(|grant| grant.client.as_str() == "corp:agent").collect();
    assert_eq!(of_agent.len(), 2);
    assert!(of_agent[0].revoked_at.is_some() && of_agent[1].revoked_at.is_none());
    assert_eq!(act_on_record(&world, ActKind::GrantReleased).await.grant, Some(first));
    // A living grant of our own issuer is nothing to release.
    let ours = world.granted("mcp:read").await.grant;
    assert!(act(&world, async |tx, by| external::release(tx, by, ours).await).await.is_err());
}

/// A grant that was made from a token is held to a task, and its calls are approved, like any other's.
#[tokio::test]
async fn tasks_and_approvals_hold_for_external_tokens() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let token = issuer.token(&world, "notes.edit");
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    let grant = grants(&world).await[0].clone();
    let grantee =
        Grantee { user: world.owner(), client: grant.client, grant: grant.id, scopes: grant.scopes.to_string() };
    let tools = [("add_note".to_owned(), None)].into();
    let task = TaskDefinition { purpose: "write".to_owned(), tools, ..TaskDefinition::default() };
    let task = world.task(&grantee, task).await;
    let refused = eventually(&world, &token, 403).await;
    assert_eq!(refused.json()["error"]["data"]["set"], "need");
    assert_eq!(world.call(&token, "add_note").send().await.status, 200);
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.tasks().finish(task, "done", world.clock.now()).await.unwrap());
    assert!(tx.tasks().resume(grant.id, world.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    // The token of the issuer carries no epoch, so it goes on.
    assert_eq!(eventually(&world, &token, 200).await.status, 200);
    world.rights.send(Arc::new(approving(&world))).unwrap();
    let asked = world.call(&token, "add_note").send().await;
    assert!(asked.body.contains("/approvals/"), "{}", asked.body);
}

/// ATK-388, ATK-84, ATK-392: a person is named by issuer and subject alone. An unknown one becomes a user of their own, in
/// no group, and a client that is called like one of ours is another one.
#[tokio::test]
async fn nobody_becomes_a_user_or_a_client_that_is_known_here() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let mut claims = issuer.claims(&world, "notes.read");
    for (claim, value) in
        [("sub", "eve-1"), ("email", "owner"), ("preferred_username", "owner"), ("client_id", "cli_alpha")]
    {
        claims[claim] = json!(value);
    }
    let token = issuer.sign(&claims);
    // The rights of this world do not know the new user.
    assert_eq!(world.call(&token, "get_note").send().await.json()["error"]["data"]["set"], "rights");
    let [grant] = grants(&world).await.try_into().unwrap();
    assert_eq!(grant.client.as_str(), "corp:cli_alpha");
    let Subject::User(made) = grant.subject else { panic!("{:?}", grant.subject) };
    assert_ne!(made, world.owner());
    let mut tx = world.store.read().await.unwrap();
    let user = tx.users().find(made).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.password), ("corp:owner", None));
    let identity = Identity { issuer: issuer.url.clone(), subject: "eve-1".to_owned() };
    assert_eq!(tx.identities().find(&identity).await.unwrap().unwrap().user, made);
    drop(tx);
    assert_eq!(act_on_record(&world, ActKind::UserAdded).await.subject, Some(Subject::User(made)));
    // ATK-302: where a claim is required, people without it make nothing.
    let mut strict = issuer.parts(&[], false);
    strict.require = [("hd".to_owned(), ["example.com".to_owned()].into())].into();
    mount(&world, "notes", Some(&strict));
    is_refused(&world.call(&issuer.changed(&world, "sub", json!("bob-1")), "get_note").send().await);
    assert_eq!(grants(&world).await.len(), 1);
}

/// ATK-397: a user who is shut out stays out, and an account that was unlinked gives nothing more.
#[tokio::test]
async fn people_who_are_shut_out_or_unlinked_do_not_come_in_by_a_token() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let ada = world.user("ada").await;
    is(&world, &issuer, "ada-2", ada).await;
    let token = issuer.changed(&world, "sub", json!("ada-2"));
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    act(&world, async |tx, by| user::disable(tx, by, "ada").await.unwrap()).await;
    let refused = eventually(&world, &token, 403).await;
    assert_eq!(refused.header("www-authenticate"), None);
    assert_eq!(refused.json()["error"]["data"]["remedy"]["kind"], "none");
    act(&world, async |tx, by| user::enable(tx, by, "ada").await.unwrap()).await;
    // What ended when the user was shut out stays ended.
    let refused = world.call(&token, "get_note").send().await;
    assert_eq!(refused.json()["error"]["data"]["remedy"]["kind"], "let_in", "{}", refused.body);
    let first = world.call(&issuer.token(&world, "notes.read"), "get_note").send().await;
    assert_eq!(first.status, 200);
    let provider = "corp".parse().unwrap();
    let of_owner = Identity { issuer: issuer.url.clone(), subject: "ada-1".to_owned() };
    // The last way to sign in cannot be removed, so the owner has another one.
    let second = Identity { issuer: "https://second.example".to_owned(), subject: "ada-1".to_owned() };
    act(&world, async |tx, by| {
        let linked = LinkedIdentity {
            identity: second.clone(),
            user: world.owner(),
            made_user: false,
            created_at: by.now,
            signed_in_at: None,
        };
        assert!(tx.identities().link(&linked).await.unwrap());
        let open = OpenWays { passwords: false, issuers: &[&second.issuer] };
        let wish = Unlink { user: world.owner(), providers: &[&provider], identity: &of_owner, open };
        identity::unlink(tx, by, wish).await.unwrap();
    })
    .await;
    let after = eventually(&world, &issuer.token(&world, "notes.read"), 403).await;
    assert_ne!(after.json()["error"]["data"]["set"], json!(null));
    let mut tx = world.store.read().await.unwrap();
    let of_owner = GrantFilter { subject: Some(Subject::User(world.owner())), ..GrantFilter::default() };
    let ended = tx.grants().list(&of_owner).await.unwrap();
    assert!(ended.iter().all(|grant| grant.revoked_at.is_some()), "{ended:?}");
}

/// ATK-60, ATK-389: new keys are found at once, made-up names of keys cost the issuer little, and a token that may be
/// newer than the known keys is not called bad.
#[tokio::test]
async fn keys_change_without_a_wrong_answer() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let old = issuer.token(&world, "notes.read");
    assert_eq!(world.call(&old, "get_note").send().await.status, 200);
    for _ in 0..3 {
        world.clock.advance_seconds(1);
        issuer.change_keys(&world);
        assert_eq!(world.call(&issuer.token(&world, "notes.read"), "get_note").send().await.status, 200);
    }
    // The token that was verified before goes on for a while; one that was not is refused with its key.
    assert_eq!(world.call(&old, "get_note").send().await.status, 200);
    let asked = issuer.asked("keys");
    assert_eq!(asked, 4);
    let stranger = issuer.key();
    let kid = |n: usize| KeyName(n).to_string();
    for n in 0..50 {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid(n) }).to_string();
        let mut claims = issuer.claims(&world, "notes.read");
        claims["iat"] = json!(world.clock.now().as_second() - 3600);
        is_refused(&world.call(&forge::signed(&stranger, &header, &claims.to_string()), "get_note").send().await);
    }
    assert!(issuer.asked("keys") <= asked + 1, "{}", issuer.asked("keys"));
    world.clock.advance_seconds(1);
    issuer.change_keys(&world);
    let new = issuer.token(&world, "notes.read");
    let waits = world.call(&new, "get_note").send().await;
    if waits.status != 200 {
        assert_eq!(waits.status, 503, "{}", waits.body);
        assert!(waits.header("retry-after").is_some() && waits.header("www-authenticate").is_none());
    }
    world.clock.advance_seconds(60);
    assert_eq!(world.call(&issuer.token(&world, "notes.read"), "get_note").send().await.status, 200);
    // A withdrawn key ends with the time for which its token is remembered.
    world.clock.advance_seconds(15 * 60);
    is_refused(&world.call(&old, "get_note").send().await);
}

/// A made-up name of a key.
struct KeyName(usize);

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "made-up-{}", self.0)
    }
}

/// ATK-396: while the issuer is down, known tokens go on until their time is over, and no new one is let in.
#[tokio::test]
async fn an_issuer_that_is_down_lets_nobody_in() {
    let (world, issuer) = world_with(|_, _| {}).await;
    issuer.is_down.store(true, Ordering::SeqCst);
    let token = issuer.token(&world, "notes.read");
    let refused = world.call(&token, "get_note").send().await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (503, None));
    assert!(refused.header("retry-after").is_some() && refused.body.contains("cannot be asked"), "{}", refused.body);
    world.recorded("the refusal", |event| matches!(event, Event::Rejection(one) if one.reason == "issuer_down")).await;
    assert!(grants(&world).await.is_empty());
    issuer.is_down.store(false, Ordering::SeqCst);
    world.clock.advance_seconds(60);
    let token = issuer.token(&world, "notes.read");
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    issuer.is_down.store(true, Ordering::SeqCst);
    // The keys that are known verify new tokens, too, for some hours.
    for seconds in [0, 20 * 60, 20 * 60, 20 * 60 - 120] {
        world.clock.advance_seconds(seconds);
        assert_eq!(world.call(&token, "get_note").send().await.status, 200, "{seconds}");
        assert_eq!(world.call(&issuer.token(&world, "notes.read"), "get_note").send().await.status, 200, "{seconds}");
    }
    world.clock.advance_seconds(180);
    is_refused(&world.call(&token, "get_note").send().await);
    world.clock.advance_seconds(4 * 3600);
    assert_eq!(world.call(&issuer.token(&world, "notes.read"), "get_note").send().await.status, 503);
}

fn said(issuer: &Issuer, world: &World) -> Value {
    let now = world.clock.now().as_second();
    json!({ "active": true, "iss": issuer.url, "sub": "ada-1", "client_id": "agent", "scope": "notes.read",
        "aud": NOTES, "exp": now + 3600, "token_type": "Bearer" })
}

/// ATK-393, ATK-394, ATK-395: the issuer is asked about an opaque token: once for many at a time, again after half a
/// minute, and never about one of our own.
#[tokio::test]
async fn opaque_tokens_are_asked_about_once_and_not_for_long() {
    let (world, issuer) = world_with(|issuer, parts| parts.form = issuer.introspected()).await;
    issuer.say("opaque-1", said(&issuer, &world));
    let held = issuer.held.lock().await;
    let crowd = futures_util::future::join_all((0..20).map(|_| world.call("opaque-1", "get_note").send()));
    let open = async {
        while issuer.asked("introspect") == 0 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (replies, ()) = futures_util::future::join(crowd, open).await;
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{:?}",
        replies.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    assert_eq!(issuer.asked("introspect"), 1);
    let ours = world.owner_token("mcp:read").await;
    is_refused(&world.call(&ours, "get_note").send().await);
    is_refused(&world.call("unknown", "get_note").send().await);
    is_refused(&world.call("unknown", "get_note").send().await);
    assert_eq!(issuer.asked("introspect"), 2);
    for (token, claim, value) in [
        ("opaque-2", "aud", json!([NOTES, OTHER])),
        ("opaque-3", "aud", json!(OTHER)),
        ("opaque-4", "aud", Value::Null),
        ("opaque-5", "iss", json!("https://another.example")),
        ("opaque-6", "token_type", json!("refresh_token")),
        ("opaque-7", "sub", json!("agent")),
        ("opaque-8", "active", json!("true")),
        ("opaque-9", "exp", json!(world.clock.now().as_second())),
    ] {
        let mut answer = said(&issuer, &world);
        answer[claim] = value;
        issuer.say(token, answer);
        is_refused(&world.call(token, "get_note").send().await);
    }
    issuer.say("opaque-1", json!({ "active": false }));
    world.clock.advance_seconds(29);
    assert_eq!(world.call("opaque-1", "get_note").send().await.status, 200);
    world.clock.advance_seconds(2);
    is_refused(&world.call("opaque-1", "get_note").send().await);
}

/// ATK-396: an answer is used no longer than the token lives, and a failure is no answer.
#[tokio::test]
async fn an_opaque_token_ends_when_it_says_and_when_nobody_answers() {
    let (world, issuer) = world_with(|issuer, parts| parts.form = issuer.introspected()).await;
    let mut short = said(&issuer, &world);
    short["exp"] = json!(world.clock.now().as_second() + 10);
    issuer.say("short", short);
    issuer.say("long", said(&issuer, &world));
    for token in ["short", "long"] {
        assert_eq!(world.call(token, "get_note").send().await.status, 200);
    }
    issuer.is_down.store(true, Ordering::SeqCst);
    world.clock.advance_seconds(9);
    assert_eq!(world.call("short", "get_note").send().await.status, 200);
    world.clock.advance_seconds(2);
    assert_eq!(world.call("long", "get_note").send().await.status, 200);
    assert_eq!(world.call("short", "get_note").send().await.status, 503);
    world.clock.advance_seconds(20);
    let refused = world.call("long", "get_note").send().await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (503, None));
    issuer.is_down.store(false, Ordering::SeqCst);
    assert_eq!(world.call("long", "get_note").send().await.status, 200);
    is_refused(&world.call("short", "get_note").send().await);
}

/// Further audiences, types without a name, and other algorithms are accepted where the configuration names them.
#[tokio::test]
async fn looser_tokens_are_accepted_where_they_are_named() {
    let (world, issuer) = world_with(|_, parts| {
        parts.other_audiences = vec!["account".to_owned()];
        parts.form = TokenForm::Signed { algorithms: vec![SigningAlgorithm::Es256], typed: TokenType::Untyped };
    })
    .await;
    let mut claims = issuer.claims(&world, "notes.read");
    claims["aud"] = json!([NOTES, "account"]);
    claims["azp"] = json!("agent");
    claims.as_object_mut().unwrap().remove("jti");
    let key = issuer.key();
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.id().to_string() }).to_string();
    let token = forge::signed(&key, &header, &claims.to_string());
    assert_eq!(world.call(&token, "get_note").send().await.status, 200);
    // Within the leeway a token is good after its end and before its beginning.
    let now = world.clock.now();
    for (claim, moment) in [("exp", after(now, 20).as_second()), ("nbf", after(now, 20).as_second())] {
        let token = issuer.changed(&world, claim, json!(moment));
        assert_eq!(world.call(&token, "get_note").send().await.status, 200, "{claim}");
    }
    let short = issuer.changed(&world, "exp", json!(now.as_second() + 5));
    world.clock.advance_seconds(25);
    assert_eq!(world.call(&short, "get_note").send().await.status, 200);
    world.clock.advance_seconds(15);
    is_refused(&world.call(&short, "get_note").send().await);
}

/// Simultaneous first calls of one client make one user and one grant.
#[tokio::test(flavor = "multi_thread")]
async fn first_calls_at_once_make_one_grant() {
    let (world, issuer) = world_with(|_, _| {}).await;
    let tokens: Vec<String> = (0..12).map(|n| issuer.changed(&world, "jti", json!(format!("token-{n}")))).collect();
    let calls = futures_util::future::join_all(tokens.iter().map(|token| world.call(token, "get_note").send()));
    let replies = tokio::time::timeout(Duration::from_secs(30), calls).await.unwrap();
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{:?}",
        replies.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    assert_eq!(grants(&world).await.len(), 1);
    let made = world
        .records()
        .await
        .iter()
        .filter(|record| matches!(&record.event, Event::Act(act) if act.act == ActKind::GrantMade))
        .count();
    assert_eq!(made, 1);
}
