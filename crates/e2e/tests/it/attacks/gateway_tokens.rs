//! Tokens that are for others, incomplete, no tokens at all, or in the wrong place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::{headers, legacy, message, modern, tool};
use sekisho_e2e::fakes::oauth::claims;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Reply};
use serde_json::{Value, json};

use super::field::{Field, OWNER, PASSWORD, UP};

/// Checks that the reply refuses a bad token, with the usual challenge of this server.
fn is_bad_token(field: &Field, reply: &Reply, what: &str) {
    assert!(matches!(reply.status, 400 | 401), "{what}: {} {}", reply.status, reply.text());
    let challenge = reply.header("www-authenticate").unwrap_or_else(|| panic!("{what}: no challenge"));
    let metadata = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource{UP}\"", field.base_url());
    assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{what}: {challenge}");
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// ATK-52, ATK-54, ATK-55, RS-28, RS-30: only a token that we issued, unchanged, gives access.
#[tokio::test]
async fn a_crafted_token_opens_nothing() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read mcp:write mcp:destructive").await;
    let parts: Vec<&str> = granted.access.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("a JWT") };
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    let body = claims(&granted.access);
    let keys = field.ask(&Ask::get("/oauth/jwks")).await.json();
    let mut crafted = Vec::new();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("ES384")),
        ("alg", json!("")),
        ("alg", json!(null)),
        ("alg", json!(["ES256"])),
        ("typ", json!("JWT")),
        ("typ", json!("id_token+jwt")),
        ("typ", json!("client-authentication+jwt")),
        ("typ", json!(null)),
        ("kid", json!("other")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!(null)),
        ("jwk", keys["keys"][0].clone()),
        ("jku", json!("http://127.0.0.1:9/jwks")),
        ("x5u", json!("http://127.0.0.1:9/")),
        ("x5c", json!(["AA"])),
        ("crit", json!(["exp"])),
        ("crit", json!(["x"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("p2c", json!(1_000_000_000_u64)),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
    ] {
        let mut bent = header.clone();
        bent[name] = value.clone();
        let bent = encoded(&bent);
        for signature in [signature, "", &"A".repeat(86)] {
            crafted.push((format!("header {name}={value}"), format!("{bent}.{payload}.{signature}")));
        }
    }
    for (name, value) in [
        ("aud", json!(field.resource("/mcp/other"))),
        ("aud", json!([field.resource(UP)])),
        ("aud", json!(null)),
        ("aud", json!("*")),
        ("iss", json!("https://evil.test")),
        ("exp", json!(9_999_999_999_i64)),
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!([1])),
        ("nbf", json!("x")),
        ("iat", json!(9_999_999_999_i64)),
        ("sub", json!("alice")),
        ("scope", json!("mcp:destructive")),
        ("scope", json!(["mcp:read"])),
        ("jti", json!(null)),
        ("client_id", json!("x")),
        ("cnf", json!({ "jkt": "x" })),
        ("act", json!({ "sub": "x" })),
        ("epoch", json!(99)),
        ("grant", json!("grt_x")),
    ] {
        let mut bent = body.clone();
        bent[name] = value.clone();
        crafted.push((format!("claim {name}={value}"), format!("{head}.{}.{signature}", encoded(&bent))));
    }
    let zero = URL_SAFE_NO_PAD.encode([0; 64]);
    for other in [zero.as_str(), "", "AAAA", &format!("{signature}=="), &format!("{signature}AA")] {
        crafted.push((format!("signature {other}"), format!("{head}.{payload}.{other}")));
    }
    crafted.extend(
        ["a", "a.b", "a.b.c", "a.b.c.d.e", "...", "eyJhbGciOiJub25lIn0.e30."]
            .map(|text| (text.to_owned(), text.to_owned())),
    );
    assert!(crafted.len() >= 80, "{} crafted tokens", crafted.len());
    for (what, token) in &crafted {
        is_bad_token(&field, &field.ask(&tool(UP, token, "look")).await, what);
    }
    field.untouched();
    field.rejected("token_invalid").await;
    field.is_healthy(&granted).await;
}

