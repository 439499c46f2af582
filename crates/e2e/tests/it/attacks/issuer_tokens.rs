//! Refresh, audience, revocation, and who may cache or read responses.

use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Granted, Parameters};
use sekisho_e2e::fakes::wire::{Ask, Reply};
use sekisho_e2e::harness::wait::within;

use super::field::{Field, OTHER, OWNER, PASSWORD, UP};

fn is_error(reply: &Reply, error: &str) {
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some(error)), "{}", reply.text());
}

async fn refresh(granted: &Granted) -> Reply {
    granted.client.token(&granted.client.refreshing(&granted.refresh)).await
}

/// ATK-36, AS-13: if a replaced refresh token is used again, the whole family ends, access tokens included.
#[tokio::test]
async fn an_old_refresh_token_ends_the_family() {
    let field = Field::start().await;
    for back in [4, 2] {
        let mut family = vec![field.granted(OWNER, "mcp:read").await];
        for _ in 0..4 {
            let last = family.last().unwrap();
            let next = last.client.granted(&refresh(last).await);
            assert_ne!(next.refresh, last.refresh, "rotated");
            family.push(next);
        }
        let newest = family.last().unwrap();
        is_error(&refresh(&family[4 - back]).await, "invalid_grant");
        within(Duration::from_secs(1), "the newest access token is dead", async || {
            (field.ask(&tool(UP, &newest.access, "look")).await.status == 401).then_some(())
        })
        .await;
        is_error(&refresh(newest).await, "invalid_grant");
        let record = field
            .recorded("the replay", |event| {
                event["act"] == "refresh_replayed" && event["grant"] == newest.claim("grant")
            })
            .await;
        assert!(record.is_object());
    }
    field.untouched();
    field.lets_in().await;
}

/// ATK-36, AS-13: a client that lost the response may ask again for a short time. It gets the same successor, not a
/// second one.
#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let first = granted.client.granted(&refresh(&granted).await);
    let again = granted.client.granted(&refresh(&granted).await);
    assert_eq!(first.refresh, again.refresh);
    let next = first.client.granted(&refresh(&first).await);
    field.is_healthy(&next).await;
    // When the successor has been used, this is no longer possible.
    is_error(&refresh(&granted).await, "invalid_grant");
    is_error(&refresh(&next).await, "invalid_grant");
}

