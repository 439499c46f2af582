//! Codes that are stolen, used twice, or damaged.

use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted, OTHER_VERIFIER, REDIRECT, basic};
use sekisho_e2e::fakes::wire::Reply;
use sekisho_e2e::harness::wait::within;

use super::field::{Field, OTHER, OWNER, PASSWORD, UP};

fn is_error(reply: &Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)), "{}", reply.text());
}

/// Checks that the grant's tokens stop working everywhere within a second, and that no call gets through after that.
async fn is_dead(field: &Field, granted: &Granted) {
    let ask = async || field.ask(&tool(UP, &granted.access, "look")).await.status;
    within(Duration::from_secs(1), "the access token is dead", async || (ask().await == 401).then_some(())).await;
    // Until the revocation took effect, the token was valid, and its calls went through.
    field.upstream.forget();
    assert_eq!(ask().await, 401);
    field.untouched();
    is_error(&granted.client.token(&granted.client.refreshing(&granted.refresh)).await, 400, "invalid_grant");
}

/// ATK-17: a code or token of one client is worthless to another, and stays valid for the first.
#[tokio::test]
async fn a_code_or_refresh_token_of_one_client_is_worthless_to_another() {
    let field = Field::start().await;
    let (own, foreign) = (field.client().await, field.client().await);
    let confidential = field.confidential("https://backend.example/cb").await;
    let code = own.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    for thief in [&foreign, &confidential] {
        let reply = thief.token(&own.redemption(&code).set("client_id", &thief.id)).await;
        is_error(&reply, 400, "invalid_grant");
        assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    }
    let granted = own.granted(&own.token(&own.redemption(&code)).await);
    for thief in [&foreign, &confidential] {
        let reply = thief.token(&own.refreshing(&granted.refresh).set("client_id", &thief.id)).await;
        is_error(&reply, 400, "invalid_grant");
        assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    }
    let next = own.granted(&own.token(&own.refreshing(&granted.refresh)).await);
    field.is_healthy(&next).await;
}

/// ATK-18, AS-21: of many simultaneous redemptions of a code, one succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_redemptions_at_once_one_succeeds() {
    let field = Field::start().await;
    let client = field.client().await;
    for _ in 0..3 {
        let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(64));
        let racers: Vec<_> = (0..64)
            .map(|_| {
                let (client, code, barrier) = (client.clone(), code.clone(), barrier.clone());
                tokio::spawn(async move {
                    barrier.wait().await;
                    client.token(&client.redemption(&code)).await.status
                })
            })
            .collect();
        let mut statuses = Vec::new();
        for racer in racers {
            statuses.push(racer.await.unwrap());
        }
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 400 | 503)), "{statuses:?}");
    }
    field.noted("code_replayed").await;
    field.lets_in().await;
}

/// ATK-19, AS-21: if a code is used a second time, everything that was issued for it ends.
#[tokio::test]
async fn a_replayed_code_ends_what_it_became() {
    let field = Field::start().await;
    let client = field.client().await;
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let granted = client.granted(&client.token(&client.redemption(&code)).await);
    field.is_healthy(&granted).await;
    is_error(&client.token(&client.redemption(&code)).await, 400, "invalid_grant");
    is_dead(&field, &granted).await;
    let record = field.noted("code_replayed").await;
    assert_eq!(record["event"]["grant"], granted.claim("grant"), "{record}");
    field.lets_in().await;
}

/// ATK-20: a code that is almost right, or comes from another client, ends nothing.
#[tokio::test]
async fn a_forged_replay_ends_nothing() {
    let field = Field::start().await;
    let (client, thief) = (field.client().await, field.client().await);
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let granted = client.granted(&client.token(&client.redemption(&code)).await);
    let flipped: String = code
        .chars()
        .rev()
        .enumerate()
        .map(|(at, c)| if at == 3 { if c == 'A' { 'B' } else { 'A' } } else { c })
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    for forged in [flipped.as_str(), &code[..code.len() - 1], &format!("{code}A"), &code.to_uppercase()] {
        is_error(&client.token(&client.redemption(forged)).await, 400, "invalid_grant");
    }
    is_error(&thief.token(&thief.redemption(&code)).await, 400, "invalid_grant");
    field.is_healthy(&granted).await;
    client.granted(&client.token(&client.refreshing(&granted.refresh)).await);
}