/// ATK-57, RS-30: a token is accepted only complete and in its one spelling.
#[tokio::test]
async fn a_token_in_another_spelling_is_another_token() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let token = &granted.access;
    let mut spelled: Vec<String> = (1..token.len()).step_by(23).map(|cut| token[..cut].to_owned()).collect();
    for at in (0..token.len()).step_by(11) {
        let other = if &token[at..=at] == "B" { "C" } else { "B" };
        spelled.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }
    spelled.extend([
        format!("{token}="),
        format!("{token}A"),
        format!("{token}.{token}"),
        token.to_uppercase(),
        token.replace('-', "+").replace('_', "/") + "+",
        format!("{token}%00"),
    ]);
    for bent in &spelled {
        is_bad_token(&field, &field.ask(&tool(UP, bent, "look")).await, bent);
    }
    let refresh = &granted.refresh;
    for cut in [1, 7, 20, refresh.len() - 1] {
        let reply = granted.client.token(&granted.client.refreshing(&refresh[..cut])).await;
        assert_eq!(reply.status, 400);
    }
    for bent in [format!("{refresh}A"), refresh.to_uppercase(), format!("{refresh}="), format!(" {refresh}")] {
        assert_eq!(granted.client.token(&granted.client.refreshing(&bent)).await.status, 400, "{bent}");
    }
    field.untouched();
    field.rejected("token_invalid").await;
    granted.client.granted(&granted.client.token(&granted.client.refreshing(refresh)).await);
    field.is_healthy(&granted).await;
}

/// ATK-43, ATK-52: of everything that the checkpoint issues, only an access token works as one, and each thing works
/// only in its own place.
#[tokio::test]
async fn every_artefact_opens_only_its_own_place() {
    let field = Field::start().await;
    let client = field.client().await;
    let mut browser = Browser::new(field.base_url());
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    let page = browser.to_grant_page(&link, OWNER, PASSWORD).await;
    let form = page.form().unwrap();
    let csrf = form.value("csrf").to_owned();
    let pending = form.action.rsplit('/').next().unwrap().to_owned();
    let Landing::Away(to) = browser.submit(&form.press("approve")).await else { panic!("sent back") };
    let code = sekisho_e2e::fakes::oauth::code_in(&to).unwrap();
    let unused = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let granted = client.granted(&client.token(&client.redemption(&code)).await);
    let confidential = field.confidential("https://backend.example/cb").await;
    let link = field.checkpoint.ask(&["user", "link", "bob"]).await[0]["token"].as_str().unwrap().to_owned();
    let session = browser.cookies().iter().find(|(name, _)| !name.ends_with("browser")).unwrap().1.clone();
    let artefacts = [
        ("access token", granted.access.clone()),
        ("refresh token", granted.refresh.clone()),
        ("code", unused.clone()),
        ("session cookie", session),
        ("form value", csrf),
        ("setup link", link),
        ("client secret", confidential.secret.clone().unwrap()),
        ("client id", client.id.clone()),
        ("request", pending),
        ("grant", granted.claim("grant").as_str().unwrap().to_owned()),
        ("subject", granted.claim("sub").as_str().unwrap().to_owned()),
    ];
    for (what, artefact) in &artefacts {
        let call = field.ask(&tool(UP, artefact, "look")).await;
        assert_eq!(call.status == 200, *what == "access token", "{what} as an access token: {}", call.status);
        if *what != "code" {
            assert_ne!(client.token(&client.redemption(artefact)).await.status, 200, "{what} as a code");
        }
        if *what != "refresh token" {
            assert_ne!(client.token(&client.refreshing(artefact)).await.status, 200, "{what} as a refresh token");
        }
        if *what != "session cookie" {
            let name = format!("sekisho_{}", field.address.port());
            let home = field.ask(&Ask::get("/").header("cookie", &format!("{name}={artefact}"))).await;
            assert!(!home.text().contains(OWNER), "{what} as a session");
        }
        if *what != "setup link" {
            assert_eq!(field.ask(&Ask::get(&format!("/setup/{artefact}"))).await.status, 404, "{what} as a setup link");
        }
        let assertion = client
            .redemption("x")
            .set("client_assertion", artefact)
            .set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!(client.token(&assertion).await.status, 401, "{what} as an assertion");
    }
    assert_eq!(field.upstream.calls().len(), 1, "the access token's own call");
    field.rejected("token_invalid").await;
    client.granted(&client.token(&client.redemption(&unused)).await);
    field.is_healthy(&granted).await;
}