/// ATK-37, AS-13: of many simultaneous refreshes, all that succeed get the same successor.
#[tokio::test(flavor = "multi_thread")]
async fn many_refreshes_at_once_have_one_successor() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let racers: Vec<_> = (0..64)
        .map(|_| {
            let granted = granted.clone();
            tokio::spawn(async move { refresh(&granted).await })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for racer in racers {
        let reply = racer.await.unwrap();
        assert!(matches!(reply.status, 200 | 400 | 503), "{}", reply.status);
        if reply.status == 200 {
            successors.insert(reply.json()["refresh_token"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(successors.len(), 1);
    let next = Granted { refresh: successors.pop_first().unwrap(), ..granted };
    let newest = next.client.granted(&refresh(&next).await);
    field.is_healthy(&newest).await;
}

/// ATK-39, AS-15: a refresh never gives more than was granted, and a refused one uses nothing up.
#[tokio::test]
async fn a_refresh_never_widens() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let good = granted.client.refreshing(&granted.refresh);
    for (bent, error) in [
        (good.clone().set("scope", "mcp:read mcp:write"), "invalid_scope"),
        (good.clone().set("scope", "mcp:destructive"), "invalid_scope"),
        (good.clone().set("scope", "tool:wipe"), "invalid_scope"),
        (good.clone().set("resource", &field.resource(OTHER)), "invalid_target"),
        (good.clone().set("resource", field.base_url()), "invalid_target"),
        (good.clone().set("resource", "https://elsewhere.example/mcp"), "invalid_target"),
        (good.clone().add("resource", &field.resource(UP)).add("resource", &field.resource(OTHER)), "invalid_target"),
    ] {
        let reply = granted.client.token(&bent).await;
        is_error(&reply, error);
        assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    }
    let next = granted.client.granted(&granted.client.token(&good.set("resource", &field.resource(UP))).await);
    assert_eq!((next.claim("scope"), next.claim("aud")), (granted.claim("scope"), granted.claim("aud")));
    field.is_healthy(&next).await;
}

/// ATK-40, ATK-52, RS-28, RS-29: a token is valid at one server, and not for another spelling of its URL.
#[tokio::test]
async fn a_token_is_for_one_server() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    assert_eq!(granted.claim("aud"), serde_json::json!(field.resource(UP)));
    // A slash at the end is the same server, and does not lead to another.
    for other in [OTHER.to_owned(), format!("{OTHER}/")] {
        assert_eq!(field.ask(&tool(&other, &granted.access, "look")).await.status, 401, "{other}");
    }
    let elsewhere = field.ask(&tool(OTHER, &granted.access, "look")).await;
    let challenge = elsewhere.header("www-authenticate").unwrap();
    assert!(challenge.contains("invalid_token") && challenge.contains("/mcp/other"), "{challenge}");
    for spelling in ["/", "/mcp", "/mcp/", "/mcp/UP", "/mcp//up", "/mcp/up//", "/mcp/up/x", "/MCP/up"] {
        let status = field.ask(&tool(spelling, &granted.access, "look")).await.status;
        assert!(matches!(status, 400 | 401 | 404 | 405), "{spelling}: {status}");
    }
    field.untouched();
    field.rejected("token_invalid").await;
    // There are several servers, so exactly one has to be named.
    let wish = granted.client.wish(&field.resource(UP), "mcp:read");
    let bent = [
        wish.clone().without("resource"),
        wish.clone().set("resource", field.base_url()),
        wish.clone().set("resource", &field.resource("/mcp/UP")),
        wish.clone().set("resource", &field.resource("/mcp/up/")),
        wish.clone().set("resource", &format!("{}#x", field.resource(UP))),
        wish.clone().add("resource", &field.resource(OTHER)),
        wish.clone().set("resource", "https://elsewhere.example/"),
    ];
    for bent in bent {
        let reply = field.ask(&Ask::get(&format!("/oauth/authorize?{}", bent.text()))).await;
        assert!(reply.header("location").is_none() && reply.status >= 400, "{bent:?}: {}", reply.status);
    }
    field.is_healthy(&granted).await;
}

/// ATK-49: a client can end its own grants and no others, and learns nothing about others.
#[tokio::test]
async fn a_client_revokes_only_what_is_its_own() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let thief = field.client().await;
    let revoke = |id: &str, token: &str| {
        Parameters(vec![("token".into(), token.into()), ("client_id".into(), id.into())]).post("/oauth/revoke")
    };
    let foreign = field.ask(&revoke(&thief.id, &granted.refresh)).await;
    let unknown = field.ask(&revoke(&thief.id, "sks_rt_nothing")).await;
    assert_eq!((foreign.status, &foreign.body), (200, &unknown.body), "no oracle");
    assert_eq!(field.ask(&revoke(&thief.id, &granted.access)).await.status, 200);
    field.is_healthy(&granted).await;
    let next = granted.client.granted(&refresh(&granted).await);
    assert_eq!(field.ask(&revoke(&granted.client.id, &next.refresh)).await.status, 200);
    within(Duration::from_secs(1), "the access token is dead", async || {
        (field.ask(&tool(UP, &next.access, "look")).await.status == 401).then_some(())
    })
    .await;
    is_error(&refresh(&next).await, "invalid_grant");
    field.noted("grant_revoked").await;
    field.lets_in().await;
}

/// ATK-50, AS-20: a response with a credential must not be cached, and no suffix on a path makes one cacheable.
#[tokio::test]
async fn no_answer_with_a_credential_may_be_kept() {
    let field = Field::start().await;
    let client = field.client().await;
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let good = client.token(&client.redemption(&code)).await;
    let refused = client.token(&client.redemption("x")).await;
    let unauthenticated = client.token(&client.redemption("x").set("client_id", "nobody")).await;
    let registered = field
        .ask(&Ask::post("/oauth/register").json(&serde_json::json!({ "redirect_uris": ["https://a.example/"] })))
        .await;
    let unregistered = field.ask(&Ask::post("/oauth/register").json(&serde_json::json!({}))).await;
    let revoked = field
        .ask(
            &Parameters(vec![("token".into(), "x".into()), ("client_id".into(), client.id.clone())])
                .post("/oauth/revoke"),
        )
        .await;
    let called = field.ask(&tool(UP, "x", "look")).await;
    for (what, reply) in [
        ("token", &good),
        ("refused", &refused),
        ("401", &unauthenticated),
        ("registered", &registered),
        ("not registered", &unregistered),
        ("revoked", &revoked),
        ("called", &called),
    ] {
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}: {reply:?}");
    }
    for suffix in ["/x.css", "/", ".css", ";x.css", "%2fx.css", "%00.css", "%3bx.css", "?.css", "/..%2fx.css"] {
        let code = "sks_ac_x";
        let reply = field.ask(&client.redemption(code).post(&format!("/oauth/token{suffix}"))).await;
        assert!(matches!(reply.status, 400 | 404), "{suffix}: {}", reply.status);
        assert!(!reply.text().contains("access_token"));
    }
    field.is_healthy(&client.granted(&good)).await;
}

/// ATK-51: pages of other origins may read public endpoints and those that use no cookie, but never with the browser's
/// credentials.
#[tokio::test]
async fn no_page_reads_with_somebody_elses_cookies() {
    let field = Field::start().await;
    let origins =
        ["https://evil.test", "null", "http://localhost", "http://localhost.evil.test", "https://localhost", "", "*"];
    let people = ["/", "/login", "/oauth/authorize?client_id=x", "/consent/none", "/setup/none"];
    let programs =
        ["/.well-known/oauth-authorization-server", "/oauth/jwks", "/.well-known/oauth-protected-resource/mcp/up"];
    for origin in origins {
        for path in people.iter().chain(&programs).chain(&[UP]) {
            for method in ["GET", "POST", "OPTIONS"] {
                let ask = Ask::new(method, path)
                    .header("origin", origin)
                    .header("access-control-request-method", "POST")
                    .header("access-control-request-headers", "authorization, cookie");
                let reply = field.ask(&ask).await;
                assert_eq!(reply.header("access-control-allow-credentials"), None, "{method} {path} for {origin}");
                let allowed = reply.header("access-control-allow-origin");
                if people.contains(path) {
                    assert_eq!(allowed, None, "{method} {path} for {origin}");
                } else if *path == UP {
                    assert_eq!((allowed, reply.status), (None, 403), "{method} {path} for {origin}");
                } else {
                    assert!(matches!(allowed, None | Some("*")), "{method} {path} for {origin}: {allowed:?}");
                }
            }
        }
    }
    field.untouched();
    field.rejected("origin_forbidden").await;
    let own = field.base_url().to_owned();
    let granted = field.granted(OWNER, "mcp:read").await;
    let reply = field.ask(&tool(UP, &granted.access, "look").header("origin", &own)).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(own.as_str())));
}