/// ATK-21, AS-10: a failing request does not use up the code; only too many wrong verifiers end it.
#[tokio::test]
async fn a_failing_request_does_not_spend_the_code() {
    let field = Field::start().await;
    let client = field.client().await;
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let good = client.redemption(&code);
    let bent = [
        (good.clone().set("redirect_uri", "http://127.0.0.1:10/callback"), "invalid_grant"),
        (good.clone().without("redirect_uri"), "invalid_grant"),
        (good.clone().add("resource", &field.resource(OTHER)), "invalid_target"),
        (good.clone().add("resource", "https://elsewhere.example/"), "invalid_target"),
        (good.clone().set("code_verifier", OTHER_VERIFIER), "invalid_grant"),
        (good.clone().set("grant_type", "password"), "unsupported_grant_type"),
    ];
    for (bent, error) in bent {
        is_error(&client.token(&bent).await, 400, error);
    }
    let granted = client.granted(&client.token(&good).await);
    field.is_healthy(&granted).await;

    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let good = client.redemption(&code);
    for _ in 0..6 {
        is_error(&client.token(&good.clone().set("code_verifier", OTHER_VERIFIER)).await, 400, "invalid_grant");
    }
    is_error(&client.token(&good).await, 400, "invalid_grant");
    field.lets_in().await;
}

/// ATK-22: a code that was taken from one login cannot be used in another.
#[tokio::test]
async fn a_stolen_code_does_not_fit_into_another_flow() {
    let field = Field::start().await;
    let client = field.client().await;
    let stolen = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    // The thief has a login at the same public client, and so a verifier for it.
    for verifier in [OTHER_VERIFIER, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"] {
        let reply = client.token(&client.redemption(&stolen).set("code_verifier", verifier)).await;
        is_error(&reply, 400, "invalid_grant");
        assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    }
    let granted = client.granted(&client.token(&client.redemption(&stolen)).await);
    field.is_healthy(&granted).await;
}

/// ATK-33: a client authenticates with the method that it registered, once, and in strict syntax. A secret may be in
/// the header or in the body: PyPI `mcp` 2.3.0 puts it into the body whatever was registered.
#[tokio::test]
async fn a_client_proves_itself_by_its_own_method_alone() {
    let field = Field::start().await;
    let client = field.confidential("https://backend.example/cb").await;
    let secret = client.secret.clone().unwrap();
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let good = client.redemption(&code);
    let posted = good.clone().set("client_secret", &secret);
    let with = |value: &str| good.post("/oauth/token").header("authorization", value);
    let right = basic(&client.id, &secret);
    let refused = [
        good.post("/oauth/token"),
        good.clone().set("client_secret", "wrong").post("/oauth/token"),
        posted.clone().set("client_id", "nobody").post("/oauth/token"),
        posted.post("/oauth/token").header("authorization", &right),
        with(&basic(&client.id, "wrong")),
        with(&basic(&client.id, "")),
        with(&basic("nobody", &secret)),
        with(&right).header("authorization", &right),
        with(&right.replace("Basic ", "Basic  ")),
        with(&format!("{right}=")),
        with(&format!("{right} x")),
        with(&right.replace("Basic", "Bearer")),
        with(&format!("Basic {}:{secret}", client.id)),
        good.clone().set("client_id", "nobody").post("/oauth/token").header("authorization", &right),
        good.clone()
            .set("client_assertion", "x.y.z")
            .set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .post("/oauth/token")
            .header("authorization", &right),
    ];
    for request in refused {
        let reply = field.ask(&request).await;
        assert_eq!(
            (reply.status, reply.json()["error"].as_str()),
            (401, Some("invalid_client")),
            "{request:?}: {}",
            reply.text()
        );
        assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")), "{reply:?}");
    }
    field.noted("token_refused").await;
    // A public client has no secret, and must not send one.
    let public = Client::register(field.base_url(), "Public", REDIRECT).await;
    let its = public.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let pretending = field.ask(&public.redemption(&its).set("client_secret", "x").post("/oauth/token")).await;
    assert_eq!(pretending.status, 401, "{}", pretending.text());
    public.granted(&public.token(&public.redemption(&its)).await);
    let granted = client.granted(&client.token(&good).await);
    let other = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let in_the_body = client.redemption(&other).set("client_secret", &secret).post("/oauth/token");
    client.granted(&field.ask(&in_the_body).await);
    field.is_healthy(&granted).await;
}