/// ATK-53, PX-11, PX-12: no credential of a caller is forwarded, neither in a header nor in the body.
#[tokio::test]
async fn nothing_that_a_caller_shows_goes_on() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let field = Field::before(speaks, "").await;
        let granted = field.granted(OWNER, "mcp:read").await;
        let secret = "marker-of-the-caller";
        let with_secrets = |ask: Ask| {
            [
                "cookie",
                "proxy-authorization",
                "dpop",
                "x-api-key",
                "x-auth-token",
                "x-forwarded-user",
                "x-forwarded-for",
                "forwarded",
                "x-real-ip",
                "x-amzn-oidc-data",
                "x-goog-iap-jwt-assertion",
                "client-cert",
                "x-ssl-client-cert",
                "referer",
                "x-custom",
                "te",
                "from",
            ]
            .iter()
            .fold(ask, |ask, name| ask.header(name, secret))
        };
        let reply = match speaks {
            Speaks::Modern => field.ask(&with_secrets(tool(UP, &granted.access, "look"))).await,
            Speaks::Legacy => {
                let opened = field
                    .ask(&with_secrets(legacy(
                        UP,
                        &granted.access,
                        None,
                        &sekisho_e2e::fakes::call::initialize("2025-11-25"),
                    )))
                    .await;
                let session = opened.header("mcp-session-id").unwrap().to_owned();
                let call = legacy(
                    UP,
                    &granted.access,
                    Some((&session, "2025-11-25")),
                    &sekisho_e2e::fakes::call::legacy_tool("look"),
                );
                field.ask(&with_secrets(call)).await
            }
        };
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = field.upstream.seen();
        assert_eq!(field.upstream.calls().len(), 1);
        let signature = granted.access.rsplit('.').next().unwrap();
        for request in seen {
            let text = request.text();
            assert!(
                !text.contains(secret)
                    && !text.contains(&granted.access)
                    && !text.contains(signature)
                    && !text.contains(&granted.refresh),
                "{text}"
            );
            assert!(
                !request.headers.iter().any(|(name, _)| matches!(
                    name.as_str(),
                    "authorization" | "cookie" | "proxy-authorization" | "dpop"
                )),
                "{text}"
            );
        }
    }
}

/// ATK-58, RS-35: a token is read only from its header.
#[tokio::test]
async fn a_token_counts_only_in_its_header() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let token = &granted.access;
    let body = message("tools/call", json!({ "name": "look", "arguments": {} }));
    let bare = |target: &str| headers(target, "", "tools/call").header("mcp-name", "look").json(&body);
    let mut inside = body.clone();
    inside["params"]["_meta"]["access_token"] = json!(token);
    inside["access_token"] = json!(token);
    for (what, ask) in [
        ("query", bare(&format!("{UP}?access_token={token}"))),
        ("query beside", bare(&format!("{UP}?token={token}&authorization=Bearer%20{token}"))),
        ("cookie", bare(UP).header("cookie", &format!("access_token={token}; Authorization=Bearer {token}"))),
        (
            "other header",
            bare(UP)
                .header("x-access-token", token)
                .header("proxy-authorization", &format!("Bearer {token}"))
                .header("x-authorization", &format!("Bearer {token}")),
        ),
        ("body", headers(UP, "", "tools/call").header("mcp-name", "look").json(&inside)),
        ("form", Ask::post(UP).form(&[("access_token", token)])),
        ("two", bare(UP).bearer(token).bearer(token)),
        ("basic", bare(UP).header("authorization", &sekisho_e2e::fakes::oauth::basic("x", token))),
        ("dpop", bare(UP).header("authorization", &format!("DPoP {token}"))),
    ] {
        let reply = field.ask(&ask).await;
        is_bad_token(&field, &reply, what);
        assert!(!reply.text().contains(token.as_str()), "{what}");
    }
    field.untouched();
    let records = field.checkpoint.records().await;
    assert!(
        !json!(records).to_string().contains(token.as_str())
            && !field.checkpoint.stderr().now().contains(token.as_str()),
        "a token was written down"
    );
    field.rejected("token_missing").await;
    field.is_healthy(&granted).await;
}

/// ATK-60: a token with an unknown key id is refused without any fetch.
#[tokio::test]
async fn unknown_key_ids_are_cheap() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let rest = granted.access.split_once('.').unwrap().1;
    for at in 0..300 {
        let head = encoded(&json!({ "typ": "at+jwt", "alg": "ES256", "kid": format!("random-{at}") }));
        is_bad_token(
            &field,
            &field.ask(&modern(UP, &format!("{head}.{rest}"), "ping", json!({}))).await,
            "unknown key",
        );
    }
    field.untouched();
    field.rejected("token_invalid").await;
    field.is_healthy(&granted).await;
}
